"""The `RequestLog` and `EndpointAlarm` ports, as log lines."""

import logging
import time
import traceback

from application.messages import reasons
from application.ports import RequestRecord
from domain.endpoint import Endpoint
from domain.failure import Failure


class RequestLine(logging.LogRecord):
    """A record that is no more than a reference: what its line says is worked out by the thread that writes it."""

    def __init__(self, name: str, level: int, request: RequestRecord) -> None:  # all that handlers here ask for
        self.name = name
        self.levelno = level
        self.levelname = logging.getLevelName(level)
        self.created = time.time()
        self.msg = "request"
        self.args = None
        self.request = request

    @property
    def fields(self) -> dict[str, object]:
        """What the line says."""
        request = self.request
        return {
            "request_id": request.request_id,
            "group": request.group,
            "api": request.api,
            "endpoint": request.endpoint,
            "attempts": len(request.attempts),
            "reasons": reasons(request.attempts),
            "status": request.status,
            "outcome": request.outcome,
            "stream": request.stream,
            "cache": request.cache,
            "total_ms": round(request.total_ms, 2),
            "first_byte_ms": round(request.first_byte_ms, 2),
            "overhead_ms": round(request.overhead_ms, 2),
            "bytes_in": request.bytes_in,
            "bytes_out": request.bytes_out,
        }


class RequestLogLines:
    """One line per finished request."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def record(self, record: RequestRecord) -> None:
        """At `info`, or `warning` when the client got a 5xx or half a stream."""
        failed = record.status >= 500 or record.outcome == "stream_broken"
        level = logging.WARNING if failed else logging.INFO
        if not self._logger.isEnabledFor(level):
            return
        self._logger.handle(RequestLine(self._logger.name, level, record))

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
