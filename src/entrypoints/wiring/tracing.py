"""From the environment to what records traces, where any are asked for."""

import logging

from application.ports import Clock
from application.telemetry_ports import Tracing
from entrypoints.config.settings import Settings
from entrypoints.version import version
from entrypoints.wiring.endpoints import address_of, endpoint_of


def tracing_of(settings: Settings, clock: Clock, logger: logging.Logger) -> Tracing | None:
    """None = nothing is sent, and OpenTelemetry is not even imported."""
    asked = settings.telemetry
    if not asked.traces and not asked.metrics:
        return None
    from adapters.telemetry.otel.export import start_export  # noqa: PLC0415 - only where it is used
    from adapters.telemetry.otel.instruments import Instruments  # noqa: PLC0415
    from adapters.telemetry.otel.names import PROVIDERS  # noqa: PLC0415
    from adapters.telemetry.otel.spans import OtelTracing, Place, Recorder  # noqa: PLC0415

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
