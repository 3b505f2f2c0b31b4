"""What each metric of the table is now."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from application.observing.error_types import OTHER
from application.observing.latencies import Histogram
from application.use_cases.proxy_report import ProxyReport
from application.use_cases.status import EndpointStatusReport, LimitStatus
from domain.health.cooldown import HealthState

Number = int | float
Sample = tuple[Sequence[str], Number | Histogram]
"""The values of the labels, in the order of the table, and the value under them."""


def samples(report: ProxyReport) -> Mapping[str, Iterable[Sample]]:
    """By the name of the metric."""
    return {
        **_of_requests(report),
        **_of_tallies(report),
        **_of_costs(report),
        **_of_endpoints(report),
        **_of_proxy(report),
    }


def _of_requests(report: ProxyReport) -> dict[str, Iterable[Sample]]:
    counted = report.counted
    by_status: Counter[tuple[str, ...]] = Counter()
    errors: Counter[tuple[str, ...]] = Counter({("", "", "", OTHER): 0})
    cached: Counter[tuple[str, ...]] = Counter()
    for (group, endpoint, api, status, error_type, cache), times in counted.requests.items():
        by_status[group, endpoint, api, status] += times
        if error_type:
            errors[group, endpoint, api, error_type] += times
        if group:
            cached[group, cache] += times
    # Each of the kinds that are not told apart together.
    told: list[defaultdict[tuple[str, ...], Histogram]] = [defaultdict(Histogram) for _ in range(4)]
    durations, first_bytes, overheads, first_tokens = told
    for (group, api, kind), latencies in counted.latencies.items():
        durations[group, api] += latencies.total
        first_bytes[group, api] += latencies.first_byte
        overheads[group, api] += latencies.overhead
        if kind == "stream":
            first_tokens[group, api] += latencies.first_byte
    return {
        "llmproxy_requests_total": by_status.items(),
        "llmproxy_errors_total": errors.items(),
        "llmproxy_rate_limited_requests_total": _by_group(report, counted.limited),
        "llmproxy_retries_total": _by_group(report, counted.retries),
        "llmproxy_failovers_total": _by_group(report, counted.failovers),
        "llmproxy_cache_requests_total": cached.items(),
        "llmproxy_request_duration_seconds": durations.items(),
        "llmproxy_first_byte_duration_seconds": first_bytes.items(),
        "llmproxy_overhead_duration_seconds": overheads.items(),
        "llmproxy_time_to_first_token_seconds": first_tokens.items(),
    }


def _of_tallies(report: ProxyReport) -> dict[str, Iterable[Sample]]:
    tallies = [((tally.group, name), tally) for name, tally in report.counted.endpoints.items()]
    return {
        "llmproxy_time_between_tokens_seconds": [
            (place, tally.between_tokens) for place, tally in tallies if any(tally.between_tokens.counts)
        ],
        "llmproxy_attempts_total": [(place, tally.attempts) for place, tally in tallies],
        "llmproxy_attempt_failures_total": [
            ((*place, kind), times) for place, tally in tallies for kind, times in tally.failures.items()
        ],
        "llmproxy_cooldowns_total": [(place, tally.cooldowns) for place, tally in tallies],
        "llmproxy_input_tokens_total": [(place, tally.input_tokens) for place, tally in tallies],
        "llmproxy_cached_input_tokens_total": [(place, tally.cached_tokens) for place, tally in tallies],
        "llmproxy_cache_write_input_tokens_total": [(place, tally.written_tokens) for place, tally in tallies],
        "llmproxy_output_tokens_total": [(place, tally.output_tokens) for place, tally in tallies],
        "llmproxy_replies_total": [(place, tally.costs.replies) for place, tally in tallies],
    }


def _of_costs(report: ProxyReport) -> dict[str, Iterable[Sample]]:
    """Empty where nothing has a price: zeros would look like sums."""
    is_known = report.cost is not None
    costs = [((it.group, name), it.costs) for name, it in report.counted.endpoints.items() if is_known]
    hourly = [
        ((group.model_group, each.id), each.cost.per_hour)
        for group in report.groups
        for each in group.endpoints
        if each.cost is not None and each.cost.per_hour
    ]
    return {
        "llmproxy_priced_replies_total": [(place, each.priced) for place, each in costs],
        "llmproxy_cost_total": [(place, float(each.spent)) for place, each in costs],
        "llmproxy_baseline_cost_total": [(place, float(each.baseline)) for place, each in costs],
        "llmproxy_priced_cache_hits_total": [(place, each.priced_hits) for place, each in costs],
        "llmproxy_cache_saved_cost_total": [(place, float(each.saved_by_cache)) for place, each in costs],
        "llmproxy_currency_info": [((report.currency,), 1)] if is_known else [],
        "llmproxy_provisioned_cost_per_hour": hourly,
    }


def _of_endpoints(report: ProxyReport) -> dict[str, Iterable[Sample]]:
    endpoints = [((group.model_group, each.id), each) for group in report.groups for each in group.endpoints]
    limits = [
        ((*place, resource), limit)
        for place, each in endpoints
        for resource, limit in (("requests", each.requests), ("tokens", each.tokens))
        if limit is not None
    ]
    return {
        "llmproxy_endpoint_up": [(place, int(_is_up(each))) for place, each in endpoints],
        "llmproxy_endpoint_cooldown_seconds": [(place, each.cooling_s) for place, each in endpoints],
        "llmproxy_endpoint_throttle_seconds": [(place, each.clock_s) for place, each in endpoints],
        "llmproxy_endpoint_in_flight": [(place, each.in_flight) for place, each in endpoints],
        "llmproxy_rate_limit": [(place, limit.limit) for place, limit in limits if limit.limit is not None],
        "llmproxy_rate_limit_remaining": [
            (place, limit.remaining) for place, limit in limits if limit.remaining is not None
        ],
        "llmproxy_waiting_requests": [((group.model_group,), group.waiting) for group in report.groups],
    }


def _of_proxy(report: ProxyReport) -> dict[str, Iterable[Sample]]:
    counted, held, reload, nows = report.counted, report.held, report.reload, report.nows
    cache = report.stores.cache
    stores = [("endpoint_state", report.stores.endpoint_state), *([("cache", cache.store)] if cache else [])]
    kept = cache.store if cache else None
    return {
        "llmproxy_in_flight_requests": _one(sum(now.in_flight for now in nows)),
        "llmproxy_open_streams": _one(sum(now.streams for now in nows)),
        "llmproxy_client_connections": _one(sum(now.connections for now in nows)),
        "llmproxy_detached_requests": _one(held.detached),
        "llmproxy_held_bytes": _one(held.bytes),
        "llmproxy_held_max_bytes": _one(held.max_bytes),
        "llmproxy_held_refusals_total": _one(held.refused),
        "llmproxy_cache_entries": _one(kept.entries if kept else None),
        "llmproxy_cache_bytes": _one(kept.bytes if kept else None),
        "llmproxy_store_up": [((name,), int(store.state == "ok")) for name, store in stores],
        "llmproxy_config_generation": _one(reload.generation),
        "llmproxy_config_last_reload_success_timestamp_seconds": _one(reload.succeeded_unix),
        "llmproxy_config_last_reload_refusal_timestamp_seconds": _one(reload.refused_unix or 0.0),
        "llmproxy_config_reload_refusals_total": _one(reload.refusals),
        "llmproxy_workers": _one(len(nows)),
        "llmproxy_worker_starts_total": _one(counted.worker_starts),
        "llmproxy_start_timestamp_seconds": _one(report.started_unix),
        "llmproxy_cpu_seconds_total": _one(counted.cpu_s),
        "llmproxy_resident_memory_bytes": _one(_known(now.process.resident_bytes for now in nows)),
        "llmproxy_open_files": _one(_known(now.process.open_files for now in nows)),
        "llmproxy_build_info": [((report.running.version,), 1)],
    }


def _by_group(report: ProxyReport, counts: Mapping[str, int]) -> Iterable[Sample]:
    """Also of groups that nothing was counted of: where a counter begins with 1 nobody sees that it rose."""
    known = {**{group.model_group: 0 for group in report.groups}, **counts}
    return [((group,), times) for group, times in known.items()]


def _one(value: Number | None) -> Iterable[Sample]:
    return [] if value is None else [((), value)]


def _known(values: Iterable[int | None]) -> int | None:
    """Their sum; None = the system says none of them."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _is_up(endpoint: EndpointStatusReport) -> bool:
    limits: Iterable[LimitStatus | None] = (endpoint.requests, endpoint.tokens)
    is_used_up = any(limit is not None and limit.remaining == 0 for limit in limits)
    return endpoint.state == HealthState.CLOSED.value and not endpoint.clock_s and not is_used_up
