"""What the counters have to be, as the lines of the log say it and as the providers do."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from application.observing.error_types import error_type
from simulator.records import Counts

Key = tuple[str, ...]
"""The name of a counter, and its labels as `name=value`, sorted."""
Told = Mapping[Key, float]
Line = Mapping[str, Any]

_HISTOGRAMS = {
    "llmproxy_request_duration_seconds": "total_ms",
    "llmproxy_first_byte_duration_seconds": "first_byte_ms",
    "llmproxy_overhead_duration_seconds": "overhead_ms",
}
_TOLERANCE = 1e-6
"""Of sums of seconds, which are added up in another order."""


def told(exposition: str) -> Told:
    """What `/metrics` says."""
    return {
        _key(sample.name, **sample.labels): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
    }


def counters(metrics: Told) -> Told:
    """Those that never fall."""
    ends = ("_total", "_count", "_sum", "_bucket")
    return {key: value for key, value in metrics.items() if key[0].endswith(ends)}


def total(metrics: Told, name: str, *labels: str) -> float:
    """Of those that have all these labels, written `name=value`."""
    return sum(value for key, value in metrics.items() if key[0] == name and set(labels) <= set(key[1:]))


def counted(log: Iterable[Line]) -> list[Line]:
    """The lines of requests that count: pages do not."""
    return [line for line in log if line["api"] or error_type(line["outcome"])]


def of_log(log: Iterable[Line]) -> Counter[Key]:
    """The counters that follow from its lines."""
    found: Counter[Key] = Counter()
    for line in counted(log):
        group, endpoint, api, kind = line["group"], line["endpoint"], line["api"], error_type(line["outcome"])
        where = {"group": group, "endpoint": endpoint, "api": api}
        found[_key("llmproxy_requests_total", **where, status=f"{line['status'] // 100}xx")] += 1
        if kind:
            found[_key("llmproxy_errors_total", **where, error_type=kind)] += 1
        if line["status"] == 429:
            found[_key("llmproxy_rate_limited_requests_total", group=group)] += 1
        if line["attempts"] > 1:
            found[_key("llmproxy_retries_total", group=group)] += line["attempts"] - 1
            if not kind:
                found[_key("llmproxy_failovers_total", group=group)] += 1
        if group:
            found[_key("llmproxy_cache_requests_total", group=group, state=line["cache"])] += 1
        if api:
            for name in _HISTOGRAMS:
                found[_key(f"{name}_count", group=group, api=api)] += 1
    return found


def given_up(log: Iterable[Line], endpoint: str) -> int:
    """Attempts there that ended because the client left: an attempt counts when it begins, and those of them whose
    connection or request was not through yet are no request that the provider has seen."""
    return sum(f"{endpoint}: client left" in line["reasons"] for line in log)


def differences(metrics: Told, log: Iterable[Line], providers: Mapping[str, Counts]) -> list[str]:
    """Sentences; none = all agree."""
    lines = counted(log)
    wanted = of_log(lines)
    names = {key[0] for key in wanted}
    seen = Counter({key: value for key, value in metrics.items() if key[0] in names and value})
    found = [
        f"{' '.join(key)}: {seen[key]:g}, by the log {wanted[key]}"
        for key in sorted(wanted.keys() | seen.keys())
        if seen[key] != wanted[key]
    ]
    for name, it in providers.items():
        has = total(metrics, "llmproxy_attempts_total", f"endpoint={name}")
        if not it.received <= has <= it.received + given_up(lines, name):
            found.append(f"attempts at {name}: {has:g}, requests by the provider {it.received}")
        has = total(metrics, "llmproxy_attempt_failures_total", f"endpoint={name}", "kind=rate_limited")
        if has != it.limited:
            found.append(f"429s of {name}: {has:g}, by the provider {it.limited}")
    for name, field in _HISTOGRAMS.items():
        found += _histogram(metrics, name, [line[field] for line in lines if line["api"]])
    return found


def _histogram(metrics: Told, name: str, values_ms: list[float]) -> list[str]:
    """Its sum and each of its buckets, over all labels."""
    wanted_s, has_s = sum(values_ms) / 1000, total(metrics, f"{name}_sum")
    found = []
    if abs(has_s - wanted_s) > _TOLERANCE * max(1.0, wanted_s):
        found.append(f"{name}_sum: {has_s}, by the log {wanted_s}")
    bounds = {label for key in metrics if key[0] == f"{name}_bucket" for label in key if label.startswith("le=")}
    for label in bounds:
        bound_ms = round(float(label.removeprefix("le=")) * 1000, 9)
        wanted = sum(value <= bound_ms for value in values_ms)
        if (has := total(metrics, f"{name}_bucket", label)) != wanted:
            found.append(f"{name}_bucket {label}: {has:g}, by the log {wanted}")
    return found


def _key(metric: str, **labels: str) -> Key:
    return (metric, *sorted(f"{name}={value}" for name, value in labels.items()))
