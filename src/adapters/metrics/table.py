"""Every metric: its name, type, labels and meaning. docs/metrics.md has the same table, made of this one.

Names and labels stay: dashboards and alerts are built on them. No label is anything that a client chooses.
"""

from typing import Literal

from msgspec import Struct

from application.observing.latencies import BOUNDS_MS

_TEN_MS = BOUNDS_MS.index(10.0)


class Metric(Struct, frozen=True):
    name: str
    """As samples have it; a histogram's without `_bucket`, `_sum` and `_count`."""
    kind: Literal["counter", "gauge", "histogram", "info"]
    labels: tuple[str, ...]
    help: str
    buckets: tuple[int, ...] = ()
    """Of a histogram: which of the bounds that are counted by are told."""

    @property
    def family(self) -> str:
        """The name without what its type adds."""
        return self.name.removesuffix("_total").removesuffix("_info")

    @property
    def unit(self) -> str:
        """Empty = it has none: it is a number of something."""
        return next((unit for unit in ("seconds", "bytes") if self.family.endswith(f"_{unit}")), "")


def _doublings(first: int, last: int) -> tuple[int, ...]:
    """10 ms doubled so many times, from `first` (negative: halved) to `last`."""
    return tuple(_TEN_MS + 2 * times for times in range(first, last + 1))


_GROUP = ("group",)
_CALL = ("group", "api")
_ENDPOINT = ("group", "endpoint")

