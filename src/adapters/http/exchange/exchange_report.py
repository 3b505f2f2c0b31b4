"""What the proxy says of one exchange: to the client in headers of its own, and in the log."""

import asyncio
from math import floor

from msgspec import Struct

from adapters.http.exchange.in_flight import InFlight
from adapters.http.exchange.request_ids import REQUEST_IDS
from adapters.http.headers import HEADER_TEXTS
from adapters.http.server.client import Client
from adapters.http.server.request.head import RequestHead
from application.answers import StreamedAnswer
from application.held_bytes import Holding
from application.messages import Api, ProxyRequest, RequestTrace, reasons
from application.observing.request_counts import RequestCounts
from application.ports import Clock
from application.shown_text import LONGEST_PATH, LONGEST_TEXT, SHOWN_HEADERS, shown, shown_id
from application.telemetry_ports import RequestLog, RequestRecord, Tracing
from domain.bounded_memo import Remembered
from domain.caching.cache_key import CacheState
from domain.cost import amount_text
from domain.failure import Blame

CLIENT_CLOSED_REQUEST = 499
"""What is logged, and sent to nobody, when the client left first (nginx's number for it)."""

_SAYS_ITS_PATH = frozenset((Api.CHAT, Api.RESPONSES, Api.EMBEDDINGS, Api.COMPLETIONS, Api.MODERATIONS))
_BYPASS = CacheState.BYPASS
_CACHE_FIELDS = {state: f"x-llmproxy-cache: {state.value}" for state in CacheState}


_HUNDREDTHS = tuple(f".{number:02d}" for number in range(100))

_shown_models: Remembered[str, str] = Remembered(lambda name: shown(name[:LONGEST_TEXT]), most=256)
"""Names of models as the log shows them."""


class ExchangeContext(Struct, frozen=True):
    """What all exchanges of a worker have in common."""

    clock: Clock
    log: RequestLog
    in_flight: InFlight
    counts: RequestCounts
    went_well: list[RequestRecord]
    """Of `counts`, which takes them from here."""
    ended: list[float]
    """Likewise."""
    write_timeout_s: float
    """How long a client may take nothing of a stream that waits for it."""
    tracing: Tracing | None = None
    """None = no traces are recorded."""


