"""Responses over an endpoint's own WebSocket: failover until the first content, relay, handover, limits, the end."""

import asyncio
import json
import socket as stdlib_socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import pytest
import websockets.asyncio.client
from openai import AsyncOpenAI, OpenAI
from websockets.exceptions import InvalidStatus

from adapters.http.sockets import routes
from application.sockets import native_relay
from simulator import ProviderSettings, SimulatedProvider
from tests.integration.composed import Composed
from tests.integration.harness import endpoint, eventually
from tests.integration.socket_world import Event, Talk, talking, text_of

SOCKET = "/v1/responses"
HANDOVER = "websocket_connection_limit_reached"


class World(NamedTuple):
    proxy: Composed
    a: SimulatedProvider
    b: SimulatedProvider
    settings: dict[str, Any]

    @property
    def leases(self) -> int:
        return sum(state.in_flight for state in self.proxy.container.endpoint_states().values())

    def heard(self, provider: SimulatedProvider) -> list[Event]:
        """What clients said on its sockets."""
        return [json.loads(said) for record in provider.records for said in record.messages]


class StartWorld:
    def __init__(self, folder: Any, stack: AsyncExitStack) -> None:
        self._folder, self._stack = folder, stack

    async def __call__(
        self,
        *,
        a: dict[str, Any] | None = None,
        model: dict[str, Any] | None = None,
        group: dict[str, Any] | None = None,
        more: Callable[[str], list[dict[str, Any]]] = lambda _: [],
        **general: Any,
    ) -> World:
        """`a`: settings of the first provider, which the second stands in for; `model`: what the configuration says of
        it besides; `group`: of the group; `more`: other groups, for the URL of the second provider."""
        first, second = [
            await self._stack.enter_async_context(SimulatedProvider(ProviderSettings(name=name, **(own or {}))))
            for name, own in (("alpha", a), ("beta", None))
        ]
        models = [endpoint(first, weight=1, **(model or {})), endpoint(second, weight=0)]
        groups = [{"model_group": "gpt", "models": models, "websockets": "native", **(group or {})}]
        settings = {"model_groups": groups + more(f"{second.url}/v1"), "general_settings": general}
        proxy = Composed(self._folder, settings)
        self._stack.push_async_callback(proxy.stop)
        await proxy.start()
        return World(proxy, first, second, settings)


@pytest.fixture
async def start(tmp_path: Any) -> AsyncIterator[StartWorld]:
    async with AsyncExitStack() as stack:
        yield StartWorld(tmp_path, stack)


def frame(status: int, code: str, **more: Any) -> str:
    error = {"type": "x", "code": code, "message": "Said by the provider.", "param": None}
    return json.dumps({"type": "error", "status": status, "error": error, **more})


def fault(then: str = "end_turn", **more: Any) -> list[dict[str, Any]]:
    return [{"action": {"kind": "socket", "turn": 1, "then": then, **more}}]


async def test_all_turns_of_a_socket_go_over_one_of_an_endpoint(start: StartWorld) -> None:
    world = await start(a={"answer_tokens": 3})

    async with talking(world.proxy, headers={"openai-beta": "responses_websockets=2026-02-06"}) as talk:
        first = await talk.answer("Hello", store=False)
        second = await talk.answer("And?", store=False, previous_response_id=first["id"])
        assert world.leases == 0

    assert text_of(second).startswith("alpha")
    (record,) = world.a.records
    assert (record.method, record.path, record.status) == ("GET", SOCKET, 101)
    assert record.header("authorization") == "Bearer sk-canary-upstream-key"
    assert record.header("openai-beta") == "responses_websockets=2026-02-06"
    heard = world.heard(world.a)
    assert [each["model"] for each in heard] == ["gpt-sim"] * 2
    assert heard[1]["previous_response_id"] == first["id"]
    await eventually(lambda: world.proxy.log("websocket closed"))
    (end,) = world.proxy.log("websocket closed")
    assert (end["kind"], end["endpoint"], end["turns"], end["closed_by"]) == ("native", "gpt/1", 2, "client")
    lines = world.proxy.log()
    assert [(line["api"], line["status"], line["outcome"], line["endpoint"]) for line in lines] == [
        ("responses", 200, "ok", "gpt/1")
    ] * 2
    assert world.b.records == []


