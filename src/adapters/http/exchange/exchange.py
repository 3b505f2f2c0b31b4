"""One request and its reply on the wire: watches for a client that leaves, sends the answer, writes the log line."""

import asyncio
from collections.abc import Awaitable, Callable

from adapters.http.error_replies import RawHeaderList, ShuttingDown, error_headers, relayed_error_headers
from adapters.http.exchange.in_flight import InFlight
from adapters.http.exchange.outcome import ExchangeReport
from adapters.http.exchange.write_timeout import WriteWatch
from adapters.http.headers import announced, fields_of, relayed, relayed_fields
from adapters.http.server.client import Client
from adapters.http.server.error_body import error_body
from application.answers import Answer, StreamedAnswer, WholeAnswer
from application.attempts.raw_answer import RawAnswer
from application.errors import ProxyError
from application.held_bytes import SMALL_BYTES, Holding
from application.messages import ClientLeft
from application.observing.request_counts import RequestCounts
from application.ports import Clock, RequestLog
from application.ready import Ready

_STREAM_HEADERS = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
_REPLACED_IN_STREAMS = frozenset(name for name, _ in _STREAM_HEADERS)


class Exchange(ExchangeReport):
    """One HTTP request. `begin()` does all of it, once; neither that nor what it returns raises anything but for a
    cancellation from outside."""

    __slots__ = (
        "_finished", "_holding", "_in_flight", "_interrupted", "_is_watching", "_loop", "_send", "_task", "_waits",
        "_write_timeout_s", "receive",
    )  # fmt: skip

    def __init__(
        self,
        client: Client,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        log: RequestLog,
        counts: RequestCounts,
        in_flight: InFlight,
        write_timeout_s: float,
    ) -> None:
        super().__init__(client, clock, log, counts)
        self.receive = client.receive
        self._send = client.send
        self._loop = loop
        self._in_flight = in_flight
        self._holding: Holding | None = None
        self._task: asyncio.Task[None] | None = None
        """None = it does not run in one (yet)."""
        self._waits: Awaitable[None] | None = None
        self._write_timeout_s = write_timeout_s
        self._is_watching = False
        self._interrupted = False
        self._finished = False

    def begin(self, answer: Callable[["Exchange"], Awaitable[Answer]]) -> Awaitable[None] | None:
        """Have `answer` read the request and find an answer, and send it. A whole one that is `Ready` is sent at once,
        and so is an error that is raised at once.

        None = all is done; else what is returned does the rest, in a task.
        """
        try:
            found = answer(self)
            if not isinstance(found, Ready) or not isinstance(found.value, WholeAnswer):
                return self._run(found)
            sent = self._send_reply(found.value)
        except Exception as error:  # whatever it is, the client is told and the log has its line
            sent = self._tell(error)
        if sent is not None:
            return self._run(_sent(sent))
        self._end()
        return None

    async def _run(self, found: Awaitable[Answer | None]) -> None:
        """Wait for the answer and send it; None = it was sent, and is only to be taken."""
        self._task = asyncio.current_task(self._loop)
        self._in_flight.add(self)
        if self._is_watching:
            self._client.when_gone(self._leave)
        try:
            found_answer = await found
            if found_answer is not None:
                await self._send_answer(found_answer)
        except ClientLeft:
            self._client_left = True
        except asyncio.CancelledError:
            await self._cancelled()
        except Exception as error:
            await self._send_error(error)
        finally:
            self._client.when_gone(None)
            self._in_flight.remove(self)
            self._end()

    def _end(self) -> None:
        if self._stream is not None:
            self._stream.close()
        if self._holding is not None:
            self._holding.close()
        self._record()
        # Cut the circles through this object, so that all of it goes at once and not with a collection.
        self._task = self.request = self._stream = None

    @property
    def held(self) -> Holding:
        """See `Holder`."""
        if self._holding is None:
            self._holding = Holding(self._in_flight.held)
        return self._holding

    def add_headers(self, headers: RawHeaderList) -> None:
        """To the reply, whatever it turns out to be."""
        self._client.added = [*self._client.added, *headers]

    def body_now(self) -> bytes | None:
        """All of the body, if it has come; None = it has to be received."""
        return self._client.body_now()

    @property
    def length(self) -> int | None:
        """How long the body is; None = only its end will tell."""
        return self._client.length

    def while_connected(self, work: Awaitable[Answer]) -> Awaitable[Answer]:
        """`work`, to be waited for: from here on a client that leaves cancels the whole exchange, whatever it waits
        for."""
        if self._task is None:
            self._is_watching = True  # as soon as there is anything to cancel
        else:
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

    async def _send_answer(self, answer: Answer) -> None:
        if isinstance(answer, WholeAnswer):
            sent = self._send_reply(answer)
            if sent is not None:
                await sent
            return
        self._stream = answer
        await (self._send_raw(answer) if isinstance(answer, RawAnswer) else self._send_stream(answer))

    def _send_reply(self, answer: WholeAnswer) -> Awaitable[None] | None:
        reply = answer.reply
        if answer.final_failure is None and (reply.body or self.head.method != "HEAD"):
            fields = relayed_fields(reply.headers)
            if fields is not None:
                try:
                    return self._send_whole(reply.status, fields, reply.body)
                except ValueError:  # a header that cannot be sent: it is left out
                    pass
        headers = relayed(reply.headers)
        if not reply.body and self.head.method == "HEAD":
            headers += announced(reply.headers)
        if answer.final_failure is not None:
            headers = relayed_error_headers(headers, answer.final_failure)
            self._outcome = answer.final_failure.kind.value
        return self._send_whole(reply.status, fields_of(headers), reply.body)

    async def _send_stream(self, stream: StreamedAnswer) -> None:
        headers = [pair for pair in relayed(stream.headers) if pair[0] not in _REPLACED_IN_STREAMS]
        await self._start(stream.status, [*headers, *_STREAM_HEADERS])
        await self._send_pieces(stream)
        await self._send_body(b"", more=False)

    async def _send_raw(self, raw: RawAnswer) -> None:
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
        held, ahead_bytes = self.held, 0 if self._stream is None else self._stream.ahead_bytes
        held.count(ahead_bytes)
        await waits
        held.count(-ahead_bytes)

    async def _break_off(self, error: ProxyError) -> None:
        """End what has begun, so that the client knows. Where nothing can be said, it is left unfinished: then the
        server cuts the connection, without the chunk or the bytes that would complete it."""
        if self._stream is not None and not isinstance(self._stream, RawAnswer):
            await self._send_body(self._stream.error_frame(str(error), error.code), more=False)

    async def _send_error(self, error: Exception) -> None:
        if self._first_byte is None:
            sent = self._tell(error)
            if sent is not None:
                await sent
        else:
            await self._break_off(self._named(error))

    def _tell(self, error: Exception) -> Awaitable[None] | None:
        """As the whole reply."""
        named = self._named(error)
        return self._send_whole(named.status, fields_of(error_headers(named)), error_body(named))

    def _named(self, error: Exception) -> ProxyError:
        """What the client is told, and the log."""
        if not isinstance(error, ProxyError):
            self._log.crashed(self.request_id, error)
            error = ProxyError("The proxy failed to handle this request; its log says where.")
        self._outcome = error.code
        return error

    def _send_whole(self, status: int, fields: list[str], body: bytes) -> Awaitable[None] | None:
        size = len(body)
        # Else it would have to be the length of what it stands for (RFC 9110, 8.6).
        if status not in {204, 304} and (body or self.head.method != "HEAD"):
            fields.append(f"content-length: {size}")
        if size > SMALL_BYTES:
            self.held.expect(size)
        now = self._add_own(fields)
        sent = self._client.reply(status, fields, body)
        self._begun(status, now)
        self._bytes_out = size
        self._finished = True
        return sent

    async def _start(self, status: int, headers: RawHeaderList) -> None:
        own: list[str] = []
        now = self._add_own(own)
        headers += [(name.encode(), value.encode()) for name, _, value in [field.partition(": ") for field in own]]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        self._begun(status, now)

    def _begun(self, status: int, now: float) -> None:
        self._status = status
        self._first_byte = now

    def _send_body(self, body: bytes, *, more: bool) -> Awaitable[None]:
        self._bytes_out += len(body)
        self._finished = not more
        return self._send({"type": "http.response.body", "body": body, "more_body": more})


async def _sent(taken: Awaitable[None]) -> None:
    """The answer was sent; what is left is that the client takes it."""
    await taken