class ExchangeReport:
    """What is known of an exchange, and how it is told."""

    __slots__ = (
        "_client_left", "_context", "_finished", "_first_byte", "_holding", "_interrupted", "_is_watching", "_outcome",
        "_overhead_ms", "_status", "_stream", "_task", "client", "head", "is_probe", "key_name", "received", "request",
        "request_id", "trace",
    )  # fmt: skip

    def __init__(self, client: Client, context: ExchangeContext) -> None:
        self.head = client.head
        self.client = client
        self._context = context
        self.received = context.clock.now()
        self.request_id = next(REQUEST_IDS)
        self.trace = RequestTrace()
        if context.tracing is not None:
            self.trace.span = context.tracing.request(client.head.by_name)
        self.request: ProxyRequest | None = None
        self.is_probe = self._client_left = self._is_watching = self._interrupted = self._finished = False
        self.key_name = ""
        """Of the proxy's own key that it came with, if that has one."""
        self._stream: StreamedAnswer | None = None
        self._status = 0
        self._outcome = "ok"
        self._first_byte: float | None = None
        self._overhead_ms = 0.0
        self._holding: Holding | None = None
        self._task: asyncio.Task[None] | None = None
        """None = it does not run in one (yet)."""

    @property
    def is_streaming(self) -> bool:
        """See `Interruptible`."""
        return self._stream is not None

    def _add_own(self, fields: list[str]) -> float:
        """What only the proxy can say, as of now; which is returned."""
        trace = self.trace
        now = self._context.clock.now()
        hundredths_ms = floor((now - self.received - trace.upstream_s) * 100_000 + 0.5)
        self._overhead_ms = hundredths_ms / 100
        attempts = trace.attempts
        fields += (
            f"x-llmproxy-request-id: {self.request_id}",
            f"x-llmproxy-attempts: {len(attempts)}",
            f"x-llmproxy-overhead-ms: {hundredths_ms // 100}{_HUNDREDTHS[hundredths_ms % 100]}",
        )
        if self.request is not None:
            fields.append(_CACHE_FIELDS[trace.cache])
        if attempts:
            fields.append(f"x-llmproxy-endpoint: {HEADER_TEXTS[attempts[-1].endpoint]}")
            if len(attempts) > 1:
                fields.append(f"x-llmproxy-reasons: {HEADER_TEXTS[reasons(attempts)]}")
            if trace.cost is not None:
                fields.append(f"x-llmproxy-cost: {amount_text(trace.cost)}")
        return now

    def _record(self, now: float | None) -> None:
        """Write it down. `now`: the time; None = it is to be asked for."""
        if now is None:
            now = self._context.clock.now()
        received, first_byte, request = self.received, self._first_byte, self.request
        if self._client_left or self._stream is not None:
            self._judge_end(now)
        trace, head, client, outcome = self.trace, self.head, self.client, self._outcome
        attempts = trace.attempts
        api = group = model = method = path = endpoint = why = ""
        bytes_in, stream = 0, False
        if request is not None:
            api, stream = request.api, request.stream
            bytes_in = len(request.body) if request.upload is None else request.upload.taken_bytes
            model = _shown_models[request.model]
            if attempts or trace.cache is not _BYPASS:
                group = model
        if attempts:
            endpoint, why = attempts[-1].endpoint, reasons(attempts)
        if api not in _SAYS_ITS_PATH:
            method, path = head.method, shown(head.raw_path[:LONGEST_PATH].decode("latin-1"))
        total_ms = first_byte_ms = floor((now - received) * 100_000 + 0.5) / 100
        if first_byte is not None and first_byte is not now:
            first_byte_ms = floor((first_byte - received) * 100_000 + 0.5) / 100
        address = client.addresses["client"]
        own_id, agent = head.told or _told_of(head)
        # By position: of a Struct this wide the keywords take several times as long as the making.
        record = RequestRecord(
            self.request_id,
            group,
            api,
            endpoint,
            len(attempts),
            why,
            self._status or CLIENT_CLOSED_REQUEST,
            outcome,
            stream,
            trace.cache,
            total_ms,
            first_byte_ms,
            self._overhead_ms,
            bytes_in,
            client.sent_bytes,
            "" if address is None else address[0],
            model,
            own_id,
            agent,
            method,
            path,
            self.key_name,
        )
        context = self._context
        context.log.record(record, self.is_probe)  # by position: that is much cheaper
        if outcome == "ok":
            context.went_well.append(record)
            context.ended.append(now)
        elif not self.is_probe:
            context.counts.went_wrong(record)
        if trace.span is not None:
            trace.span.end(record)

    def _judge_end(self, now: float) -> None:
        """The outcome, where the client left or a stream may have broken."""
        stream, request = self._stream, self.request
        # SDKs leave at the last event of a stream, without waiting for the end of the reply.
        if self._client_left and not (stream is not None and stream.complete):
            timed_out = request is not None and self._first_byte is None and request.has_run_out(now)
            self._outcome = "client_timed_out" if timed_out else "client_left"
        elif stream is not None and stream.failure is not None:
            is_refused = stream.failure.meaning.blame is Blame.REQUEST
            self._outcome = stream.failure.kind.value if is_refused else "stream_broken"


def _told_of(head: RequestHead) -> tuple[str, str]:
    """The client's id of its request, and what it calls itself."""
    sent = head.by_name
    own_id = shown_id(sent.get(b"x-client-request-id") or sent.get(b"x-request-id", b""))
    head.told = own_id, SHOWN_HEADERS[sent.get(b"user-agent", b"")]
    return head.told
