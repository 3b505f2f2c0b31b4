"""Responses over WebSocket, each turn an ordinary request: failover, waiting, memory, lanes, limits, the end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import pytest
import websockets.asyncio.client
from openai import AsyncOpenAI, OpenAI
from websockets.exceptions import InvalidStatus

from adapters.http.sockets import session
from simulator import ProviderSettings, SimulatedProvider
from tests.integration.composed import Composed
from tests.integration.harness import config, endpoint, eventually
from tests.integration.socket_world import Talk, bodies, talking, text_of

RESET: dict[str, Any] = {"kind": "reset", "when": "before_headers"}
LATE: dict[str, Any] = {"kind": "latency", "seconds": 60}


class World(NamedTuple):
    proxy: Composed
    a: SimulatedProvider
    b: SimulatedProvider

    @property
    def asked(self) -> int:
        return len(bodies(self.a)) + len(bodies(self.b))


class StartWorld:
    def __init__(self, folder: Any, stack: AsyncExitStack) -> None:
        self._folder, self._stack = folder, stack

    async def __call__(self, *, b: dict[str, Any] | None = None, **general: Any) -> World:
        """`b`: what of the second endpoint is otherwise."""
        names = ("alpha", "beta")
        first, second = [
            await self._stack.enter_async_context(SimulatedProvider(ProviderSettings(name=name))) for name in names
        ]
        models = [endpoint(first), endpoint(second, **(b or {}))]
        settings = {"model_groups": [{"model_group": "gpt", "models": models}], "general_settings": general}
        proxy = Composed(self._folder, settings)
        self._stack.push_async_callback(proxy.stop)
        await proxy.start()
        return World(proxy, first, second)


@pytest.fixture
async def start(tmp_path: Any) -> AsyncIterator[StartWorld]:
    async with AsyncExitStack() as stack:
        yield StartWorld(tmp_path, stack)


def lines(proxy: Composed, event: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, proxy.lines.json) if line["event"] == event]


async def chain(talk: Talk, count: int, **fields: Any) -> list[dict[str, Any]]:
    """Turns that build on one another."""
    answers: list[dict[str, Any]] = []
    for number in range(count):
        before = {"previous_response_id": answers[-1]["id"]} if answers else {}
        answers.append(await talk.answer(f"Question {number}", **before, **fields))
    return answers


@pytest.mark.parametrize(
    "path", ["/v1/responses", "/responses", "/openai/v1/responses", "/openai/responses?api-version=1", "/v1/responses/"]
)
async def test_all_spellings_of_the_path_are_served(start: StartWorld, path: str) -> None:
    world = await start()
    async with talking(world.proxy, path) as talk:
        events = await talk.turn("Hello", store=False)

    types = [event["type"] for event in events]
    assert (types[0], types[-1]) == ("response.created", "response.completed")
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert {"response.output_text.delta", "response.in_progress"} <= set(types)


async def test_a_chain_of_turns_that_nobody_stores_is_sent_whole_and_byte_for_byte(start: StartWorld) -> None:
    world = await start(b={"weight": 0})
    items = [{"role": "user", "content": "höflich  \\u0041"}]
    async with talking(world.proxy) as talk:
        await talk.say(store=False, input=items)
        first = (await talk.until_end())[-1]["response"]
        second = await talk.answer("Go on", store=False, previous_response_id=first["id"])
        await talk.answer("And on", store=False, previous_response_id=second["id"])

    asked = bodies(world.a)
    said = {"type": "message", "role": "user"}
    assert asked[0]["input"] == items
    assert asked[1]["input"] == [*items, *first["output"], {**said, "content": "Go on"}]
    assert asked[2]["input"] == [*asked[1]["input"], *second["output"], {**said, "content": "And on"}]
    assert all("previous_response_id" not in body for body in asked)
    assert all(body["include"] == ["reasoning.encrypted_content"] for body in asked)
    assert json.dumps(items)[1:-1].encode() in world.a.records[2].body


async def test_what_is_stored_stays_with_its_keeper_and_only_the_delta_is_sent(start: StartWorld) -> None:
    world = await start()
    async with talking(world.proxy) as talk:
        answers = await chain(talk, 4)

    keeper = world.a if bodies(world.a) else world.b
    assert world.asked == len(bodies(keeper)) == 4
    assert [body.get("previous_response_id") for body in bodies(keeper)] == [
        None,
        *[each["id"] for each in answers[:3]],
    ]


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize(
    "action",
    [RESET, {"kind": "status", "status": 503}, {"kind": "status", "status": 429, "headers": {"retry-after": "300"}}],
)
async def test_a_conversation_outlives_the_account_it_began_on(
    start: StartWorld, action: dict[str, Any], stored: bool
) -> None:
    world = await start(max_wait=0, num_retries=1)
    async with talking(world.proxy) as talk:
        answers = await chain(talk, 2, store=stored)
        keeper, other = (world.a, world.b) if len(bodies(world.a)) == 2 else (world.b, world.a)
        keeper.set_faults([{"action": action}])
        last = await talk.answer("Still there?", store=stored, previous_response_id=answers[-1]["id"])
        again = await talk.answer("And now?", store=stored, previous_response_id=last["id"])

    body, *_ = [body for body in bodies(other) if "Still there?" in json.dumps(body)]
    texts = [
        item["content"] if isinstance(item["content"], str) else item["content"][0]["text"]
        for item in body["input"]
        if item.get("type") == "message"
    ]
    assert texts == ["Question 0", text_of(answers[0]), "Question 1", text_of(answers[1]), "Still there?"]
    assert "previous_response_id" not in body
    assert text_of(again).startswith(text_of(last)[:4])
    said = [] if stored else bodies(other)[-1]["input"]
    thoughts = [item for item in said if item["type"] == "reasoning"]
    assert thoughts == [item for item in last["output"] if item["type"] == "reasoning"] * (not stored)


async def test_a_new_socket_with_the_whole_conversation_goes_on_elsewhere_when_its_account_is_gone(
    start: StartWorld,
) -> None:
    """As Codex does after any error: its input has the encrypted thoughts of the account that is gone."""
    world = await start(max_wait=0, num_retries=1)
    async with talking(world.proxy) as talk:
        first = await talk.answer("One", store=False)
    keeper, other = (world.a, world.b) if bodies(world.a) else (world.b, world.a)
    keeper.set_faults([{"action": RESET}])
    said = [{"role": "user", "content": "One"}, *first["output"], {"role": "user", "content": "Two"}]
    async with talking(world.proxy) as talk:
        await talk.say(input=said, store=False)
        last = (await talk.until_end())[-1]["response"]
        again = await talk.answer("Three", store=False, previous_response_id=last["id"])

    assert again["status"] == "completed"
    assert any(item["type"] == "reasoning" for item in first["output"])
    assert bodies(other)[0]["input"] == [item for item in said if item.get("type") != "reasoning"]


@pytest.mark.parametrize(
    "action", [RESET, {"kind": "status", "status": 500}, {"kind": "stream_error", "after_events": 1}]
)
async def test_another_endpoint_answers_before_the_first_content_and_the_client_sees_one_stream(
    start: StartWorld, action: dict[str, Any]
) -> None:
    world = await start(b={"weight": 0})
    world.a.set_faults([{"action": action}])
    async with talking(world.proxy) as talk:
        events = await talk.turn(store=False)

    types = [event["type"] for event in events]
    assert (types.count("response.created"), types[-1]) == (1, "response.completed")
    assert len(bodies(world.b)) == 1


async def test_a_stream_that_breaks_after_content_ends_with_one_error_that_has_a_status_and_the_next_turn_goes_on(
    start: StartWorld,
) -> None:
    world = await start(b={"weight": 0})
    async with talking(world.proxy) as talk:
        first = await talk.answer("One", store=False)
        world.a.set_faults([{"times": 1, "action": {"kind": "reset", "when": "mid_stream", "after_events": 8}}])
        broken = await talk.turn("Two", store=False, previous_response_id=first["id"])
        last = await talk.answer("Two", store=False, previous_response_id=first["id"])

    assert [event["type"] for event in broken].count("error") == 1
    assert broken[-1]["status"] == 502
    assert broken[-1]["error"]["code"] == "upstream_stream_error"
    assert last["status"] == "completed"


async def test_a_providers_own_error_is_told_with_its_status_and_the_socket_goes_on(start: StartWorld) -> None:
    world = await start()
    async with talking(world.proxy) as talk:
        for fault, status in ((400, 400), (404, 404)):
            told = {"error": {"message": "No", "type": "invalid_request_error", "param": "x", "code": "y"}}
            for each in (world.a, world.b):
                each.set_faults([{"action": {"kind": "status", "status": fault, "body": told}}])
            (error,) = await talk.turn(store=False)
            assert (error["type"], error["status"]) == ("error", status)
            assert error["error"]["message"] == "No"
        for each in (world.a, world.b):
            each.set_faults([])
        assert (await talk.answer(store=False))["status"] == "completed"


async def test_when_all_are_limited_a_turn_waits_and_past_its_time_is_told_how_long(start: StartWorld) -> None:
    world = await start(max_wait=2)
    for each in (world.a, world.b):
        each.set_faults(
            [{"times": 1, "action": {"kind": "status", "status": 429, "headers": {"retry-after-ms": "400"}}}]
        )
    async with talking(world.proxy) as talk:
        assert (await talk.answer(store=False))["status"] == "completed"
        for each in (world.a, world.b):
            each.set_faults([{"action": {"kind": "status", "status": 429, "headers": {"retry-after": "60"}}}])
        (error,) = await talk.turn(store=False)
    assert (error["status"], error["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 1 <= int(error["headers"]["retry-after"]) <= 60
    assert error["error"]["headers"] == error["headers"]


async def test_answers_are_shared_with_http_through_the_cache(start: StartWorld) -> None:
    world = await start(cache=True)
    client = AsyncOpenAI(base_url=f"{world.proxy.url}/v1", api_key="sk-client", max_retries=0)
    asked: dict[str, Any] = {"temperature": 0, "store": False}
    over_http = [
        event async for event in await client.responses.create(model="gpt", input="Hello", stream=True, **asked)
    ]
    async with talking(world.proxy, headers={"x-llmproxy-events": "true"}) as talk:
        events = await talk.turn("Hello", **asked)
        other = await talk.turn("Other", **asked)
    second = await client.responses.with_raw_response.create(model="gpt", input="Other", **asked)
    await client.close()

    assert (events[0]["type"], events[0]["cache"], other[0]["cache"]) == ("llmproxy.turn", "hit", "miss")
    assert second.headers["x-llmproxy-cache"] == "hit"
    assert events[-1]["response"]["id"] == over_http[-1].response.id  # type: ignore[union-attr]
    assert world.asked == 2


async def test_a_warm_up_costs_nothing_and_what_it_brought_is_said_with_the_next_turn(start: StartWorld) -> None:
    world = await start(b={"weight": 0})
    async with talking(world.proxy) as talk:
        await talk.say(input="Warm", generate=False)
        created, completed = [await talk.event() for _ in range(2)]
        assert world.asked == 0
        last = await talk.answer("Go", store=False, previous_response_id=completed["response"]["id"])

    assert (created["type"], completed["type"]) == ("response.created", "response.completed")
    assert (completed["response"]["output"], completed["response"]["usage"]["total_tokens"]) == ([], 0)
    assert completed["response"]["model"] == "gpt"
    assert [item["content"] for item in bodies(world.a)[0]["input"]] == ["Warm", "Go"]
    assert last["status"] == "completed"


async def test_lanes_run_beside_one_another_in_order_and_forks_go_on_from_anothers_turn(start: StartWorld) -> None:
    world = await start()
    for each in (world.a, world.b):
        each.change(tokens_per_second=100)
    async with talking(world.proxy) as talk:
        root = await talk.answer("Root", store=False)
        for lane in ("x", "y"):
            for number in range(2):
                await talk.say(input=f"{lane}{number}", store=False, stream_id=lane, previous_response_id=root["id"])
        events = []
        while len([event for event in events if event["type"] == "response.completed"]) < 4:
            events.append(await talk.event())

    order = [event["stream_id"] for event in events]
    assert set(order) == {"x", "y"}
    assert order != sorted(order), "one lane waited for the other"
    for lane in ("x", "y"):
        types = [event["type"] for event in events if event["stream_id"] == lane]
        assert [each for each in types if each in ("response.created", "response.completed")] == [
            "response.created", "response.completed", "response.created", "response.completed",
        ]  # fmt: skip
    assert all(
        body["input"][0]["content"] == "Root"
        for body in [*bodies(world.a), *bodies(world.b)]
        if isinstance(body["input"], list)
    )


async def test_a_turn_is_cancelled_upstream_and_ends_as_incomplete(start: StartWorld) -> None:
    world = await start()
    for each in (world.a, world.b):
        each.change(tokens_per_second=5, answer_tokens=500)
    async with talking(world.proxy) as talk:
        await talk.say(input="Long", store=False)
        created = await talk.event()
        await talk.socket.send(json.dumps({"type": "response.cancel", "response_id": created["response"]["id"]}))
        last = (await talk.until_end())[-1]
        await talk.socket.send(json.dumps({"type": "response.cancel"}))
        nothing = await talk.event()
        for each in (world.a, world.b):
            each.change(tokens_per_second=None, answer_tokens=4)
        again = await talk.answer("Short", store=False)

    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "incomplete")
    assert last["response"]["incomplete_details"] == {"reason": "cancelled"}
    assert (nothing["status"], nothing["error"]["code"]) == (400, "response_not_found")
    assert again["status"] == "completed"
    assert lines(world.proxy, "request")[0]["outcome"] == "client_left"


async def test_a_client_that_leaves_cuts_all_its_turns_upstream(start: StartWorld) -> None:
    world = await start()
    for each in (world.a, world.b):
        each.set_faults([{"action": LATE}])
    async with talking(world.proxy) as talk:
        for number in range(20):
            await talk.say(input="x", store=False, stream_id=f"lane-{number}")
        await eventually(lambda: len(world.proxy.container.in_flight()) == 16)
        talk.socket.transport.abort()
    await eventually(lambda: len(world.proxy.container.in_flight()) == 0)
    await eventually(lambda: world.proxy.container.behind().open == 0)
    await eventually(lambda: world.proxy.container.held().held_bytes == 0)
    (end,) = lines(world.proxy, "websocket closed")
    assert (end["turns"], end["close_code"], end["closed_by"]) == (16, 1006, "peer")


BAD = {
    "no JSON": ("{", "invalid_json"),
    "a list": ("[]", "invalid_json"),
    "an unknown type": ('{"type":"response.append"}', "unknown_event_type"),
    "no type": ("{}", "unknown_event_type"),
    "background": ('{"type":"response.create","model":"gpt","background":true}', "invalid_request"),
    "a lane of no text": ('{"type":"response.create","stream_id":""}', "invalid_stream_id"),
    "a lane of other letters": ('{"type":"response.create","stream_id":"a b"}', "invalid_stream_id"),
    "no model": ('{"type":"response.create","input":"x","store":false,"model":"unknown"}', "model_not_found"),
    "a model of no text": ('{"type":"response.create","input":"x","model":7}', "invalid_request"),
}


@pytest.mark.parametrize(("message", "code"), BAD.values(), ids=BAD.keys())
async def test_what_makes_no_sense_is_told_and_the_socket_goes_on(start: StartWorld, message: str, code: str) -> None:
    world = await start()
    async with talking(world.proxy) as talk:
        await talk.socket.send(message)
        error = await talk.event()
        answer = await talk.answer(store=False)

    assert (error["type"], error["error"]["code"]) == ("error", code)
    assert 400 <= error["status"] < 500
    assert answer["status"] == "completed"


async def test_steering_and_injecting_are_refused_as_documented_and_an_acknowledgement_is_not_answered(
    start: StartWorld,
) -> None:
    world = await start()
    async with talking(world.proxy) as talk:
        await talk.socket.send('{"type":"response.processed","response_id":"resp_1"}')
        await talk.socket.send('{"type":"response.steer","previous_response_id":"resp_1","input":[ "a" ]}')
        await talk.socket.send('{"type":"response.inject","response_id":"resp_1","input":[]}')
        steer, inject = [await talk.event() for _ in range(2)]

    assert (steer["type"], steer["error"]["code"]) == ("response.steer.failed", "steering_not_supported")
    assert (steer["previous_response_id"], steer["input"]) == ("resp_1", ["a"])
    assert (inject["type"], inject["error"]["code"]) == ("response.inject.failed", "response_not_found")


async def test_only_text_is_read_and_no_message_larger_than_a_body(start: StartWorld) -> None:
    world = await start(max_body_bytes=100_000)
    async with talking(world.proxy) as talk:
        await talk.socket.send(b"binary")
        assert await talk.close_code() == 1003
    async with talking(world.proxy) as talk:
        await talk.socket.send("x" * 100_001)
        assert await talk.close_code() == 1009


async def test_a_chain_that_grows_beyond_a_request_is_handed_over(start: StartWorld) -> None:
    world = await start(max_body_bytes=20_000)
    async with talking(world.proxy) as talk:
        first = await talk.answer("x" * 12_000, store=False)
        (error,) = await talk.turn("y" * 12_000, store=False, previous_response_id=first["id"])
        (again,) = await talk.turn(store=False)

    for each in (error, again):
        assert (each["status"], each["error"]["code"]) == (400, "websocket_connection_limit_reached")


async def test_what_is_forgotten_for_want_of_room_is_handed_over_and_an_unknown_id_is_the_providers_to_deny(
    start: StartWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "MOST_REMEMBERED_BYTES", 1_000)
    world = await start()
    async with talking(world.proxy) as talk:
        first = await talk.answer("x" * 2_000, store=False)
        (unknown,) = await talk.turn("y", store=False, previous_response_id="resp_unknown")
        (error,) = await talk.turn("y", store=False, previous_response_id=first["id"])

    assert unknown["error"]["code"] == "previous_response_not_found"
    assert unknown["status"] in (400, 404)
    assert error["error"]["code"] == "websocket_connection_limit_reached"


@pytest.mark.parametrize("general", [{"websockets": "off"}, {"max_websockets": 0}])
async def test_where_no_sockets_are_served_clients_are_told_to_use_http(
    start: StartWorld, general: dict[str, Any]
) -> None:
    world = await start(**general)
    with pytest.raises(InvalidStatus) as refused:
        async with talking(world.proxy):
            pass

    reply = refused.value.response
    assert (reply.status_code, reply.headers["upgrade"]) == (426, "HTTP/1.1")
    assert json.loads(reply.body or b"")["error"]["code"] == "upgrade_not_served"


async def test_only_so_many_sockets_are_open_at_a_time(start: StartWorld) -> None:
    world = await start(max_websockets=2)
    async with talking(world.proxy), talking(world.proxy) as second:
        with pytest.raises(InvalidStatus):
            async with talking(world.proxy):
                pass
        await second.socket.close()
        await eventually(lambda: world.proxy.container.behind().open == 1)
        async with talking(world.proxy) as third:
            assert (await third.answer(store=False))["status"] == "completed"


async def test_the_limit_holds_for_sockets_that_are_asked_for_at_once(start: StartWorld) -> None:
    world = await start(max_websockets=2)
    port = world.proxy.port
    lines = [await asyncio.open_connection("127.0.0.1", port) for _ in range(6)]
    await asyncio.sleep(0.1)
    for _, writer in lines:  # nothing runs in between
        writer.write(
            b"GET /v1/responses HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
        )
    replies = [await reader.readuntil(b"\r\n") for reader, _ in lines]
    for _, writer in lines:
        writer.close()
    await eventually(lambda: world.proxy.container.behind().open == 0)

    assert sorted(reply.split()[1] for reply in replies) == [b"101"] * 2 + [b"426"] * 4


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"host": "evil.example"}, 403),
        ({"authorization": "Bearer wrong"}, 401),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-websocket-version": "8"}, 400),
    ],
)
async def test_who_may_not_come_in_does_not(start: StartWorld, headers: dict[str, str], status: int) -> None:
    general = {"api_keys": ["sk-of-the-proxy"]} if "authorization" in headers else {}
    world = await start(**general)
    named = {"host": "127.0.0.1", "upgrade": "websocket", "connection": "Upgrade", "sec-websocket-version": "13",
             "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="} | headers  # fmt: skip
    lines = [f"{name}: {value}".encode() for name, value in named.items() if name != "host"]
    reader, writer = await asyncio.open_connection("127.0.0.1", world.proxy.port)
    writer.write(b"\r\n".join([b"GET /v1/responses HTTP/1.1", f"host: {named['host']}".encode(), *lines, b"", b""]))
    reply = await reader.read()
    writer.close()

    assert reply.startswith(b"HTTP/1.1 %d" % status)
    assert world.proxy.container.behind().open == 0


async def test_the_proxys_own_keys_let_in_and_do_not_go_on(start: StartWorld) -> None:
    world = await start(api_keys=[{"name": "team-a", "key": "sk-of-the-proxy"}])
    async with talking(
        world.proxy,
        headers={
            "authorization": "Bearer sk-of-the-proxy",
            "x-mine": "1",
            "openai-beta": "responses_websockets=2026-02-06, other=1",
        },
    ) as talk:
        await talk.answer(store=False)
    record = (world.a.records or world.b.records)[0]
    sent = dict(record.headers)
    assert sent["authorization"] == "Bearer sk-canary-upstream-key"
    assert (sent["x-mine"], sent["openai-beta"], sent["accept"]) == ("1", "other=1", "text/event-stream")
    assert not {"upgrade", "connection", "sec-websocket-key", "sec-websocket-version"} & set(sent) - {"connection"}
    assert lines(world.proxy, "request")[0]["key_name"] == "team-a"


async def test_the_log_has_a_line_for_each_turn_and_one_for_the_socket_and_no_prompt(start: StartWorld) -> None:
    world = await start(log_level="debug")
    async with talking(world.proxy) as talk:
        await talk.answer("A canary prompt", store=False, stream_id="canary-lane")
        await talk.socket.close(4000, "canary reason")
    await eventually(lambda: bool(lines(world.proxy, "websocket closed")))

    (turn,) = lines(world.proxy, "request")
    (end,) = lines(world.proxy, "websocket closed")
    assert (turn["api"], turn["status"], turn["outcome"], turn["stream"]) == ("responses", 200, "ok", True)
    assert (end["kind"], end["turns"], end["frames_in"], end["close_code"]) == ("bridge", 1, 1, 4000)
    assert "canary" not in "".join(world.proxy.lines.json).replace("sk-canary", "")


async def test_at_a_shutdown_turns_end_and_idle_sockets_are_closed(start: StartWorld) -> None:
    world = await start(drain_timeout=20)
    for each in (world.a, world.b):
        each.change(tokens_per_second=20)
    async with talking(world.proxy) as idle, talking(world.proxy) as busy:
        await busy.say(input="Long", store=False)
        await busy.event()
        stopping = asyncio.ensure_future(world.proxy.stop())
        assert await idle.close_code() == 1001
        await busy.say(input="One more", store=False)
        events = list(await busy.until_end())
        while events[-1]["type"] == "error":
            assert events[-1]["error"]["code"] == "websocket_connection_limit_reached"
            events += await busy.until_end()
        assert events[-1]["type"] == "response.completed"
        assert await busy.close_code() == 1001
        await stopping


async def test_a_turn_that_outlives_the_shutdown_is_told(start: StartWorld) -> None:
    world = await start(drain_timeout=0.5)
    for each in (world.a, world.b):
        each.change(tokens_per_second=5, answer_tokens=10_000)
    async with talking(world.proxy) as talk:
        await talk.say(input="Endless", store=False)
        await talk.event()
        stopping = asyncio.ensure_future(world.proxy.stop())
        last = (await talk.until_end())[-1]
        assert (last["type"], last["status"], last["error"]["code"]) == ("error", 503, "proxy_shutting_down")
        assert await talk.close_code() == 1001
        await stopping


async def test_a_client_that_does_not_read_holds_up_its_own_turns_only(start: StartWorld) -> None:
    world = await start()
    for each in (world.a, world.b):
        each.change(answer_tokens=100_000)
    async with talking(world.proxy) as other:
        url = f"ws://127.0.0.1:{world.proxy.port}/v1/responses"
        async with websockets.asyncio.client.connect(url, max_queue=1) as stuck:
            for number in range(8):
                await stuck.send(
                    json.dumps(
                        {
                            "type": "response.create",
                            "model": "gpt",
                            "input": "x",
                            "store": False,
                            "stream_id": f"l{number}",
                        }
                    )
                )
            await asyncio.sleep(1)
            for each in (world.a, world.b):
                each.change(answer_tokens=4)
            assert (await other.answer(store=False))["status"] == "completed"
            assert world.proxy.container.held().held_bytes < 16 * 1024 * 1024
            stuck.transport.abort()
    await eventually(lambda: len(world.proxy.container.in_flight()) == 0)


@pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager:DeprecationWarning")
class TestSdk:
    """openai-python, which most agents are built on."""

    async def test_asynchronous(self, start: StartWorld) -> None:
        world = await start()
        client = AsyncOpenAI(base_url=f"{world.proxy.url}/v1", api_key="sk-client", max_retries=0)
        tool = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": False}
        async with client.responses.connect() as socket:
            await socket.response.create(model="gpt", input="use a tool", tools=[tool], store=False)  # type: ignore[list-item]
            async for event in socket:
                if event.type == "response.completed":
                    break
            call = next(item for item in event.response.output if item.type == "function_call")  # type: ignore[union-attr]
            await socket.response.create(
                model="gpt",
                previous_response_id=event.response.id,  # type: ignore[union-attr]
                input=[{"type": "function_call_output", "call_id": call.call_id, "output": "seen"}],
                store=False,
            )
            async for event in socket:
                if event.type == "response.completed":
                    break
        await client.close()

        (last,) = [body for body in (*bodies(world.a), *bodies(world.b)) if isinstance(body["input"], list)]
        assert [item["type"] for item in last["input"]][-2:] == ["function_call", "function_call_output"]

    async def test_synchronous(self, start: StartWorld) -> None:
        world = await start()

        def talk() -> list[str]:
            client = OpenAI(base_url=f"{world.proxy.url}/v1", api_key="sk-client", max_retries=0)
            texts = []
            with client.responses.connect() as socket:
                for text in ("One", "Two"):
                    socket.response.create(model="gpt", input=text, store=False)
                    for event in socket:
                        if event.type == "response.completed":
                            texts.append(event.response.output_text)
                            break
            client.close()
            return texts

        assert all(await asyncio.to_thread(talk))

    async def test_an_error_is_an_event(self, start: StartWorld) -> None:
        world = await start()
        client = AsyncOpenAI(base_url=f"{world.proxy.url}/v1", api_key="sk-client", max_retries=0)
        async with client.responses.connect() as socket:
            await socket.response.create(model="nobody", input="x")
            event = await socket.recv()
        await client.close()

        assert event.type == "error"


async def test_a_socket_that_is_open_over_a_reload_has_its_turns_answered_by_the_new_configuration(
    start: StartWorld,
) -> None:
    world = await start()
    async with talking(world.proxy) as talk:
        world.proxy.reload(config([endpoint(world.b, id="old")]))
        first = await talk.answer("one", store=False)
        world.proxy.reload(config([endpoint(world.b, id="new")]))
        second = await talk.answer("two", store=False, previous_response_id=first["id"])
        assert world.proxy.container.behind().open == 1

    assert second["status"] == "completed"
    assert bodies(world.b)[-1]["input"] != "two"  # all that was said before came along
    assert [line["endpoint"] for line in lines(world.proxy, "request")] == ["old", "new"]
