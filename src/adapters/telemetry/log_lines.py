"""What log lines look like: text for people at a terminal, one JSON object per line for collectors.

A line holds the fields it was given and nothing else: there is no place where a body or a key could slip in.
"""

import logging
import sys
import time
from datetime import UTC, datetime
from functools import lru_cache
from math import floor

import msgspec

from adapters.telemetry.background import BackgroundHandler
from adapters.telemetry.foreign_lines import take_in_others
from application.telemetry_ports import RequestRecord

LOGGER = "llmproxy"

_encode = msgspec.json.Encoder().encode
_OPENINGS = {
    level: f'","level":"{logging.getLevelName(level).lower()}","event":"request",'
    for level in (logging.DEBUG, logging.INFO, logging.WARNING)
}


class RequestLine(logging.LogRecord):
    """A finished request, to be told at a level: no more than a reference, and worked out by the thread that writes."""

    __slots__ = ("created", "levelno", "request")
    name = LOGGER
    msg = "request"
    args = None

    def __init__(self, level: int, request: RequestRecord) -> None:  # all that handlers here ask for
        self.levelno = level
        self.created = time.time()
        self.request = request

    @property
    def levelname(self) -> str:  # type: ignore[override]
        return logging.getLevelName(self.levelno)

    @property
    def fields(self) -> object:
        return msgspec.to_builtins(self.request)


class TextLines(logging.Formatter):
    """`2026-11-23 10:00:00.000 INFO request group=gpt status=200`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{key}={_shown(value)}" for key, value in _fields(record).items())
        return (
            f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
            + f" {record.levelname} {record.getMessage()} {fields}".rstrip()
        )


class JsonLines(logging.Formatter):
    """`{"time":"2026-11-23T10:00:00.000+00:00","level":"info","event":"request","group":"gpt",...}`."""

    def format(self, record: logging.LogRecord) -> str:
        moment = _moment(record.created)
        if isinstance(record, RequestLine):
            said = _encode(record.request).decode()
            return f'{{"time":"{moment}{_OPENINGS[record.levelno]}{said[1:]}'
        told = {"time": moment, "level": record.levelname.lower(), "event": record.getMessage(), **_fields(record)}
        return _encode(told).decode()


def as_json_line(event: str, **fields: object) -> str:
    """A line of the log, for what is not written through a logger."""
    return _encode({"time": _moment(time.time()), "level": "info", "event": event, **fields}).decode()


def is_text(log_format: str | None) -> bool:
    """Are lines text, rather than JSON? None = text on a terminal, JSON elsewhere."""
    return sys.stderr.isatty() if log_format is None else log_format == "text"


def line_format(log_format: str | None) -> logging.Formatter:
    return TextLines() if is_text(log_format) else JsonLines()


def start_logging(level: str, log_format: str | None) -> logging.Logger:
    """The proxy's logger, writing to standard error. `log_format` None = text on a terminal, JSON elsewhere."""
    handler = BackgroundHandler(sys.stderr)
    handler.setFormatter(line_format(log_format))
    logger = logging.getLogger(LOGGER)
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
    take_in_others(logger)
    return logger


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, dict) else {}


def _moment(unix: float) -> str:
    second = floor(unix)
    return _second(second) + _FRACTIONS[floor((unix - second) * 1000)]


@lru_cache(maxsize=4)
def _second(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S")


_FRACTIONS = tuple(f".{milliseconds:03d}+00:00" for milliseconds in range(1000))


def _shown(value: object) -> str:
    """A text is quoted where spaces, quotes or control characters would blur where it ends; all else is JSON."""
    if not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    plain = value.isprintable() and not any(letter in value for letter in ' "=')
    return value if plain and value else msgspec.json.encode(value).decode()