REFUSED: list[tuple[list[dict[str, Any]], str]] = [
    ([{"action": {"kind": "status", "status": 401, "body": {"error": {"code": "invalid_api_key"}}}}], "key_refused"),
    ([{"action": {"kind": "status", "status": 429, "body": {"error": {"code": "rate_limit_exceeded"}}}}],
     "rate_limited"),
    ([{"action": {"kind": "status", "status": 503}}], "server_error"),
    ([{"action": {"kind": "status", "status": 404}}], "path_refused"),
    ([{"action": {"kind": "status", "status": 426}}], "path_refused"),
    ([{"action": {"kind": "reset"}}], "connection_reset"),
    ([{"action": {"kind": "hang"}}], "first_byte_timeout"),
    (fault(frame=frame(429, "rate_limit_exceeded")), "rate_limited"),
    (fault("close", code=1011, frame=frame(500, "server_error")), "server_error"),
    (fault("close", code=1013), "overloaded"),
    (fault("drop"), "connection_reset"),
    (fault("drop", after_events=1), "connection_reset"),
    (fault("silent"), "first_byte_timeout"),
    (fault("go_on", after_events=2, frame=json.dumps({"type": "response.failed", "response": {
        "status": "failed", "error": {"code": "rate_limit_exceeded", "message": "Try again in 2s."}}})),
     "rate_limited"),
]  # fmt: skip


@pytest.mark.parametrize(("faults", "reason"), REFUSED)
async def test_another_endpoint_answers_when_one_refuses_before_any_content(
    start: StartWorld, faults: list[dict[str, Any]], reason: str
) -> None:
    world = await start(first_byte_timeout=1)
    world.a.set_faults(faults)

    async with talking(world.proxy) as talk:
        events = await talk.turn()
        await talk.answer("And?")

    assert [events[0]["type"], events[-1]["type"]] == ["response.created", "response.completed"]
    assert text_of(events[-1]["response"]).startswith("beta")
    line = world.proxy.log()[0]
    assert (line["endpoint"], line["attempts"], line["outcome"]) == ("gpt/2", 2, "ok")
    assert line["reasons"].startswith(f"gpt/1: {reason}")
    assert "sk-canary" not in world.proxy.errors


async def test_what_is_wrong_with_a_turn_is_said_in_the_providers_words_and_the_next_may_be_good(
    start: StartWorld,
) -> None:
    world = await start()

    async with talking(world.proxy) as talk:
        denied = (await talk.turn(previous_response_id="resp_unknown1", store=False))[-1]
        await talk.answer()

    assert (denied["type"], denied["status"]) == ("error", 400)
    assert denied["error"]["code"] == "previous_response_not_found"
    assert world.leases == 0


async def test_when_nobody_answers_the_client_is_told_so_and_may_try_again(start: StartWorld) -> None:
    world = await start(num_retries=1)
    for each in (world.a, world.b):
        each.set_faults([{"action": {"kind": "status", "status": 500}}])

    async with talking(world.proxy) as talk:
        error = (await talk.turn())[-1]
        assert (error["type"], error["status"]) == ("error", 502)
        world.b.set_faults([])
        assert text_of(await talk.answer()).startswith("beta")
    assert world.leases == 0


