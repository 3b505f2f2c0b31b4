"""A turn that fails before any content, and that no endpoint does better with: over HTTP, bridged and native the client
reads the same last word of the provider."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from simulator import ProviderSettings, SimulatedProvider
from tests.integration.composed import Composed
from tests.integration.harness import endpoint
from tests.integration.socket_world import Event, talking

ABOUT_THE_REQUEST = ["context_length_exceeded", "invalid_prompt", "cyber_policy_violation"]
OF_ACCOUNTS_AND_UNKNOWN = ["insufficient_quota", "a_code_of_tomorrow"]


def failed(code: str) -> Event:
    error = {"code": code, "message": "Said by the provider."}
    response = {"id": "resp_1", "object": "response", "status": "failed", "output": [], "error": error}
    return {"type": "response.failed", "sequence_number": 1, "response": response}


class World:
    """Two endpoints in a bridged and in a native group."""

    def __init__(self, proxy: Composed, providers: list[SimulatedProvider]) -> None:
        self.proxy = proxy
        self.providers = providers

    def says(self, said: Event, mode: str) -> None:
        """All endpoints, in place of the first turn's content."""
        text = json.dumps(said)
        over_http = {"kind": "stream_error", "after_events": 1, "frame": f"event: {said['type']}\ndata: {text}\n\n"}
        on_socket = {"kind": "socket", "turn": 1, "then": "end_turn", "frame": text}
        for each in self.providers:
            each.set_faults([{"action": on_socket if mode == "native" else over_http}])

    def recover(self) -> None:
        for each in self.providers:
            each.set_faults([])

    async def over_http(self) -> Event:
        """The last event of a stream."""
        url, body = (
            f"http://127.0.0.1:{self.proxy.port}/v1/responses",
            {"model": "bridge", "input": "x", "stream": True},
        )
        async with aiohttp.ClientSession() as http, http.post(url, json=body) as reply:
            assert reply.status == 200
            last: Event = json.loads((await reply.text()).strip().rpartition("data: ")[2])
            return last


@pytest.fixture
async def world(tmp_path: Any) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        providers = [
            await stack.enter_async_context(SimulatedProvider(ProviderSettings(name=name))) for name in ("a", "b")
        ]
        groups = [
            {"model_group": mode, "websockets": mode, "models": [endpoint(each) for each in providers]}
            for mode in ("bridge", "native")
        ]
        proxy = Composed(tmp_path, {"model_groups": groups})
        stack.push_async_callback(proxy.stop)
        await proxy.start()
        yield World(proxy, providers)


@pytest.mark.parametrize("mode", ["bridge", "native"])
@pytest.mark.parametrize("lane", ["", "a"])
@pytest.mark.parametrize("code", ABOUT_THE_REQUEST + OF_ACCOUNTS_AND_UNKNOWN)
async def test_a_response_that_failed_is_told_in_the_providers_words(
    world: World, mode: str, lane: str, code: str
) -> None:
    named = {"stream_id": lane} if lane else {}
    world.says(failed(code) | (named if mode == "native" else {}), mode)
    async with talking(world.proxy) as talk:
        await talk.say(input="Hello", model=mode, **named)
        told = (await talk.until_end())[-1]

    assert told == failed(code) | named


@pytest.mark.parametrize("code", ABOUT_THE_REQUEST + OF_ACCOUNTS_AND_UNKNOWN)
async def test_over_http_it_is_the_same(world: World, code: str) -> None:
    world.says(failed(code), "bridge")

    assert await world.over_http() == failed(code)


@pytest.mark.parametrize("mode", ["bridge", "native"])
async def test_what_is_wrong_with_a_request_leaves_the_socket_for_the_next(world: World, mode: str) -> None:
    world.says(failed("context_length_exceeded"), mode)
    async with talking(world.proxy) as talk:
        first = await talk.turn("Too long", model=mode)
        world.recover()
        await talk.answer("Shorter", model=mode)

    assert first[-1] == failed("context_length_exceeded")
    records = [record for each in world.providers for record in each.records]
    assert len(records) == (2 if mode == "bridge" else 1), "a native socket stays joined to the one it has"


async def test_the_first_error_on_a_providers_socket_keeps_its_status_and_its_request_id(world: World) -> None:
    error = {"type": "invalid_request_error", "code": "invalid_value", "message": "No.", "param": "input"}
    world.says({"type": "error", "status": 422, "error": error, "headers": {"x-request-id": "req_theirs"}}, "native")
    async with talking(world.proxy) as talk:
        (told,) = await talk.turn("Hello", model="native")

    assert (told["type"], told["status"]) == ("error", 422)
    assert error.items() <= told["error"].items()
    assert told["headers"]["x-request-id"] == "req_theirs"
