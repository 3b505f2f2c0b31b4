"""Clients of Responses sockets that go away without a word, each at another moment."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from bench.load.socket_client import CLOSE, frame, handshake
from bench.soak.checks import RESPONSES, Unexpected
from bench.soak.questions import Dice
from bench.soak.world import MAX_BODY_BYTES
from bench.wire import Call, Client

_LEAVE_S = 30
_NORMAL = (1000).to_bytes(2)
_LARGE = "x" * (MAX_BODY_BYTES * 6 // 10)
"""Two of these are more than a request may be."""
_ID = re.compile(rb'"id":"(resp_[^"]+)"')
_HANDED_OVER = b"websocket_connection_limit_reached"

Phase = Callable[[Call, Dice], Awaitable[None]]


def _turn(text: str, model: str = "talk", **more: Any) -> bytes:
    asked = {"type": "response.create", "model": model, "input": text, "store": False}
    return frame(json.dumps(asked | more).encode())


def _handshake(dice: Dice) -> bytes:
    return handshake(RESPONSES, dice.headers())


async def _open(call: Call, dice: Dice) -> None:
    call.send(_handshake(dice))
    status, _ = await call.head()
    if status != 101:
        raise Unexpected(f"status {status}")


async def _until(call: Call, sign: re.Pattern[bytes]) -> re.Match[bytes]:
    read = b""
    while (found := sign.search(read)) is None:
        piece = await call.piece()
        if not piece:
            raise Unexpected("the socket ended before its client left")
        read += piece
    return found


async def before_the_101(call: Call, dice: Dice) -> None:
    opening = _handshake(dice)
    call.send(opening[: dice.random.choice((len(opening) // 2, len(opening)))])


async def when_open(call: Call, dice: Dice) -> None:
    await _open(call, dice)


async def in_half_a_frame(call: Call, dice: Dice) -> None:
    await _open(call, dice)
    whole = _turn(dice.text())
    call.send(whole[: dice.random.randrange(1, len(whole))])
    await call.flush()


async def before_the_first_content(call: Call, dice: Dice) -> None:
    await _open(call, dice)
    call.send(_turn(dice.text(), "slow"))
    await asyncio.sleep(dice.random.random() / 10)


async def in_a_stream(call: Call, dice: Dice) -> None:
    """Or in several at once."""
    await _open(call, dice)
    for lane in range(dice.random.randrange(1, 4)):
        call.send(_turn(dice.text(), stream_id=f"lane-{lane}"))
    for _ in range(dice.random.randrange(1, 5)):
        if not await call.piece(300):
            raise Unexpected("the socket ended before its client left")


async def while_it_closes(call: Call, dice: Dice) -> None:
    await _open(call, dice)
    call.send(_turn(dice.text()) * dice.random.randrange(2) + frame(_NORMAL, CLOSE))
    await asyncio.sleep(dice.random.choice((0, 0.01)))


async def after_a_handover(call: Call, dice: Dice) -> None:
    """What two turns say is too much for one request."""
    await _open(call, dice)
    call.send(_turn(_LARGE, generate=False))
    warmed_up = await _until(call, _ID)
    call.send(_turn(_LARGE, previous_response_id=warmed_up[1].decode()))
    await _until(call, re.compile(_HANDED_OVER))


PHASES: dict[Phase, int] = {
    before_the_101: 20,
    when_open: 20,
    in_half_a_frame: 20,
    before_the_first_content: 20,
    in_a_stream: 20,
    while_it_closes: 20,
    after_a_handover: 2,
}
"""How often of all together."""


async def drop_socket(client: Client, dice: Dice) -> str:
    """Open one, and leave; in which phase."""
    (phase,) = dice.random.choices([*PHASES], [*PHASES.values()])
    call = await client.open(receive_buffer_bytes=4096)
    try:
        async with asyncio.timeout(_LEAVE_S):
            await phase(call, dice)
    finally:
        call.leave()
    return f"left {phase.__name__.replace('_', ' ')}"