class TestLaterTurns:
    @pytest.mark.parametrize(
        ("said", "then"),
        [
            (frame(429, "rate_limit_exceeded", headers={"retry-after": "7"}), "end_turn"),
            (frame(503, "server_is_overloaded"), "end_turn"),
            (frame(500, "server_error"), "end_turn"),
        ],
    )
    async def test_one_that_the_endpoint_cannot_take_is_handed_over(
        self, start: StartWorld, said: str, then: str
    ) -> None:
        world = await start(allowed_fails=1)
        world.a.set_faults([{"action": {"kind": "socket", "turn": 2, "then": then, "frame": said}}])

        async with talking(world.proxy) as talk:
            await talk.answer()
            error = (await talk.turn())[-1]
            again = (await talk.turn())[-1]
        async with talking(world.proxy) as talk:
            answer = await talk.answer()

        assert [(each["type"], each["status"], each["error"]["code"]) for each in (error, again)] == [
            ("error", 400, HANDOVER)
        ] * 2
        assert text_of(answer).startswith("beta")
        await eventually(lambda: len(world.proxy.log("websocket closed")) == 2)
        assert world.proxy.log("websocket closed")[0]["handovers"] == 2
        assert world.leases == 0

    async def test_an_error_passes_as_it_came_where_nobody_else_could_do_better(self, start: StartWorld) -> None:
        world = await start()
        world.b.set_faults([{"action": {"kind": "status", "status": 429}}])
        async with talking(world.proxy) as talk:
            world.a.set_faults(fault("end_turn"))  # of the first socket nothing is wrong yet
            said = frame(400, "invalid_value")
            world.a.set_faults([{"action": {"kind": "socket", "turn": 2, "then": "end_turn", "frame": said}}])
            await talk.answer()
            error = (await talk.turn())[-1]
            await talk.answer()

        assert error == json.loads(said)

    async def test_one_that_breaks_after_content_ends_the_socket_so_that_clients_open_another(
        self, start: StartWorld
    ) -> None:
        world = await start(allowed_fails=1)
        world.a.set_faults([{"action": {"kind": "socket", "turn": 2, "after_events": 8, "then": "drop"}}])

        async with talking(world.proxy) as talk:
            await talk.answer()
            await talk.say(input="And?")
            assert await talk.close_code() == 1011
        async with talking(world.proxy) as talk:
            assert text_of(await talk.answer()).startswith("beta")

        assert [line["outcome"] for line in world.proxy.log()] == ["ok", "stream_broken", "ok"]

    @pytest.mark.parametrize("code", [1000, 1001, 4007])
    async def test_a_close_passes_with_its_code(self, start: StartWorld, code: int) -> None:
        world = await start()
        world.a.set_faults([{"action": {"kind": "socket", "turn": 2, "then": "close", "code": code}}])

        async with talking(world.proxy) as talk:
            await talk.answer()
            await talk.say(input="And?")
            assert await talk.close_code() == code

    async def test_a_limit_that_the_proxy_knows_of_hands_over_before_the_endpoint_is_asked(
        self, start: StartWorld
    ) -> None:
        world = await start(model={"rpm": 1})

        async with talking(world.proxy) as talk:
            await talk.answer()
            error = (await talk.turn())[-1]
        assert error["error"]["code"] == HANDOVER
        async with talking(world.proxy) as talk:
            assert text_of(await talk.answer()).startswith("beta")
        assert len(world.heard(world.a)) == 1

    async def test_the_model_of_another_group_is_handed_over_and_none_is_this_groups(self, start: StartWorld) -> None:
        world = await start(
            more=lambda url: [{"model_group": "other", "websockets": "native", "models": [endpoint(url)]}]
        )

        async with talking(world.proxy) as talk:
            await talk.answer()
            assert (await talk.answer(model=None))["model"] == "gpt-sim"
            error = (await talk.turn(model="other"))[-1]
        assert error["error"]["code"] == HANDOVER
        async with talking(world.proxy) as talk:
            assert text_of(await talk.answer(model="other")).startswith("beta")

    async def test_lanes_run_beside_one_another_and_each_event_says_which_is_its(self, start: StartWorld) -> None:
        world = await start(a={"tokens_per_second": 50})

        async with talking(world.proxy) as talk:
            await talk.say(input="0")
            for lane in ("one", "two"):
                await talk.say(input=lane, stream_id=lane)
            ended = [event for _ in range(3) for event in await talk.until_end()]

        assert {event.get("stream_id") for event in ended} == {None, "one", "two"}
        lines = world.proxy.log()
        assert [line["outcome"] for line in lines] == ["ok"] * 3
        assert world.leases == 0

    async def test_what_is_no_turn_passes_as_it_is(self, start: StartWorld) -> None:
        world = await start()

        async with talking(world.proxy) as talk:
            await talk.answer()
            await talk.socket.send('{"type": "response.steer", "previous_response_id": "r", "input": "x"}')
            assert (await talk.event())["type"] == "response.steer.failed"
            await talk.socket.send('{"type": "response.processed"}')
            await talk.answer()

        assert [each["type"] for each in world.heard(world.a)] == [
            "response.create", "response.steer", "response.processed", "response.create",
        ]  # fmt: skip


