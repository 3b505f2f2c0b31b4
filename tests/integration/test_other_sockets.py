"""Sockets at paths that the proxy does not understand, such as those of the Live API: relayed to whom the path, the
query or the configuration means."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
import websockets.asyncio.client
import websockets.asyncio.server
from websockets.exceptions import ConnectionClosed, InvalidStatus

from simulator import ProviderSettings, SimulatedProvider
from tests.integration.composed import Composed
from tests.integration.harness import config, endpoint, eventually

PATIENCE_S = 30


class World:
    """Two accounts: of the group `gpt` there is one endpoint at each, of `other` one at the second."""

    def __init__(self, folder: Any, stack: AsyncExitStack, providers: list[SimulatedProvider]) -> None:
        self._folder, self._stack = folder, stack
        self.a, self.b = providers

    async def serve(self, **general: Any) -> None:
        groups = [
            {"model_group": "gpt", "models": [endpoint(self.a, weight=1), endpoint(self.b, weight=0)]},
            {"model_group": "other", "models": [endpoint(self.b, model="gpt-other")]},
        ]
        settings = {"model_groups": groups, "general_settings": general}
        self.proxy = Composed(self._folder, settings)
        self._stack.push_async_callback(self.proxy.stop)
        await self.proxy.start()

    @property
    def leases(self) -> int:
        return sum(state.in_flight for state in self.proxy.container.endpoint_states().values())

    def connect(self, path: str, **options: Any) -> Any:
        headers = {"authorization": "Bearer sk-client"} | options.pop("headers", {})
        url = f"ws://127.0.0.1:{self.proxy.port}{path}"
        return websockets.asyncio.client.connect(url, additional_headers=headers, max_size=None, **options)

    async def first_words(self, path: str) -> str:
        """What the provider says first when it was spoken to."""
        async with self.connect(path) as socket, asyncio.timeout(PATIENCE_S):
            await socket.send(json.dumps({"type": "session.update", "session": {}}))
            kind: str = json.loads(await socket.recv())["type"]
            return kind

    async def refused(self, status: int, path: str, **options: Any) -> Any:
        with pytest.raises(InvalidStatus) as caught:
            async with self.connect(path, **options):
                pass
        assert caught.value.response.status_code == status
        return json.loads(caught.value.response.body)["error"]

    async def session(self, url: str) -> str:
        """The id of a Live session that was made there."""
        async with aiohttp.ClientSession() as session:
            made = await session.post(f"{url}/v1/live/sessions", json={}, headers={"authorization": "Bearer sk-client"})
            name: str = (await made.json())["session"]["id"]
            return name


@pytest.fixture
async def world(tmp_path: Any) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        providers = [
            await stack.enter_async_context(SimulatedProvider(ProviderSettings(name=name)))
            for name in ("alpha", "beta")
        ]
        yield World(tmp_path, stack, providers)


@pytest.mark.parametrize("path", ["/v1/live/sessions", "/live/sessions", "/openai/v1/live/sessions"])
async def test_a_socket_that_names_nothing_goes_to_the_group_that_takes_such_requests(world: World, path: str) -> None:
    await world.serve(passthrough_group="gpt")

    assert await world.first_words(f"{path}?x=y") == "session.created"

    (record,) = world.a.records
    assert (record.path, record.header("authorization")) == ("/v1/live/sessions?x=y", "Bearer sk-canary-upstream-key")
    (line,) = world.proxy.log()
    assert (line["api"], line["status"], line["outcome"], line["endpoint"]) == ("other", 101, "ok", "gpt/1")
    await eventually(lambda: world.proxy.log("websocket closed"))
    (end,) = world.proxy.log("websocket closed")
    assert (end["kind"], end["endpoint"], end["closed_by"]) == ("other", "gpt/1", "client")
    await eventually(lambda: world.leases == 0)


async def test_the_model_of_the_query_says_which_group_and_the_endpoint_reads_its_own_name_for_it(world: World) -> None:
    await world.serve(passthrough_group="gpt")

    await world.first_words("/v1/live/sessions?x=y&model=other")

    assert [record.path for record in world.b.records] == ["/v1/live/sessions?model=gpt-other&x=y"]
    assert world.a.records == []
    assert (await world.refused(404, "/v1/live/sessions?model=nobody"))["code"] == "model_not_found"


async def test_without_a_group_for_it_nobody_takes_what_names_nothing(world: World) -> None:
    await world.serve()

    assert (await world.refused(404, "/v1/live/sessions"))["code"] == "no_model_group"


async def test_what_the_path_names_is_looked_for_at_the_accounts_and_then_known(world: World) -> None:
    await world.serve(passthrough_group="gpt")
    name = await world.session(world.b.url)

    for _ in range(2):
        assert await world.first_words(f"/v1/live/sessions/{name}/attach?graceful_close=true") == "session.created"

    path = f"/v1/live/sessions/{name}/attach?graceful_close=true"
    assert [record.path for record in world.b.records[-2:]] == [path, path]
    assert [record.status for record in world.a.records] == [404]
    assert (await world.refused(404, "/v1/live/sessions/live_9999999999/attach"))["code"] is None


async def test_what_was_made_through_the_proxy_is_known_at_once(world: World) -> None:
    await world.serve(passthrough_group="other")
    name = await world.session(world.proxy.url)

    assert await world.first_words(f"/v1/live/sessions/{name}/fork") == "session.created"

    assert [record.path for record in world.b.records] == ["/v1/live/sessions", f"/v1/live/sessions/{name}/fork"]
    assert world.a.records == []


async def test_text_and_binary_messages_pass_both_ways_and_so_does_the_end(world: World) -> None:
    async def echo(socket: Any) -> None:
        async for message in socket:
            await socket.send(message)
            if message == b"\x00bye":
                await socket.close(4007, "enough")

    await world.serve()
    async with websockets.asyncio.server.serve(echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        world.proxy.reload(config([endpoint(f"http://127.0.0.1:{port}/v1")]))
        async with world.connect("/v1/anything/new") as socket, asyncio.timeout(PATIENCE_S):
            for message in ("text", b"\xff\x00", b"\x00bye"):
                await socket.send(message)
                assert await socket.recv() == message
            with pytest.raises(ConnectionClosed):
                await socket.recv()

    assert (socket.close_code, socket.close_reason) == (4007, "enough")


async def test_an_endpoint_that_has_no_socket_there_is_none_the_worse_for_it(world: World) -> None:
    await world.serve(passthrough_group="gpt", allowed_fails=1, num_retries=1)

    for path in ("/v1/files", "/v1/files?model=gpt"):
        assert (await world.refused(502, path))["code"] == "upstream_path_refused"

    states = world.proxy.container.endpoint_states().values()
    assert all(state.takes_all for state in states)


class TestWhoMayCome:
    async def test_no_web_page_that_is_not_named(self, world: World) -> None:
        await world.serve(passthrough_group="gpt")

        await world.refused(403, "/v1/live/sessions", headers={"origin": "https://evil.example"})
        assert world.a.records == []

    async def test_nobody_without_a_key_and_the_key_goes_no_further(self, world: World) -> None:
        await world.serve(passthrough_group="gpt", api_keys=["sk-ours"])

        await world.refused(401, "/v1/live/sessions")
        async with world.connect("/v1/live/sessions", headers={"authorization": "Bearer sk-ours"}):
            pass

        (record,) = world.a.records
        assert "sk-ours" not in f"{record.path}{record.headers}{world.proxy.errors}"

    async def test_no_more_than_there_may_be(self, world: World) -> None:
        await world.serve(passthrough_group="gpt", max_websockets=1)

        async with world.connect("/v1/live/sessions"):
            assert (await world.refused(503, "/v1/live/sessions"))["code"] == "too_many_websockets"

    async def test_nobody_where_websockets_are_off(self, world: World) -> None:
        await world.serve(passthrough_group="gpt", websockets="off")

        await world.refused(426, "/v1/live/sessions")

    async def test_nobody_where_keys_are_kept_apart(self, world: World) -> None:
        await world.serve(passthrough_group="gpt", api_keys=[{"name": "a", "key": "sk-client"}], tenancy="key")

        for path in ("/v1/live/sessions", "/v1/files/file-123456789"):
            assert (await world.refused(403, path))["code"] == "not_per_key"
        assert world.a.records == []

    async def test_nobody_where_nothing_is_passed_through_nor_to_what_administers_an_account(
        self, world: World
    ) -> None:
        await world.serve(passthrough="off")
        for path in ("/v1/live/sessions", "/v1/live/sessions?model=gpt"):
            assert (await world.refused(403, path))["code"] == "passthrough_off"
        await world.proxy.stop()

        await world.serve(passthrough_group="gpt")
        assert (await world.refused(403, "/v1/organization/events"))["code"] == "administration_closed"
        assert world.a.records == []

    async def test_what_climbs_out_of_the_root_or_is_no_path_of_the_api_is_not_passed_on(self, world: World) -> None:
        await world.serve(passthrough_group="gpt")

        for path in ("/v1/live/%2e%2e/%2e%2e/admin", "/elsewhere", "/status"):
            with pytest.raises(InvalidStatus):
                async with world.connect(path):
                    pass
        assert world.a.records == []


async def test_a_stop_closes_it(world: World) -> None:
    await world.serve(passthrough_group="gpt")

    async with world.connect("/v1/live/sessions") as socket, asyncio.timeout(PATIENCE_S):
        stopping = asyncio.create_task(world.proxy.stop())
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        await stopping

    assert (socket.close_code, socket.close_reason) == (1001, "the proxy stops")
