"""One log line for each WebSocket, at its end; its turns have a line each, as all requests."""

import logging

from msgspec import structs

from application.telemetry_ports import SocketEnd


class SocketLines:
    """See `application.telemetry_ports.SocketLog`."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def closed(self, end: SocketEnd) -> None:
        """At `info`."""
        fields = {name: value for name, value in structs.asdict(end).items() if value != ""}
        self._logger.info("websocket closed", extra={"fields": fields})
