"""Realtime sockets, joined to those of simulated providers: failover at the handshake, relay, limits, the end."""

import asyncio
import base64
import json
import socket as stdlib_socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import aiohttp
import pytest
import websockets.asyncio.client
import websockets.asyncio.server
from openai import AsyncAzureOpenAI, AsyncOpenAI, OpenAI
from websockets.exceptions import ConnectionClosed, InvalidStatus

from adapters.http.sockets import realtime
from simulator import ProviderSettings, SimulatedProvider
from simulator.sockets import conversation
from tests.integration.composed import Composed, composed
from tests.integration.harness import config, endpoint, eventually

PATIENCE_S = 30
SDP = {"content-type": "application/sdp", "authorization": "Bearer sk-client"}
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
    assert (end["close_code"], end["closed_by"]) == (1000, "client")
    assert world.leases == 0
    (line,) = world.proxy.log()
    assert (line["api"], line["status"], line["outcome"], line["endpoint"]) == ("realtime", 101, "ok", "gpt/1")
    await eventually(lambda: world.a.records[-1].outcome == "complete")
    (record,) = world.a.records
    assert (record.path, record.header("authorization")) == (
        "/v1/realtime?model=gpt-sim",
        "Bearer sk-canary-upstream-key",
    )


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"kind": "status", "status": 401, "body": {"error": {"code": "invalid_api_key", "message": "no"}}}, "key_refused"),
    ({"kind": "status", "status": 429, "body": {"error": {"code": "rate_limit_exceeded"}}}, "rate_limited"),
    ({"kind": "status", "status": 500}, "server_error"),
    ({"kind": "status", "status": 200, "body": {}}, "junk_reply"),
    ({"kind": "reset"}, "connection_reset"),
    ({"kind": "socket", "then": "drop"}, "connection_reset"),
    ({"kind": "socket", "code": 1011}, "server_error"),
    ({"kind": "socket", "code": 1013}, "overloaded"),
    ({"kind": "socket", "code": 3000}, "auth_failed"),
    ({"kind": "hang"}, "first_byte_timeout"),
    ({"kind": "socket", "then": "silent"}, "first_byte_timeout"),
]


@pytest.mark.parametrize(("action", "reason"), REFUSED, ids=lambda each: each if isinstance(each, str) else None)
async def test_another_endpoint_answers_when_one_refuses(
    start: StartWorld, action: dict[str, Any], reason: str
) -> None:
    world = await start(first_byte_timeout=1)
    world.a.set_faults([{"action": action}])

    async with connect(world) as socket:
        first = await event(socket)
        await socket.send(json.dumps({"type": "response.create"}))
        done = (await until(socket, "response.done"))[-1]

    assert first["type"] == "session.created"
    assert done["response"]["status"] == "completed"
    (line,) = world.proxy.log()
    assert (line["endpoint"], line["attempts"]) == ("gpt/2", 2)
    assert line["reasons"].startswith(f"gpt/1: {reason}")


async def test_a_key_that_is_refused_on_the_socket_costs_the_client_nothing(start: StartWorld) -> None:
    world = await start(a={"api_keys": ["sk-another"]})

    async with connect(world) as socket:
        assert (await event(socket))["type"] == "session.created"

    (line,) = world.proxy.log()
    assert line["reasons"].startswith("gpt/1: key_refused") or line["reasons"].startswith("gpt/1: auth_failed")
    assert "sk-canary" not in world.proxy.errors


async def test_an_endpoint_that_waits_for_its_client_gets_it_where_no_other_could_take_over(start: StartWorld) -> None:
    world = await start(stream_hold=0.2)
    for each in (world.a, world.b):
        each.set_faults([{"action": {"kind": "socket", "then": "wait"}}])
    world.proxy.reload(config([endpoint(world.a)], stream_hold=0.2))

    async with connect(world) as socket:
        await socket.send(json.dumps({"type": "response.create"}))
        events = await until(socket, "response.done")

    assert (events[0]["type"], events[-1]["response"]["status"]) == ("session.created", "completed")
    (line,) = world.proxy.log()
    assert (line["status"], line["outcome"], line["attempts"]) == (101, "ok", 1)
    await eventually(lambda: ends(world))
    assert ends(world)[0]["turns"] == 1
    assert world.leases == 0