REFUSED_MESSAGES = [
    ('{"type": "x", "type": "y", "model": "other-sim"}', "invalid_request"),
    ('{"type": "response.create", "type": "response.steer", "model": "other-sim"}', "invalid_request"),
    ('{"type": "response.steer", "mod\\u0065l": "other-sim"}', "invalid_request"),
    ('{"type": "response.create", "model": "gpt", "model": "other-sim"}', "repeated_field"),
    ('{"type": "response.create", "model": "other-sim", "temperature": NaN}', "invalid_json"),
    ('{"type": "response.create", "model": "other-sim"} x', "invalid_json"),
    ('[{"type": "response.create", "model": "other-sim"}]', "invalid_json"),
    ("[" * 100_000, "invalid_json"),
    ('{"type": "response.create", "model": "gpt", "stream_id": "no such name!"}', "invalid_stream_id"),
]


@pytest.mark.parametrize(("said", "code"), REFUSED_MESSAGES)
async def test_what_could_be_taken_for_a_turn_of_another_model_does_not_pass(
    start: StartWorld, said: str, code: str
) -> None:
    world = await start()

    async with talking(world.proxy) as talk:
        await talk.answer()
        await talk.socket.send(said)
        error = await talk.event()
        assert (error["type"], error["status"], error["error"]["code"]) == ("error", 400, code)
        await talk.answer()

    assert len(world.heard(world.a)) == 2
    assert world.leases == 0


async def test_half_an_emoji_passes_and_a_binary_message_is_the_end(start: StartWorld) -> None:
    world = await start()

    async with talking(world.proxy) as talk:
        await talk.answer()
        await talk.socket.send('{"type":"response.create","model":"gpt","input":"\\ud83d"}')
        await talk.until_end()  # in an error: the simulated provider judges so
        await talk.socket.send(b'{"type":"response.create","model":"other-sim"}')
        assert await talk.close_code() == 1003

    assert world.a.records[0].messages[1:] == [b'{"type":"response.create","model":"gpt-sim","input":"\\ud83d"}']


async def test_a_group_that_is_not_native_is_bridged_and_one_that_is_off_refused(start: StartWorld) -> None:
    def more(url: str) -> list[dict[str, Any]]:
        return [
            {"model_group": "http", "websockets": "bridge", "models": [endpoint(url)]},
            {"model_group": "none", "websockets": "off", "models": [endpoint(url)]},
        ]

    world = await start(more=more, websockets="native")

    async with talking(world.proxy) as talk:
        assert text_of(await talk.answer(model="http")).startswith("beta")
        assert text_of(await talk.answer(model="gpt")).startswith("alpha")
        refused = (await talk.turn(model="none"))[-1]
    assert (refused["status"], refused["error"]["code"]) == (400, "upgrade_not_served")
    assert [record.method for record in (*world.a.records, *world.b.records)] == ["POST", "POST"]
    with pytest.raises(InvalidStatus) as realtime:
        async with talking(world.proxy, "/v1/realtime?model=none"):
            pass
    assert realtime.value.response.status_code == 426


async def test_all_groups_that_are_off_are_426(start: StartWorld) -> None:
    world = await start(group={"websockets": "off"}, websockets="off")

    with pytest.raises(InvalidStatus) as refused:
        async with talking(world.proxy):
            pass

    assert refused.value.response.status_code == 426


async def test_where_keys_are_kept_apart_turns_are_requests(start: StartWorld) -> None:
    world = await start(tenancy="key", api_keys=["sk-client"])

    async with talking(world.proxy) as talk:
        await talk.answer()

    assert [record.method for record in world.a.records] == ["POST"]


async def test_sockets_count_as_all_others(start: StartWorld) -> None:
    world = await start(max_websockets=1)

    async with talking(world.proxy) as talk:
        await talk.answer()
        with pytest.raises(InvalidStatus) as refused:
            async with talking(world.proxy):
                pass
    assert refused.value.response.status_code == 426


async def test_large_messages_pass_byte_for_byte(start: StartWorld) -> None:
    world = await start()
    said = json.dumps({"type": "response.create", "model": "gpt", "input": "ä€😀" * 400_000}, ensure_ascii=False)

    async with talking(world.proxy) as talk:
        await talk.socket.send(said)
        assert (await talk.until_end())[-1]["type"] == "response.completed"
        await talk.socket.send(said)
        assert (await talk.until_end())[-1]["type"] == "response.completed"

    expected = said.replace('"gpt"', '"gpt-sim"').encode()
    assert world.a.records[0].messages == [expected, expected]


