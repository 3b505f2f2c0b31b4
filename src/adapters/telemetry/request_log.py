"""The `RequestLog` and `EndpointAlarm` ports, as log lines."""

import logging
import time
import traceback
from functools import lru_cache

from msgspec import Struct, structs

from adapters.telemetry.log_lines import EVERY_LINE, LOGGER, said
from application.messages import reasons
from application.ports import LONGEST_PATH, LONGEST_TEXT, RequestRecord
from domain.endpoint import Endpoint
from domain.failure import Failure


class RequestLine(logging.LogRecord):
    """A record that is no more than a reference: what its line says is worked out by the thread that writes it."""

    name = LOGGER
    msg = "request"
    args = None

    def __init__(self, level: int, request: RequestRecord) -> None:  # all that handlers here ask for
        self.levelno = level
        self.created = time.time()
        self.request = request

    @property
    def levelname(self) -> str:  # type: ignore[override]
        """As other records have it."""
        return logging.getLevelName(self.levelno)

    @property
    def fields(self) -> dict[str, object]:
        """What the line says, below what every line does."""
        said = structs.asdict(self.line(""))
        return {
            name: value
            for name, value in said.items()
            if name not in EVERY_LINE and (value != "" or name not in _SAID_IF_KNOWN)
        }

    def line(self, moment: str) -> Struct:
        """All that the line says, in its order; `moment` is the time as it is written."""
        request = self.request
        attempts = request.attempts
        group = said(request.group, LONGEST_TEXT)  # a name that a client chose, where passthrough_group takes any
        is_path_telling = request.api not in _SAYS_ITS_PATH
        # By position: of a Struct this wide the keywords take several times as long as the making.
        return _Line(
            moment,
            _LEVELS[self.levelno],
            "request",
            request.request_id,
            group,
            request.api,
            request.endpoint,
            len(attempts),
            reasons(attempts),
            request.status,
            request.outcome,
            request.stream,
            request.cache,
            round(request.total_ms, 2),
            round(request.first_byte_ms, 2),
            round(request.overhead_ms, 2),
            request.bytes_in,
            request.bytes_out,
            request.client,
            group if request.model == request.group else said(request.model, LONGEST_TEXT),
            _plain(request.client_request_id),
            _agent(request.user_agent),
            *((request.method, said(request.path.decode("latin-1"), LONGEST_PATH)) if is_path_telling else ("", "")),
            request.key_name,
        )


class _Line(Struct, frozen=True, gc=False, omit_defaults=True):
    time: str
    level: str
    event: str
    request_id: str
    group: str
    api: str
    endpoint: str
    attempts: int
    reasons: str
    status: int
    outcome: str
    stream: bool
    cache: str
    total_ms: float
    first_byte_ms: float
    overhead_ms: float
    bytes_in: int
    bytes_out: int
    client: str = ""
    model: str = ""
    client_request_id: str = ""
    user_agent: str = ""
    method: str = ""
    path: str = ""
    key_name: str = ""


_SAID_IF_KNOWN = frozenset(("client", "model", "client_request_id", "user_agent", "method", "path", "key_name"))
_SAYS_ITS_PATH = frozenset(("chat", "responses", "embeddings", "completions", "moderations"))
_LEVELS = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warning"}


@lru_cache(maxsize=256)
def _agent(value: bytes) -> str:
    """Few are different."""
    return said(value.decode("latin-1"), LONGEST_TEXT)


def _plain(value: bytes) -> str:
    """What is no printable ASCII is nobody's id."""
    text = value.decode("latin-1")
    return text if text.isascii() and text.isprintable() else ""


class RequestLogLines:
    """One line per finished request."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def record(self, record: RequestRecord) -> None:
        """At `info`, or `warning` when the client got a 5xx or half a stream, or `debug` what a watcher was told."""
        failed = record.status >= 500 or record.outcome == "stream_broken"
        level = logging.WARNING if failed else logging.DEBUG if record.is_probe else logging.INFO
        if not self._logger.isEnabledFor(level):
            return
        line = RequestLine(level, record)
        for handler in self._logger.handlers:  # it has no filters and passes nothing on
            handler.handle(line)

    def crashed(self, request_id: str, error: BaseException) -> None:
        """The kind of error and the lines of code it went through; its text might quote a body."""
        frames = traceback.extract_tb(error.__traceback__)[-6:]
        where = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
        fields = {"request_id": request_id, "error": type(error).__name__, "where": where}
        self._logger.error("internal error", extra={"fields": fields})


class EndpointAlarmLines:
    """One line per change of an endpoint."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def cooling(self, endpoint: Endpoint, failure: Failure, seconds: float) -> None:
        """A warning: it will come back by itself."""
        self._write(logging.WARNING, "endpoint cooling", endpoint, failure, seconds)

    def fault(self, endpoint: Endpoint, failure: Failure, seconds: float) -> None:
        """An error: somebody has to do something."""
        self._write(logging.ERROR, "endpoint fault", endpoint, failure, seconds)

    def limited(self, endpoint: Endpoint, failure: Failure, seconds: float) -> None:
        """Everyday business."""
        self._write(logging.INFO, "endpoint rate limited", endpoint, failure, seconds)

    def recovered(self, endpoint: Endpoint) -> None:
        """Good news."""
        self._logger.info("endpoint recovered", extra={"fields": {"endpoint": endpoint.id}})

    def _write(self, level: int, event: str, endpoint: Endpoint, failure: Failure, seconds: float) -> None:
        fields: dict[str, object] = {"endpoint": endpoint.id, "reason": str(failure), "seconds": round(seconds, 1)}
        if failure.hint is not None:
            fields["hint"] = failure.hint
        self._logger.log(level, event, extra={"fields": fields})
