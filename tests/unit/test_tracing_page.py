"""docs/tracing.md names what is sent: its tables are those of adapters/telemetry/otel/names.py."""

from pathlib import Path

import pytest

from adapters.telemetry.otel import names
from adapters.telemetry.otel.names import ATTRIBUTES, METRICS
from application.telemetry_ports import CANCELLED, PROXY_FAILED
from domain.failure import FailureKind

PAGE = Path(__file__).parents[2] / "docs/tracing.md"
KINDS = [*(kind.value for kind in FailureKind), CANCELLED, PROXY_FAILED]


def rows() -> dict[str, str]:
    """What has to stand there."""
    attributes = "\n".join(f"| `{it.name}` | {it.spans} | {it.meaning} |" for it in ATTRIBUTES)
    metrics = "\n".join(
        f"| `{it.name}` | {'histogram' if it.buckets else 'counter'} | `{it.unit}` "
        f"| {it.meaning}{'; an older name' if it.is_old else ''} |"
        for it in METRICS
    )
    return {
        "attributes": attributes,
        "attempt errors": ", ".join(f"`{kind}`" for kind in KINDS) + ".",
        "metrics": metrics,
    }


@pytest.mark.parametrize("part", rows())
def test_the_tables_of_the_page_are_what_is_sent(part: str) -> None:
    assert rows()[part] in PAGE.read_text(encoding="utf-8"), f"should stand there:\n{rows()[part]}"


def test_every_name_stands_in_a_table_once() -> None:
    constants = {value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}
    labels_alone = {names.MODALITY, names.OLD_USAGE_KIND}
    listed = [it.name for it in ATTRIBUTES]

    assert len(listed) == len(set(listed))
    assert {*listed} == constants - labels_alone - {names.FETCH_RESPONSE}
    assert len({it.name for it in METRICS}) == len(METRICS)
    assert {it for it in vars(names).values() if isinstance(it, names.Metric)} == {*METRICS}


def test_buckets_are_those_of_the_conventions() -> None:
    duration, tokens = names.INFERENCE_DURATION.buckets, names.OPERATION_INPUT.buckets

    assert (duration[0], duration[-1], len(duration)) == (0.01, 81.92, 14)
    assert (tokens[0], tokens[-1], len(tokens)) == (1, 67108864, 14)
    assert all(list(it.buckets) == sorted(set(it.buckets)) for it in METRICS)
