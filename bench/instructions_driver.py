"""`python -m bench.instructions_driver WORK N`: one kind of work, N times in one process.

Every kind is warmed up first. Run under an instruction counter with N and with none: the difference is what N times
cost, start-up cancels out.

`chat`, `hit` and `stream` are the real application: requests enter as granian hands them over (ASGI) and leave at the
`Upstream` port, which answers at once. So routing, ledger, guards, header filters, cache and log line are counted.
`upstream` is the adapter behind that port, with a provider in the same loop (whose cost is part of the count, and
always the same): the one piece that cannot do without a socket.
"""

import asyncio
import contextlib
import gc
import io
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
import yaml
from dependency_injector import providers

from adapters.telemetry.log_lines import JsonLines
from application.messages import UpstreamCall
from application.ports import Upstream
from bench.canned import CannedUpstream, LinesNowhere, NothingToShare, SteppingClock
from bench.servers.llmproxy import configuration
from bench.servers.payloads import question
from bench.servers.provider import Connection
from entrypoints.config import load_settings
from entrypoints.container import Container

Work = Callable[[], Awaitable[object]]

REQUESTS: Mapping[str, tuple[bytes, bytes]] = {
    "chat": (question(), b"bypass"),
    "hit": (question(temperature=0), b"hit"),
    "stream": (question(stream=True), b"bypass"),
}
"""What is asked, and what the cache then says of itself."""

WORKS = (*REQUESTS, "upstream")
_WARMING = 30
_PATIENCE_S = 60.0


def composed() -> tuple[Any, Upstream]:
    """What `entrypoints.http` composes: the application, but for network, wall clock and log file; and its adapter."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "llmproxy.yaml"
        path.write_text(yaml.safe_dump(configuration("http://127.0.0.1:9")), encoding="utf-8")
        parts = Container(settings=load_settings(path, {}, {}))
    upstream = parts.upstream()
    parts.upstream.override(providers.Object(CannedUpstream()))
    parts.clock.override(providers.Object(SteppingClock()))
    parts.sharing.override(providers.Object(NothingToShare()))
    logger = parts.logger()
    for handler in logger.handlers:
        handler.close()
    nowhere = LinesNowhere()
    nowhere.setFormatter(JsonLines())
    logger.handlers = [nowhere]
    return parts.app(), upstream


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


async def call(upstream: Upstream, to: UpstreamCall) -> None:
    """One call and its whole reply."""
    reply = await upstream.send(to)
    while await reply.receive():
        pass
    reply.close()


@contextlib.asynccontextmanager
async def running(app: Any) -> AsyncIterator[None]:
    """The application between its start-up and its shutdown."""
    loop = asyncio.get_running_loop()
    messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    messages.put_nowait({"type": "lifespan.startup"})
    started = loop.create_future()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "lifespan.startup.complete":
            started.set_result(None)

    task = loop.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, messages.get, send))
    await started
    yield
    messages.put_nowait({"type": "lifespan.shutdown"})
    await task


@contextlib.asynccontextmanager
async def calling(upstream: Upstream) -> AsyncIterator[Work]:
    """A call through the adapter, to a provider in this loop."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(0, 0, 1), "127.0.0.1", 0)
    to = UpstreamCall(
        method="POST",
        url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions",
        headers=(("content-type", "application/json"), ("authorization", "Bearer sk-endpoint-1")),
        body=question(),
        connect_timeout_s=_PATIENCE_S,
        first_byte_timeout_s=_PATIENCE_S,
        idle_timeout_s=_PATIENCE_S,
    )
    yield lambda: call(upstream, to)
    await upstream.close()
    server.close()


async def main() -> None:
    """Warm up, then work."""
    chosen, times = sys.argv[1], int(sys.argv[2])
    app, adapter = composed()
    async with running(app), calling(adapter) as called:
        works: dict[str, Work] = {
            "upstream": called,
            **{name: partial(ask, app, body) for name, (body, _) in REQUESTS.items()},
        }
        for name, (body, cache) in REQUESTS.items():
            for _ in range(_WARMING):
                sent = await ask(app, body)
            if sent[0]["status"] != 200 or (b"x-llmproxy-cache", cache) not in sent[0]["headers"]:
                raise RuntimeError(f"{name}: the application answered {sent[0]}")
        for _ in range(_WARMING):
            await called()
        gc.collect()
        gc.disable()  # when it runs depends on what start-up left behind
        for _ in range(times):
            await works[chosen]()


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        uvloop.run(main())
