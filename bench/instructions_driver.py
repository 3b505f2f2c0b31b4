"""`python -m bench.instructions_driver WORK N`: one kind of work, N times in one process.

Every kind is warmed up first. Run under an instruction counter with N and with none: the difference is what N times
cost, start-up cancels out.

`chat`, `hit`, `stream` and `priced` (a chat at endpoints with prices) are the real application: requests enter as bytes
off a connection, and leave at the `Upstream` port, which answers at once. So parsing, guards, routing, ledger, header
filters, cache and log line count.
`upstream` is the adapter behind that port, with a provider in the same loop (whose cost is part of the count, and
always the same): the one piece that cannot do without a socket.
"""

import asyncio
import contextlib
import gc
import io
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvloop
import yaml
from dependency_injector import providers

from adapters.http.server.connection import Connection as Inbound
from adapters.http.server.http_server import HttpServer
from adapters.telemetry.log_lines import JsonLines
from application.messages import UpstreamCall
from application.observing.request_counts import MANY, RequestCounts
from application.ports import Upstream
from bench.canned import CannedUpstream, LinesNowhere, NothingToShare, SteppingClock
from bench.servers.llmproxy import configuration
from bench.servers.payloads import question
from bench.servers.provider import Connection
from entrypoints.config.load import load_settings
from entrypoints.container import Container

Work = Callable[[], Awaitable[object]]

PRICED = "gpt-4o-priced"
_PRICE = {"input": 2.5, "cached_input": 1.25, "output": 10}

REQUESTS: Mapping[str, tuple[bytes, bytes]] = {
    "chat": (question(), b"bypass"),
    "hit": (question(temperature=0), b"hit"),
    "stream": (question(stream=True), b"bypass"),
    "priced": (question(model=PRICED), b"bypass"),
}
"""What is asked, and what the cache then says of itself."""

WORKS = (*REQUESTS, "upstream")
COUNTING = {"counting chats": "chat", "counting hits": "hit"}
"""What metrics take of requests of that kind, for `MANY` at a time."""
_WARMING = 30
_PATIENCE_S = 60.0


def composed() -> tuple[HttpServer, Upstream, RequestCounts]:
    """What `entrypoints.http` composes: the server, but for network, wall clock and log file; the adapter, and what
    counts requests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "llmproxy.yaml"
        path.write_text(yaml.safe_dump(with_prices(configuration("http://127.0.0.1:9"))), encoding="utf-8")
        parts = Container(settings=load_settings(path, {}, {}))
    parts.clock.override(providers.Object(SteppingClock()))  # first: what is built before keeps another
    upstream = parts.upstream()
    parts.upstream.override(providers.Object(CannedUpstream()))
    parts.sharing.override(providers.Object(NothingToShare()))
    parts.recent.override(providers.Object(NothingToShare()))  # it looks once a second, which is long for valgrind
    logger = parts.logger()
    for handler in logger.handlers:
        handler.close()
    nowhere = LinesNowhere()
    nowhere.setFormatter(JsonLines())
    logger.handlers = [nowhere]
    return parts.server(socket.socket(), 1), upstream, parts.counts()


def with_prices(settings: dict[str, Any]) -> dict[str, Any]:
    """Its group once more, with prices that differ, so that each reply is also held against the dearer one."""
    (plain,) = settings["model_groups"]
    models = [
        {**model, "price": {kind: amount * model["weight"] for kind, amount in _PRICE.items()}}
        for model in plain["models"]
    ]
    return {**settings, "model_groups": [plain, {"model_group": PRICED, "models": models}]}


class Wire:
    """A client's connection without a socket: one request at a time goes in, and its reply is kept."""

    def __init__(self, server: HttpServer) -> None:
        self._connection = Inbound(server)
        self._answered: asyncio.Future[bytes] | None = None
        self._pieces: list[bytes] = []
        self._connection.connection_made(cast("asyncio.Transport", self))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See `asyncio.WriteTransport`: everything is taken at once."""

    def ask(self, request: bytes) -> Awaitable[bytes]:
        """The reply, head and body."""
        self._pieces = []
        self._answered = asyncio.get_running_loop().create_future()
        self._connection.data_received(request)
        return self._answered

    # The transport.

    def write(self, data: bytes) -> None:
        """As `asyncio.Transport`."""
        self._pieces.append(data)
        # `in` costs the proxy's count twice what `find` does, before Python 3.12.
        is_whole = data.endswith(b"0\r\n\r\n") or self._pieces[0].find(b"\r\ncontent-length: ") >= 0
        if is_whole and self._answered is not None and not self._answered.done():
            self._answered.set_result(b"".join(self._pieces))

    def is_closing(self) -> bool:
        """As `asyncio.Transport`."""
        return False

    def get_extra_info(self, name: str) -> object:
        """As `asyncio.Transport`."""
        return ("127.0.0.1", 50000) if name in {"peername", "sockname"} else None


def request(body: bytes) -> bytes:
    """As a client sends it."""
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:4000\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer sk-bench\r\nAccept: application/json\r\nUser-Agent: OpenAI/Python 2.0.0\r\n"
    )
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


async def call(upstream: Upstream, to: UpstreamCall) -> None:
    """One call and its whole reply."""
    reply = await upstream.send(to)
    while await reply.receive():
        pass
    reply.close()


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


def counting(counts: RequestCounts, kind: str) -> Work:
    """Requests of that kind were answered well, as many as are counted at once."""
    is_hit = kind == "hit"
    known = [it for it in counts.went_well if not it.stream and (it.cache == "hit") is is_hit and it.group != PRICED]
    records = (known * MANY)[:MANY]

    async def count() -> None:
        for record in records:
            counts.went_well.append(record)
            counts.ended.append(0.0)
        counts.tick()

    return count


async def main() -> None:
    """Warm up, then work."""
    chosen, times = sys.argv[1], int(sys.argv[2])
    server, adapter, counts = composed()
    async with server.app.lifespan(), calling(adapter) as called:
        wire = Wire(server)
        works: dict[str, Work] = {
            "upstream": called,
            **{name: partial(wire.ask, request(body)) for name, (body, _) in REQUESTS.items()},
        }
        for name, (body, cache) in REQUESTS.items():
            for _ in range(_WARMING):
                reply = await wire.ask(request(body))
            if not reply.startswith(b"HTTP/1.1 200 OK\r\n") or b"x-llmproxy-cache: %b\r\n" % cache not in reply:
                raise RuntimeError(f"{name}: the proxy answered {reply!r}")
        for _ in range(_WARMING):
            await called()
        works |= {name: counting(counts, kind) for name, kind in COUNTING.items()}
        counts.counted()
        for name in COUNTING:
            await works[name]()
        gc.collect()
        gc.disable()  # when it runs depends on what start-up left behind
        for _ in range(times):
            await works[chosen]()


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        uvloop.run(main())
