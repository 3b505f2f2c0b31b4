"""docs/tracing.md names what is sent: no more and no less than adapters/telemetry/otel/names.py."""

import re
from pathlib import Path

from adapters.telemetry.otel import names
from application.telemetry_ports import CANCELLED, PROXY_FAILED
from domain.failure import FailureKind

PAGE = (Path(__file__).parents[2] / "docs/tracing.md").read_text(encoding="utf-8")
KINDS = [*(kind.value for kind in FailureKind), CANCELLED, PROXY_FAILED]
METRICS = {name: it for name, it in vars(names).items() if isinstance(it, names.Metric)}
LABELS_ALONE = {names.MODALITY, names.OLD_USAGE_KIND}


def test_every_attribute_stands_in_the_table_once() -> None:
    constants = {value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}
    listed = re.findall(r"^\| `([a-z_.]+)` \| (?:request|attempt|both) \| \S", PAGE, re.MULTILINE)

    assert len(listed) == len(set(listed))
    assert {*listed} == constants - LABELS_ALONE - {names.FETCH_RESPONSE}


def test_every_metric_stands_in_the_table_as_it_is_sent() -> None:
    rows = [
        f"| `{it.name}` | {'histogram' if it.buckets else 'counter'} | `{it.unit}` "
        f"| {it.meaning}{'; an older name' if name.startswith('OLD_') else ''} |"
        for name, it in METRICS.items()
    ]

    assert "\n".join(rows) in PAGE
    assert len({it.name for it in METRICS.values()}) == len(METRICS)


def test_every_kind_of_failure_of_an_attempt_is_named() -> None:
    assert ", ".join(f"`{kind}`" for kind in KINDS) + "." in PAGE


def test_buckets_are_those_of_the_conventions() -> None:
    duration, tokens = names.INFERENCE_DURATION.buckets, names.OPERATION_INPUT.buckets

    assert (duration[0], duration[-1], len(duration)) == (0.01, 81.92, 14)
    assert (tokens[0], tokens[-1], len(tokens)) == (1, 67108864, 14)
    assert all(list(it.buckets) == sorted(set(it.buckets)) for it in METRICS.values())
