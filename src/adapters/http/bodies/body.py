"""The body of a request that is held whole: under limits of size, time and memory."""

import asyncio
from typing import Any

from adapters.http.server.client import Receive
from application.errors import InvalidRequest
from application.held_bytes import COUNTED_BYTES, Holder

BODY_PATIENCE_S = 15.0
BODY_BYTES_PER_S = 1024  # a body may take so many seconds, and one more for each of these bytes that has come

BODY_GAP_S = 60.0
"""Nothing more of a body may come for no longer than this, however much has come (nginx's client_body_timeout)."""


async def read_body(receive: Receive, length: int | None, max_bytes: int, holder: Holder) -> bytes:
    """The whole body, which `holder` holds if it is worth counting. Raises `InvalidRequest`: 413, 408 when it comes too
    slowly, 400 when it breaks off; `TooMuchHeld` when there is no room for it, before more of it is read. What is left
    of a body that is refused is for the server to let in, and to throw away.

    `length`: of the body; None = only its end will tell.
    """
    if length is not None and (length > COUNTED_BYTES or length > max_bytes):
        if length > max_bytes:
            raise too_large(max_bytes)
        holder.held.expect(length)
    try:
        async with asyncio.timeout(BODY_PATIENCE_S) as patience:
            body, more = _piece(await receive())
            # A server may say "more" until it has seen the end; a client that announced a length has no more.
            if more and len(body) != length:
                held = holder.held
                held.hold(len(body))
                clock = asyncio.get_running_loop().time
                began = clock()
                parts, size = [body], len(body)
                while more and size <= max_bytes and size != length:
                    body, more = _piece(await receive())
                    held.hold(len(body))
                    parts.append(body)
                    size += len(body)
                    patience.reschedule(min(began + BODY_PATIENCE_S + size / BODY_BYTES_PER_S, clock() + BODY_GAP_S))
                body = b"".join(parts)
                parts = []
            elif len(body) > COUNTED_BYTES:
                holder.held.hold(len(body))
    except TimeoutError:
        raise InvalidRequest("The body came too slowly.", code="request_timeout") from None
    if len(body) > max_bytes:
        raise too_large(max_bytes)
    return body


def _piece(message: Any) -> tuple[bytes, bool]:
    if message["type"] != "http.request":
        raise InvalidRequest("The body ended before it was complete.", code="incomplete_body")
    return message.get("body", b""), message.get("more_body", False)


def too_large(max_bytes: int) -> InvalidRequest:
    return InvalidRequest(f"The body is larger than {max_bytes} bytes (max_body_bytes).", code="request_too_large")
