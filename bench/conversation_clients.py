"""The clients of `bench.conversations`: each opens a Responses socket that is told and gives messages as text.

No client opens another socket by itself: an SDK that does has forgotten the turn that was running, so it is the
application's task either way.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import websockets.asyncio.client
from openai import AsyncOpenAI, OpenAI

KEY = "sk-client"


@asynccontextmanager
async def plain(url: str) -> AsyncIterator[Any]:
    """The package websockets."""
    target = f"{url.replace('http', 'ws', 1)}/responses"
    headers = {"authorization": f"Bearer {KEY}"}
    async with websockets.asyncio.client.connect(target, additional_headers=headers, max_size=None) as socket:
        yield socket


class _Awaited:
    """A connection of `AsyncOpenAI`."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def send(self, text: str) -> None:
        await self._connection.send_raw(text)

    async def recv(self) -> bytes:
        received: bytes = await self._connection.recv_bytes()
        self._connection.parse_event(received)
        return received


class _Blocking:
    """A connection of `OpenAI`, which blocks a thread."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def send(self, text: str) -> None:
        await asyncio.to_thread(self._connection.send_raw, text)

    async def recv(self) -> bytes:
        received: bytes = await asyncio.to_thread(self._connection.recv_bytes)
        self._connection.parse_event(received)
        return received


@asynccontextmanager
async def awaited(url: str) -> AsyncIterator[_Awaited]:
    """openai-python's `AsyncOpenAI`."""
    async with AsyncOpenAI(api_key=KEY, base_url=url) as client, client.responses.connect() as connection:
        yield _Awaited(connection)


@asynccontextmanager
async def blocking(url: str) -> AsyncIterator[_Blocking]:
    """openai-python's `OpenAI`."""
    with OpenAI(api_key=KEY, base_url=url) as client:
        manager = client.responses.connect()
        connection = await asyncio.to_thread(manager.__enter__)
        try:
            yield _Blocking(connection)
        finally:
            await asyncio.to_thread(manager.__exit__, None, None, None)


CLIENTS: dict[str, Callable[[str], AbstractAsyncContextManager[Any]]] = {
    "websockets": plain,
    "async": awaited,
    "sync": blocking,
}
"""By name; each takes the base URL."""
