"""Other transports of httpx behind the same adapter: each is held to a call's deadlines, which httpx cannot express."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress

import httpx

from adapters.upstreams.httpx.transport import BODY, FIRST_BYTE_S, IDLE_S, Body, PassedResponse
from application.messages import ClientLeft


class MountedTransport(httpx.AsyncBaseTransport):
    """A transport as it is, under the deadlines of the extensions `first_byte_s` and `idle_s`."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        self._closings: set[asyncio.Task[None]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        first_byte_s, idle_s = request.extensions[FIRST_BYTE_S], request.extensions[IDLE_S]
        try:
            async with asyncio.timeout(first_byte_s) as limit:
                upload = None
                if not isinstance(request.stream, httpx.ByteStream):
                    upload = request.stream = _Upload(request.stream, limit, first_byte_s, idle_s)
                try:
                    response = await self._transport.handle_async_request(request)
                finally:
                    if upload is not None:
                        upload.limit = None
        except TimeoutError:
            raise httpx.ReadTimeout("no reply in time") from None
        body = _MountedBody(response, idle_s, self._closings)
        extensions = {**response.extensions, BODY: body}
        return PassedResponse(response.status_code, headers=response.headers, stream=body, extensions=extensions)

    async def aclose(self) -> None:
        """Close what has been mounted, when all replies have been let go of."""
        await asyncio.gather(*self._closings)
        await self._transport.aclose()


class _Upload(httpx.AsyncByteStream):
    """A body that is not held. The time for the reply stands still while the client is waited for."""

    def __init__(
        self,
        stream: httpx.SyncByteStream | httpx.AsyncByteStream,
        limit: asyncio.Timeout,
        reply_s: float,
        idle_s: float,
    ) -> None:
        self.limit: asyncio.Timeout | None = limit  # None = the reply has come, or will not
        self._pieces = aiter(stream)  # type: ignore[arg-type] # an asynchronous one, says httpx's client
        self._reply_s = reply_s
        self._idle_s = idle_s

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.limit is None or self.limit.expired():
            raise StopAsyncIteration
        self.limit.reschedule(None)
        try:
            async with asyncio.timeout(self._idle_s):
                return await anext(self._pieces)
        except TimeoutError:
            raise ClientLeft from None
        finally:
            if self.limit is not None and not self.limit.expired():
                self.limit.reschedule(asyncio.get_running_loop().time() + self._reply_s)


class _MountedBody(Body):
    def __init__(self, response: httpx.Response, idle_s: float, closings: set[asyncio.Task[None]]) -> None:
        self._response = response
        self._pieces = aiter(response.stream)  # type: ignore[arg-type] # as above
        self._idle_s = idle_s
        self._closings = closings
        self._is_whole = False
        self._is_cut = False

    async def receive(self) -> bytes:
        if self._is_whole:
            return b""
        if self._is_cut:
            raise httpx.ReadError("connection lost")
        try:
            async with asyncio.timeout(self._idle_s):
                async for piece in self._pieces:
                    if piece:
                        return piece
                await self._response.aclose()
        except TimeoutError:
            self.close()
            raise httpx.ReadTimeout("reply stalled") from None
        except BaseException:
            self.close()
            raise
        self._is_whole = True
        return b""

    def close(self) -> None:
        if self._is_whole or self._is_cut:
            return
        self._is_cut = True
        closing = asyncio.get_running_loop().create_task(self._let_go())
        self._closings.add(closing)
        closing.add_done_callback(self._closings.discard)

    async def _let_go(self) -> None:
        with suppress(Exception):  # nobody needs to hear of it
            await self._response.aclose()
        if isinstance(self._pieces, AsyncGenerator):
            with suppress(Exception):
                await self._pieces.aclose()
