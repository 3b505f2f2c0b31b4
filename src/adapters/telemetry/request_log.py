"""The `RequestLog` port, as log lines."""

import logging
import traceback

from adapters.telemetry.log_lines import RequestLine
from application.telemetry_ports import RequestRecord


class RequestLogLines:
    """One line per finished request."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def record(self, record: RequestRecord, is_probe: bool = False) -> None:
        """At `info`, or `warning` when the client got a 5xx or half a stream, or `debug` what a watcher was told."""
        level = logging.INFO
        if record.status >= 500 or record.outcome == "stream_broken":
            level = logging.WARNING
        elif is_probe:
            level = logging.DEBUG
        logger = self._logger
        if level >= logger.level:  # it has one, and no filters, passes nothing on, and is asked by one thread
            line = RequestLine(level, record)
            for handler in logger.handlers:
                handler.emit(line)

    def crashed(self, request_id: str, error: BaseException) -> None:
        """The kind of error and the lines of code it went through; its text might quote a body."""
        frames = traceback.extract_tb(error.__traceback__)[-6:]
        where = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
        fields = {"request_id": request_id, "error": type(error).__name__, "where": where}
        self._logger.error("internal error", extra={"fields": fields})
