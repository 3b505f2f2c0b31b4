"""`python -m bench.instructions_driver WORK N`: the real application, asked N times in one process without any socket.

Every kind of work is warmed up first. Run under an instruction counter with N and with none: the difference is what N
requests cost, start-up cancels out.
Requests enter as granian hands them over (ASGI) and leave at the `Upstream` port, which answers at once; so routing,
ledger, guards, header filters, cache and log line are counted, the HTTP server and the HTTP client are not.
"""

import asyncio
import contextlib
import gc
import io
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop
import yaml
from dependency_injector import providers

from adapters.telemetry.log_lines import JsonLines
from application.messages import Headers, UpstreamCall
from bench.servers.llmproxy import configuration
from bench.servers.payloads import FIRST_EVENT, LAST_EVENTS, REPLY, REPLY_HEADERS, TOKEN_EVENT, question
from entrypoints.config import load_settings
from entrypoints.container import Container

_EVENTS = 100
WORKS: dict[str, tuple[bytes, str]] = {
    "chat": (question(), "bypass"),
    "hit": (question(temperature=0), "hit"),
    "stream": (question(stream=True), "bypass"),
}
"""What is asked, and what the cache then says of itself. A stream has a hundred events between its first and last."""

_WARMING = 30
_JSON_HEADERS: Headers = (("content-type", "application/json"), *REPLY_HEADERS.items())
_SSE_HEADERS: Headers = (("content-type", "text/event-stream"), *REPLY_HEADERS.items())


class CannedReply:
    """A reply whose pieces are there already."""

    status = 200

    def __init__(self, headers: Headers, pieces: list[bytes]) -> None:
        self.headers = headers
        self._pieces = pieces

    async def receive(self) -> bytes:
        """The next piece."""
        return self._pieces.pop() if self._pieces else b""

    def close(self) -> None:
        """There is nothing to let go of."""


class CannedUpstream:
    """The `Upstream` port without a network."""

    async def send(self, call: UpstreamCall) -> CannedReply:
        """Answers at once."""
        if isinstance(call.body, bytes) and b'"stream":true' in call.body:
            return CannedReply(_SSE_HEADERS, [LAST_EVENTS, *([TOKEN_EVENT] * _EVENTS), FIRST_EVENT])
        return CannedReply(_JSON_HEADERS, [REPLY])

    async def close(self) -> None:
        """There is nothing to close."""


class LinesNowhere(logging.Handler):
    """Formats each line as it would be written, in the same thread: one that waits for others is not repeatable."""

    def emit(self, record: logging.LogRecord) -> None:
        """Format it."""
        self.format(record)


def application() -> Any:
    """The application as `entrypoints.http` composes it, but for network and log file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "llmproxy.yaml"
        path.write_text(yaml.safe_dump(configuration("http://127.0.0.1:9")), encoding="utf-8")
        settings = load_settings(path, {}, {})
    container = Container(settings=settings)
    container.upstream.override(providers.Object(CannedUpstream()))
    logger = container.logger()
    for handler in logger.handlers:
        handler.close()
    handler = LinesNowhere()
    handler.setFormatter(JsonLines())
    logger.handlers = [handler]
    return container.app()


async def ask(app: Any, body: bytes) -> list[dict[str, Any]]:
    """One request, as granian would hand it over; what the application sent."""
    sent: list[dict[str, Any]] = []
    incoming = [{"type": "http.request", "body": body, "more_body": False}]
    left = asyncio.get_running_loop().create_future()

    async def receive() -> Any:
        return incoming.pop() if incoming else await left

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/chat/completions",
        "raw_path": b"/v1/chat/completions",
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"127.0.0.1:4000"),
            (b"content-type", b"application/json"),
            (b"authorization", b"Bearer sk-bench"),
            (b"accept", b"application/json"),
            (b"user-agent", b"OpenAI/Python 2.0.0"),
            (b"content-length", b"%d" % len(body)),
        ],
        "server": ("127.0.0.1", 4000),
        "client": ("127.0.0.1", 50000),
        "state": {},
        "extensions": {},
    }
    await app(scope, receive, send)
    return sent


@contextlib.asynccontextmanager
async def running(app: Any) -> Any:
    """The application between its start-up and its shutdown."""
    loop = asyncio.get_running_loop()
    stop, started = loop.create_future(), loop.create_future()
    messages: list[Callable[[], Any]] = [lambda: stop, lambda: _ready({"type": "lifespan.startup"})]

    async def receive() -> Any:
        return await messages.pop()()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "lifespan.startup.complete":
            started.set_result(None)

    task = loop.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send))
    await started
    yield
    stop.set_result({"type": "lifespan.shutdown"})
    await task


async def _ready(value: Any) -> Any:
    return value


def checked(sent: list[dict[str, Any]], cache: str) -> None:
    """Raises `RuntimeError` when what is counted is not what was meant."""
    headers = dict(sent[0]["headers"])
    if sent[0]["status"] != 200 or headers[b"x-llmproxy-cache"] != cache.encode():
        raise RuntimeError(f"the application answered {sent[0]}")


async def main() -> None:
    work, times = sys.argv[1], int(sys.argv[2])
    app = application()
    async with running(app):
        for body, cache in WORKS.values():
            for _ in range(_WARMING):
                sent = await ask(app, body)
            checked(sent, cache)
        gc.collect()
        gc.disable()  # when it runs depends on what start-up left behind
        for _ in range(times):
            await ask(app, WORKS[work][0])


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        uvloop.run(main())
