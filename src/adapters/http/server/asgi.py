"""Between the server's own interface and ASGI's: for applications that speak nothing else, and for parts of ours."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from adapters.http.server.client import CLIENT, Application, Client
from adapters.http.server.reply_head import whole_head
from adapters.http.server.request.head import RequestHead


def scope_of(client: Client) -> dict[str, Any]:
    """The request as ASGI describes it. It holds on to the client, which must not hold on to it."""
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
        "extensions": {CLIENT: client},
    }


class AsgiApplication:
    """An ASGI application as the server wants it."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def begin(self, client: Client) -> Awaitable[None]:
        """See `Application`."""
        waits: Awaitable[None] = self._app(scope_of(client), client.receive, client.send)
        return waits


class AsgiClient:
    """A client behind a server that speaks nothing but ASGI, which says that it has left to whoever asks for more of
    its body: as soon as all of that is here, a task does."""

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
        self.added: Sequence[tuple[bytes, bytes]] = ()
        self.addresses = {name: scope.get(name) for name in ("type", "asgi", "scheme", "root_path", "client", "server")}
        self._receive = receive
        self._send = send
        self._tell: Callable[[], None] | None = None
        self._is_all_here = False
        self._watch: asyncio.Task[None] | None = None

    async def receive(self) -> Any:
        """ASGI's."""
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._is_all_here = True
            self.when_gone(self._tell)
        return message

    def when_gone(self, tell: Callable[[], None] | None) -> None:
        """See `Client`."""
        self._tell = tell
        if tell is None:
            self.close()
        elif self._is_all_here and self._watch is None:
            self._watch = asyncio.ensure_future(self._wait_for_its_leaving())

    def close(self) -> None:
        """Its request is answered."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def _wait_for_its_leaving(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._tell is not None:
            self._tell()

    def body_now(self) -> bytes | None:
        """It always has to be received."""
        return None

    async def send(self, message: dict[str, Any]) -> None:
        """ASGI's."""
        if "headers" in message:
            message = {**message, "headers": [*message["headers"], *self.added]}
        await self._send(message)

    def reply(self, status: int, fields: Sequence[str], body: bytes) -> Awaitable[None]:
        """All of the reply."""
        whole_head(status, fields, is_http10=False, keeps=True)  # raises for what cannot be sent
        pairs = [(name.encode(), value.encode("latin-1")) for name, _, value in [f.partition(": ") for f in fields]]
        return self._reply(status, pairs, body)

    async def _reply(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def put(self, piece: bytes) -> None:
        """A piece of the body, and more follows."""
        await self.send({"type": "http.response.body", "body": piece, "more_body": True})


async def answered(app: Application, scope: Any, receive: Any, send: Any) -> None:
    """An application of ours as an ASGI server calls it."""
    client = AsgiClient(scope, receive, send)
    try:
        waits = app.begin(client)
        if waits is not None:
            await waits
    finally:
        client.close()
