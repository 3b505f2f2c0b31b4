"""One log line when a token cannot be renewed, one when there is none left, one when there is one again."""

import logging


class TokenAlarmLines:
    """See `application.ports.TokenAlarm`."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def ready(self, scope: str, left_s: float) -> None:
        """Told once when the trouble is over."""
        self._write(logging.INFO, "token ready", scope=scope, seconds=round(left_s, 1))

    def failing(self, scope: str, reason: str, left_s: float) -> None:
        """A warning: the old one still serves."""
        self._write(logging.WARNING, "token not renewed", scope=scope, reason=reason, seconds=round(left_s, 1))

    def missing(self, scope: str, reason: str) -> None:
        """An error: its endpoints cannot be used."""
        self._write(logging.ERROR, "token missing", scope=scope, reason=reason)

    def _write(self, level: int, event: str, **fields: object) -> None:
        self._logger.log(level, event, extra={"fields": fields})
