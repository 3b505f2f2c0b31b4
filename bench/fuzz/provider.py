"""The provider behind the proxy: the simulated one, which is well, and tells the judge of each request that it gets."""

import asyncio
import re
import socket
import traceback
from collections.abc import Callable

import h11

from simulator import ProviderSettings, SimulatedProvider
from simulator.calls import Call, Request
from simulator.protocol.reply import Reply
from simulator.wire.connection import Connection

TOKEN = re.compile(rb"fz[0-9a-f]{16}")
SEEN = b"x-fuzz-seen"


class TappedConnection(Connection):
    """Has h11 read along, which forgives less than llhttp."""

    def __init__(self, owner: "WatchedProvider") -> None:
        super().__init__(owner)
        self._watched = owner
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=10**7)
        self._h11_is_over = False
        self.by_other: list[tuple[bytes, bytes, bytes]] = []
        self._h11_line: tuple[bytes, bytes] = (b"", b"")
        self._h11_body = b""

    def data_received(self, data: bytes) -> None:
        if not self._h11_is_over:
            try:
                self._read_along(data)
            except h11.RemoteProtocolError as error:
                self._h11_is_over = True
                self._watched.tell_odd(f"h11 cannot read what the proxy sends: {error}: {data[:300]!r}")
        super().data_received(data)

    def _read_along(self, data: bytes) -> None:
        other = self._h11
        other.receive_data(data)
        while True:
            event = other.next_event()
            if isinstance(event, h11.Request):
                self._h11_line, self._h11_body = (event.method, event.target), b""
                self._h11_is_over = any(name == b"upgrade" for name, _ in event.headers)
                if self._h11_is_over:
                    return
            elif isinstance(event, h11.Data):
                self._h11_body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self.by_other.append((*self._h11_line, self._h11_body))
                other.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                other.send(h11.EndOfMessage())
                if other.our_state is h11.MUST_CLOSE:
                    self._h11_is_over = True
                    return
                other.start_next_cycle()
            else:
                return


class WatchedProvider(SimulatedProvider):
    """`told` is called for each request; `tell_odd` for what no request should be."""

    def __init__(self, told: Callable[[Request], None], tell_odd: Callable[[str], None]) -> None:
        super().__init__(ProviderSettings(name="well"))
        self._told = told
        self.tell_odd = tell_odd
        self.requests = 0

    async def _listen(self, sock: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: TappedConnection(self), sock=sock, backlog=4096)

    def received(self, connection: Connection, request: Request) -> None:
        self.requests += 1
        if isinstance(connection, TappedConnection) and connection.by_other:
            method, target, body = connection.by_other.pop(0)
            if (method.decode(), target.decode("latin-1"), body) != (request.method, request.target, request.body):
                self.tell_odd(f"h11 reads {method!r} {target!r}, llhttp {request.method} {request.target}")
        try:
            self._told(request)
            super().received(connection, request)
        except Exception:  # which llhttp would hide
            self.tell_odd(f"the provider or the judge broke: {traceback.format_exc(limit=-3)}")
            raise

    def _reply(self, call: Call) -> Reply:
        """Says for whom it is."""
        reply = super()._reply(call)
        seen = TOKEN.search(said(call.request))
        if seen is not None:
            reply.headers += b"%b: %b\r\n" % (SEEN, seen[0])
        return reply


def said(request: Request) -> bytes:
    """All of a request in which a token may stand."""
    return b"\n".join([request.target.encode("latin-1"), *(value for _, value in request.headers), request.body])
