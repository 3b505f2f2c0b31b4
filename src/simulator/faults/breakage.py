"""A reply that is about to go wrong: what the faults on the wire write through."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from simulator.protocol.reply import (
    CHUNKED_FRAMING,
    CLOSES,
    KEEP_ALIVE,
    LAST_CHUNK,
    Reply,
    chunk,
    head,
    length_framing,
)
from simulator.records import Record, Records
from simulator.wire.connection import Connection
from simulator.wire.delivery import Exchange

_SETTLE_S = 0.02  # a reset throws away what is still in our buffers: what was to be seen gets this long to leave


class Breakage(Exchange):
    """One request for which something breaks. Runs as a task, unlike a `Delivery`: faults are few."""

    def __init__(
        self,
        connection: Connection,
        records: Records,
        record: Record | None,
        kind: str,
        performance: Callable[["Breakage"], Awaitable[None]],
        reply: Reply,
        *,
        keep_alive: bool,
        latency_s: float,
        tokens_per_second: float | None,
        refuse: Callable[[float], None],
    ) -> None:
        """`performance` sends what the fault of that kind sends; `refuse(seconds)` stops the listening for so long."""
        super().__init__(connection, records, record, outcome=f"fault:{kind}", keep_alive=keep_alive)
        self._performance = performance
        self.reply = reply
        self.refuse = refuse
        self._latency_s = latency_s
        self._rate = tokens_per_second
        self._task: asyncio.Task[None] | None = None
        self._readable = asyncio.Event()
        self._readable.set()

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._perform())

    def resume(self) -> None:
        self._readable.set()

    def abandon(self, outcome: str) -> None:
        if self._task is not None:
            self._task.cancel()
        self.end(outcome)

    async def _perform(self) -> None:
        if self._latency_s > 0:
            await asyncio.sleep(self._latency_s)
        await self._performance(self)

    async def write(self, data: bytes) -> None:
        """Returns once the client keeps up."""
        self.connection.write(data)
        if self.connection.is_paused:
            self._readable.clear()
            await self._readable.wait()

    async def write_head(self, framing: bytes, connection: bytes | None = None) -> None:
        self.answered(self.reply)
        line = (KEEP_ALIVE if self.keep_alive else CLOSES) if connection is None else connection
        await self.write(head(self.reply, framing, line))

    def finish(self) -> None:
        """Everything that was to be sent is sent."""
        self.end()
        if not self.keep_alive:
            self.connection.close()

    def close(self) -> None:
        self.end()
        self.connection.close()

    async def reset(self) -> None:
        await asyncio.sleep(_SETTLE_S)
        self.end()
        self.connection.reset()

    async def hang(self, seconds: float | None = None) -> None:
        """Silence; ended by the client, or by us after `seconds`."""
        await (asyncio.Event().wait() if seconds is None else asyncio.sleep(seconds))
        self.close()

    async def frames(self) -> AsyncIterator[bytes]:
        """The events of a stream at their pace."""
        events = self.reply.events
        if events is None:
            return
        for frame in events.opening:
            yield frame
        for frame in events.tokens:
            if self._rate is not None:
                await asyncio.sleep(1 / self._rate)
            yield frame
        for frame in events.closing:
            yield frame

    def body(self) -> bytes:
        """The body in one piece, a stream's events joined."""
        events = self.reply.events
        return self.reply.body if events is None else b"".join(events.frames())

    def wire_bytes(self) -> bytes:
        """The whole normal reply as it would cross the wire."""
        line = KEEP_ALIVE if self.keep_alive else CLOSES
        if self.reply.events is None:
            return head(self.reply, length_framing(len(self.reply.body)), line) + self.reply.body
        chunks = b"".join(map(chunk, self.reply.events.frames()))
        return head(self.reply, CHUNKED_FRAMING, line) + chunks + LAST_CHUNK
