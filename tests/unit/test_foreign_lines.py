"""What others warn about is a log line like any other, without what might be a secret."""

import asyncio
import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest

from adapters.telemetry.foreign_lines import ForeignLines, take_in_others
from adapters.telemetry.log_lines import JsonLines


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What our logger writes, while it takes in the others."""
    root, shown = logging.getLogger(), warnings.showwarning
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(JsonLines())
    ours = logging.Logger("ours")
    ours.addHandler(handler)
    take_in_others(ours)
    yield text
    root.handlers = [each for each in root.handlers if not isinstance(each, ForeignLines)]
    warnings.showwarning = shown


def lines(text: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in text.getvalue().splitlines()]


def test_a_librarys_warning_is_a_line_without_what_was_filled_in(written: io.StringIO) -> None:
    logging.getLogger("some.library").warning("connection to %s failed\nwith %s", "sk-secret", "sk-secret")

    (line,) = lines(written)
    assert (line["level"], line["event"], line["source"]) == ("warning", "warning", "some.library")
    assert line["says"] == "connection to %s failed"
    assert line["where"].startswith("test_foreign_lines.py:")
    assert "sk-secret" not in written.getvalue()


def test_what_is_no_warning_is_none(written: io.StringIO) -> None:
    logging.getLogger("some.library").info("hello")

    assert written.getvalue() == ""


def test_python_s_own_warnings_are_lines(written: io.StringIO) -> None:
    warnings.showwarning(DeprecationWarning("old\nand more"), DeprecationWarning, "/a/b/library.py", 7)

    (line,) = lines(written)
    assert (line["level"], line["error"], line["where"]) == ("warning", "DeprecationWarning", "library.py:7")
    assert line["says"] == "old"


async def test_an_error_in_a_task_that_nobody_waits_for_is_a_line_without_its_text(written: io.StringIO) -> None:
    async def breaks() -> None:
        raise ValueError("the prompt")

    task = asyncio.create_task(breaks())
    await asyncio.wait([task])
    del task
    asyncio.get_running_loop().call_exception_handler({"message": "something broke", "exception": ValueError("prompt")})

    told = lines(written)
    assert {line["source"] for line in told} == {"asyncio"}
    assert {line["error"] for line in told} == {"ValueError"}
    assert {line["level"] for line in told} == {"error"}
    assert "prompt" not in written.getvalue()


def test_the_last_logger_gets_them_and_once(written: io.StringIO) -> None:
    before = len(logging.getLogger().handlers)
    take_in_others(logging.Logger("another"))

    assert len(logging.getLogger().handlers) == before
    logging.getLogger("some.library").warning("lost")
    assert written.getvalue() == ""
