"""The alarms as log lines: one when trouble begins and one when it is over, however many requests meet it."""

import logging

from domain.endpoint import Endpoint
from domain.failure import Failure


class _AlarmLines:
    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def _write(self, level: int, event: str, **fields: object) -> None:
        self._logger.log(level, event, extra={"fields": fields})


class EndpointAlarmLines(_AlarmLines):
    """The port `EndpointAlarm`."""

    def cooling(self, endpoint: Endpoint, failure: Failure, seconds: float) -> None:
        """A warning: it will come back by itself."""
        self._tell(logging.WARNING, "endpoint cooling", endpoint, failure, seconds)

    def fault(self, endpoint: Endpoint, failure: Failure, seconds: float) -> None:
        """An error: somebody has to do something."""
        self._tell(logging.ERROR, "endpoint fault", endpoint, failure, seconds)

    def limited(self, endpoint: Endpoint, failure: Failure, seconds: float) -> None:
        self._tell(logging.INFO, "endpoint rate limited", endpoint, failure, seconds)

    def recovered(self, endpoint: Endpoint) -> None:
        self._write(logging.INFO, "endpoint recovered", endpoint=endpoint.id)

    def _tell(self, level: int, event: str, endpoint: Endpoint, failure: Failure, seconds: float) -> None:
        hint = {} if failure.hint is None else {"hint": failure.hint}
        self._write(level, event, endpoint=endpoint.id, reason=str(failure), seconds=round(seconds, 1), **hint)


class StoreAlarmLines(_AlarmLines):
    """The port `StoreAlarm`."""

    def lost(self, store: str, reason: str) -> None:
        """An error, though requests go on."""
        self._write(logging.ERROR, "store unavailable", store=store, reason=reason)

    def read_only(self, store: str, reason: str) -> None:
        """An error: nothing new is kept."""
        self._write(logging.ERROR, "store takes no writes", store=store, reason=reason)

    def recovered(self, store: str, outage_s: float) -> None:
        self._write(logging.INFO, "store recovered", store=store, outage_s=round(outage_s, 1))


class TokenAlarmLines(_AlarmLines):
    """The port `TokenAlarm`."""

    def ready(self, scope: str, left_s: float) -> None:
        self._write(logging.INFO, "token ready", scope=scope, seconds=round(left_s, 1))

    def failing(self, scope: str, reason: str, left_s: float) -> None:
        """A warning: the old one still serves."""
        self._write(logging.WARNING, "token not renewed", scope=scope, reason=reason, seconds=round(left_s, 1))

    def missing(self, scope: str, reason: str) -> None:
        """An error: its endpoints cannot be used."""
        self._write(logging.ERROR, "token missing", scope=scope, reason=reason)
