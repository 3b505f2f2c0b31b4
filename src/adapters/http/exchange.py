"""One request and its reply on the wire: watches for a client that leaves, sends the answer, writes the log line."""

import asyncio
from collections.abc import Awaitable, Callable

from litestar.types import HTTPScope, Receive, Send

from adapters.http.client import Client
from adapters.http.errors import RawHeaderList, ShuttingDown, error_body, error_headers, relayed_error_headers
from adapters.http.headers import HEADER_TEXTS, announced, relayed
from adapters.http.in_flight import InFlight
from adapters.http.request_ids import REQUEST_IDS
from adapters.http.write_watch import WriteWatch
from application.answers import Answer, StreamedAnswer, WholeAnswer
from application.errors import ProxyError
from application.held_bytes import SMALL_BYTES, HeldBytes, Holding
from application.messages import ClientLeft, ProxyRequest, Trail, reasons
from application.ports import LONGEST_PATH, LONGEST_TEXT, Clock, RequestLog, RequestRecord
from application.raw_stream import RawStream
from domain.cache import CacheState
from domain.failure import Blame

CLIENT_CLOSED_REQUEST = 499
"""What is logged, and sent to nobody, when the client left first (nginx's number for it)."""

_STREAM_HEADERS = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
_REPLACED_IN_STREAMS = frozenset(name for name, _ in _STREAM_HEADERS)
_CACHE_HEADERS = {state: (b"x-llmproxy-cache", state.value.encode()) for state in CacheState}


