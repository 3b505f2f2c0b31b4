"""The body of a client that is still sending it, read no faster than it is sent on."""

import asyncio
from collections.abc import Callable
from typing import Any

from adapters.http.bodies.body import BODY_BYTES_PER_S, BODY_PATIENCE_S
from adapters.http.server.client import Receive
from application.errors import InvalidRequest
from application.held_bytes import Holding
from application.messages import ClientLeft

Rename = Callable[[bytes, str], bytes]
"""(the beginning of a body, the endpoint's name for the model) -> the beginning with that name in it."""


class ClientUpload:
    """`ClientBody` over an ASGI `receive`. What was looked at in advance is kept, so that it can be sent again."""

    def __init__(self, receive: Receive, length: int | None) -> None:
        """`length`: of the body; None = only its end will tell."""
        self.held: Holding | None = None  # None = nobody counts what is held of it
        self._receive = receive
        self._passing_bytes = 0
        self.length = length
        self.taken_bytes = 0
        self.begun = False
        self._head = b""
        self.rename: Rename | None = None
        """Puts another name in the place of the model's, which the head has; None = it has none."""
        self._waited_s = 0.0
        self._is_gone = False
        self.is_over = self.length == 0  # has all of it come?

    async def peek(self, max_bytes: int, is_enough: Callable[[bytes], bool] = lambda _: False) -> bytes:
        """Read ahead until that is enough, or about `max_bytes`, or all. Only before anything is sent on.

        What has come is looked at again when it has doubled, lest looking take longer than reading.
        """
        head = bytearray(self._head)
        look_at = 1
        while len(head) < max_bytes:
            if len(head) >= look_at:
                look_at = 2 * len(head)
                if is_enough(bytes(head)):
                    break
            piece = await self.next()
            if not piece:
                break
            if self.held is not None:
                self.held.hold(len(piece))
            head += piece
        self._head = bytes(head)
        return self._head

    def upload(self, model: str) -> "UploadRun":
        head = self.rename(self._head, model) if model and self.rename is not None else self._head
        return UploadRun(self, head, None if self.length is None else self.length - len(self._head) + len(head))

    async def next(self) -> bytes:
        """The next piece off the wire; b"" = that was all. Raises `ClientLeft`, and `InvalidRequest` (408) when waiting
        for the client took longer than `BODY_PATIENCE_S` and one second for each `BODY_BYTES_PER_S` that came."""
        while not self.is_over:
            clock = asyncio.get_running_loop().time
            began = clock()
            try:
                async with asyncio.timeout(BODY_PATIENCE_S + self.taken_bytes / BODY_BYTES_PER_S - self._waited_s):
                    message = await self.receive()
            except TimeoutError:
                raise InvalidRequest("The body came too slowly.", code="request_timeout") from None
            self._waited_s += clock() - began
            if self._is_gone:
                raise ClientLeft
            piece: bytes = message.get("body", b"")
            if piece:
                return piece
        return b""

    async def pass_on(self) -> bytes:
        """As `next`; what is returned counts as held until the next call, as the endpoint may not take it at once."""
        self._count(0)
        piece = await self.next()
        self._count(len(piece))
        return piece

    def _count(self, passing_bytes: int) -> None:
        if self.held is not None:
            self.held.count(passing_bytes - self._passing_bytes)
        self._passing_bytes = passing_bytes

    async def receive(self) -> Any:
        """The ASGI `receive` for a reader of the whole body."""
        message: Any = await self._receive()
        if message["type"] != "http.request":
            self._is_gone = True
            return message
        self.taken_bytes += len(message.get("body", b""))
        has_more = message.get("more_body", False)
        self.is_over = self.taken_bytes == self.length or (self.length is None and not has_more)
        self._is_gone = not self.is_over and not has_more
        return message


class UploadRun:
    """`Upload`: one run through a client's body."""

    def __init__(self, body: ClientUpload, head: bytes, length: int | None) -> None:
        self._body = body
        self._head = head
        self.length = length
        self._is_begun = False

    @property
    def begun(self) -> bool:
        return self._is_begun or self._body.begun

    async def read(self) -> bytes:
        self._is_begun = True
        if self._head:
            head, self._head = self._head, b""
            return head
        if self._body.is_over:
            return b""
        self._body.begun = True
        return await self._body.pass_on()
