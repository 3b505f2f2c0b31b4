"""The body of an aiohttp reply, read and let go of the way the `UpstreamReply` port wants it."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import httpx

from adapters.upstreams.transport_errors import LIBRARY_ERRORS, IdleTimeout


class BodyStream(httpx.AsyncByteStream):
    """The body of one reply as it comes, with a limit on silence and a `close` that needs no waiting."""

    def __init__(self, reply: aiohttp.ClientResponse, idle_s: float) -> None:
        self._reply = reply
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._waiting_since: float | None = None
        self._watch: asyncio.TimerHandle | None = None

    async def receive(self) -> bytes:
        """The next piece; b"" = complete. What came before a break is given out before the break is raised."""
        content = self._reply.content
        if self._watch is None and not content.is_eof():
            self._watch = self._loop.call_later(self._idle_s, self._look_for_silence)
        self._waiting_since = self._loop.time()
        try:
            piece = await content.readany()
        except LIBRARY_ERRORS:
            piece = content._read_nowait(-1)
            if not piece:
                self.close()
                raise
        except BaseException:
            self.close()
            raise
        finally:
            self._waiting_since = None
        if content.is_eof():
            self._stop_watching()
        return piece

    def _look_for_silence(self) -> None:
        """One timer per reply, set again only when it fires: a timer per piece would be felt with many streams."""
        since = self._waiting_since
        waited_s = 0.0 if since is None else self._loop.time() - since
        if waited_s >= self._idle_s:
            self._reply.content.set_exception(IdleTimeout())
        else:
            self._watch = self._loop.call_later(self._idle_s - waited_s, self._look_for_silence)

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()

    def close(self) -> None:
        """Cut the connection, unless the body has come completely: then the pool has it already."""
        self._stop_watching()
        self._reply.close()

    async def aclose(self) -> None:
        self.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.receive():
            yield piece
