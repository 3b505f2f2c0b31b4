"""The table of metrics: names that Prometheus takes, a page that says the same, and a dashboard and alerts that name
nothing else."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.metrics.table import METRICS, Metric, markdown
from application.observing.error_types import ERROR_TYPES, OTHER
from application.observing.latencies import BOUNDS_MS
from domain.failure import FailureKind

ROOT = Path(__file__).parents[2]
BY_NAME = {metric.name: metric for metric in METRICS}
SUFFIXES = ("_bucket", "_sum", "_count")
WORDS = frozenset({"sum", "min", "max", "count", "by", "rate", "increase", "histogram_quantile", "vector", "or"})
WORDS |= {"label_values"}
ALL_TARGETS = frozenset({"job", "instance", "le"})


def dashboard() -> dict[str, Any]:
    made: dict[str, Any] = json.loads((ROOT / "deploy/grafana-dashboard.json").read_text())
    return made


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((ROOT / "deploy/alerts.yaml").read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def expressions() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]
    yield from (rule["expr"] for rule in alerts())


def metric_of(name: str) -> Metric | None:
    for suffix in ("", *SUFFIXES):
        found = BY_NAME.get(name.removesuffix(suffix) if suffix else name)
        if found is not None and (not suffix or (found.kind == "histogram" and name.endswith(suffix))):
            return found
    return None


def test_names_are_those_that_prometheus_advises() -> None:
    assert len(BY_NAME) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"llmproxy_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.name.endswith("_info") == (metric.kind == "info")
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert metric.help.endswith(".") or metric.kind == "info"
        assert not set(metric.labels) & {"le", "job", "instance", "path", "client", "key", "model"}


def test_histograms_tell_bounds_that_are_counted_by() -> None:
    for metric in METRICS:
        bounds = [BOUNDS_MS[at] for at in metric.buckets]
        assert bounds == sorted(set(bounds)) and len(bounds) <= 20


def test_the_page_has_the_table() -> None:
    assert markdown() in (ROOT / "docs/metrics.md").read_text()


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_dashboard_and_alerts_name_metrics_and_labels_that_exist(expression: str) -> None:
    plain = re.sub(r'"[^"]*"', '""', expression)
    named = re.findall(r"\bllmproxy_\w+", plain)
    found = [metric_of(name) for name in named]
    assert named and None not in found, expression
    allowed = ALL_TARGETS.union(*(metric.labels for metric in found if metric is not None))
    for selector in re.findall(r"\{([^}]*)\}", plain):
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)) <= allowed, expression
    for grouped in re.findall(r"\b(?:by|without)\s*\(([^)]*)\)", plain):
        assert {label.strip() for label in grouped.split(",")} <= allowed, expression
    words = set(re.findall(r"[a-z_]{2,}", re.sub(r"\{[^}]*\}|\[[^\]]*\]|\([a-z_, ]*\)|llmproxy_\w+", "", plain)))
    assert words <= WORDS | allowed, expression


def test_legends_and_summaries_fill_in_labels_that_are_there() -> None:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= _left(target["expr"]), target
    for rule in alerts():
        told = json.dumps(rule["annotations"])
        assert set(re.findall(r"\$labels\.(\w+)", told)) <= _left(rule["expr"]), rule


def _left(expression: str) -> set[str]:
    """The labels that its result has."""
    grouped = re.findall(r"\bby\s*\(([^)]*)\)", expression)
    if grouped:
        return {label.strip() for label in grouped[0].split(",")} - {"le"}
    found = metric_of(re.findall(r"\bllmproxy_\w+", expression)[0])
    assert found is not None
    return {*found.labels, "job", "instance"}


def test_the_dashboard_has_what_was_spent_and_saved_and_of_how_much_of_the_traffic() -> None:
    panels = dashboard()["panels"]
    asked = {metric.name for metric in METRICS if any(metric.name in each for each in expressions())}
    costs = {name for name in BY_NAME if "cost" in name or "priced" in name}
    places = [(panel["gridPos"]["y"], panel["gridPos"]["x"]) for panel in panels]

    assert costs <= asked
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert places == sorted(set(places))


def test_every_alert_that_was_promised_is_there() -> None:
    assert len(alerts()) == 7
    for rule in alerts():
        assert {"alert", "expr", "labels", "annotations"} <= rule.keys()
        assert {"summary", "description"} == rule["annotations"].keys()


def test_values_that_queries_ask_for_are_ones_that_are_counted() -> None:
    asked = set(re.findall(r'error_type="(\w+)"', " ".join(expressions())))
    kinds = set(re.findall(r'kind="(\w+)"', " ".join(expressions())))
    assert asked <= {*ERROR_TYPES.values(), OTHER}
    assert kinds <= {kind.value for kind in FailureKind}
