"""What a socket costs of which one side never reads and the other sends as fast as it can: on both loops. All is real;
what is counted is what the proxy's own connections hold, and what Python has allocated."""

import asyncio
import gc
import socket
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.upstreams.http1.connection import Connection as ProviderSide
from adapters.upstreams.http1.short_reads import ShortReads
from adapters.websocket.connection import WebSocket
from tests.integration.composed import composed
from tests.integration.harness import config, endpoint, eventually
from tests.integration.mute_peers import Peer, Provider, opening
from tests.websocket_frames import CONT, TEXT, Frame

on_both_loops = True

KIB = 1024
MOST_BYTES = 1024 * KIB
BURST_BYTES = 512 * KIB
CREATE = b'{"type":"response.create","model":"gpt","input":"x","store":false}'
DELTA = b'{"type":"response.output_text.delta","delta":"%b"}'
INJECT = b'{"type":"response.inject","response_id":"r","input":"%b"}'
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

SAID = {
    "tiny": [Frame(TEXT, b"{}")],
    "large": [Frame(TEXT, DELTA % (b"x" * 5000))],
    "huge": [Frame(TEXT, DELTA % (b"x" * 60_000))],
    "fragments": [Frame(TEXT, b"x" * 1000, is_last=False)]
    + [Frame(CONT, b"x" * 1000, is_last=at == 400) for at in range(401)],
}
"""By the provider."""
ASKED = {"tiny": b"{}", "large": INJECT % (b"x" * 5000), "huge": INJECT % (b"x" * 60_000)}
"""By the client; nothing that begins a turn, which is a request like any."""


class Held:
    """By the two connections of one socket, and by its messages, whoever has them."""

    def __init__(self) -> None:
        there = gc.get_objects()
        self._sockets = [each for each in there if isinstance(each, WebSocket) and each._transport is not None]
        self._turns = [each for each in there if isinstance(each, ProviderSide) and each._reply is not None]
        assert len(self._sockets) + len(self._turns) == 2
        for transport in (*[each._transport for each in self._sockets], *[each.transport for each in self._turns]):
            assert transport is not None  # what the kernel keeps would have to be filled first
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * KIB)
        self.most = self.most_allocated = 0

    async def watch(self) -> None:
        gc.collect()
        tracemalloc.start()
        try:
            for _ in range(80):
                await asyncio.sleep(0.005)
                self.most = max(self.most, sum(map(_held_by, self._sockets)) + sum(map(_held_for, self._turns)))
                self.most_allocated = max(self.most_allocated, tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()


def _held_by(each: WebSocket) -> int:
    return each._held_bytes + (0 if each._transport is None else each._transport.get_write_buffer_size())


def _held_for(turn: ProviderSide) -> int:
    protocol = None if turn.transport is None else turn.transport.get_protocol()
    buffer = len(protocol._buffer) if isinstance(protocol, ShortReads) else 0
    return buffer + (0 if turn._reply is None else turn._reply.waiting_bytes)


def often(one: bytes) -> bytes:
    return one * (1 + BURST_BYTES // len(one))


def chunk(event: bytes) -> bytes:
    data = b"data: %b\n\n" % event
    return b"%x\r\n%b\r\n" % (len(data), data)


async def joined(port: int, provider: Provider, kind: str) -> tuple[Peer, Peer]:
    """A client, and the provider that it talks to."""
    client = await Peer.connected(port)
    if kind == "realtime":
        await client.send(opening("/v1/realtime?model=gpt"))
        peer = await provider.accept()
        await peer.send(Frame(TEXT, b'{"type":"session.created"}').to("client"))
        await client.head()
        return client, peer
    await client.send(opening("/v1/responses"))
    await client.head()
    await client.send(Frame(TEXT, CREATE).to("server"))
    if kind == "native":
        peer = await provider.accept()
        await peer.send(Frame(TEXT, DELTA % b"x").to("client"))
    else:
        peer = await provider.accept(STREAM, chunk(DELTA % b"x"))
    await client.take(2)
    return client, peer


@asynccontextmanager
async def talking(folder: Path, kind: str) -> AsyncIterator[Sequence[Peer]]:
    """A client and its provider, of whom nothing is held in the end."""
    provider = Provider()
    settings = config([endpoint(provider.url)], websockets="native" if kind == "native" else "bridge")
    async with composed(folder, settings) as proxy:
        peers = await joined(proxy.port, provider, kind)
        provider.close()
        try:
            yield peers
        finally:
            for peer in peers:
                await peer.leave()
        await eventually(lambda: proxy.container.held().held_bytes == 0)


@pytest.mark.parametrize("said", SAID.values(), ids=SAID.keys())
@pytest.mark.parametrize("kind", ["realtime", "native"])
async def test_a_client_that_never_reads_costs_at_most_a_mebibyte(
    tmp_path: Path, kind: str, said: Sequence[Frame]
) -> None:
    async with talking(tmp_path, kind) as (_, provider):
        flood, held = often(b"".join(frame.to("client") for frame in said)), Held()
        provider.flood(flood)
        await held.watch()
        assert held.most <= MOST_BYTES
        assert held.most_allocated <= MOST_BYTES


@pytest.mark.parametrize("event", [b"{}", *[DELTA % (b"x" * size) for size in (50, 5000, 60_000)]], ids=len)
async def test_so_does_one_whose_turns_are_bridged(tmp_path: Path, event: bytes) -> None:
    async with talking(tmp_path, "bridge") as (_, provider):
        flood, held = often(chunk(event)), Held()
        provider.flood(flood)
        await held.watch()
        assert held.most <= MOST_BYTES
        assert held.most_allocated <= MOST_BYTES


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED.keys())
@pytest.mark.parametrize("kind", ["realtime", "native", "bridge"])
async def test_a_provider_that_never_reads_costs_at_most_a_mebibyte(tmp_path: Path, kind: str, asked: bytes) -> None:
    async with talking(tmp_path, kind) as (client, _):
        flood, held = often(Frame(TEXT, asked).to("server")), Held()
        client.flood(flood)
        await held.watch()
        assert held.most <= MOST_BYTES
        assert held.most_allocated <= MOST_BYTES
