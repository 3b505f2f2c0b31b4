"""The `Tracing` port, by the API of OpenTelemetry: a span for each request, one below it for each attempt.

Spans are passed by hand: the API's context variables cost more than all the rest.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from adapters.telemetry.otel import names
from adapters.telemetry.otel.instruments import Instruments, Labels
from adapters.telemetry.otel.reply_facts import ReplyFacts
from application.observing.error_types import NO_ERROR, error_type
from application.shown_text import LONGEST_TEXT, shown
from application.telemetry_ports import CANCELLED, RequestRecord
from domain.endpoint import Endpoint
from domain.rate_limit.token_estimate import Usage

_context_headers = TraceContextTextMapPropagator()
_CARRIED = ("traceparent", "tracestate")
_CLIENTS_OWN = ("client_", "policy_")
"""How error types begin that are no fault of the proxy or of an endpoint: such a span is no error."""


class Place(Struct, frozen=True):
    """Where an endpoint is, as spans say it: no URL, no key."""

    provider: str
    """As the conventions call it."""
    host: str
    port: int


_UNKNOWN = Place("", "", 0)


class Recorder(Struct, frozen=True):
    """What all spans of a worker have in common."""

    tracer: Tracer
    instruments: Instruments
    places: Mapping[str, Place]
    """By endpoint id."""
    groups: frozenset[str]
    """Names of the model groups: other models that clients ask for are no label."""
    now: Callable[[], float]
    """Seconds of a clock that never jumps."""


class OtelTracing:
    """See `Tracing`."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def request(self, headers: Mapping[bytes, bytes]) -> "OtelRequestSpan":
        """A request begins; in the client's trace, if it says so."""
        parent = Context()
        if b"traceparent" in headers:
            carrier = {name: headers.get(name.encode(), b"").decode("latin-1") for name in _CARRIED}
            parent = _context_headers.extract(carrier, parent)
        return OtelRequestSpan(self._recorder, parent)


class OtelRequestSpan:
    """See `RequestSpan`. What is never ended is never sent: pages and probes."""

    __slots__ = ("_context", "_recorder", "_span")

    def __init__(self, recorder: Recorder, parent: Context) -> None:
        self._recorder = recorder
        self._span = recorder.tracer.start_span("request", parent, SpanKind.SERVER)
        self._context = set_span_in_context(self._span, Context())

    def attempt(self, endpoint: Endpoint, api: str, method: str, path: str, *, stream: bool) -> "OtelAttemptSpan":
        operation = names.operation_of(api, method, path)
        model = shown(endpoint.model[:LONGEST_TEXT])
        name = names.span_name(operation, model, api, method)
        span = self._recorder.tracer.start_span(name, self._context, SpanKind.CLIENT)
        if api in names.API_TYPES:
            span.set_attribute(names.API_TYPE, names.API_TYPES[api])
        return OtelAttemptSpan(self._recorder, span, endpoint, model, operation, is_stream=stream)

    def end(self, record: RequestRecord) -> None:
        error = error_type(record.outcome)
        if not record.api and error is NO_ERROR:
            return
        span, operation = self._span, names.operation_of(record.api, record.method, record.path)
        said = {
            names.OPERATION: operation,
            names.API_TYPE: names.API_TYPES.get(record.api),
            names.REQUEST_MODEL: record.model,
            names.REQUEST_STREAM: record.stream or None,
            names.STATUS: record.status,
            names.ERROR_TYPE: error,
            names.REQUEST_ID: record.request_id,
            names.GROUP: record.group,
            names.ENDPOINT: record.endpoint,
            names.CACHE: str(record.cache) if record.api else None,
            names.ATTEMPTS: record.attempts,
            names.OVERHEAD: record.overhead_ms,
        }
        span.set_attributes(_without_empty(said))
        span.update_name(names.span_name(operation, record.group, record.api, record.method))
        if error and not error.startswith(_CLIENTS_OWN):
            span.set_status(StatusCode.ERROR)
        span.end()
        if operation:
            self._count(record, operation, error)

    def _count(self, record: RequestRecord, operation: str, error: str) -> None:
        place = self._recorder.places.get(record.endpoint, _UNKNOWN)
        labels = {
            names.OPERATION: operation,
            names.PROVIDER: place.provider,
            names.REQUEST_MODEL: record.group if record.group in self._recorder.groups else "",
            names.ERROR_TYPE: error,
        }
        first_s = record.first_byte_ms / 1000 if record.stream and record.status == 200 else None
        self._recorder.instruments.request(_without_empty(labels), record.total_ms / 1000, first_s)