async def test_compression_is_declined_on_both_sides(start: StartWorld) -> None:
    world = await start()

    async with talking(world.proxy) as talk:
        assert talk.socket.response is not None
        assert "sec-websocket-extensions" not in talk.socket.response.headers
        await talk.answer()

    assert world.a.records[0].header("sec-websocket-extensions") is None


async def test_azure_gets_its_key_as_bearer(start: StartWorld) -> None:
    def more(url: str) -> list[dict[str, Any]]:
        params = {
            "api_key": "0123456789abcdef0123456789abcdef",
            "azure_endpoint": f"{url.removesuffix('/v1')}/openai/v1",
        }
        model = {"model": "gpt-sim", "params": params}
        return [{"model_group": "azure", "websockets": "native", "models": [model]}]

    world = await start(more=more)

    async with talking(world.proxy) as talk:
        await talk.answer(model="azure")

    (record,) = world.b.records
    assert record.path == "/openai/v1/responses"
    assert record.header("authorization") == "Bearer 0123456789abcdef0123456789abcdef"
    assert record.header("api-key") is None


async def test_a_turn_tells_of_itself_where_it_is_asked_to(start: StartWorld) -> None:
    world = await start()

    async with talking(world.proxy, headers={"x-llmproxy-events": "true"}) as talk:
        for _ in range(2):
            told = (await talk.turn())[0]
            assert (told["type"], told["endpoint"], told["attempts"]) == ("llmproxy.turn", "gpt/1", "1")


async def test_what_turns_cost_is_counted(start: StartWorld) -> None:
    world = await start(model={"price": {"input": 1, "output": 1}})

    async with talking(world.proxy) as talk:
        usage = (await talk.answer())["usage"]
        await talk.answer()

    tally = world.proxy.container.endpoint_states()["gpt/1"].tally
    assert (tally.costs.priced, tally.costs.unpriced) == (2, 0)
    assert tally.output_tokens == 2 * usage["output_tokens"]


async def test_the_account_that_keeps_a_response_is_known_afterwards(start: StartWorld) -> None:
    world = await start()
    async with talking(world.proxy) as talk:
        first = await talk.answer()
    await world.proxy.container.state_owners().close()
    world.a.set_faults([{"action": {"kind": "status", "status": 500}, "times": 1}])

    async with talking(world.proxy) as talk:
        second = (await talk.turn(previous_response_id=first["id"]))[-1]

    assert second["type"] == "response.completed"
    assert text_of(second["response"]).startswith("alpha")
    assert world.b.records == []


