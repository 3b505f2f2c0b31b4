"""What makes the text of the metrics, when it is asked for."""

from application.use_cases.proxy_report import ProxyReport


def metrics_text(report: ProxyReport, accept: str) -> tuple[str, bytes]:
    """See `MetricsText`."""
    from adapters.metrics.exposition import metrics_text as text  # noqa: PLC0415 - slow, and of use to few

    return text(report, accept)
