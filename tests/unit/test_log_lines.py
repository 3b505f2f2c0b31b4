"""What is written, by whom, and what happens when nobody reads it."""

import io
import json
import logging
import threading

import pytest

from adapters.telemetry import background
from adapters.telemetry.alarm_lines import EndpointAlarmLines
from adapters.telemetry.background import BackgroundHandler
from adapters.telemetry.log_lines import JsonLines, TextLines
from adapters.telemetry.request_log import RequestLogLines
from application.telemetry_ports import RequestRecord
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind

RECORD = RequestRecord(
    request_id="req_1",
    api="chat",
    group="gpt",
    endpoint="gpt/2",
    attempts=2,
    reasons="gpt/1: connection_reset (x); gpt/2: ok",
    status=200,
    outcome="ok",
    stream=False,
    cache="miss",
    total_ms=12.35,
    first_byte_ms=12.0,
    overhead_ms=0.5,
    bytes_in=10,
    bytes_out=20,
)


def logger_to(formatter: logging.Formatter) -> tuple[logging.Logger, io.StringIO]:
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(formatter)
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger, text


def test_a_json_line_holds_the_request_and_nothing_else() -> None:
    logger, text = logger_to(JsonLines())
    RequestLogLines(logger).record(RECORD)

    line = json.loads(text.getvalue())
    assert (line["level"], line["event"], line["endpoint"], line["attempts"]) == ("info", "request", "gpt/2", 2)
    assert line["reasons"] == "gpt/1: connection_reset (x); gpt/2: ok"
    assert line["total_ms"] == 12.35


def test_a_text_line_quotes_what_would_blur_its_fields() -> None:
    logger, text = logger_to(TextLines())
    alarm = EndpointAlarmLines(logger)
    alarm.cooling(Endpoint(id="a b\nc", model="m", provider="openai"), Failure(FailureKind.RESET), 60.0)

    assert text.getvalue().count("\n") == 1
    assert 'WARNING endpoint cooling endpoint="a b\\nc" reason=connection_reset seconds=60.0' in text.getvalue()


def test_a_list_in_a_text_line_is_quoted_once() -> None:
    logger, text = logger_to(TextLines())
    logger.error("reload refused", extra={"fields": {"reasons": ['a: got "60s"', "b"], "seconds": 1.5}})

    assert text.getvalue().endswith('ERROR reload refused reasons=["a: got \\"60s\\"","b"] seconds=1.5\n')


def test_a_crash_tells_the_kind_and_the_place_and_not_the_text() -> None:
    logger, text = logger_to(JsonLines())
    try:
        int("the prompt")
    except ValueError as error:
        RequestLogLines(logger).crashed("req_1", error)

    assert "the prompt" not in text.getvalue()
    assert json.loads(text.getvalue())["error"] == "ValueError"
    assert "test_log_lines.py" in text.getvalue()


class Stuck(io.StringIO):
    """A stream that blocks until it is let go, as a pipe that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def write(self, text: str) -> int:
        self.go.wait(10)
        return super().write(text)


def test_a_log_that_nobody_reads_blocks_nobody_and_says_what_it_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "MAX_WAITING", 5)
    stream = Stuck()
    logger = logging.Logger("test")
    handler = BackgroundHandler(stream)
    logger.addHandler(handler)
    for number in range(100):
        logger.info("line %d", number)
    stream.go.set()
    handler.close()
    logger.info("after")
    handler.close()

    lines = stream.getvalue().splitlines()
    assert len(lines) < 20
    assert lines[-2:] == ["log lines dropped", "after"]


def test_a_log_whose_stream_is_closed_costs_nothing_but_its_lines() -> None:
    stream = io.StringIO()
    logger = logging.Logger("test")
    handler = BackgroundHandler(stream)
    logger.addHandler(handler)
    stream.close()
    logger.info("lost")
    handler.close()

    assert stream.closed


class Unwritable(logging.Formatter):
    """As JSON, but that one line cannot be made, and another not be written."""

    def format(self, record: logging.LogRecord) -> str:
        if record.msg == "raises":
            raise ZeroDivisionError
        return "\ud800" if record.msg == "half a letter" else JsonLines().format(record)


@pytest.mark.parametrize("bad", ["raises", "half a letter"])
def test_a_line_that_cannot_be_written_takes_no_other_along(bad: str) -> None:
    written = io.BytesIO()
    handler = BackgroundHandler(io.TextIOWrapper(written, "utf-8", write_through=True))
    handler.setFormatter(Unwritable())
    logger = logging.Logger("test")
    logger.addHandler(handler)
    for event in ("before", bad, "after"):
        logger.info(event)
    handler.close()

    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["before", "log line lost", "after"]