class Exchange:
    """One HTTP request. `run()` does all of it, once, and does not raise but for a cancellation from outside."""

    def __init__(
        self,
        scope: HTTPScope,
        receive: Receive,
        send: Send,
        client: Client,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        log: RequestLog,
        in_flight: InFlight,
        write_timeout_s: float,
        held: HeldBytes,
    ) -> None:
        self.scope = scope
        self.receive = receive
        self._send = send
        self._client = client
        self._loop = loop
        self._clock = clock
        self._log = log
        self._in_flight = in_flight
        self.received = clock.now()
        self.request_id = next(REQUEST_IDS)
        self.trail = Trail()
        self.request: ProxyRequest | None = None
        self.headers: dict[bytes, bytes] = {}
        """Those that came, by name, once they were looked at."""
        self.is_probe = False
        self.held = Holding(held)
        """What is held for this request; closed when that is over."""
        self._task: asyncio.Task[None] | None = None
        self._stream: StreamedAnswer | None = None
        self._waits: Awaitable[None] | None = None
        self._write_timeout_s = write_timeout_s
        self._client_left = False
        self._interrupted = False
        self._finished = False
        self._status = 0
        self._outcome = "ok"
        self._first_byte: float | None = None
        self._overhead_s = 0.0
        self._bytes_out = 0

    async def run(self, answer: Callable[["Exchange"], Awaitable[Answer]]) -> None:
        """Have `answer` read the request and find an answer, and send it."""
        self._task = asyncio.current_task(self._loop)
        self._in_flight.add(self)
        try:
            await self._send_answer(await answer(self))
        except ProxyError as error:
            await self._send_error(error)
        except ClientLeft:
            self._client_left = True
        except asyncio.CancelledError:
            await self._cancelled()
        except Exception as error:  # whatever it is, the client is told and the log has its line
            self._log.crashed(self.request_id, error)
            await self._send_error(ProxyError("The proxy failed to handle this request; its log says where."))
        finally:
            self._client.when_gone(None)
            self._in_flight.remove(self)
            if self._stream is not None:
                self._stream.close()
            self.held.close()
            self._record()
            # Cut the circles through this object, so that all of it goes at once and not with a collection.
            self._task = self.request = self._stream = None

    def add_headers(self, headers: RawHeaderList) -> None:
        """To the reply, whatever it turns out to be."""
        self._client.added = [*self._client.added, *headers]

    def while_connected(self, work: Awaitable[Answer]) -> Awaitable[Answer]:
        """`work`, to be waited for: from here on a client that leaves cancels the whole exchange, whatever it waits
        for."""
        self._client.when_gone(self._leave)
        return work

    def interrupt(self) -> None:
        """The proxy stops: end this request and tell the client."""
        self._interrupted = True
        if self._task is not None:
            self._task.cancel()

    def _leave(self) -> None:
        """The client is gone, or takes nothing any more."""
        if not self._finished and self._task is not None:
            self._client_left = True
            self._task.cancel()

    async def _cancelled(self) -> None:
        """By `_leave`, by `interrupt`, or by the server: only the last is passed on."""
        if self._task is not None and (self._client_left or self._interrupted):
            self._task.uncancel()
        if self._client_left:
            return
        if not self._interrupted:
            raise asyncio.CancelledError
        if self._finished:  # but the client has not taken all of it
            return
        stopped = ShuttingDown()
        if self._first_byte is None:
            await self._send_error(stopped)
        else:
            self._outcome = stopped.code
            await self._break_off(stopped)

    def _send_answer(self, answer: Answer) -> Awaitable[None]:
        if isinstance(answer, WholeAnswer):
            reply = answer.reply
            headers = relayed(reply.headers)
            if not reply.body and self.scope["method"] == "HEAD":
                headers += announced(reply.headers)
            if answer.final_failure is not None:
                headers = relayed_error_headers(headers, answer.final_failure)
                self._outcome = answer.final_failure.kind.value
            return self._send_whole(reply.status, headers, reply.body)
        self._stream = answer
        return self._send_raw(answer) if isinstance(answer, RawStream) else self._send_stream(answer)

    async def _send_stream(self, stream: StreamedAnswer) -> None:
        headers = [pair for pair in relayed(stream.headers) if pair[0] not in _REPLACED_IN_STREAMS]
        await self._start(stream.status, [*headers, *_STREAM_HEADERS])
        await self._send_pieces(stream)
        await self._send_body(b"", more=False)

    async def _send_raw(self, raw: RawStream) -> None:
        headers = relayed(raw.headers)
        if raw.length is not None:
            headers.append((b"content-length", raw.length.encode()))
        await self._start(raw.status, headers)
        await self._send_pieces(raw)
        if raw.failure is None:
            await self._send_body(b"", more=False)

    async def _send_pieces(self, stream: StreamedAnswer) -> None:
        """All that comes, each piece as it comes."""
        with WriteWatch(self._write_timeout_s, self._leave) as writes:
            while not await stream.flow(self._put):
                writes.began = self._loop.time()
                await self._stalled()
                writes.began = None

    def _put(self, piece: bytes) -> bool:
        """To the client. Mostly called while the upstream's bytes are read, for every event of every stream."""
        self._bytes_out += len(piece)
        waits = self._waits = self._client.put(piece)
        return waits is None

    async def _stalled(self) -> None:
        """Until the client has taken enough. What comes meanwhile waits as well."""
        waits, self._waits = self._waits, None
        if waits is None:
            return
        ahead_bytes = 0 if self._stream is None else self._stream.ahead_bytes
        self.held.count(ahead_bytes)
        await waits
        self.held.count(-ahead_bytes)

    async def _break_off(self, error: ProxyError) -> None:
        """End what has begun, so that the client knows. Where nothing can be said, it is left unfinished: then the
        server cuts the connection, without the chunk or the bytes that would complete it."""
        if self._stream is not None and not isinstance(self._stream, RawStream):
            await self._send_body(self._stream.error_frame(str(error), error.code), more=False)

    async def _send_error(self, error: ProxyError) -> None:
        self._outcome = error.code
        if self._first_byte is None:
            await self._send_whole(error.status, error_headers(error), error_body(error))
        else:
            await self._break_off(error)

    def _send_whole(self, status: int, headers: RawHeaderList, body: bytes) -> Awaitable[None]:
        # Else it would have to be the length of what it stands for (RFC 9110, 8.6).
        if status not in {204, 304} and (body or self.scope["method"] != "HEAD"):
            headers.append((b"content-length", b"%d" % len(body)))
        size = len(body)
        if size > SMALL_BYTES:
            self.held.expect(size)
        now = self._add_own(headers)
        sent = self._client.reply(status, headers, body)
        self._begun(status, now)
        self._bytes_out = size
        self._finished = True
        return sent

    async def _start(self, status: int, headers: RawHeaderList) -> None:
        now = self._add_own(headers)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        self._begun(status, now)

    def _begun(self, status: int, now: float) -> None:
        self._status = status
        self._first_byte = now

    def _send_body(self, body: bytes, *, more: bool) -> Awaitable[None]:
        self._bytes_out += len(body)
        self._finished = not more
        return self._send({"type": "http.response.body", "body": body, "more_body": more})

    def _add_own(self, headers: RawHeaderList) -> float:
        """What only we can say, as of now; which is returned."""
        trail = self.trail
        now = self._clock.now()
        self._overhead_s = now - self.received - trail.upstream_s
        attempts = trail.attempts
        headers += (
            (b"x-llmproxy-request-id", self.request_id.encode()),
            (b"x-llmproxy-attempts", b"%d" % len(attempts)),
            (b"x-llmproxy-overhead-ms", b"%.2f" % (self._overhead_s * 1000)),
        )
        if attempts:
            headers.append((b"x-llmproxy-endpoint", HEADER_TEXTS[attempts[-1].endpoint]))
        if self.request is not None:
            headers.append(_CACHE_HEADERS[trail.cache])
        if len(attempts) > 1:
            headers.append((b"x-llmproxy-reasons", HEADER_TEXTS[reasons(attempts)]))
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
        trail = self.trail
        scope = self.scope
        sent = self.headers or dict(scope["headers"])
        address = scope["client"]
        attempts = trail.attempts
        known = bool(attempts) or trail.cache is not CacheState.BYPASS
        # By position: of a Struct this wide the keywords take several times as long as the making.
        self._log.record(
            RequestRecord(
                self.request_id,
                "" if request is None else request.api,
                request.model if request is not None and known else "",
                attempts[-1].endpoint if attempts else "",
                tuple(attempts),
                self._status or CLIENT_CLOSED_REQUEST,
                self._outcome,
                request is not None and request.stream,
                trail.cache,
                (now - received) * 1000,
                ((now if first_byte is None else first_byte) - received) * 1000,
                self._overhead_s * 1000,
                0 if request is None else _bytes_in(request),
                self._bytes_out,
                "" if address is None else address[0],
                scope["method"],
                scope["raw_path"][:LONGEST_PATH],
                "" if request is None else request.model[:LONGEST_TEXT],
                (sent.get(b"x-client-request-id") or sent.get(b"x-request-id", b""))[:LONGEST_TEXT],
                sent.get(b"user-agent", b"")[:LONGEST_TEXT],
                self.is_probe,
            )
        )


def _bytes_in(request: ProxyRequest) -> int:
    return len(request.body) if request.upload is None else request.upload.taken_bytes
