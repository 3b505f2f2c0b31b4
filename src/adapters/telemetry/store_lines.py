"""One log line when a store goes away and one when it is back, however many requests meet it."""

import logging


class StoreAlarmLines:
    """See `application.store_ports.StoreAlarm`."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def lost(self, store: str, reason: str) -> None:
        """An error, though requests go on."""
        self._write(logging.ERROR, "store unavailable", store=store, reason=reason)

    def read_only(self, store: str, reason: str) -> None:
        """An error: nothing new is kept."""
        self._write(logging.ERROR, "store takes no writes", store=store, reason=reason)

    def recovered(self, store: str, outage_s: float) -> None:
        """Told once when the trouble is over."""
        self._write(logging.INFO, "store recovered", store=store, outage_s=round(outage_s, 1))

    def _write(self, level: int, event: str, **fields: object) -> None:
        self._logger.log(level, event, extra={"fields": fields})
