"""Sends spans and metrics where the standard variables (`OTEL_*`) say, by the SDK, which reads them itself.

To be started in the process that serves, after any fork: it has threads of its own.
"""

import asyncio
import logging
import threading
import uuid
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from functools import partial

from msgspec import Struct
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import NoOpTracerProvider, Tracer

from adapters.telemetry.otel.export_troubles import ExportTroubles
from adapters.telemetry.otel.instruments import Instruments

FLUSH_S = 3.0
"""How long a worker that stops waits for what was not sent yet: less than its parent waits until it is killed."""

_NAME = "llmproxy"
_UNNAMED = "unknown_service"
_SPANS: dict[str, Callable[[], SpanExporter]] = {"otlp": OTLPSpanExporter, "console": ConsoleSpanExporter}
_METRICS: dict[str, Callable[[], MetricExporter]] = {"otlp": OTLPMetricExporter, "console": ConsoleMetricExporter}


class Export(Struct, frozen=True):
    """What spans and metrics are made with."""

    tracer: Tracer
    instruments: Instruments
    close: Callable[[], Awaitable[None]]
    """Sends what waits, for at most `FLUSH_S`."""


def start_export(
    traces: Collection[str], metrics: Collection[str], version: str, logger: logging.Logger, has_old_names: bool
) -> Export:
    """`traces` and `metrics` name exporters, `otlp` or `console`; empty = none. Of their trouble `logger` is told.
    `has_old_names`: are older names of the conventions sent as well?"""
    ExportTroubles(logger).take_over()
    own = {"service.version": version, "service.instance.id": uuid.uuid4().hex}
    resource = Resource.create(own)
    if str(resource.attributes[SERVICE_NAME]).startswith(_UNNAMED):
        resource = resource.merge(Resource({SERVICE_NAME: _NAME}))
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    for name in traces:
        tracers.add_span_processor(BatchSpanProcessor(_SPANS[name]()))
    tracer = (tracers if traces else NoOpTracerProvider()).get_tracer(_NAME, version)
    readers = [PeriodicExportingMetricReader(_METRICS[name]()) for name in metrics]
    meters = MeterProvider(readers, resource, shutdown_on_exit=False)
    meter = (meters if metrics else NoOpMeterProvider()).get_meter(_NAME, version)
    return Export(
        tracer, Instruments(meter, has_old_names=has_old_names), partial(_end_all, tracers.shutdown, meters.shutdown)
    )


async def _end_all(*ends: Callable[[], object]) -> None:
    """Each beside the others, in threads that the end of the process does not wait for."""
    loop, ended = asyncio.get_running_loop(), asyncio.Semaphore(0)

    def run(end: Callable[[], object]) -> None:
        with suppress(Exception):  # as it tells itself, or the loop is gone
            try:
                end()
            finally:
                loop.call_soon_threadsafe(ended.release)

    for end in ends:
        threading.Thread(target=run, args=(end,), name="otel-end", daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(FLUSH_S):
            for _ in ends:
                await ended.acquire()
