"""The real proxy on a real socket, composed in the test's own process: quicker than a process of its own."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from dependency_injector import providers

from adapters.telemetry.log_lines import JsonLines, TextLines
from application.ports import Upstream
from entrypoints.config.load import load_settings
from entrypoints.container import Container

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


class Lines(logging.Handler):
    """Keeps what is logged, as it would be written, in both formats."""

    def __init__(self) -> None:
        super().__init__()
        self.json: list[str] = []
        self.text: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.json.append(JsonLines().format(record))
        self.text.append(TextLines().format(record))


class Composed:
    """A proxy that serves."""

    def __init__(self, container: Container, port: int, lines: Lines) -> None:
        self.container = container
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.lines = lines

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

    def requests(self) -> list[dict[str, Any]]:
        """The log lines of requests so far."""
        return [line for line in map(json.loads, self.lines.json) if line["event"] == "request"]

    def text_of_requests(self) -> list[str]:
        """The same, as text."""
        return [line for line in self.lines.text if " request " in line]


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


@asynccontextmanager
async def composed(
    folder: Path, settings: Mapping[str, Any], client: Upstream | None = None
) -> AsyncIterator[Composed]:
    """A proxy with that configuration, on a free port; `folder` for its file. `client` None = what the configuration
    names."""
    path = folder / "llmproxy.yaml"
    path.write_text(yaml.safe_dump(dict(settings), sort_keys=False))
    container = Container(settings=load_settings(path, {}, {"bind_port": 1}))
    if client is not None:
        container.client.override(providers.Object(client))
    lines = Lines()
    logger = logging.Logger("composed")  # none that pytest knows of, which would want to format its records
    logger.addHandler(lines)
    container.logger.override(providers.Object(logger))
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    ready, stop = asyncio.Event(), asyncio.Event()
    # In a task of its own, as its scopes must be left where they were entered, which fixtures do not promise.
    serving = asyncio.create_task(_serve(container, bound, ready, stop))
    try:
        await asyncio.wait((serving, asyncio.ensure_future(ready.wait())), return_when=asyncio.FIRST_COMPLETED)
        yield Composed(container, port, lines)
    finally:
        stop.set()
        await serving
    crashes = [line for line in lines.json if "internal error" in line]
    assert not crashes, crashes


async def _serve(container: Container, bound: socket.socket, ready: asyncio.Event, stop: asyncio.Event) -> None:
    async with container.app().lifespan():
        server = container.server(bound, 1000)
        await server.start(100)
        ready.set()
        await stop.wait()
        container.in_flight().drain()
        await server.stop()