class TestTheEnd:
    @pytest.mark.parametrize("is_rude", [False, True])
    async def test_of_a_client_is_the_end_of_its_turns(self, start: StartWorld, is_rude: bool) -> None:
        world = await start(a={"tokens_per_second": 5, "answer_tokens": 100})

        async with talking(world.proxy) as talk:
            await talk.say(input="Hello")
            for _ in range(5):
                await talk.event()
            if is_rude:
                talk.socket.transport.abort()
            else:
                await talk.socket.close()
            await eventually(lambda: world.a.records[0].close_code is not None)

        await eventually(lambda: world.proxy.log("websocket closed"))
        assert world.proxy.log()[0]["outcome"] == "client_left"
        assert world.leases == 0

    async def test_of_a_client_that_leaves_while_an_endpoint_is_asked(self, start: StartWorld) -> None:
        world = await start()
        world.a.set_faults([{"action": {"kind": "latency", "seconds": 60}}])

        async with talking(world.proxy) as talk:
            await talk.say(input="Hello")
            await eventually(lambda: world.a.records)

        await eventually(lambda: world.proxy.log("websocket closed"))
        assert world.proxy.log()[0]["outcome"] == "client_left"
        assert world.leases == 0

    async def test_a_client_that_never_reads_is_cut_off_and_costs_little(
        self, start: StartWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = await start(a={"answer_tokens": 100_000}, stream_idle_timeout=1)
        sock = stdlib_socket.socket()
        sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_RCVBUF, 32 * 1024)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", world.proxy.port))
        url = f"ws://127.0.0.1:{world.proxy.port}{SOCKET}"
        async with websockets.asyncio.client.connect(url, ping_interval=None, sock=sock, max_size=None) as client:
            client.transport.pause_reading()
            await client.send(json.dumps({"type": "response.create", "model": "gpt", "input": "x"}))
            held = []
            async with asyncio.timeout(60):
                while not world.proxy.log("websocket closed"):
                    held.append(world.proxy.container.held().held_bytes)
                    await asyncio.sleep(0.02)
            client.transport.abort()

        assert max(held) <= 1024 * 1024
        await eventually(lambda: world.leases == 0)
        assert world.proxy.container.held().held_bytes == 0

    async def test_a_stop_lets_a_turn_end(self, start: StartWorld) -> None:
        world = await start(a={"tokens_per_second": 50})

        async with talking(world.proxy) as idle, talking(world.proxy) as talk:
            await idle.answer()
            await talk.say(input="Hello")
            await talk.event()
            stopping = asyncio.create_task(world.proxy.stop())
            assert await idle.close_code() == 1001
            assert (await talk.until_end())[-1]["type"] == "response.completed"
            assert await talk.close_code() == 1001
            await stopping

    async def test_a_stop_waits_no_longer_than_the_drain_timeout(self, start: StartWorld) -> None:
        world = await start(a={"tokens_per_second": 5, "answer_tokens": 500}, drain_timeout=0.3)

        async with talking(world.proxy) as talk:
            await talk.say(input="Hello")
            await talk.event()
            stopping = asyncio.create_task(world.proxy.stop())
            error = (await talk.until_end())[-1]
            assert (error["type"], error["status"]) == ("error", 503)
            assert await talk.close_code() == 1001
            await stopping

    async def test_a_handover_ends_the_socket_after_a_while(
        self, start: StartWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(native_relay, "FAREWELL_S", 0.1)
        world = await start(model={"rpm": 1})

        async with talking(world.proxy) as talk:
            await talk.answer()
            await talk.turn()
            assert await talk.close_code() == 1001

        await eventually(lambda: world.a.records[0].close_code is not None)
        assert world.a.records[0].close_code == 1001


class TestAReload:
    async def test_of_a_group_that_stays_is_not_noticed(self, start: StartWorld) -> None:
        world = await start()
        async with talking(world.proxy) as talk:
            await talk.answer()
            world.proxy.reload(world.settings | {"general_settings": {"num_retries": 7}})
            await talk.answer()

        assert len(world.a.records) == 1

    @pytest.mark.parametrize("change", ["removed", "bridge", "other key"])
    async def test_of_an_endpoint_that_goes_hands_over_the_next_turn(self, start: StartWorld, change: str) -> None:
        world = await start(a={"tokens_per_second": 50})
        (group,) = world.settings["model_groups"]
        _, second = group["models"]
        changed = {
            "removed": group | {"model_group": "another", "models": [second]},
            "bridge": group | {"websockets": "bridge"},
            "other key": group | {"models": [endpoint(world.a, params={"api_key": "sk-2"}), second]},
        }[change]

        async with talking(world.proxy) as talk:
            await talk.say(input="Hello")
            await talk.event()
            world.proxy.reload(world.settings | {"model_groups": [changed]})
            assert (await talk.until_end())[-1]["type"] == "response.completed"
            error = (await talk.turn())[-1]

        assert error["error"]["code"] == HANDOVER


class TestOpenAIPython:
    async def test_async(self, start: StartWorld) -> None:
        world = await start(a={"answer_tokens": 4})
        client = AsyncOpenAI(api_key="sk-x", base_url=f"{world.proxy.url}/v1")

        async with client.responses.connect() as connection:
            previous: dict[str, Any] = {}
            for _ in range(2):
                await connection.response.create(model="gpt", input="Hello", store=False, **previous)
                async for said in connection:
                    if said.type == "response.completed":
                        previous = {"previous_response_id": said.response.id}
                        break

        assert said.response.output_text.startswith("alpha")
        assert len(world.a.records) == 1

    @pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager:DeprecationWarning")
    async def test_sync(self, start: StartWorld) -> None:
        world = await start(a={"answer_tokens": 4})

        def talk() -> str:
            client = OpenAI(api_key="sk-x", base_url=f"{world.proxy.url}/v1")
            with client.responses.connect() as connection:
                connection.response.create(model="gpt", input="Hello")
                for said in connection:
                    if said.type == "response.completed":
                        return said.response.output_text
            return ""

        assert (await asyncio.to_thread(talk)).startswith("alpha")


def test_the_limit_of_patience_is_that_of_clients() -> None:
    assert routes.PATIENCE_S < 300


_ = Talk
