"""From the environment to what records traces, where any are asked for."""

import logging
from typing import NamedTuple

from application.ports import Clock
from application.telemetry_ports import Tracing
from entrypoints.config.settings import Settings
from entrypoints.version import version
from entrypoints.wiring.endpoints import address_of, endpoint_of


class Recording(NamedTuple):
    """What the container asks for once: a singleton of it that is None would be made again each time."""

    tracing: Tracing | None


def recording_of(settings: Settings, clock: Clock, logger: logging.Logger) -> Recording:
    """What the environment asks for. None = nothing is sent, and OpenTelemetry is not even imported."""
    asked = settings.telemetry
    if not asked.traces and not asked.metrics:
        return Recording(None)
    try:
        return Recording(_tracing(settings, clock, logger))
    except Exception as error:  # whatever the SDK does not like, requests are answered
        remedy = "check the OTEL_* variables; no traces or metrics are sent"
        fields = {"error": type(error).__name__, "remedy": remedy}
        logger.log(logging.ERROR, "telemetry not started", extra={"fields": fields})
        return Recording(None)


def _tracing(settings: Settings, clock: Clock, logger: logging.Logger) -> Tracing:
    from adapters.telemetry.otel.export import start_export  # noqa: PLC0415 - only where it is used
    from adapters.telemetry.otel.instruments import Instruments  # noqa: PLC0415
    from adapters.telemetry.otel.names import PROVIDERS  # noqa: PLC0415
    from adapters.telemetry.otel.spans import OtelTracing, Place, Recorder  # noqa: PLC0415

    asked = settings.telemetry
    exported = start_export(asked.traces, asked.metrics, version().partition(" ")[0], logger)
    models = [model for group in settings.groups for model in group.models]
    recorder = Recorder(
        exported.tracer,
        Instruments(exported.meter, has_old_names=asked.has_old_names),
        {model.id: Place(PROVIDERS[endpoint_of(model).provider], *address_of(model)) for model in models},
        frozenset(group.model_group for group in settings.groups),
        clock.now,
        asked.has_old_names,
    )
    return OtelTracing(recorder, exported.close)
