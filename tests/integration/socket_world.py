"""A proxy over simulated providers that share nothing, and a client that talks on Responses sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import websockets.asyncio.client
from websockets.exceptions import ConnectionClosed

from simulator import SimulatedProvider
from tests.integration.composed import Composed

PATIENCE_S = 30
TERMINAL = frozenset({"response.completed", "response.failed", "response.incomplete", "error"})

Event = dict[str, Any]


class Talk:
    """One socket, from the client's side."""

    def __init__(self, socket: websockets.asyncio.client.ClientConnection) -> None:
        self.socket = socket

    async def say(self, **event: Any) -> None:
        await self.socket.send(json.dumps({"type": "response.create", "model": "gpt"} | event))

    async def event(self) -> Event:
        async with asyncio.timeout(PATIENCE_S):
            event: Event = json.loads(await self.socket.recv())
            return event

    async def until_end(self) -> Sequence[Event]:
        """All events up to one that ends a turn."""
        events = [await self.event()]
        while events[-1]["type"] not in TERMINAL:
            events.append(await self.event())
        return events

    async def turn(self, text: str = "Hello", **fields: Any) -> Sequence[Event]:
        await self.say(input=text, **fields)
        return await self.until_end()

    async def answer(self, text: str = "Hello", **fields: Any) -> Event:
        """The response of a turn that goes well."""
        last = (await self.turn(text, **fields))[-1]
        assert last["type"] == "response.completed", last
        response: Event = last["response"]
        return response

    async def close_code(self) -> int | None:
        """Waits for the end."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while True:
                    await self.socket.recv()
            except ConnectionClosed:
                return self.socket.close_code


@asynccontextmanager
async def talking(
    proxy: Composed,
    path: str = "/v1/responses",
    headers: Mapping[str, str] = {},
) -> AsyncIterator[Talk]:
    url = f"ws://127.0.0.1:{proxy.port}{path}"
    async with websockets.asyncio.client.connect(
        url, additional_headers={"authorization": "Bearer sk-client"} | dict(headers), max_size=None
    ) as socket:
        yield Talk(socket)


def text_of(response: Event) -> str:
    return "".join(part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"])


def bodies(provider: SimulatedProvider) -> list[Event]:
    """What it was asked."""
    return [json.loads(record.body) for record in provider.records if record.path.endswith("/responses")]
