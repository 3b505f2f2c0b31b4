"""What the SDK of OpenTelemetry complains of, as lines of the proxy's log."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from adapters.telemetry.otel import export_troubles
from adapters.telemetry.otel.export_troubles import REPEAT_S, ExportTroubles


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.fields: list[dict[str, Any]] = []
        self.events: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.fields.append(record.__dict__["fields"])
        self.events.append(record.getMessage())


@pytest.fixture
def kept() -> Iterator[Kept]:
    kept, logger, source = Kept(), logging.Logger("ours"), logging.getLogger("opentelemetry")
    logger.addHandler(kept)
    before = source.handlers, source.propagate
    ExportTroubles(logger).take_over()
    yield kept
    source.handlers, source.propagate = before


def complain(words: str, *given: object) -> None:
    logging.getLogger("opentelemetry.exporter.somewhere").error(words, *given)


def test_each_kind_is_told_once_in_a_while(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(export_troubles.time, "monotonic", lambda: now)
    for _ in range(3):
        complain("Failed to export %s batch code: %s", "spans", 503)
        complain("Queue full, dropping %s.", "Span")

    assert [fields["says"] for fields in kept.fields] == [
        "Failed to export %s batch code: %s",
        "Queue full, dropping %s.",
    ]
    now += REPEAT_S
    complain("Queue full, dropping %s.", "Span")
    assert len(kept.fields) == 3


def test_what_is_filled_in_is_not_shown_but_for_codes_and_kinds_of_errors(kept: Kept) -> None:
    complain("Transient error %s, code %s, in %.2fs.", ConnectionError("http://user:canary@collector"), 503, 1.5)

    (fields,) = kept.fields
    assert fields == {"says": "Transient error %s, code %s, in %.2fs.", "error": "ConnectionError", "code": 503}


def test_a_variable_that_the_sdk_does_not_take_is_no_export_that_failed(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "canary")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "canary")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "canary")
    TracerProvider(shutdown_on_exit=False)
    BatchSpanProcessor(InMemorySpanExporter()).shutdown()

    assert set(kept.events) == {"telemetry variable not taken"}
    assert "canary" not in str(kept.fields) and "sampler" in kept.fields[0]["says"]
    assert {fields.get("variable") for fields in kept.fields} == {
        None, "OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_MAX_QUEUE_SIZE",
    }  # fmt: skip


def test_what_is_no_warning_is_not_told(kept: Kept) -> None:
    logging.getLogger("opentelemetry.sdk").info("all is well")

    assert kept.fields == []
