"""One request and its reply on the wire: watches for a client that leaves, sends the answer, writes the log line."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from litestar.types import HTTPScope, Receive, Send

from adapters.http.errors import RawHeaderList, error_body, error_headers, relayed_error_headers
from adapters.http.headers import relayed
from adapters.http.in_flight import InFlight
from adapters.http.write_watch import WriteWatch
from application.answers import Answer, StreamedAnswer, WholeAnswer
from application.errors import ProxyError
from application.messages import ClientLeft, ProxyRequest, Trail, reasons
from application.ports import Clock, RequestLog, RequestRecord
from application.raw_stream import RawStream
from domain.cache import CacheState

CLIENT_CLOSED_REQUEST = 499
"""What is logged, and sent to nobody, when the client left first (nginx's number for it)."""

_WATCH_AFTER_S = 0.02
"""When it is worth asking the server whether the client is still there: asking costs a quick answer time."""

_STREAM_HEADERS = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
_REPLACED_IN_STREAMS = frozenset(name for name, _ in _STREAM_HEADERS)
_PLAIN_TEXT = bytes(range(0x20, 0x7F))


class ShuttingDown(ProxyError):
    """The proxy stops, and this request took longer than the shutdown waits."""

    status = 503
    code = "proxy_shutting_down"
    retry_after_s = 1.0

    def __init__(self) -> None:
        super().__init__("The proxy is shutting down and could not finish this request.")


class Exchange:
    """One HTTP request. `run()` does all of it, once, and does not raise but for a cancellation from outside."""

    def __init__(
        self,
        scope: HTTPScope,
        receive: Receive,
        send: Send,
        clock: Clock,
        log: RequestLog,
        in_flight: InFlight,
        write_timeout_s: float,
    ) -> None:
        self.scope = scope
        self.receive = receive
        self._send = send
        self._clock = clock
        self._log = log
        self._in_flight = in_flight
        self.received = clock.now()
        self.request_id = f"req_{random.getrandbits(128):032x}"
        self.trail = Trail()
        self.request: ProxyRequest | None = None
        self._task: asyncio.Task[None] | None = None
        self._stream: StreamedAnswer | None = None
        self._watcher: asyncio.Future[Any] | None = None
        self._delay: asyncio.TimerHandle | None = None
        self._writes = WriteWatch(write_timeout_s, self._leave)
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
        self._task = asyncio.current_task()
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
            self._stop_watching()
            self._in_flight.remove(self)
            if self._stream is not None:
                self._stream.close()
            self._record()
            # Cut the circles through this object, so that all of it goes at once and not with a collection.
            self._task = self.request = self._stream = None
            self._writes.forget()

    async def while_connected(self, work: Awaitable[Answer]) -> Answer:
        """Wait for `work`; from here on a client that leaves cancels the whole exchange, whatever it waits for."""
        self._delay = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._watch)
        return await work

    def interrupt(self) -> None:
        """The proxy stops: end this request and tell the client."""
        self._interrupted = True
        if self._task is not None:
            self._task.cancel()

    def _watch(self) -> None:
        self._delay = None
        # What granian gives is a future already: there is no task where there is nothing to do but wait.
        self._watcher = asyncio.ensure_future(self.receive())
        self._watcher.add_done_callback(self._heard)

    def _heard(self, message: asyncio.Future[Any]) -> None:
        if message is not self._watcher or message.cancelled():
            return
        if message.exception() is None and message.result()["type"] != "http.disconnect":
            self._watch()
        else:
            self._leave()

    def _stop_watching(self) -> None:
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()

    def _leave(self) -> None:
        """The client is gone, or takes nothing any more."""
        if not self._finished and self._task is not None:
            self._client_left = True
            self._task.cancel()

    async def _cancelled(self) -> None:
        """By `_watch`, by `interrupt`, or by the server: only the last is passed on."""
        if self._task is not None and (self._client_left or self._interrupted):
            self._task.uncancel()
        if self._client_left:
            return
        if not self._interrupted:
            raise asyncio.CancelledError
        stopped = ShuttingDown()
        if self._first_byte is None:
            await self._send_error(stopped)
        else:
            self._outcome = stopped.code
            await self._break_off(stopped)

    async def _send_answer(self, answer: Answer) -> None:
        if isinstance(answer, RawStream):
            self._stream = answer
            await self._send_raw(answer)
            return
        if not isinstance(answer, WholeAnswer):
            self._stream = answer
            await self._send_stream(answer)
            return
        reply = answer.reply
        headers = relayed(reply.headers)
        if answer.final_failure is not None:
            headers = relayed_error_headers(headers, answer.final_failure)
            self._outcome = answer.final_failure.kind.value
        await self._send_whole(reply.status, headers, reply.body)

    async def _send_stream(self, stream: StreamedAnswer) -> None:
        headers = [pair for pair in relayed(stream.headers) if pair[0] not in _REPLACED_IN_STREAMS]
        await self._start(stream.status, [*headers, *_STREAM_HEADERS])
        with self._writes:
            await self._send_pieces(stream.next)
        await self._send_body(b"", more=False)

    async def _send_raw(self, raw: RawStream) -> None:
        headers = relayed(raw.headers)
        if raw.length is not None:
            headers.append((b"content-length", raw.length.encode()))
        await self._start(raw.status, headers)
        with self._writes:
            await self._send_pieces(raw.next)
        if raw.failure is None:
            await self._send_body(b"", more=False)

    async def _send_pieces(self, next_piece: Callable[[], Awaitable[bytes]]) -> None:
        """All that comes, each piece as it comes: what is done here is done for every event of every stream."""
        send, writes = self._send, self._writes
        while piece := await next_piece():
            self._bytes_out += len(piece)
            writes.begin()
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            writes.end()

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

    async def _send_whole(self, status: int, headers: RawHeaderList, body: bytes) -> None:
        if status != 304:  # that would have to be the length of what it stands for (RFC 9110, 8.6)
            headers.append((b"content-length", b"%d" % len(body)))
        await self._start(status, headers)
        await self._send_body(body, more=False)

    async def _start(self, status: int, headers: RawHeaderList) -> None:
        now = self._clock.now()
        self._overhead_s = now - self.received - self.trail.upstream_s
        await self._send({"type": "http.response.start", "status": status, "headers": headers + self._own_headers()})
        self._status = status
        self._first_byte = now

    async def _send_body(self, body: bytes, *, more: bool) -> None:
        self._bytes_out += len(body)
        self._finished = not more
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    def _own_headers(self) -> RawHeaderList:
        attempts = self.trail.attempts
        own = [
            (b"x-llmproxy-request-id", self.request_id.encode()),
            (b"x-llmproxy-attempts", b"%d" % len(attempts)),
            (b"x-llmproxy-overhead-ms", b"%.2f" % (self._overhead_s * 1000)),
        ]
        if attempts:
            own.append((b"x-llmproxy-endpoint", _header_text(attempts[-1].endpoint)))
        if self.request is not None:
            own.append((b"x-llmproxy-cache", self.trail.cache.value.encode()))
        if len(attempts) > 1:
            own.append((b"x-llmproxy-reasons", _header_text(reasons(attempts))))
        return own

    @property
    def _had_all(self) -> bool:
        """SDKs leave at the last event of a stream, without waiting for the end of the reply."""
        return self._stream is not None and self._stream.complete

    def _record(self) -> None:
        now = self._clock.now()
        first_byte = self._first_byte if self._first_byte is not None else now
        if self._client_left and not self._had_all:
            self._outcome = "client_left"
        elif self._stream is not None and self._stream.failure is not None:
            self._outcome = "stream_broken"
        request = self.request
        attempts = self.trail.attempts
        known = bool(attempts) or self.trail.cache is not CacheState.BYPASS
        self._log.record(
            RequestRecord(
                request_id=self.request_id,
                api=request.api.value if request else "",
                group=request.model if request and known else "",
                endpoint=attempts[-1].endpoint if attempts else "",
                attempts=tuple(attempts),
                status=self._status or CLIENT_CLOSED_REQUEST,
                outcome=self._outcome,
                stream=bool(request and request.stream),
                cache=self.trail.cache.value,
                total_ms=(now - self.received) * 1000,
                first_byte_ms=(first_byte - self.received) * 1000,
                overhead_ms=self._overhead_s * 1000,
                bytes_in=_bytes_in(request),
                bytes_out=self._bytes_out,
            )
        )


def _bytes_in(request: ProxyRequest | None) -> int:
    if request is None:
        return 0
    return len(request.body) if request.upload is None else request.upload.taken_bytes


@lru_cache(maxsize=1024)
def _header_text(text: str) -> bytes:
    """Header values are ASCII; other letters of a group's name are percent-encoded."""
    return quote(text, safe=_PLAIN_TEXT).encode()
