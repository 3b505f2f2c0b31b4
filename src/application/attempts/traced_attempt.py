"""`SendAttempt` where traces are recorded: each attempt is a span of its request's.

The proxy is composed with it only then, so that attempts cost nothing more where no traces are.
"""

from functools import partial

from msgspec import structs

from application.answers import Answer, StreamedAnswer, WholeAnswer
from application.attempts.attempt import SendAttempt, ended_by
from application.attempts.opening import AttemptFailed, Learn
from application.endpoints.endpoint_state import Lease
from application.endpoints.health import HealthTracker
from application.endpoints.pool import EndpointPool
from application.held_bytes import HeldBytes
from application.messages import ProxyRequest, RequestTrace
from application.ports import Clock, Providers, Upstream
from application.telemetry_ports import CANCELLED, AttemptSpan
from domain.endpoint import Endpoint
from domain.rate_limit.token_estimate import Usage

_REPLACED = frozenset({"traceparent", "tracestate"})


class TracedAttempt(SendAttempt):
    """A span begins with the attempt, and ends with the last byte of the reply."""

    def __init__(
        self,
        pool: EndpointPool,
        health: HealthTracker,
        upstream: Upstream,
        providers: Providers,
        clock: Clock,
        stream_hold_s: float,
        learn: Learn,
        held: HeldBytes,
        *,
        propagates: bool,
    ) -> None:
        """`propagates`: do endpoints get the attempt's trace context, in place of the client's?"""
        self._learn_too = learn
        self._propagates = propagates
        self._spans: dict[str, AttemptSpan] = {}
        """Of leases that are held, by the id of the request: it has one at a time."""
        super().__init__(pool, health, upstream, providers, clock, stream_hold_s, self._read, held)

    async def __call__(
        self, lease: Lease, request: ProxyRequest, deadline: float, sign_by: float, trace: RequestTrace
    ) -> Answer | AttemptFailed:
        if trace.span is None:
            return await super().__call__(lease, request, deadline, sign_by, trace)
        span = trace.span.attempt(lease.endpoint, request.api, request.method, request.path, stream=request.stream)
        self._spans[request.request_id] = span
        lease.when_released = partial(self._released, span, request.request_id)
        if self._propagates:
            request = with_context(request, span)
        try:
            outcome = await super().__call__(lease, request, deadline, sign_by, trace)
        except BaseException as error:
            span.end(0, ended_by(error))
            raise
        if isinstance(outcome, AttemptFailed):
            reply = outcome.reply
            span.end(0 if reply is None else reply.status, outcome.failure.kind.value)
        elif isinstance(outcome, WholeAnswer):
            span.end(outcome.reply.status, "")
        else:
            span.opened()
            lease.when_released = partial(self._stream_released, span, request.request_id, outcome)
        return outcome

    def _released(self, span: AttemptSpan, request_id: str, usage: Usage | None) -> None:
        self._spans.pop(request_id, None)
        span.took(usage)

    def _stream_released(self, span: AttemptSpan, request_id: str, stream: StreamedAnswer, usage: Usage | None) -> None:
        self._released(span, request_id, usage)
        if stream.failure is not None:
            span.end(stream.status, stream.failure.kind.value)
        else:
            span.end(stream.status, "" if stream.complete else CANCELLED)

    def _read(self, endpoint: Endpoint, request: ProxyRequest, text: bytes) -> None:
        """See `Learn`."""
        self._learn_too(endpoint, request, text)
        span = self._spans.get(request.request_id)
        if span is not None:
            span.read(text)


def with_context(request: ProxyRequest, span: AttemptSpan) -> ProxyRequest:
    """The request as a child of the span, in place of the client's own."""
    kept = tuple(pair for pair in request.headers if pair[0] not in _REPLACED)
    return structs.replace(request, headers=kept + span.context)
