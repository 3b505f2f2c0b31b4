"""HTTP/1.1 as bytes: requests sent exactly as they are given, and one reply read off the socket."""

import asyncio
import json
from typing import Any, NamedTuple

PATIENCE_S = 30
JSON = b"content-type: application/json"


class Reply(NamedTuple):
    """One HTTP reply read off a socket. Header names in lower case."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def one(self, name: str) -> str | None:
        """None = it is not there."""
        found = self.all(name)
        assert len(found) < 2, f"{name} stands twice"
        return found[0] if found else None

    @property
    def error(self) -> dict[str, Any]:
        """Of an error body, which must have OpenAI's shape."""
        error = json.loads(self.body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return dict(error)


class RawClient:
    """Whoever listens on a port of 127.0.0.1, asked byte by byte; each request has a connection of its own."""

    port: int

    async def talk(self, raw: bytes) -> bytes:
        """What comes back until the proxy closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(PATIENCE_S):
                writer.write(raw)
                return await reader.read()
        finally:
            writer.close()

    async def ask(
        self, method: str, path: str | bytes, *headers: bytes, body: bytes = b"", host: str = "localhost"
    ) -> Reply:
        """One request, each byte of it as given."""
        target = path.encode() if isinstance(path, str) else path
        lines = [b"%b %b HTTP/1.1" % (method.encode(), target), b"connection: close", *headers]
        if host:
            lines.append(b"host: " + host.encode())
        if body:
            lines.append(b"content-length: %d" % len(body))
        return parsed(await self.talk(b"\r\n".join([*lines, b"", body])))


def parsed(raw: bytes) -> Reply:
    """One reply; its chunks put together."""
    head, _, body = raw.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    if ("transfer-encoding", "chunked") in headers:
        body = b"".join(_chunks(body))
    return Reply(int(status_line.split()[1]), headers, body)


def _chunks(body: bytes) -> list[bytes]:
    found = []
    while body:
        size, _, body = body.partition(b"\r\n")
        found.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
    return found
