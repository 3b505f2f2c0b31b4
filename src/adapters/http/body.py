"""The body of a request that is held whole: under limits of size, time and memory."""

import asyncio
from contextlib import suppress
from typing import Any, NoReturn

from litestar.types import Receive

from application.errors import InvalidRequest
from application.held_bytes import SMALL_BYTES, Holding
from application.time_limit import TimeLimit

BODY_PATIENCE_S = 15.0
BODY_BYTES_PER_S = 1024
"""A body may take so many seconds, and one more for each of these bytes that has come."""

LINGER_BYTES = 256 * 1024 * 1024
LINGER_S = 10.0
"""How much of a body that is refused anyway is read and thrown away, and for how long (nginx's lingering close)."""


async def read_body(
    receive: Receive,
    headers: dict[bytes, bytes],
    max_bytes: int,
    held: Holding,
    loop: asyncio.AbstractEventLoop | None = None,
) -> bytes:
    """The whole body, which `held` has then taken. Raises `InvalidRequest`: 413, 408 when it comes too slowly, 400 when
    it breaks off; `TooMuchHeld` when there is no room for it, before more of it is read.

    For `loop` see `TimeLimit`.
    """
    announced = headers.get(b"content-length", b"0")
    length = int(announced) if announced.isdigit() else -1
    if length > max_bytes:
        if headers.get(b"expect", b"").lower() != b"100-continue":
            await _discard(receive)
        _refuse_size(max_bytes)
    if length > SMALL_BYTES:
        held.expect(length)
    first = receive()
    if isinstance(first, asyncio.Future) and first.done():  # what is there already needs no time limit
        body, more = _piece(first.result())
        if len(body) == length or not more:
            if len(body) > max_bytes:
                _refuse_size(max_bytes)
            held.hold(len(body))
            return body
    try:
        with TimeLimit(BODY_PATIENCE_S, loop) as patience:
            body, more = _piece(await first)
            held.hold(len(body))
            # A server may say "more" until it has seen the end; who has announced a length has no more.
            if more and len(body) != length:
                began = asyncio.get_running_loop().time()
                parts, size = [body], len(body)
                while more and size <= max_bytes and size != length:
                    body, more = _piece(await receive())
                    held.hold(len(body))
                    parts.append(body)
                    size += len(body)
                    spent_s = asyncio.get_running_loop().time() - began
                    patience.reschedule(BODY_PATIENCE_S + size / BODY_BYTES_PER_S - spent_s)
                body = b"".join(parts)
                parts = []
    except TimeoutError:
        raise InvalidRequest("The body came too slowly.", code="request_timeout", status=408) from None
    if len(body) > max_bytes:
        held.count(-len(body))
        body = b""
        if more:
            await _discard(receive)
        _refuse_size(max_bytes)
    return body


def _piece(message: Any) -> tuple[bytes, bool]:
    if message["type"] != "http.request":
        raise InvalidRequest("The body ended before it was complete.", code="incomplete_body")
    return message.get("body", b""), message.get("more_body", False)


async def _discard(receive: Receive) -> None:
    """Let the client finish, within bounds: who is cut off while it still sends does not get to read why."""
    left = LINGER_BYTES
    more = True
    with suppress(TimeoutError, InvalidRequest):
        async with asyncio.timeout(LINGER_S):
            while more and left > 0:
                body, more = _piece(await receive())
                left -= len(body)


def _refuse_size(max_bytes: int) -> NoReturn:
    raise InvalidRequest(
        f"The body is larger than {max_bytes} bytes (max_body_bytes).", code="request_too_large", status=413
    )
