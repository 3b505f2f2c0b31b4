"""From the environment to what records traces, where any are asked for."""

import logging
from typing import TYPE_CHECKING, NamedTuple

from application.ports import Clock
from application.telemetry_ports import Tracing
from entrypoints.config.settings import Settings
from entrypoints.config.telemetry import Telemetry
from entrypoints.version import version
from entrypoints.wiring.endpoints import address_of, endpoint_of

if TYPE_CHECKING:
    from adapters.telemetry.otel.export import Export


class Recording(NamedTuple):
    """What a worker records with, as long as it lives."""

    export: "Export | None"
    """None = nothing is sent, and OpenTelemetry is not even imported."""

    async def close(self) -> None:
        """Send what waits, for a bounded time."""
        if self.export is not None:
            await self.export.close()


def recording_of(telemetry: Telemetry, logger: logging.Logger) -> Recording:
    """To be called in the process that serves, as the SDK has threads."""
    if telemetry.traces or telemetry.metrics:
        from adapters.telemetry.otel.export import start_export  # noqa: PLC0415 - only where it is used

        number = version().partition(" ")[0]
        try:
            return Recording(start_export(telemetry.traces, telemetry.metrics, number, logger, telemetry.has_old_names))
        except Exception as error:  # whatever the SDK does not like, requests are answered
            remedy = "check the OTEL_* variables; no traces or metrics are sent"
            fields = {"error": type(error).__name__, "remedy": remedy}
            logger.log(logging.ERROR, "telemetry not started", extra={"fields": fields})
    return Recording(None)


def tracing_of(recording: Recording, settings: Settings, clock: Clock) -> Tracing | None:
    """What makes the spans for this configuration; None = nothing is sent."""
    if recording.export is None:
        return None
    from adapters.telemetry.otel.names import PROVIDERS  # noqa: PLC0415
    from adapters.telemetry.otel.spans import OtelTracing, Place, Recorder  # noqa: PLC0415

    models = [model for group in settings.groups for model in group.models]
    places = {model.id: Place(PROVIDERS[endpoint_of(model).provider], *address_of(model)) for model in models}
    groups = frozenset(group.model_group for group in settings.groups)
    return OtelTracing(Recorder(recording.export.tracer, recording.export.instruments, places, groups, clock.now))
