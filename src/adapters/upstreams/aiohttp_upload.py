"""An upload on an aiohttp connection: pieces go out as they come in, as fast as the endpoint takes them."""

import asyncio

from adapters.upstreams.aiohttp_connections import WireProtocol
from adapters.upstreams.transport_errors import UploadStalled
from application.messages import ClientLeft, Upload


class Outgoing:
    """One upload, and the deadline of the call it belongs to, which stands still while there is progress."""

    def __init__(self, upload: Upload, idle_s: float, reply_s: float, deadline: asyncio.Timeout) -> None:
        """`idle_s` is the longest time without progress, `reply_s` the time for the reply once all is sent."""
        if upload.begun:
            raise ValueError("an upload cannot be sent a second time")
        self.upload = upload
        self._idle_s = idle_s
        self._reply_s = reply_s
        self._deadline = deadline
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.timeout(None)
        self._watch: asyncio.TimerHandle | None = None
        self._moved = 0.0
        self._unsent_bytes = 0
        self._is_silent = False

    async def send(self, protocol: WireProtocol) -> None:
        """Send it all, or until the endpoint answers or is lost, which the protocol then knows. After an exception the
        connection is the caller's to cut."""
        self._deadline.reschedule(None)
        if not await self._send_until_settled(protocol):
            # What is left of the body was announced and will not come: no other request can follow it.
            protocol.force_close()
        self._deadline.reschedule(self._loop.time() + self._reply_s)

    async def _send_until_settled(self, protocol: WireProtocol) -> bool:
        """True = all was sent."""
        self._stop = asyncio.timeout(None)
        self._moved = self._loop.time()
        self._watch = self._loop.call_later(self._idle_s, self._look_for_silence, protocol)
        try:
            async with self._stop:
                protocol.on_settled = self._interrupt
                return await self._send_pieces(protocol)
        except TimeoutError:
            if not self._is_silent:
                return False
            raise (UploadStalled() if protocol.writing_paused else ClientLeft()) from None
        finally:
            protocol.on_settled = None
            self._watch.cancel()

    async def _send_pieces(self, protocol: WireProtocol) -> bool:
        left = self.upload.length
        while left is None or left > 0:
            piece = await self.upload.read()
            transport = protocol.transport
            if transport is None or protocol.is_settled:
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
            try:
                await protocol._drain_helper()
            except ConnectionError:
                return False
            self._moved = self._loop.time()
            if not piece:
                return True
        return True

    def _interrupt(self) -> None:
        """Whatever is waited for, a piece or room for it, is waited for no longer."""
        if not self._stop.expired():
            self._stop.reschedule(self._loop.time())

    def _look_for_silence(self, protocol: WireProtocol) -> None:
        """One timer per upload, set again only when it fires."""
        unsent = protocol.transport.get_write_buffer_size() if protocol.transport is not None else 0
        if unsent < self._unsent_bytes:
            self._moved = self._loop.time()
            self._unsent_bytes = unsent
        still_s = self._loop.time() - self._moved
        if still_s >= self._idle_s:
            self._is_silent = True
            self._interrupt()
        else:
            self._watch = self._loop.call_later(self._idle_s - still_s, self._look_for_silence, protocol)