@pytest.mark.parametrize("retries", [0, 1])
async def test_the_last_attempt_and_the_last_endpoint_are_waited_for_alike(start: StartWorld, retries: int) -> None:
    world = await start(stream_hold=0.2, first_byte_timeout=1, num_retries=retries)
    for each in (world.a, world.b):
        each.set_faults([{"action": {"kind": "socket", "then": "wait"}}])

    async with connect(world) as socket:
        await socket.send(json.dumps({"type": "response.create"}))
        assert (await event(socket))["type"] == "session.created"

    (line,) = world.proxy.log()
    assert (line["endpoint"], line["attempts"]) == (f"gpt/{retries + 1}", retries + 1)


async def test_a_client_that_was_let_in_hears_the_refusal_itself_and_the_next_one_goes_elsewhere(
    start: StartWorld,
) -> None:
    world = await start(stream_hold=0.2, allowed_fails=1, num_retries=0)
    refusal = json.dumps({"type": "error", "error": {"type": "server_error", "code": "server_error", "message": "No."}})

    async def refuse(socket: Any) -> None:
        await socket.recv()
        await socket.send(refusal)
        await socket.close(1011)

    async with websockets.asyncio.server.serve(refuse, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        models = [endpoint(f"http://127.0.0.1:{port}/v1", weight=1), endpoint(world.b, weight=0)]
        world.proxy.reload(config(models, stream_hold=0.2, allowed_fails=1, num_retries=0))
        async with connect(world) as socket:
            await socket.send("hello")
            assert (await event(socket))["error"]["message"] == "No."
            assert (await closed(socket))[0] == 1011
        async with connect(world) as socket:
            assert (await event(socket))["type"] == "session.created"

    assert [line["endpoint"] for line in world.proxy.log()] == ["gpt/1", "gpt/2"]


async def test_an_endpoint_whose_handshake_does_not_come_is_a_timeout_however_alone_it_is(start: StartWorld) -> None:
    world = await start(stream_hold=0, first_byte_timeout=0.5, num_retries=0)
    world.a.set_faults([{"action": {"kind": "hang"}}])

    reply = await refused(world, 504)

    assert "first_byte_timeout" in world.proxy.log()[0]["reasons"]
    assert reply.headers["content-type"] == "application/json"


async def test_what_is_wrong_with_the_request_is_said_in_the_providers_words(start: StartWorld) -> None:
    world = await start()
    world.a.set_faults([{"action": {"kind": "socket", "code": 4000, "frame": json.dumps({
        "type": "error", "error": {"type": "invalid_request_error", "code": "beta_api_shape_disabled", "message": "No."}
    })}}])  # fmt: skip

    with pytest.raises(InvalidStatus) as refused:
        async with connect(world):
            pass

    reply = refused.value.response
    assert (reply.status_code, json.loads(reply.body or b"")["error"]["message"]) == (400, "No.")
    assert world.b.records == []


async def test_when_nobody_answers_the_client_is_told_so(start: StartWorld) -> None:
    world = await start(num_retries=1)
    for each in (world.a, world.b):
        each.set_faults([{"action": {"kind": "status", "status": 500}}])

    with pytest.raises(InvalidStatus) as refused:
        async with connect(world):
            pass

    assert refused.value.response.status_code == 502
    assert world.leases == 0


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"code": 1000, "reason": "done"}, (1000, "done")),
        ({"code": 1001, "reason": "60 minutes"}, (1001, "60 minutes")),
        ({"code": 4007, "reason": "theirs"}, (4007, "theirs")),
        ({"then": "drop"}, (1011, "the provider's socket was lost")),
    ],
)
async def test_the_end_of_the_providers_socket_is_the_end_of_the_clients(
    start: StartWorld, fault: dict[str, Any], told: tuple[int, str]
) -> None:
    world = await start()
    world.a.set_faults([{"action": {"kind": "socket", "after_events": 1, **fault}}])

    async with connect(world) as socket:
        assert await closed(socket) == told

    await eventually(lambda: ends(world))
    code = 1006 if fault.get("then") else told[0]
    assert (ends(world)[0]["close_code"], ends(world)[0]["closed_by"]) == (code, "endpoint")
    assert world.leases == 0


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "bye"), (3999, "ours")])
async def test_the_end_of_the_clients_socket_is_the_end_of_the_providers(
    start: StartWorld, code: int, reason: str
) -> None:
    world = await start()

    async with connect(world) as socket:
        await event(socket)
        await socket.close(code, reason)

    await eventually(lambda: world.a.records[-1].close_code is not None)
    assert world.a.records[-1].close_code == code