class OtelAttemptSpan:
    """See `AttemptSpan`."""

    __slots__ = ("_began", "_facts", "_first_chunk_s", "_is_stream", "_labels", "_recorder", "_span", "_usage")

    def __init__(
        self, recorder: Recorder, span: Span, endpoint: Endpoint, model: str, operation: str, *, is_stream: bool
    ) -> None:
        """`operation` empty = the conventions have no name for it, nor metrics."""
        place = recorder.places.get(endpoint.id, _UNKNOWN)
        self._recorder = recorder
        self._span = span
        self._began = recorder.now()
        self._is_stream = is_stream
        self._first_chunk_s: float | None = None
        self._facts = ReplyFacts()
        self._usage: Usage | None = None
        self._labels = _without_empty({
            names.OPERATION: operation,
            names.PROVIDER: place.provider,
            names.OLD_PROVIDER: place.provider if recorder.instruments.has_old_names else "",
            names.REQUEST_MODEL: model,
            names.SERVER_ADDRESS: place.host,
            names.SERVER_PORT: place.port or None,
            names.ENDPOINT: endpoint.id,
        })  # fmt: skip

    @property
    def context(self) -> tuple[tuple[str, str], ...]:
        """`traceparent`, and `tracestate` where there is one."""
        carrier: dict[str, str] = {}
        _context_headers.inject(carrier, set_span_in_context(self._span, Context()))
        return tuple(carrier.items())

    def read(self, text: bytes) -> None:
        self._facts = self._facts.and_then(text)

    def opened(self) -> None:
        self._first_chunk_s = self._recorder.now() - self._began

    def took(self, usage: Usage | None) -> None:
        self._usage = usage

    def end(self, status: int, error: str) -> None:
        span, facts, usage = self._span, self._facts, self._usage
        said = {
            names.REQUEST_STREAM: self._is_stream or None,
            names.STATUS: status or None,
            names.ERROR_TYPE: error,
            names.RESPONSE_ID: facts.id,
            names.RESPONSE_MODEL: facts.model,
            names.FINISH_REASONS: facts.finish_reasons or None,
            names.FIRST_CHUNK: self._first_chunk_s,
            names.INPUT_TOKENS: None if usage is None else usage.prompt_tokens,
            names.OUTPUT_TOKENS: None if usage is None else usage.output_tokens,
            names.CACHE_READ_TOKENS: facts.cache_read_tokens,
            names.REASONING_TOKENS: facts.reasoning_tokens,
        }
        span.set_attributes({**self._labels, **_without_empty(said)})
        if error and error != CANCELLED:
            span.set_status(StatusCode.ERROR)
        span.end()
        if names.OPERATION in self._labels:
            self._count(error)

    def _count(self, error: str) -> None:
        labels: Labels = {**self._labels, names.ERROR_TYPE: error} if error else self._labels
        instruments, facts = self._recorder.instruments, self._facts
        instruments.attempt(labels, self._recorder.now() - self._began, self._first_chunk_s)
        if labels[names.OPERATION] != names.FETCH_RESPONSE:
            instruments.usage(labels, self._usage, facts.cache_read_tokens, facts.reasoning_tokens)


def _without_empty(said: Mapping[str, Any]) -> dict[str, Any]:
    """Of attributes, those that say something: no text is empty, and nothing is None."""
    return {name: value for name, value in said.items() if value is not None and value != ""}
