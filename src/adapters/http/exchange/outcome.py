"""What the proxy says of one exchange: to the client in headers of its own, and in the log."""

from adapters.http.exchange.request_ids import REQUEST_IDS
from adapters.http.headers import HEADER_TEXTS
from adapters.http.server.client import Client
from adapters.http.server.request.head import RequestHead
from application.answers import StreamedAnswer
from application.messages import Api, ProxyRequest, RequestTrace, reasons
from application.observing.request_counts import FOLD_AFTER, RequestCounts
from application.ports import Clock, RequestLog, RequestRecord
from application.shown_text import LONGEST_PATH, LONGEST_TEXT, SHOWN_HEADERS, shown, shown_id
from domain.caching.cache_key import CacheState
from domain.failure import Blame

CLIENT_CLOSED_REQUEST = 499
"""What is logged, and sent to nobody, when the client left first (nginx's number for it)."""

_SAYS_ITS_PATH = frozenset((Api.CHAT, Api.RESPONSES, Api.EMBEDDINGS, Api.COMPLETIONS, Api.MODERATIONS))
_CACHE_FIELDS = {state: f"x-llmproxy-cache: {state.value}" for state in CacheState}


class ExchangeReport:
    """What is known of an exchange, and how it is told."""

    __slots__ = (
        "_bytes_out", "_client", "_client_left", "_clock", "_counts", "_first_byte", "_log", "_outcome", "_overhead_s",
        "_status", "_stream", "head", "is_probe", "key_name", "received", "request", "request_id", "trace",
    )  # fmt: skip

    def __init__(self, client: Client, clock: Clock, log: RequestLog, counts: RequestCounts) -> None:
        self.head = client.head
        self._client = client
        self._clock = clock
        self._log = log
        self._counts = counts
        self.received = clock.now()
        self.request_id = next(REQUEST_IDS)
        self.trace = RequestTrace()
        self.request: ProxyRequest | None = None
        self.is_probe = False
        self.key_name = ""
        """Of the proxy's own key that it came with, if that has one."""
        self._stream: StreamedAnswer | None = None
        self._client_left = False
        self._status = 0
        self._outcome = "ok"
        self._first_byte: float | None = None
        self._overhead_s = 0.0
        self._bytes_out = 0

    def _add_own(self, fields: list[str]) -> float:
        """What only the proxy can say, as of now; which is returned."""
        trace = self.trace
        now = self._clock.now()
        self._overhead_s = overhead_s = now - self.received - trace.upstream_s
        attempts = trace.attempts
        fields += (
            f"x-llmproxy-request-id: {self.request_id}",
            f"x-llmproxy-attempts: {len(attempts)}",
            f"x-llmproxy-overhead-ms: {overhead_s * 1000:.2f}",
        )
        if attempts:
            fields.append(f"x-llmproxy-endpoint: {HEADER_TEXTS[attempts[-1].endpoint]}")
        if self.request is not None:
            fields.append(_CACHE_FIELDS[trace.cache])
        if len(attempts) > 1:
            fields.append(f"x-llmproxy-reasons: {HEADER_TEXTS[reasons(attempts)]}")
        return now

    def _record(self) -> None:
        now = self._clock.now()
        received = self.received
        first_byte = self._first_byte
        stream, request = self._stream, self.request
        # SDKs leave at the last event of a stream, without waiting for the end of the reply.
        if self._client_left and not (stream is not None and stream.complete):
            timed_out = request is not None and first_byte is None and request.has_run_out(now)
            self._outcome = "client_timed_out" if timed_out else "client_left"
        elif stream is not None and stream.failure is not None:
            is_refused = stream.failure.meaning.blame is Blame.REQUEST
            self._outcome = stream.failure.kind.value if is_refused else "stream_broken"
        trace = self.trace
        head = self.head
        address = self._client.addresses["client"]
        attempts = trace.attempts
        api = group = model = method = path = ""
        if request is not None:
            api = request.api
            model = shown(request.model[:LONGEST_TEXT])
            if attempts or trace.cache is not CacheState.BYPASS:
                group = model
        if api not in _SAYS_ITS_PATH:
            method, path = head.method, shown(head.raw_path[:LONGEST_PATH].decode("latin-1"))
        # By position: of a Struct this wide the keywords take several times as long as the making.
        record = RequestRecord(
            self.request_id,
            group,
            api,
            attempts[-1].endpoint if attempts else "",
            len(attempts),
            reasons(attempts),
            self._status or CLIENT_CLOSED_REQUEST,
            self._outcome,
            request is not None and request.stream,
            trace.cache,
            int((now - received) * 100_000 + 0.5) / 100,
            int(((now if first_byte is None else first_byte) - received) * 100_000 + 0.5) / 100,
            int(self._overhead_s * 100_000 + 0.5) / 100,
            0 if request is None else _bytes_in(request),
            self._bytes_out,
            "" if address is None else address[0],
            model,
            *(head.told or _told_of(head)),
            method,
            path,
            self.key_name,
        )
        self._log.record(record, is_probe=self.is_probe)
        counts = self._counts
        if self._outcome == "ok":
            went_well = counts.went_well
            went_well.append((now, record))
            if len(went_well) >= FOLD_AFTER:
                counts.fold()
        elif not self.is_probe:
            counts.went_wrong(record)


def _bytes_in(request: ProxyRequest) -> int:
    return len(request.body) if request.upload is None else request.upload.taken_bytes


def _told_of(head: RequestHead) -> tuple[str, str]:
    """The client's id of its request, and what it calls itself."""
    sent = head.by_name
    own_id = shown_id(sent.get(b"x-client-request-id") or sent.get(b"x-request-id", b""))
    head.told = own_id, SHOWN_HEADERS[sent.get(b"user-agent", b"")]
    return head.told
