"""Faults on the wire: what HTTP does not allow, or allows and nobody expects. One coroutine for each kind."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from simulator.faults.breakage import Breakage
from simulator.faults.rules import (
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
from simulator.protocol.reply import CHUNKED_FRAMING, CLOSES, LAST_CHUNK, Reply, chunk, header_lines, length_framing

_DRIP_S = 0.05


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


def performance_of(action: Action) -> Callable[[Breakage], Awaitable[None]] | None:
    """The performance of an action; None for one that is not about the wire."""
    perform = _PERFORMERS.get(type(action))
    return None if perform is None else lambda stage: perform(stage, action)


def needs_reply(action: Action) -> bool:
    """False when nothing of the normal reply is ever sent, so that none should be made."""
    if isinstance(action, Cut):
        return action.when != "before_headers"
    return not isinstance(action, Raw | Refuse)
