"""Why an endpoint is left alone: what was last told of it, for people who look."""

from application.telemetry_ports import EndpointAlarm
from domain.endpoint import Endpoint
from domain.failure import Failure


class EndpointTroubles:
    """Listens where trouble is told, and passes it on. Of what another replica found out it knows nothing."""

    def __init__(self, alarm: EndpointAlarm) -> None:
        self._alarm = alarm
        self._cooling: dict[str, str] = {}
        """By the identity of the endpoint, which it keeps when its id changes."""
        self._limited: dict[str, str] = {}
        """By bucket, which endpoints may share."""

    def cooling(self, endpoint: Endpoint, failure: Failure, seconds: float) -> None:
        self._cooling[endpoint.identity or endpoint.id] = str(failure)
        self._alarm.cooling(endpoint, failure, seconds)

    def fault(self, endpoint: Endpoint, failure: Failure, seconds: float) -> None:
        self._cooling[endpoint.identity or endpoint.id] = str(failure)
        self._alarm.fault(endpoint, failure, seconds)

    def limited(self, endpoint: Endpoint, failure: Failure, seconds: float) -> None:
        self._limited[endpoint.bucket or endpoint.id] = str(failure)
        self._alarm.limited(endpoint, failure, seconds)

    def recovered(self, endpoint: Endpoint) -> None:
        self._cooling.pop(endpoint.identity or endpoint.id, None)
        self._alarm.recovered(endpoint)

    def why_cooling(self, endpoint: Endpoint) -> str:
        """Empty = nothing was told here."""
        return self._cooling.get(endpoint.identity or endpoint.id, "")

    def why_limited(self, endpoint: Endpoint) -> str:
        """Empty = nothing was told here."""
        return self._limited.get(endpoint.bucket or endpoint.id, "")
