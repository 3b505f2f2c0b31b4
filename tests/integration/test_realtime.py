"""Realtime sockets, joined to those of simulated providers: failover at the handshake, relay, limits, the end."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import pytest
import websockets.asyncio.client
from openai import AsyncAzureOpenAI, AsyncOpenAI, OpenAI
from websockets.exceptions import ConnectionClosed, InvalidStatus

from adapters.http.sockets import realtime
from application.sockets import attempt
from simulator import ProviderSettings, SimulatedProvider
from simulator.sockets import conversation
from tests.integration.composed import Composed
from tests.integration.harness import endpoint, eventually

PATIENCE_S = 30
Event = dict[str, Any]


class World(NamedTuple):
    proxy: Composed
    a: SimulatedProvider
    b: SimulatedProvider

    @property
    def leases(self) -> int:
        states = self.proxy.container.endpoint_states()
        return sum(state.in_flight for state in states.values())


class StartWorld:
    def __init__(self, folder: Any, stack: AsyncExitStack) -> None:
        self._folder, self._stack = folder, stack

    async def __call__(
        self, *, a: dict[str, Any] | None = None, b: dict[str, Any] | None = None, **general: Any
    ) -> World:
        """`a`, `b`: settings of the providers. The second is asked only where the first is not to be had."""
        first, second = [
            await self._stack.enter_async_context(SimulatedProvider(ProviderSettings(name=name, **(more or {}))))
            for name, more in (("alpha", a), ("beta", b))
        ]
        models = [endpoint(first, weight=1), endpoint(second, weight=0)]
        settings = {"model_groups": [{"model_group": "gpt", "models": models}], "general_settings": general}
        proxy = Composed(self._folder, settings)
        self._stack.push_async_callback(proxy.stop)
        await proxy.start()
        return World(proxy, first, second)


@pytest.fixture
async def start(tmp_path: Any) -> AsyncIterator[StartWorld]:
    async with AsyncExitStack() as stack:
        yield StartWorld(tmp_path, stack)


def connect(world: World, path: str = "/v1/realtime?model=gpt", **options: Any) -> Any:
    headers = {"authorization": "Bearer sk-client"} | options.pop("headers", {})
    url = f"ws://127.0.0.1:{world.proxy.port}{path}"
    return websockets.asyncio.client.connect(url, additional_headers=headers, max_size=None, **options)


async def event(socket: Any) -> Event:
    async with asyncio.timeout(PATIENCE_S):
        said: Event = json.loads(await socket.recv())
        return said


async def until(socket: Any, kind: str) -> list[Event]:
    events = [await event(socket)]
    while events[-1]["type"] != kind:
        events.append(await event(socket))
    return events


async def closed(socket: Any) -> tuple[int | None, str]:
    async with asyncio.timeout(PATIENCE_S):
        try:
            while True:
                await socket.recv()
        except ConnectionClosed:
            return socket.close_code, socket.close_reason


def ends(world: World) -> list[Any]:
    return world.proxy.log("websocket closed")


async def test_a_session_talks_through_the_proxy(start: StartWorld) -> None:
    world = await start(a={"answer_tokens": 3})

    async with connect(world) as socket:
        first = await event(socket)
        await socket.send(json.dumps({"type": "session.update", "session": {"instructions": "Be brief."}}))
        updated = await event(socket)
        await socket.send(json.dumps({"type": "response.create"}))
        events = await until(socket, "response.done")

    assert (first["type"], first["session"]["model"]) == ("session.created", "gpt-sim")
    assert updated["session"]["instructions"] == "Be brief."
    deltas = [each["delta"] for each in events if each["type"] == "response.output_audio.delta"]
    assert [len(base64.b64decode(delta)) for delta in deltas] == [conversation.AUDIO_BYTES] * 3
    assert "".join(e["delta"] for e in events if e["type"].endswith("transcript.delta")) == "alpha-0 alpha-1 alpha-2"
    await eventually(lambda: ends(world))
    (end,) = ends(world)
    assert (end["kind"], end["endpoint"], end["turns"]) == ("realtime", "gpt/1", 1)
    assert (end["close_code"], end["closed_by"]) == (1000, "peer")
    assert world.leases == 0
    (line,) = world.proxy.log()
    assert (line["api"], line["status"], line["outcome"], line["endpoint"]) == ("realtime", 101, "ok", "gpt/1")
    await eventually(lambda: world.a.records[-1].outcome == "complete")
    (record,) = world.a.records
    assert (record.path, record.header("authorization")) == (
        "/v1/realtime?model=gpt-sim",
        "Bearer sk-canary-upstream-key",
    )
