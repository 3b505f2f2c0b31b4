"""What is held for a client that hardly reads, of a provider that sends as fast as it can: on both loops, with both
upstream clients. The sockets are real, and what is counted is what the proxy's own connections hold."""

import asyncio
import gc
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from adapters.http.server.connection import Connection as ClientSide
from adapters.upstreams.http1.connection import Connection as ProviderSide
from adapters.upstreams.http1.short_reads import ShortReads
from application.caching.replay_buffer import ReplayBuffer
from tests.contracts.scripted_server import Peer, ScriptedServer
from tests.integration.composed import composed
from tests.integration.harness import config, endpoint, eventually
from tests.integration.raw_http import JSON
from tests.integration.slow_client import Client

on_both_loops = True

KIB = 1024
MOST_HELD_BYTES = 256 * KIB
MOST_BESIDE_RECORDING_BYTES = 192 * KIB
"""And an event for each client."""
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'
BURST_BYTES = 512 * KIB


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def events(peer: Peer, word: bytes) -> None:
    """A stream without end, in bursts: more at a time than a loop reads in one go."""
    one = chunk(EVENT % word)
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n", one)
    while True:
        await peer.send(one * (1 + BURST_BYTES // len(one)))


async def file(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 1000000000\r\n\r\n")
    while True:
        await peer.send(bytes(BURST_BYTES))


class Held:
    """By one proxy of one reply, for all its clients; beside its recording."""

    def __init__(self) -> None:
        there = gc.get_objects()
        self._clients = [each for each in there if isinstance(each, ClientSide) and each.cycle is not None]
        (self._provider,) = [each for each in there if isinstance(each, ProviderSide) and each._reply is not None]
        self.most = 0
        self.is_short = False

    def look(self) -> None:
        reply = self._provider._reply
        assert reply is not None
        unsent = [each.transport.get_write_buffer_size() for each in self._clients if each.transport is not None]
        protocol = self._provider.transport and self._provider.transport.get_protocol()
        buffer = len(protocol._buffer) if isinstance(protocol, ShortReads) else 0
        self.is_short = self.is_short or isinstance(protocol, ShortReads)
        self.most = max(self.most, buffer + sum(unsent) + reply.waiting_bytes)


@pytest.mark.parametrize("upstream", ["http1", "httpx"])
@pytest.mark.parametrize("kind", ["small events", "large events", "a file"])
async def test_little_is_held_for_a_client_that_hardly_reads(tmp_path: Path, upstream: str, kind: str) -> None:
    async def provider(peer: Peer) -> None:
        await (file(peer) if kind == "a file" else events(peer, b"x" * (5000 if kind == "large events" else 50)))

    path = "/v1/audio/speech" if kind == "a file" else "/v1/chat/completions"
    asked = {"model": "gpt", "messages": [{"role": "user", "content": "x"}], "input": "x", "voice": "alloy"}
    asked |= {"stream": kind != "a file"}
    async with ScriptedServer(provider) as server:
        settings = config([endpoint(server.url("/v1"))], upstream_client=upstream)
        async with composed(tmp_path, settings) as proxy, Client(proxy.port) as client:
            client.send(path, json.dumps(asked).encode(), JSON)
            await client.reader.readuntil(b"\r\n\r\n")
            held = Held()
            for _ in range(250):
                await asyncio.sleep(0.002)
                held.look()
                await client.reader.read(16 * KIB)
            assert held.is_short  # the client was too slow
            assert held.most <= MOST_HELD_BYTES
            client.leave()
            await eventually(lambda: proxy.container.held().held_bytes == 0)


@pytest.mark.parametrize("upstream", ["http1", "httpx"])
@pytest.mark.parametrize("size", [50, 5000, 100_000], ids=["small events", "large events", "huge events"])
@pytest.mark.parametrize("reading", [0, 1], ids=["alone", "beside one that reads"])
async def test_of_a_shared_stream_little_is_held_beside_the_recording_for_one_that_never_reads(
    tmp_path: Path, upstream: str, size: int, reading: int
) -> None:
    async def provider(peer: Peer) -> None:
        await events(peer, b"x" * size)

    asked = {"model": "gpt", "messages": [{"role": "user", "content": "x"}], "stream": True, "temperature": 0}
    async with ScriptedServer(provider) as server, AsyncExitStack() as stack:
        settings = config([endpoint(server.url("/v1"))], upstream_client=upstream, cache=True)
        proxy = await stack.enter_async_context(composed(tmp_path, settings))
        clients = [await stack.enter_async_context(Client(proxy.port)) for _ in range(1 + reading)]
        for client in clients:
            client.send("/v1/chat/completions", json.dumps(asked).encode(), JSON)
            await client.reader.readuntil(b"\r\n\r\n")
        held = Held()
        (recording,) = [each for each in gc.get_objects() if isinstance(each, ReplayBuffer) and each.readers]
        assert len(recording.readers) == len(clients)
        looks_behind = 50
        while looks_behind:
            await asyncio.sleep(0.002)
            held.look()
            looks_behind -= not recording.kept
            for client in clients[1:]:
                await client.reader.read(16 * KIB)
        assert held.is_short
        assert held.most - size * len(clients) <= MOST_BESIDE_RECORDING_BYTES
        for client in clients:
            client.leave()
        await eventually(lambda: proxy.container.held().held_bytes == 0)
