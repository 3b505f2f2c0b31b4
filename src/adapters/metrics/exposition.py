"""The text of `GET /metrics`, by prometheus-client: Prometheus' own format, or OpenMetrics where that is asked for.

The library is only given what was counted already. Its own counters would cost ten times as much for each request, and
know nothing of several workers. Importing it takes as long as a third of a worker's start: only who needs it does.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from adapters.metrics.samples import Sample, samples
from adapters.metrics.table import METRICS, Metric
from application.observing.latencies import BOUNDS_MS, Histogram
from application.use_cases.proxy_report import ProxyReport


def metrics_text(report: ProxyReport, accept: str) -> tuple[str, bytes]:
    """See `MetricsText`."""
    encode, content_type = choose_encoder(accept)
    return content_type, encode(_Collected(report))


class _Collected(Collector):
    def __init__(self, report: ProxyReport) -> None:
        self._samples = samples(report)

    def collect(self) -> Iterator[Family]:
        """As prometheus-client asks for it."""
        for metric in METRICS:
            yield _family(metric, self._samples[metric.name])


def _family(metric: Metric, values: Iterable[Sample]) -> Family:
    if metric.kind == "histogram":
        family = HistogramMetricFamily(metric.family, metric.help, labels=metric.labels, unit=metric.unit)
        for labels, value in values:
            if isinstance(value, Histogram):
                family.add_metric(labels, _buckets(value, metric.buckets), value.sum_ms / 1000.0)
        return family
    if metric.kind == "info":
        info = InfoMetricFamily(metric.family, metric.help)
        for labels, _ in values:
            info.add_metric((), dict(zip(metric.labels, labels, strict=True)))
        return info
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    plain = kind(metric.family, metric.help, labels=metric.labels, unit=metric.unit)
    for labels, value in values:
        if not isinstance(value, Histogram):
            plain.add_metric(labels, value)
    return plain


def _buckets(histogram: Histogram, told: Iterable[int]) -> list[tuple[str, float]]:
    """Of each that is told its upper bound in seconds, and how many values are not above it."""
    below = list(accumulate(histogram.counts))
    return [*((str(BOUNDS_MS[at] / 1000.0), below[at]) for at in told), ("+Inf", below[-1])]
