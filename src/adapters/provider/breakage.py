"""Faults on the wire: what HTTP does not allow, or allows and nobody expects.

Each action has one coroutine. It writes through a `Breakage`, which knows the normal reply and the connection.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from adapters.provider.connection import Connection
from adapters.provider.delivery import Exchange
from adapters.provider.faults import (
    Action,
    Chop,
    Close,
    Cut,
    EarlyCloseIdle,
    Hang,
    Overlong,
    Raw,
    Refuse,
    Reset,
    Slow,
    Truncate,
)
from adapters.provider.records import Record, Records
from adapters.provider.reply import (
    CHUNKED_FRAMING,
    CLOSES,
    KEEP_ALIVE,
    LAST_CHUNK,
    Reply,
    chunk,
    head,
    header_lines,
    length_framing,
)

_DRIP_S = 0.05
_SETTLE_S = 0.02  # a reset throws away what is still in our buffers: what was to be seen gets this long to leave


class Breakage(Exchange):
    """One request for which something breaks. Runs as a task, unlike a `Delivery`: faults are few."""

    def __init__(
        self,
        connection: Connection,
        records: Records,
        record: Record | None,
        action: Action,
        reply: Reply,
        *,
        keep_alive: bool,
        latency_s: float,
        tokens_per_second: float | None,
        refuse: Callable[[float], None],
    ) -> None:
        """`refuse(seconds)` makes the provider stop listening for that long."""
        super().__init__(connection, records, record, outcome=f"fault:{action.kind}", keep_alive=keep_alive)
        self.action = action
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
        await _PERFORMERS[type(self.action)](self, self.action)

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


async def _cut(stage: Breakage, action: Cut) -> None:
    if action.when != "before_headers":
        await _send_part(stage, action)
    match action:
        case Reset():
            await stage.reset()
        case Hang(seconds=seconds):
            await stage.hang(seconds)
        case _:
            stage.close()


async def _send_part(stage: Breakage, action: Cut) -> None:
    if stage.reply.events is None:
        body = stage.reply.body
        sent_bytes = len(body) // 2 if action.after_bytes is None else action.after_bytes
        await stage.write_head(length_framing(len(body)))
        await stage.write(body[:sent_bytes])
        return
    await stage.write_head(CHUNKED_FRAMING)
    left_bytes = action.after_bytes
    left_events = (1 if left_bytes is None else None) if action.after_events is None else action.after_events
    async for frame in stage.frames():
        if left_events == 0 or left_bytes == 0:
            return
        part = frame if left_bytes is None else frame[:left_bytes]
        await stage.write(chunk(part))
        left_bytes = None if left_bytes is None else left_bytes - len(part)
        left_events = None if left_events is None else left_events - 1


async def _truncate(stage: Breakage, action: Truncate) -> None:
    body = stage.body()
    missing_bytes = len(body) // 2 if action.missing_bytes is None else action.missing_bytes
    await stage.write_head(length_framing(len(body)))
    await stage.write(body[: max(0, len(body) - missing_bytes)])
    stage.close()


async def _overlong(stage: Breakage, action: Overlong) -> None:
    body = stage.body()
    await stage.write_head(length_framing(len(body)))
    await stage.write(body + action.extra.encode())
    stage.finish()


async def _slow(stage: Breakage, action: Slow) -> None:
    stage.answered(stage.reply)
    step_bytes = max(1, int(action.bytes_per_second * _DRIP_S))
    await _write_in_pieces(stage, step_bytes, step_bytes / action.bytes_per_second)


async def _chop(stage: Breakage, action: Chop) -> None:
    stage.answered(stage.reply)
    await _write_in_pieces(stage, action.size_bytes, action.delay_ms / 1000)


async def _write_in_pieces(stage: Breakage, size_bytes: int, pause_s: float) -> None:
    data = stage.wire_bytes()
    for start in range(0, len(data), size_bytes):
        if start:
            await asyncio.sleep(pause_s)
        await stage.write(data[start : start + size_bytes])
    stage.finish()


async def _raw(stage: Breakage, action: Raw) -> None:
    headers = {name.lower(): value for name, value in action.headers.items()}
    content_type = headers.pop("content-type", "application/json").encode("latin-1", "replace")
    stage.reply = Reply(action.status, content_type=content_type, headers=header_lines(headers))
    pieces = [piece.encode() for piece in action.chunks]
    if action.framing == "chunked":
        await stage.write_head(CHUNKED_FRAMING)
    elif action.framing == "length":
        await stage.write_head(length_framing(sum(map(len, pieces))))
    else:
        await stage.write_head(b"", CLOSES)
    for number, piece in enumerate(pieces):
        if number and action.delay_ms:
            await asyncio.sleep(action.delay_ms / 1000)
        await stage.write(chunk(piece) if action.framing == "chunked" else piece)
    await _end_raw(stage, action)


async def _end_raw(stage: Breakage, action: Raw) -> None:
    match action.then:
        case "reset":
            await stage.reset()
        case "hang":
            await stage.hang()
        case "close":
            stage.close()
        case "end" if action.framing == "close":
            stage.close()
        case "end":
            if action.framing == "chunked":
                await stage.write(LAST_CHUNK)
            stage.finish()


async def _refuse(stage: Breakage, action: Refuse) -> None:
    stage.end()
    stage.connection.reset()
    stage.refuse(action.seconds)


async def _early_close_idle(stage: Breakage, action: EarlyCloseIdle) -> None:
    connection = stage.connection
    stage.answered(stage.reply)
    await stage.write(stage.wire_bytes())
    stage.finish()
    # Whatever has begun on the connection by then is lost with it: that is the race.
    connection.lost_outcome = f"fault:{action.kind}"
    await asyncio.sleep(action.delay_ms / 1000)
    connection.close()


_PERFORMERS: dict[type[Action], Callable[[Breakage, Any], Awaitable[None]]] = {
    Reset: _cut,
    Close: _cut,
    Hang: _cut,
    Truncate: _truncate,
    Overlong: _overlong,
    Raw: _raw,
    Slow: _slow,
    Chop: _chop,
    Refuse: _refuse,
    EarlyCloseIdle: _early_close_idle,
}


def is_on_the_wire(action: Action) -> bool:
    """True for actions that are performed here."""
    return type(action) in _PERFORMERS


def needs_reply(action: Action) -> bool:
    """False when nothing of the normal reply is ever sent, so that none should be made."""
    if isinstance(action, Cut):
        return action.when != "before_headers"
    return not isinstance(action, Raw | Refuse)
