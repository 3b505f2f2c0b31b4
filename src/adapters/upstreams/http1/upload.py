"""A body that is not held: pieces go out as they come in, as fast as the endpoint takes them."""

import asyncio

from adapters.upstreams.http1.connection import Connection
from adapters.upstreams.http1.failures import UPLOAD_STALLED
from application.messages import ClientLeft, Upload
from application.ports import UpstreamFailed


class Outgoing:
    """One run of an upload over one connection, until all is sent, the endpoint answers, or nothing moves any more."""

    def __init__(self, upload: Upload, connection: Connection, idle_s: float) -> None:
        self._upload = upload
        self._connection = connection
        self._idle_s = idle_s
        self._loop = connection.loop
        self._stop = asyncio.timeout(None)
        self._watch: asyncio.TimerHandle | None = None
        self._moved = 0.0
        self._unsent_bytes = 0
        self._is_silent = False
        self._is_settled = False

    async def send(self) -> None:
        """Send what is to be sent; whether the endpoint has answered or is lost, its reply knows.

        Raises what the upload raises, `ClientLeft` when it is silent, `UpstreamFailed` when the endpoint takes
        nothing. After an exception the connection is the caller's to cut.
        """
        connection = self._connection
        connection.is_sending = True
        self._moved = self._loop.time()
        self._watch = self._loop.call_later(self._idle_s, self._look_for_silence)
        connection.on_settled = self._interrupt
        try:
            async with self._stop:
                if await self._send_pieces():
                    connection.is_sending = False
        except TimeoutError:
            if self._is_silent:
                raise (UpstreamFailed(UPLOAD_STALLED) if connection.writing_paused else ClientLeft()) from None
        finally:
            connection.on_settled = None
            connection.on_writable = None
            self._watch.cancel()

    async def _send_pieces(self) -> bool:
        left = self._upload.length
        while left is None or left > 0:
            piece = await self._upload.read()
            transport = self._connection.transport
            if transport is None or self._is_settled:
                return False
            if not piece and left is not None:
                raise ClientLeft
            if left is None:
                transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            else:
                transport.write(piece)
                left -= len(piece)
            self._moved = self._loop.time()
            await asyncio.sleep(0)  # uvloop writes, and says that it is held back, when others have had their turn
            self._unsent_bytes = transport.get_write_buffer_size()
            await self._room()
            self._moved = self._loop.time()
            if not piece:
                return True
        return True

    async def _room(self) -> None:
        """Wait until the endpoint has taken enough of what was written, or is lost."""
        connection = self._connection
        if connection.writing_paused and connection.is_open:
            writable = self._loop.create_future()
            connection.on_writable = lambda: None if writable.done() else writable.set_result(None)
            await writable

    def _interrupt(self) -> None:
        """Whatever is waited for, a piece or room for it, is waited for no longer."""
        self._is_settled = True
        if not self._stop.expired():
            self._stop.reschedule(self._loop.time())

    def _look_for_silence(self) -> None:
        """One timer per upload, set again only when it fires."""
        transport = self._connection.transport
        unsent = transport.get_write_buffer_size() if transport is not None else 0
        if unsent < self._unsent_bytes:
            self._moved = self._loop.time()
            self._unsent_bytes = unsent
        still_s = self._loop.time() - self._moved
        if still_s >= self._idle_s:
            self._is_silent = True
            self._interrupt()
        else:
            self._watch = self._loop.call_later(self._idle_s - still_s, self._look_for_silence)
