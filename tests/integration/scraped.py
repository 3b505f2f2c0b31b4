"""What `GET /metrics` of a proxy says, read as Prometheus reads it."""

from collections.abc import Mapping
from typing import Any

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.integration.composed import Composed

Values = Mapping[tuple[str, ...], float]


async def scrape(proxy: Composed, *headers: bytes) -> list[Sample]:
    told = await proxy.ask("GET", "/metrics", *headers)
    assert told.status == 200
    text = told.body.decode()
    assert "canary" not in text
    families: Any
    if "openmetrics" in (told.one("content-type") or ""):
        families = openmetrics.text_string_to_metric_families(text)
    else:
        families = text_string_to_metric_families(text)
    return [sample for family in families for sample in family.samples]


def values(samples: list[Sample], name: str, *labels: str) -> Values:
    """By those labels, added up."""
    found: dict[tuple[str, ...], float] = {}
    for sample in samples:
        if sample.name == name:
            key = tuple(sample.labels.get(label, "") for label in labels)
            found[key] = found.get(key, 0.0) + sample.value
    return found
