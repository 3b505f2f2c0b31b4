"""One request and its reply on the wire: watches for a client that leaves, sends the answer, writes the log line."""

import asyncio
from collections.abc import Awaitable, Callable

from adapters.http.error_headers import ShuttingDown, error_fields, relayed_error_fields
from adapters.http.exchange.exchange_report import ExchangeReport
from adapters.http.headers import RELAYED_AGAIN, announced, relayed, sendable
from adapters.http.server.client import Guest
from adapters.http.server.error_body import error_body, status_of
from adapters.http.server.reply_head import BODILESS
from application.answers import Answer, StreamedAnswer, WholeAnswer
from application.attempts.raw_answer import RawAnswer
from application.errors import ProxyError
from application.held_bytes import SMALL_BYTES, Holding
from application.messages import ClientLeft
from application.ready import Ready

SWITCHED = 101
_CACHE_CONTROL = "cache-control: "
_STREAM_FIELDS = (f"{_CACHE_CONTROL}no-cache", "x-accel-buffering: no")


class Exchange(ExchangeReport):
    """One HTTP request. `begin()` does all of it, once; neither that nor what it returns raises anything but for a
    cancellation from outside."""

    __slots__ = ()

    def begin(self, answer: Callable[["Exchange"], Awaitable[Answer | None] | Ready[Answer]]) -> Awaitable[None] | None:
        """Have `answer` read the request and find an answer, and send it; None = it was sent already. A whole one that
        is `Ready` is sent at once, and so is an error that is raised at once.

        None = all is done; else what is returned does the rest, in a task.
        """
        try:
            found = answer(self)
            # By type: `isinstance` first asks the metaclass of what is a Struct.
            if type(found) is not Ready or not isinstance(found.value, WholeAnswer):
                return self._run(found)
            sent = self._send_reply(found.value)
        except Exception as error:  # whatever it is, the client is told and the log has its line
            sent = self._tell(error)
        if sent is not None:
            return self._run(_sent(sent))
        self._end(self._first_byte)
        return None

    async def _run(self, found: Awaitable[Answer | None]) -> None:
        """Wait for the answer and send it; None = it was sent, and is only to be taken."""
        in_flight, client, ended = self._context.in_flight, self.client, None
        self._task = client.task
        in_flight.add(self)
        if self._is_watching:
            client.on_disconnect(self._leave)
        try:
            answer = await found
            if isinstance(answer, WholeAnswer):
                sent = self._send_reply(answer)
                if sent is None:
                    ended = self._first_byte
                else:
                    await sent
            elif answer is not None:
                await self._send_stream(answer)
        except ClientLeft:
            self._client_left = True
        except asyncio.CancelledError:
            await self._cancelled()
        except Exception as error:
            await self._send_error(error)
        finally:
            client.on_disconnect(None)
            in_flight.remove(self)
            self._end(ended)

    def _end(self, now: float | None) -> None:
        if self._stream is not None:
            self._stream.close()
        if self._holding is not None:
            self._holding.close()
        self._record(now)
        # Cut the circles through this object, so that all of it goes at once and not with a collection.
        self._task = self.request = self._stream = None

    @property
    def held(self) -> Holding:
        """See `Holder`."""
        if self._holding is None:
            self._holding = Holding(self._context.in_flight.held)
        return self._holding

    def while_connected(self, work: Awaitable[Answer]) -> Awaitable[Answer]:
        """`work`, to be waited for: from here on a client that leaves cancels the whole exchange, whatever it waits
        for."""
        if self._task is None:
            self._is_watching = True  # as soon as there is anything to cancel
        else:
            self.client.on_disconnect(self._leave)
        return work

    def switch(self, fields: list[str], guest: Guest) -> None:
        """Answer a request that upgrades with 101, and leave the connection to `guest`; see `is_switched`."""
        now = self._add_own(fields)
        self._client_left = not self.client.switch(sendable(fields), guest)
        if not self._client_left:
            self._status, self._first_byte, self._finished = SWITCHED, now, True

    @property
    def is_switched(self) -> bool:
        """Was the connection left to another protocol?"""
        return self._status == SWITCHED

    def interrupt(self) -> None:
        """The proxy stops: end this request and tell the client."""
        self._interrupted = True
        if self._task is not None:
            self._task.cancel()

    def _leave(self) -> None:
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

    async def _send_stream(self, answer: StreamedAnswer) -> None:
        self._stream = answer
        fields = relayed(answer.headers)
        if not isinstance(answer, RawAnswer):
            fields = [field for field in fields if not field.startswith(_CACHE_CONTROL)]
            fields += _STREAM_FIELDS
        elif answer.length is not None:
            fields.append(f"content-length: {answer.length}")
        now = self._add_own(fields)
        try:
            self.client.start(answer.status, fields)
        except ValueError:
            self.client.start(answer.status, sendable(fields))
        self._status, self._first_byte = answer.status, now
        await self._send_pieces(answer)
        if not isinstance(answer, RawAnswer) or answer.failure is None:
            await self._finish()

    def _send_reply(self, answer: WholeAnswer) -> Awaitable[None] | None:
        reply, failure = answer.reply, answer.final_failure
        if answer.age_s is not None:
            fields = [*RELAYED_AGAIN[reply.headers], f"age: {answer.age_s}"]
            return self._send_whole(reply.status, fields, reply.body)
        fields = relayed(reply.headers)
        if not reply.body and self.head.method == "HEAD":
            fields += announced(reply.headers)
        if failure is not None:
            fields = relayed_error_fields(fields, failure)
            self._outcome = failure.kind.value
        return self._send_whole(reply.status, fields, reply.body)

    async def _send_pieces(self, stream: StreamedAnswer) -> None:
        """All that comes, each piece as it comes: mostly while the upstream's bytes are read."""
        client = self.client
        draining = client.drain()
        while draining is not None or not await stream.flow(client.send_chunk, client.send_framed):
            if draining is not None:
                await self._drain(draining, stream.ahead_bytes)
            draining = client.drain()

    async def _drain(self, draining: Awaitable[None], ahead_bytes: int) -> None:
        """Until the client has taken enough; what comes meanwhile waits as well. What a client that has stopped reading
        does not take is held upstream, and somebody generates it: raises `ClientLeft` when its time is up."""
        held = self.held
        held.count(ahead_bytes)
        try:
            async with asyncio.timeout(self._context.write_timeout_s):
                await draining
        except TimeoutError:
            raise ClientLeft from None
        held.count(-ahead_bytes)

    async def _finish(self, last: bytes = b"") -> None:
        client = self.client
        self._finished = True
        if last:
            client.send_chunk(last)
        client.finish()
        draining = client.drain()
        if draining is not None:
            await draining

    async def _break_off(self, error: ProxyError) -> None:
        """End what has begun, so that the client knows. Where nothing can be said, it is left unfinished: then the
        server cuts the connection, without the chunk or the bytes that would complete it."""
        if self._stream is not None and not isinstance(self._stream, RawAnswer):
            await self._finish(self._stream.error_frame(str(error), error.code))

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
        return self._send_whole(status_of(named), error_fields(named), error_body(named))

    def _named(self, error: Exception) -> ProxyError:
        """What the client is told, and the log."""
        if not isinstance(error, ProxyError):
            self._context.log.crashed(self.request_id, error)
            error = ProxyError("The proxy failed to handle this request; its log says where.")
        self._outcome = error.code
        return error

    def _send_whole(self, status: int, fields: list[str], body: bytes) -> Awaitable[None] | None:
        size = len(body)
        # Else it would have to be the length of what it stands for (RFC 9110, 8.6).
        if status not in BODILESS and (body or self.head.method != "HEAD"):
            fields.append(f"content-length: {size}")
        if size > SMALL_BYTES:
            self.held.expect(size)
        now = self._add_own(fields)
        try:
            sent = self.client.reply(status, fields, body)
        except ValueError:
            sent = self.client.reply(status, sendable(fields), body)
        self._status = status
        self._first_byte = now
        self._finished = True
        return sent


async def _sent(taken: Awaitable[None]) -> None:
    """The answer was sent; what is left is that the client takes it."""
    await taken