async def test_a_client_that_vanishes_ends_the_providers_socket(start: StartWorld) -> None:
    world = await start()

    async with connect(world) as socket:
        await event(socket)
        socket.transport.abort()

        await eventually(lambda: world.a.records[-1].close_code is not None)

    assert world.a.records[-1].close_code == 1001
    await eventually(lambda: world.leases == 0)


async def test_fragments_stay_fragments_in_either_direction_and_no_byte_is_changed(start: StartWorld) -> None:
    world = await start()
    said = json.dumps(
        {"type": "conversation.item.create", "item": {"id": "i1", "text": "ä" * 1000}}, ensure_ascii=False
    )

    async with connect(world) as socket:
        await event(socket)
        await socket.send([said[:500], said[500:501], said[501:]])
        added = await event(socket)

    assert added["item"]["text"] == "ä" * 1000
    assert world.a.records[-1].messages == [said.encode()]
    await eventually(lambda: ends(world))
    assert ends(world)[0]["frames_in"] in (3, 4)  # the library ends a message with an empty fragment


async def test_a_client_that_never_reads_is_cut_off_and_so_is_its_endpoint(
    start: StartWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime, "TAKES_NOTHING_S", 1.0)
    monkeypatch.setattr(conversation, "AUDIO_BYTES", 48_000)
    world = await start(a={"answer_tokens": 10_000})

    sock = stdlib_socket.socket()
    sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_RCVBUF, 32 * 1024)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", world.proxy.port))
    async with connect(world, ping_interval=None, sock=sock) as socket:
        await event(socket)
        await socket.send(json.dumps({"type": "response.create"}))
        socket.transport.pause_reading()

        await eventually(lambda: ends(world), 30)
        socket.transport.abort()

    assert ends(world)[0]["bytes_out"] < 32 * 1024 * 1024
    await eventually(lambda: world.leases == 0)
    assert world.proxy.container.held().held_bytes == 0


async def test_the_ledger_hears_what_the_provider_says_of_its_limits(start: StartWorld) -> None:
    world = await start(a={"tpm": 1000, "rpm": 100, "answer_tokens": 88})

    async with connect(world) as socket:
        await event(socket)
        await socket.send(json.dumps({"type": "response.create"}))
        await until(socket, "rate_limits.updated")
        states = world.proxy.container.endpoint_states()
        bucket = world.proxy.container.ledger().own(states["gpt/1"].endpoint)

        assert bucket is not None
        room = bucket.tokens.room(asyncio.get_running_loop().time())
        assert room is not None
        assert 895 <= room <= 950


async def test_a_limit_that_a_turn_runs_into_sends_the_next_socket_elsewhere(start: StartWorld) -> None:
    world = await start(a={"tpm": 20, "answer_tokens": 50})

    async with connect(world) as socket:
        await event(socket)
        await socket.send(json.dumps({"type": "response.create"}))
        done = (await until(socket, "response.done"))[-1]
    assert done["response"]["status"] == "failed"
    async with connect(world) as socket:
        await event(socket)

    assert world.proxy.log()[-1]["endpoint"] == "gpt/2"


async def test_a_provider_that_drops_socket_after_socket_is_left_alone(start: StartWorld) -> None:
    world = await start(allowed_fails=1)
    world.a.set_faults([{"action": {"kind": "socket", "after_events": 1, "then": "drop"}}])

    for _ in range(2):
        async with connect(world) as socket:
            await event(socket)
            if len(world.proxy.log()) == 1:
                await closed(socket)

    assert [line["endpoint"] for line in world.proxy.log()] == ["gpt/1", "gpt/2"]


