"""What the proxy does not understand passes through it: bodies of any size, both ways, and neither is held."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI

from tests.contracts.scripted_server import PATIENCE_S, Peer, Script, ScriptedServer, answering, chunked, reply
from tests.integration.conftest import StartProxy
from tests.integration.harness import Proxy, config, endpoint, eventually

MEGABYTE = 1024 * 1024
LARGE = 100 * MEGABYTE
PIECE = bytes(range(256)) * 256
JSON = "content-type: application/json"
WAV = "audio.wav", b"RIFF" + bytes(100_000), "audio/wav"
NOTHING_FOUND = reply(b'{"error":{"message":"No such File","type":"invalid_request_error"}}', JSON, status="404 Not")

StartUpstream = Callable[..., Awaitable[ScriptedServer]]


@pytest.fixture
async def start_upstream() -> AsyncIterator[StartUpstream]:
    """Starts a server that follows scripts."""
    async with AsyncExitStack() as stack:

        async def start(*scripts: Script) -> ScriptedServer:
            return await stack.enter_async_context(ScriptedServer(*scripts))

        yield start


def at(upstream: ScriptedServer, **changes: Any) -> dict[str, Any]:
    return endpoint(upstream.url("/v1"), **changes)


def two_groups(first: ScriptedServer, second: ScriptedServer, **general: Any) -> dict[str, Any]:
    """Groups `gpt` and `whisper`, whose models are called otherwise at their endpoints."""
    groups = [
        {"model_group": "gpt", "models": [at(first)]},
        {"model_group": "whisper", "models": [at(second, model="whisper-at-home")]},
    ]
    return {"model_groups": groups, "general_settings": general}


def client(proxy: Proxy, **options: Any) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="sk-client", **{"max_retries": 0} | options)


async def raw(proxy: Proxy, head: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request on a socket of its own, without its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=MEGABYTE)
    writer.write(f"{head}\r\nhost: 127.0.0.1\r\n\r\n".encode())
    return reader, writer


def memory_kb(proxy: Proxy, field: str) -> int:
    """`VmRSS` (now) or `VmHWM` (the most there ever was) of all workers."""
    lines = [line for pid in proxy.worker_pids() for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def fields_of(body: bytes) -> dict[str, bytes]:
    """A multipart form, read by its own boundary."""
    parts = body.split(body[: body.index(b"\r\n")])[1:-1]
    heads = [part.partition(b"\r\n\r\n") for part in parts]
    return {head.split(b'name="')[1].split(b'"')[0].decode(): value[:-2] for head, _, value in heads}


# Size.


async def counting(peer: Peer) -> None:
    """Reads a body to its end without keeping it, and says how long it was."""
    while True:
        head = await peer.head()
        left = next(int(value) for name, value in head.headers if name.lower() == b"content-length")
        size = left
        while left:
            left -= len(await peer.take(min(left, 65_536)))
        await peer.send(reply(b'{"size":%d}' % size, JSON))


async def pouring(peer: Peer) -> None:
    """A large download: of known length, or in chunks."""
    while True:
        request = await peer.request()
        known = b"known" in request.line
        framing = f"content-length: {LARGE}" if known else "transfer-encoding: chunked"
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n{framing}\r\n"
        await peer.send(f'{head}content-disposition: attachment; filename="a.bin"\r\n\r\n'.encode())
        for _ in range(LARGE // len(PIECE)):
            await peer.send(PIECE if known else b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
        if not known:
            await peer.send(b"0\r\n\r\n")


async def test_a_hundred_megabytes_go_up_in_a_few(
    start_upstream: StartUpstream, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    proxy = await start_proxy(config([at(await start_upstream(counting))]))

    async def pieces(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // len(PIECE)):
            yield PIECE

    async def upload(size: int) -> Any:
        headers = {"content-type": "application/octet-stream", "content-length": str(size)}
        async with http.post(f"{proxy.url}/v1/files", data=pieces(size), headers=headers) as answer:
            return await answer.json()

    await upload(MEGABYTE)
    before = memory_kb(proxy, "VmRSS")

    assert await upload(LARGE) == {"size": LARGE}
    assert memory_kb(proxy, "VmHWM") - before < 20 * 1024
    await eventually(lambda: proxy.log() and proxy.log()[-1]["bytes_in"] == LARGE)


@pytest.mark.parametrize("length", ["known", "unknown"])
async def test_a_hundred_megabytes_come_down_in_a_few(
    start_upstream: StartUpstream, start_proxy: StartProxy, http: aiohttp.ClientSession, length: str
) -> None:
    small = reply(bytes(MEGABYTE), "content-type: application/octet-stream")
    proxy = await start_proxy(config([at(await start_upstream(answering(small), pouring))]))
    async with http.get(f"{proxy.url}/v1/files/small/content") as answer:
        await answer.read()
    (await start_upstream(answering(small))).peers.clear()
    before = memory_kb(proxy, "VmRSS")
    size = 0
    async with http.get(f"{proxy.url}/v1/files/{length}/content", headers={"connection": "close"}) as answer:
        async for piece in answer.content.iter_any():
            size += len(piece)
            if size < 10 * MEGABYTE:
                await asyncio.sleep(0.01)  # the proxy must not run ahead of a slow reader

    assert size == LARGE
    assert memory_kb(proxy, "VmHWM") - before < 20 * 1024
    assert answer.headers.get("content-length") == (str(LARGE) if length == "known" else None)
    assert answer.headers["content-disposition"] == 'attachment; filename="a.bin"'
