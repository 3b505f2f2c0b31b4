"""One call by an independent client: sockets of asyncio and h11, which shares no line with llhttp or the adapters.

h11 is strict where servers agree and lenient where they do not; it knows nothing of pools, deadlines or uploads.
"""

import asyncio
import ssl
from typing import NamedTuple

import h11

from application.messages import Headers
from domain.failure import FailureKind
from tests.contracts.scripted_server import PATIENCE_S, ScriptedServer

_MOST_BYTES = 10**6


class Outcome(NamedTuple):
    """What became of one call."""

    status: int
    headers: Headers
    body: bytes
    ended: str
    """`whole`, or the kind of the failure, and what an adapter says of it."""
    is_used_again: bool

    @property
    def kind(self) -> str:
        """How it ended, without the words."""
        return self.ended.split()[0]


async def by_h11(server: ScriptedServer, method: str, trusting: ssl.SSLContext | None = None) -> Outcome:
    """Send it and read all that comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trusting)
    call = _Call(reader)
    try:
        writer.write(call.request(method))
        async with asyncio.timeout(PATIENCE_S):
            ended = await call.read()
        is_used_again = ended == "whole" and await call.is_idle()
        return Outcome(call.status, call.headers, call.body, ended, is_used_again)
    finally:
        writer.transport.abort()


class _Call:
    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_BYTES)
        self._came = 0
        self._is_over = False
        self.status = 0
        self.headers: Headers = ()
        self.body = b""

    def request(self, method: str) -> bytes:
        """The same one for all."""
        head = h11.Request(method=method, target="/v1", headers=[("host", "h"), ("content-length", "2")])
        parts = [self._parser.send(each) for each in (head, h11.Data(b"{}"), h11.EndOfMessage())]
        return b"".join(part for part in parts if part)

    async def read(self) -> str:
        """How it ends."""
        try:
            while True:
                event = self._parser.next_event()
                if event is h11.NEED_DATA:
                    data = await self._reader.read(65_536)
                    self._came += len(data)
                    self._is_over = not data
                    self._parser.receive_data(data)
                elif isinstance(event, h11.Response):
                    self.status = event.status_code
                    self.headers = tuple((k.decode("latin-1"), v.decode("latin-1")) for k, v in event.headers)
                elif isinstance(event, h11.Data):
                    self.body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    return "whole"
                elif not isinstance(event, h11.InformationalResponse):
                    return self._cut()
        except ConnectionError:
            return FailureKind.RESET
        except h11.RemoteProtocolError:
            return self._cut() if self._is_over else FailureKind.JUNK

    def _cut(self) -> str:
        return FailureKind.TRUNCATED if self._came else FailureKind.RESET

    async def is_idle(self) -> bool:
        """Could another request follow? Whoever says more, or hangs up, does not wait for one."""
        if self._parser.trailing_data != (b"", False):
            return False
        try:
            self._parser.start_next_cycle()
            async with asyncio.timeout(0.002):
                await self._reader.read(1)
        except TimeoutError:
            return True
        except (h11.LocalProtocolError, ConnectionError):
            return False
        return False
