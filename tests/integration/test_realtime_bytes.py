"""What passes a Realtime socket, byte for byte: text and binary of every size, in one frame and in many."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import websockets.asyncio.client
import websockets.asyncio.server
from openai import AsyncOpenAI, OpenAI

from tests.integration.composed import Composed, composed
from tests.integration.harness import config, endpoint

PATIENCE_S = 60
MOST_BYTES = 1_000_000
CREATED = '{"type":"session.created","event_id":"e","session":{}}'
ALPHABET = 'aZ0 \\"\t\néß€語🙂'

Message = str | bytes


def messages(seed: int, count: int) -> Sequence[Message]:
    """Of 1 byte to 1 MB, most of them small; every third is binary."""
    rng = random.Random(seed)
    sizes = [1, 125, 126, 65_535, 65_536, MOST_BYTES, *(int(10 ** rng.uniform(0, 5.7)) for _ in range(count))]
    return [
        rng.randbytes(size) if number % 3 == 2 else (ALPHABET * (size // 8 + 1))[:size]
        for number, size in enumerate(sizes)
    ]


def events(seed: int, count: int) -> Sequence[str]:
    """Deltas of text and audio, none of them written as another serializer would."""
    rng = random.Random(seed)
    sizes = [1, MOST_BYTES, *(int(10 ** rng.uniform(0, 5.5)) for _ in range(count))]
    return [
        f' {{"delta" : {json.dumps((ALPHABET * (size // 8 + 1))[:size], ensure_ascii=size % 2 == 0)},\n'
        f'"event_id":"e{number}","type":"response.output_{rng.choice(["text", "audio"])}.delta", "new": 1.50}} '
        for number, size in enumerate(sizes)
    ]


def cut(message: Message, rng: random.Random) -> Message | Sequence[Message]:
    """As it is, or in up to five fragments, empty ones among them."""
    if rng.random() < 0.5:
        return message
    ends = [0, *sorted(rng.randint(0, len(message)) for _ in range(rng.randint(0, 4))), len(message)]
    return [message[start:end] for start, end in pairwise(ends)]


class Provider:
    """Says what it is given, and keeps what it is told."""

    def __init__(self, says: Sequence[Message]) -> None:
        self.heard: list[Message] = []
        self.extensions: list[str] = []
        self._says = says

    async def serve(self, socket: websockets.asyncio.server.ServerConnection) -> None:
        assert socket.request is not None
        self.extensions += socket.request.headers.get_all("sec-websocket-extensions")
        await socket.send(CREATED)
        listening = asyncio.create_task(self._listen(socket))
        rng = random.Random(2)
        for message in self._says:
            await socket.send(cut(message, rng))
        await listening

    async def _listen(self, socket: websockets.asyncio.server.ServerConnection) -> None:
        async for message in socket:
            self.heard.append(message)


@asynccontextmanager
async def proxy_before(provider: Provider, folder: Path) -> AsyncIterator[Composed]:
    async with websockets.asyncio.server.serve(provider.serve, "127.0.0.1", 0, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with composed(folder, config([endpoint(f"http://127.0.0.1:{port}/v1")])) as proxy:
            yield proxy


async def heard_all(provider: Provider, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(provider.heard) < count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_message_arrives_as_it_was_sent_in_either_direction(tmp_path: Path, seed: int) -> None:
    down, up = messages(seed, 40), messages(seed + 100, 40)
    provider, rng = Provider(down), random.Random(seed)
    async with (
        proxy_before(provider, tmp_path) as proxy,
        asyncio.timeout(PATIENCE_S),
        websockets.asyncio.client.connect(
            f"ws://127.0.0.1:{proxy.port}/v1/realtime?model=gpt", max_size=None, compression="deflate"
        ) as socket,
    ):

        async def say() -> None:
            for message in up:
                await socket.send(cut(message, rng))

        saying = asyncio.create_task(say())
        assert await socket.recv() == CREATED
        for message in down:
            assert await socket.recv() == message
        await saying
        await heard_all(provider, len(up))
        assert socket.response is not None
        assert "sec-websocket-extensions" not in socket.response.headers, "a deflate that is offered is declined"

    assert provider.heard == up
    assert provider.extensions == [], "and none is offered to the provider"


class TestOpenAIPython:
    async def test_async(self, tmp_path: Path) -> None:
        down, up = events(3, 40), events(4, 20)
        provider = Provider(down)
        async with proxy_before(provider, tmp_path) as proxy, asyncio.timeout(PATIENCE_S):
            base = f"ws://127.0.0.1:{proxy.port}/v1"
            client = AsyncOpenAI(api_key="sk-x", websocket_base_url=base)
            async with client.realtime.connect(model="gpt") as connection:
                await connection.recv()
                got = [await connection.recv_bytes() for _ in down]
                for event in up:
                    await connection.send(json.loads(event))
                await heard_all(provider, len(up))

        assert got == [event.encode() for event in down]
        assert [json.loads(said) for said in provider.heard] == [json.loads(event) for event in up]

    @pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager:DeprecationWarning")
    async def test_sync(self, tmp_path: Path) -> None:
        down, up = events(5, 40), events(6, 20)
        provider = Provider(down)

        def talk(base: str) -> list[Any]:
            client = OpenAI(api_key="sk-x", websocket_base_url=base)
            with client.realtime.connect(model="gpt") as connection:
                connection.recv()
                got = [connection.recv_bytes() for _ in down]
                for event in up:
                    connection.send(json.loads(event))
                return got

        async with proxy_before(provider, tmp_path) as proxy, asyncio.timeout(PATIENCE_S):
            got = await asyncio.to_thread(talk, f"ws://127.0.0.1:{proxy.port}/v1")
            await heard_all(provider, len(up))

        assert got == [event.encode() for event in down]
        assert [json.loads(said) for said in provider.heard] == [json.loads(event) for event in up]
