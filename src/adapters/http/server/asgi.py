"""Between the server's own interface and ASGI's: for parts of ours that speak ASGI, and for servers that do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from adapters.http.server.client import Application, Client, Guest
from adapters.http.server.reply_head import Fields, reply_head
from adapters.http.server.request.head import RequestHead


def addresses_of(transport: asyncio.BaseTransport) -> dict[str, Any]:
    """What every scope of a connection begins with; an address of None = it is not known."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "scheme": "http",
        "root_path": "",
        "client": _address(transport.get_extra_info("peername")),
        "server": _address(transport.get_extra_info("sockname")),
    }


def _address(name: Any) -> tuple[str, int] | None:
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None


def scope_of(client: Client) -> dict[str, Any]:
    """The request as ASGI describes it."""
    head = client.head
    headers = head.headers
    if head.has_length:
        headers = [*headers, (b"content-length", b"%d" % (client.length or 0))]
    return {
        **client.addresses,
        "http_version": head.http_version,
        "method": head.method,
        "path": head.path,
        "raw_path": head.raw_path,
        "query_string": head.query_string,
        "headers": headers,
        "state": {},
        "extensions": {},
    }


class AsgiClient:
    """A client behind a server that speaks nothing but ASGI, which says that it has left only to whatever asks for more
    of its body: as soon as all of that is here, a task does."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        raw_path = scope.get("raw_path") or scope["path"].encode()
        headers = [pair for pair in scope["headers"] if pair[0] != b"content-length"]
        announced = dict(scope["headers"]).get(b"content-length")
        version = scope["http_version"]
        self.head = RequestHead(
            scope["method"],
            version if version == "1.0" else "1.1",
            raw_path,
            scope["path"],
            scope["query_string"],
            headers,
            keeps=True,
            has_length=announced is not None,
        )
        self.length = int(announced) if announced is not None else None if self.head.is_chunked else 0
        self.added: Fields = ()
        self.sent_bytes = 0
        self.task = asyncio.current_task()
        self.addresses = {name: scope.get(name) for name in ("type", "asgi", "scheme", "root_path", "client", "server")}
        self._receive = receive
        self._send = send
        self._unsent: list[dict[str, Any]] = []
        self._tell: Callable[[], None] | None = None
        self._is_all_here = False
        self._watch: asyncio.Task[None] | None = None

    async def receive(self) -> Any:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._is_all_here = True
            self.on_disconnect(self._tell)
        return message

    def on_disconnect(self, tell: Callable[[], None] | None) -> None:
        self._tell = tell
        if tell is None:
            self.close()
        elif self._is_all_here and self._watch is None:
            self._watch = asyncio.ensure_future(self._wait_for_disconnect())

    def close(self) -> None:
        """Its request is answered."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def _wait_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._tell is not None:
            self._tell()

    def body_now(self) -> bytes | None:
        """It always has to be received."""
        return None

    def reply(self, status: int, fields: Fields, body: bytes) -> Awaitable[None] | None:
        self.start(status, fields)
        self.sent_bytes = len(body)
        self._unsent.append({"type": "http.response.body", "body": body, "more_body": False})
        return self.drain()

    def start(self, status: int, fields: Fields) -> None:
        reply_head(status, fields, is_http10=False, keeps=True)  # raises for what cannot be sent
        parted = [field.partition(": ") for field in (*fields, *self.added)]
        headers = [(name.encode(), value.encode("latin-1")) for name, _, value in parted]
        self._unsent.append({"type": "http.response.start", "status": status, "headers": headers})

    def send_chunk(self, piece: bytes) -> bool:
        self.sent_bytes += len(piece)
        self._unsent.append({"type": "http.response.body", "body": piece, "more_body": True})
        return False

    def send_framed(self, _framed: bytes, _line: bytes, _size: int, /) -> bool:
        """See `Client`: the ASGI server frames what it is given."""
        return False

    def finish(self) -> None:
        self._unsent.append({"type": "http.response.body", "body": b"", "more_body": False})

    def switch(self, fields: Fields, guest: Guest) -> bool:
        """See `Client`; no request of ASGI's `http` upgrades."""
        raise NotImplementedError

    def drain(self) -> Awaitable[None] | None:
        return self._send_all() if self._unsent else None

    async def _send_all(self) -> None:
        unsent, self._unsent = self._unsent, []
        for message in unsent:
            await self._send(message)


async def answered(app: Application, scope: Any, receive: Any, send: Any) -> None:
    """An application of ours as an ASGI server calls it."""
    client = AsgiClient(scope, receive, send)
    try:
        waits = app.begin(client)
        if waits is not None:
            await waits
    finally:
        client.close()