async def test_a_session_that_has_become_old_is_closed_as_the_provider_says(start: StartWorld) -> None:
    world = await start(a={"session_s": 0.2})

    async with connect(world) as socket:
        await event(socket)
        expired = await event(socket)
        code, _ = await closed(socket)

    assert (expired["error"]["code"], code) == ("session_expired", 1001)


class TestWhoMayCome:
    async def test_a_web_page_that_is_not_named(self, start: StartWorld) -> None:
        world = await start()

        await refused(world, 403, headers={"origin": "https://evil.example"})
        assert world.a.records == []

    async def test_a_foreign_name(self, start: StartWorld) -> None:
        world = await start()
        reader, writer = await asyncio.open_connection("127.0.0.1", world.proxy.port)
        writer.write(b"GET /v1/realtime?model=gpt HTTP/1.1\r\nhost: evil.example\r\nconnection: upgrade\r\n"
                     b"upgrade: websocket\r\nsec-websocket-version: 13\r\n"
                     b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")  # fmt: skip

        assert (await reader.readline()).startswith(b"HTTP/1.1 403")
        writer.close()
        assert world.a.records == []

    async def test_a_missing_or_unknown_key(self, start: StartWorld) -> None:
        world = await start(api_keys=["sk-ours"])

        await refused(world, 401, headers={"authorization": "Bearer sk-other"})
        await refused(world, 401, "/openai/realtime?deployment=gpt&api-key=sk-other", headers={"authorization": ""})

    async def test_two_keys_that_differ(self, start: StartWorld) -> None:
        world = await start()

        await refused(world, 400, "/v1/realtime?model=gpt&api-key=another")

    @pytest.mark.parametrize(
        ("path", "headers", "protocols"),
        [
            ("/v1/realtime?model=gpt", {"authorization": "Bearer sk-ours"}, None),
            ("/realtime?model=gpt", {"api-key": "sk-ours"}, None),
            ("/openai/v1/realtime?model=gpt&api-key=sk-ours", {}, None),
            ("/openai/realtime?api-version=2025-04-01-preview&deployment=gpt", {"api-key": "sk-ours"}, None),
            ("/v1/realtime?model=gpt", {}, ["realtime", "openai-insecure-api-key.sk-ours"]),
        ],
    )
    async def test_a_key_is_taken_wherever_clients_put_it_and_goes_no_further(
        self, start: StartWorld, path: str, headers: dict[str, str], protocols: Any
    ) -> None:
        world = await start(api_keys=["sk-ours"])
        url = f"ws://127.0.0.1:{world.proxy.port}{path}"

        async with websockets.asyncio.client.connect(url, additional_headers=headers, subprotocols=protocols) as socket:
            assert (await event(socket))["type"] == "session.created"
            assert socket.subprotocol == ("realtime" if protocols else None)

        (record,) = world.a.records
        assert record.path == "/v1/realtime?model=gpt-sim"
        assert "sk-ours" not in f"{record.headers}{world.proxy.errors}"
        assert record.header("sec-websocket-protocol") == ("realtime" if protocols else None)

    async def test_an_unknown_model(self, start: StartWorld) -> None:
        world = await start()

        await refused(world, 404, "/v1/realtime?model=nobody")

    async def test_more_than_there_may_be(self, start: StartWorld) -> None:
        world = await start(max_websockets=1)

        async with connect(world) as socket:
            await event(socket)
            reply = await refused(world, 503)

        assert reply.headers["retry-after"] == "5"

    async def test_those_whose_handshake_is_not_answered_yet_count_as_well(self, start: StartWorld) -> None:
        world = await start(max_websockets=1)
        world.a.set_faults([{"action": {"kind": "latency", "seconds": 0.5}}])

        first = asyncio.create_task(connect(world).__aenter__())
        await eventually(lambda: world.proxy.container.behind().open == 1)
        await refused(world, 503)
        await (await first).close()
        await eventually(lambda: world.proxy.container.behind().open == 0)

    async def test_nobody_where_websockets_are_off(self, start: StartWorld) -> None:
        world = await start(websockets="off")

        await refused(world, 426)

    async def test_no_handshake_at_all(self, start: StartWorld) -> None:
        world = await start()

        answer = await world.proxy.ask("GET", "/v1/realtime?model=gpt", b"upgrade: websocket", b"connection: upgrade")

        assert (answer.status, answer.error["code"]) == (400, "malformed_request")


async def refused(world: World, status: int, path: str = "/v1/realtime?model=gpt", **options: Any) -> Any:
    with pytest.raises(InvalidStatus) as caught:
        async with connect(world, path, **options):
            pass
    assert caught.value.response.status_code == status
    return caught.value.response


async def test_a_call_is_followed_at_the_account_that_keeps_it(start: StartWorld) -> None:
    world = await start()
    async with aiohttp.ClientSession() as session:
        made = await session.post(f"{world.b.url}/v1/realtime/calls", data=b"v=0", headers=SDP)
        call_id = made.headers["location"].rpartition("/")[2]

    async with connect(world, f"/v1/realtime?call_id={call_id}") as socket:
        await event(socket)

    assert world.b.records[-1].path == f"/v1/realtime?call_id={call_id}"
    assert world.b.records[-1].status == 101
    await refused(world, 404, "/v1/realtime?call_id=rtc_9999999999")


async def test_a_call_that_was_made_through_the_proxy_is_followed_where_it_was_made(start: StartWorld) -> None:
    world = await start()
    world.a.set_faults([{"action": {"kind": "status", "status": 500}, "match": {"path": "/calls"}}])
    async with aiohttp.ClientSession() as session:
        made = await session.post(f"{world.proxy.url}/v1/realtime/calls", data=b"v=0", headers=SDP)
        assert (made.status, await made.text()) == (201, "v=0\r\n")
        call_id = made.headers["location"].rpartition("/")[2]

    async with connect(world, f"/v1/realtime?call_id={call_id}") as socket:
        await event(socket)

    assert [record.path for record in world.a.records] == ["/v1/realtime/calls"]
    assert world.b.records[-1].path == f"/v1/realtime?call_id={call_id}"


async def test_a_client_that_leaves_before_its_handshake_is_answered_leaves_nothing_behind(start: StartWorld) -> None:
    world = await start()
    world.a.set_faults([{"action": {"kind": "socket", "then": "silent"}}])

    with pytest.raises(TimeoutError):
        async with connect(world, open_timeout=0.2):
            pass

    await eventually(world.proxy.log)
    assert (world.proxy.log()[0]["outcome"], world.proxy.log()[0]["status"]) == ("client_left", 499)
    await eventually(lambda: world.a.records[0].close_code is not None)
    assert world.leases == 0
    assert world.b.records == []


async def test_an_endpoint_of_azure_is_asked_as_azure_wants_it(start: StartWorld, tmp_path: Any) -> None:
    async with SimulatedProvider(ProviderSettings(name="azure", api_keys=("k",), models=("dep",))) as provider:
        dated = {"azure_endpoint": provider.url, "api_version": "2025-04-01-preview", "azure_deployment": "dep"}
        models = [
            {"model": "dep", "weight": 1, "params": {"api_key": "k", **dated}},
            {"model": "dep", "weight": 1, "params": {"api_key": "k", "azure_endpoint": f"{provider.url}/openai/v1"}},
        ]
        async with composed(tmp_path, {"model_groups": [{"model_group": "gpt", "models": models}]}) as proxy:
            for _ in models:
                async with connect(World(proxy, provider, provider)) as socket:
                    assert (await event(socket))["session"]["model"] == "dep"

    assert sorted(record.path for record in provider.records) == [
        "/openai/realtime?api-version=2025-04-01-preview&deployment=dep",
        "/openai/v1/realtime?model=dep",
    ]


async def test_with_tenancy_by_key_nobody_knows_whose_things_a_session_is_about(start: StartWorld) -> None:
    world = await start(api_keys=[{"name": "a", "key": "sk-client"}], tenancy="key")

    reply = await refused(world, 403)

    assert json.loads(reply.body)["error"]["code"] == "not_per_key"


async def test_a_socket_that_is_open_over_a_reload_goes_on_where_it_is(start: StartWorld) -> None:
    world = await start(a={"answer_tokens": 1})

    async with connect(world) as socket:
        await event(socket)
        world.proxy.reload(config([endpoint(world.b, id="new")]))
        await socket.send(json.dumps({"type": "response.create"}))
        done = (await until(socket, "response.done"))[-1]
        async with connect(world) as another:
            await event(another)

    assert done["response"]["status"] == "completed"
    assert [line["endpoint"] for line in world.proxy.log()] == ["gpt/1", "new"]
    await eventually(lambda: world.proxy.container.behind().open == 0)


class TestShutdown:
    async def test_a_session_without_a_turn_is_closed_at_once(self, start: StartWorld) -> None:
        world = await start()

        async with connect(world) as socket:
            await event(socket)
            stopping = asyncio.create_task(world.proxy.stop())
            assert await closed(socket) == (1001, "the proxy stops")
            await stopping

    async def test_a_turn_that_runs_may_end(self, start: StartWorld) -> None:
        world = await start(a={"answer_tokens": 20, "tokens_per_second": 50})

        async with connect(world) as socket:
            await event(socket)
            await socket.send(json.dumps({"type": "response.create"}))
            await until(socket, "response.output_audio.delta")
            stopping = asyncio.create_task(world.proxy.stop())
            done = (await until(socket, "response.done"))[-1]
            assert done["response"]["status"] == "completed"
            assert await closed(socket) == (1001, "the proxy stops")
            await stopping

    async def test_but_not_longer_than_the_drain_timeout(self, start: StartWorld) -> None:
        world = await start(a={"answer_tokens": 10_000, "tokens_per_second": 20}, drain_timeout=0.5)

        async with connect(world) as socket:
            await event(socket)
            await socket.send(json.dumps({"type": "response.create"}))
            await until(socket, "response.output_audio.delta")
            stopping = asyncio.create_task(world.proxy.stop())
            assert await closed(socket) == (1001, "the proxy stops")
            await stopping


class TestOpenAIPython:
    async def test_async(self, start: StartWorld) -> None:
        world = await start(a={"answer_tokens": 4})
        client = AsyncOpenAI(
            api_key="sk-x", base_url=f"{world.proxy.url}/v1", websocket_base_url=f"ws://127.0.0.1:{world.proxy.port}/v1"
        )

        async with client.realtime.connect(model="gpt") as connection:
            await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
            await connection.response.create()
            text = ""
            async for said in connection:
                if said.type == "response.output_text.delta":
                    text += said.delta
                if said.type == "response.done":
                    break

        assert text == "alpha-0 alpha-1 alpha-2 alpha-3"
        assert said.response.usage is not None
        assert said.response.usage.output_tokens == 4

    @pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager:DeprecationWarning")
    async def test_sync(self, start: StartWorld) -> None:
        world = await start(a={"answer_tokens": 4})

        def talk() -> str:
            client = OpenAI(
                api_key="sk-x",
                base_url=f"{world.proxy.url}/v1",
                websocket_base_url=f"ws://127.0.0.1:{world.proxy.port}/v1",
            )
            with client.realtime.connect(model="gpt") as connection:
                connection.response.create(response={"output_modalities": ["text"]})
                for said in connection:
                    if said.type == "response.output_text.done":
                        return said.text
            return ""

        assert await asyncio.to_thread(talk) == "alpha-0 alpha-1 alpha-2 alpha-3"

    async def test_the_client_of_azure(self, start: StartWorld) -> None:
        world = await start()
        client = AsyncAzureOpenAI(
            api_key="sk-x",
            api_version="2025-04-01-preview",
            azure_endpoint=world.proxy.url,
            websocket_base_url=f"ws://127.0.0.1:{world.proxy.port}/openai",
        )

        async with client.realtime.connect(model="gpt") as connection:
            async with asyncio.timeout(PATIENCE_S):
                assert (await connection.recv()).type == "session.created"