METRICS: tuple[Metric, ...] = (
    Metric("llmproxy_requests_total", "counter", ("group", "endpoint", "api", "status"),
           "Requests that are over, by the class of their status (2xx, 4xx ...; 499, the client left, is a 4xx). "
           "endpoint: the one that answered or was asked last; empty = none was, as for answers from the cache."),
    Metric("llmproxy_errors_total", "counter", ("group", "endpoint", "api", "error_type"),
           "Requests that did not go well, by what was wrong; the prefix says whose fault it was. _OTHER must stay 0."),
    Metric("llmproxy_rate_limited_requests_total", "counter", _GROUP, "Requests whose client was told 429."),
    Metric("llmproxy_retries_total", "counter", _GROUP, "Attempts of requests beyond their first."),
    Metric("llmproxy_failovers_total", "counter", _GROUP,
           "Requests that were answered well after an attempt had failed."),
    Metric("llmproxy_cache_requests_total", "counter", ("group", "state"),
           "Requests by what the cache did: hit, miss, bypass, refresh, shared (with an identical one under way)."),
    Metric("llmproxy_request_duration_seconds", "histogram", _CALL, "From the request to the last byte of its answer.",
           _doublings(-2, 14)),
    Metric("llmproxy_first_byte_duration_seconds", "histogram", _CALL,
           "From the request to the first byte of its answer.", _doublings(-2, 14)),
    Metric("llmproxy_overhead_duration_seconds", "histogram", _CALL,
           "The proxy's own part of that: without upstreams, backoff and waiting for rate limits.",
           _doublings(-8, 7)),
    Metric("llmproxy_time_to_first_token_seconds", "histogram", _CALL,
           "Streams that an endpoint answered: from the request to the first content.", _doublings(-1, 13)),
    Metric("llmproxy_time_between_tokens_seconds", "histogram", _ENDPOINT,
           "Streams whose usage came: the mean time from one token to the next, after the first content.",
           _doublings(-4, 9)),
    Metric("llmproxy_attempts_total", "counter", _ENDPOINT, "Calls of the endpoint, those under way included."),
    Metric("llmproxy_attempt_failures_total", "counter", ("group", "endpoint", "kind"),
           "Attempts that failed, by kind; rate_limited is a 429 of the provider."),
    Metric("llmproxy_cooldowns_total", "counter", _ENDPOINT, "How often the endpoint was left alone, or for longer."),
    Metric("llmproxy_input_tokens_total", "counter", _ENDPOINT,
           "Tokens of prompts, as replies say; cached ones included. Replies without usage add nothing."),
    Metric("llmproxy_cached_input_tokens_total", "counter", _ENDPOINT,
           "Those of them that came from the provider's prompt cache."),
    Metric("llmproxy_cache_write_input_tokens_total", "counter", _ENDPOINT, "Those that were written to it."),
    Metric("llmproxy_output_tokens_total", "counter", _ENDPOINT, "Tokens of answers, as replies say."),
    Metric("llmproxy_replies_total", "counter", _ENDPOINT, "Answers to calls of a model, with or without usage."),
    Metric("llmproxy_priced_replies_total", "counter", _ENDPOINT,
           "Those of them whose cost is known. This metric and the next five are absent where nothing has a price."),
    Metric("llmproxy_cost_total", "counter", _ENDPOINT, "What these cost, in llmproxy_currency_info's currency."),
    Metric("llmproxy_baseline_cost_total", "counter", _ENDPOINT,
           "What the same tokens would have cost at the group's price_baseline; less llmproxy_cost_total: saved by "
           "routing."),
    Metric("llmproxy_priced_cache_hits_total", "counter", _ENDPOINT,
           "Answers from the cache, or of a call that another request shared, whose cost is known; by the endpoint "
           "that gave them first."),
    Metric("llmproxy_cache_saved_cost_total", "counter", _ENDPOINT, "What these had cost then: saved by the cache."),
    Metric("llmproxy_currency_info", "info", ("currency",), "1; the currency is its label."),
    Metric("llmproxy_provisioned_cost_per_hour", "gauge", _ENDPOINT,
           "per_hour of endpoints that are paid by the hour; in no other sum."),
    Metric("llmproxy_endpoint_up", "gauge", _ENDPOINT,
           "1 = takes requests; 0 = cooling, being probed, or kept away by its rate limit. As the worker that answers "
           "knows it."),
    Metric("llmproxy_endpoint_cooldown_seconds", "gauge", _ENDPOINT,
           "Time until it is tried again after failures; 0 = none runs. As the worker that answers knows it."),
    Metric("llmproxy_endpoint_throttle_seconds", "gauge", _ENDPOINT,
           "Time until it may be asked again after a 429; 0 = none runs. As the worker that answers knows it."),
    Metric("llmproxy_endpoint_in_flight", "gauge", _ENDPOINT, "Requests that it is answering, over all workers."),
    Metric("llmproxy_rate_limit", "gauge", (*_ENDPOINT, "resource"),
           "The provider's limit of requests or tokens; absent = unknown. As the worker that answers knows it."),
    Metric("llmproxy_rate_limit_remaining", "gauge", (*_ENDPOINT, "resource"),
           "What is left of it now. As the worker that answers knows it."),
    Metric("llmproxy_waiting_requests", "gauge", _GROUP, "Requests that wait for a rate limit, over all workers."),
    Metric("llmproxy_in_flight_requests", "gauge", (), "Requests that are being answered, those that wait included."),
    Metric("llmproxy_open_streams", "gauge", (), "Those of them that stream already."),
    Metric("llmproxy_client_connections", "gauge", (), "Open connections of clients, idle ones included."),
    Metric("llmproxy_detached_requests", "gauge", (), "Background requests that go on though their clients left."),
    Metric("llmproxy_held_bytes", "gauge", (), "What workers hold for their clients in memory."),
    Metric("llmproxy_held_max_bytes", "gauge", (), "max_held_bytes of all workers together; 0 = no bound."),
    Metric("llmproxy_held_refusals_total", "counter", (), "How often something did not fit into it."),
    Metric("llmproxy_cache_entries", "gauge", (), "Answers that are kept in memory; absent = they are kept elsewhere."),
    Metric("llmproxy_cache_bytes", "gauge", (), "Their size."),
    Metric("llmproxy_store_up", "gauge", ("store",),
           "1 = the store is used; 0 = it is left alone, or takes no writes. store: endpoint_state or cache. As the "
           "worker that answers knows it."),
    Metric("llmproxy_config_generation", "gauge", (), "1, and one more with each configuration taken over since."),
    Metric("llmproxy_config_last_reload_success_timestamp_seconds", "gauge", (),
           "When the configuration that is served was taken over, in unix seconds."),
    Metric("llmproxy_config_last_reload_refusal_timestamp_seconds", "gauge", (),
           "When another one was refused since, in unix seconds; 0 = none was."),
    Metric("llmproxy_config_reload_refusals_total", "counter", (), "How often a configuration was refused."),
    Metric("llmproxy_workers", "gauge", (), "Workers that are there now."),
    Metric("llmproxy_worker_starts_total", "counter", (), "Workers that were ever started, replaced ones included."),
    Metric("llmproxy_start_timestamp_seconds", "gauge", (), "When the oldest worker started, in unix seconds."),
    Metric("llmproxy_cpu_seconds_total", "counter", (), "CPU time of the workers."),
    Metric("llmproxy_resident_memory_bytes", "gauge", (), "Memory of the workers; what they share counts for each."),
    Metric("llmproxy_open_files", "gauge", (), "Open files and sockets of the workers."),
    Metric("llmproxy_build_info", "info", ("version",), "1; the version is its label."),
)  # fmt: skip


def markdown() -> str:
    """The table of docs/metrics.md."""
    rows = "".join(
        f"| `{each.name}` | {each.kind} | {', '.join(f'`{label}`' for label in each.labels) or '-'} | {each.help} |\n"
        for each in METRICS
    )
    return f"| name | type | labels | |\n|---|---|---|---|\n{rows}"
