"""The simulated provider's Realtime sockets, seen by clients of their own."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import websockets.asyncio.client
from openai import AsyncOpenAI
from websockets.exceptions import ConnectionClosed, InvalidStatus

from simulator import ProviderSettings, SimulatedProvider

PATIENCE_S = 20
Event = dict[str, Any]


@pytest.fixture
async def provider() -> AsyncIterator[SimulatedProvider]:
    async with SimulatedProvider(ProviderSettings(name="alpha", answer_tokens=2)) as running:
        yield running


def connect(provider: SimulatedProvider, path: str = "/v1/realtime?model=m", key: str = "sk-a", **options: Any) -> Any:
    url = f"ws://{provider.host}:{provider.port}{path}"
    name = "api-key" if path.startswith("/openai") else "authorization"
    headers = {name: key if name == "api-key" else f"Bearer {key}"}
    return websockets.asyncio.client.connect(url, additional_headers=headers, **options)


async def until(socket: Any, kind: str) -> list[Event]:
    events: list[Event] = []
    async with asyncio.timeout(PATIENCE_S):
        while not events or events[-1]["type"] != kind:
            events.append(json.loads(await socket.recv()))
    return events


async def closed(socket: Any) -> tuple[int | None, str]:
    async with asyncio.timeout(PATIENCE_S):
        try:
            while True:
                await socket.recv()
        except ConnectionClosed:
            return socket.close_code, socket.close_reason


async def test_openai_python_talks_to_it(provider: SimulatedProvider) -> None:
    client = AsyncOpenAI(
        api_key="k", base_url=f"{provider.url}/v1", websocket_base_url=f"ws://{provider.host}:{provider.port}/v1"
    )
    async with client.realtime.connect(model="m") as connection:
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
        )
        await connection.input_audio_buffer.append(audio=base64.b64encode(b"\0" * 100).decode())
        await connection.input_audio_buffer.commit()
        await connection.response.create()
        kinds = []
        async for event in connection:
            kinds.append(event.type)
            if event.type == "response.done":
                break

    assert kinds == [
        "session.created", "conversation.item.added", "conversation.item.done", "input_audio_buffer.committed",
        "response.created", "response.output_item.added",
        "response.output_audio_transcript.delta", "response.output_audio.delta",
        "response.output_audio_transcript.delta", "response.output_audio.delta",
        "response.output_audio_transcript.done", "response.done",
    ]  # fmt: skip
    assert event.response.usage.output_tokens == 2


async def test_what_it_does_not_know_is_an_error_and_the_session_goes_on(provider: SimulatedProvider) -> None:
    async with connect(provider) as socket:
        for said in (b"\x00", "not json", "[]", '{"type":"response.steal"}'):
            await socket.send(said)
            assert (await until(socket, "error"))[-1]["error"]["type"] == "invalid_request_error"
        await socket.send('{"type":"response.create","response":{"output_modalities":["text"]}}')
        events = await until(socket, "response.done")

    assert "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta") == "alpha-0 alpha-1"


@pytest.mark.parametrize(
    ("changes", "path", "code", "reason"),
    [
        ({"api_keys": ["sk-b"]}, "/v1/realtime?model=m", 3000, "invalid_request_error.invalid_api_key"),
        ({"models": ["n"]}, "/v1/realtime?model=m", 4000, "invalid_request_error.model_not_found"),
        ({}, "/v1/realtime", 4000, "invalid_request_error.model_not_found"),
    ],
)
async def test_openai_refuses_on_the_socket(
    provider: SimulatedProvider, changes: dict[str, Any], path: str, code: int, reason: str
) -> None:
    provider.change(**changes)

    async with connect(provider, path) as socket:
        assert (await until(socket, "error"))[0]["error"]["code"] == reason.partition(".")[2]
        assert await closed(socket) == (code, reason)


@pytest.mark.parametrize(
    ("changes", "path", "status"),
    [
        ({"api_keys": ["sk-b"]}, "/openai/v1/realtime?model=m", 401),
        ({"models": ["n"]}, "/openai/realtime?api-version=2025-04-01-preview&deployment=m", 404),
        ({}, "/openai/realtime?deployment=m", 404),
        ({}, "/v1/realtime?call_id=rtc_unknown1", 404),
    ],
)
async def test_a_refusal_at_the_handshake(
    provider: SimulatedProvider, changes: dict[str, Any], path: str, status: int
) -> None:
    provider.change(**changes)

    with pytest.raises(InvalidStatus) as refused:
        async with connect(provider, path):
            pass

    assert refused.value.response.status_code == status


async def test_limits_are_told_and_enforced(provider: SimulatedProvider) -> None:
    provider.change(tpm=20)

    async with connect(provider) as socket:
        await socket.send('{"type":"response.create"}')
        told = (await until(socket, "rate_limits.updated"))[-1]["rate_limits"]
        await socket.send('{"type":"response.create"}')
        failed = (await until(socket, "response.done"))[-1]["response"]

    assert [(limit["name"], limit["limit"], limit["remaining"]) for limit in told] == [("tokens", 20, 6)]
    assert (failed["status"], failed["status_details"]["error"]["code"]) == ("failed", "rate_limit_exceeded")


async def test_a_call_is_found_by_its_id(provider: SimulatedProvider) -> None:
    async with aiohttp.ClientSession() as session:
        made = await session.post(f"{provider.url}/v1/realtime/calls", data=b"v=0")
        call_id = made.headers["location"].rpartition("/")[2]

    async with connect(provider, f"/v1/realtime?call_id={call_id}") as socket:
        assert (await until(socket, "session.created"))[0]["session"]["type"] == "realtime"


async def test_its_records_say_what_was_said_and_how_it_ended(provider: SimulatedProvider) -> None:
    async with connect(provider) as socket:
        await socket.send('{"type":"response.create"}')
        await until(socket, "response.done")
    async with asyncio.timeout(PATIENCE_S):
        while provider.records[0].close_code is None:
            await asyncio.sleep(0.01)

    shown = provider.records[0].as_dict(with_body=True)
    assert (shown["status"], shown["outcome"], shown["close_code"]) == (101, "complete", 1000)
    assert shown["messages"] == ['{"type":"response.create"}']
    assert provider.counts().in_flight == 0


async def test_a_socket_does_not_keep_it_from_stopping(provider: SimulatedProvider) -> None:
    async with connect(provider) as socket:
        await until(socket, "session.created")
        async with asyncio.timeout(PATIENCE_S):
            await provider.stop()

        assert (await closed(socket))[0] == 1006


async def test_a_late_handshake_is_late_and_a_client_that_leaves_meanwhile_is_gone(provider: SimulatedProvider) -> None:
    provider.set_faults([{"action": {"kind": "latency", "seconds": 0.1}, "times": 1}])
    async with connect(provider) as socket:
        await until(socket, "session.created")
    provider.set_faults([{"action": {"kind": "latency", "seconds": 0.1}}])
    with pytest.raises(TimeoutError):
        async with connect(provider, open_timeout=0.02):
            pass
    await asyncio.sleep(0.2)

    assert provider.records[1].outcome == "client_closed"


class TestResponses:
    """Responses over WebSocket: turns on the provider's own socket."""

    @staticmethod
    async def turn(socket: Any, **fields: Any) -> list[Event]:
        await socket.send(json.dumps({"type": "response.create", "model": "m", "input": "Hi", **fields}))
        ends = ("response.completed", "response.failed", "error")
        events: list[Event] = []
        async with asyncio.timeout(PATIENCE_S):
            while not events or events[-1]["type"] not in ends:
                events.append(json.loads(await socket.recv()))
        return events

    @pytest.mark.parametrize("path", ["/v1/responses", "/openai/v1/responses"])
    async def test_what_is_not_stored_is_remembered_on_the_socket_alone(
        self, provider: SimulatedProvider, path: str
    ) -> None:
        async with connect(provider, path) as socket:
            first = (await self.turn(socket, store=False))[-1]["response"]
            named = {"previous_response_id": first["id"], "store": False}
            assert (await self.turn(socket, **named))[-1]["type"] == "response.completed"
            late = (await self.turn(socket, **named))[-1]  # it is not the latest any more
        async with connect(provider, path) as socket:
            denied = (await self.turn(socket, **named))[-1]

        for error in (late, denied):
            assert (error["status"], error["error"]["code"]) == (400, "previous_response_not_found")

    async def test_what_is_stored_is_known_everywhere(self, provider: SimulatedProvider) -> None:
        async with connect(provider, "/v1/responses") as socket:
            first = (await self.turn(socket))[-1]["response"]
        async with connect(provider, "/v1/responses") as socket:
            assert (await self.turn(socket, previous_response_id=first["id"]))[-1]["type"] == "response.completed"

    async def test_a_turn_that_fails_takes_what_it_built_on_with_it(self, provider: SimulatedProvider) -> None:
        provider.change(models=["m"])
        async with connect(provider, "/v1/responses") as socket:
            first = (await self.turn(socket, store=False))[-1]["response"]
            named = {"previous_response_id": first["id"], "store": False}
            assert (await self.turn(socket, model="n", **named))[-1]["error"]["code"] == "model_not_found"
            assert (await self.turn(socket, **named))[-1]["error"]["code"] == "previous_response_not_found"

    async def test_a_turn_that_only_warms_up_says_nothing_and_can_be_built_on(
        self, provider: SimulatedProvider
    ) -> None:
        async with connect(provider, "/v1/responses") as socket:
            events = await self.turn(socket, generate=False, store=False)
            warm = events[-1]["response"]
            after = (await self.turn(socket, previous_response_id=warm["id"], store=False))[-1]

        assert [each["type"] for each in events] == ["response.created", "response.completed"]
        assert warm["output"] == []
        assert after["type"] == "response.completed"

    async def test_lanes_run_beside_one_another_and_there_are_32(self, provider: SimulatedProvider) -> None:
        provider.change(latency=0.2)
        async with connect(provider, "/v1/responses") as socket:
            for number in range(33):
                said = {"type": "response.create", "model": "m", "input": "Hi", "stream_id": f"l{number}"}
                await socket.send(json.dumps(said))
            ended: list[Event] = []
            async with asyncio.timeout(PATIENCE_S):
                while len(ended) < 33:
                    event = json.loads(await socket.recv())
                    ended += [event] if event["type"] in ("response.completed", "error") else []
            invalid = (await self.turn(socket, stream_id=""))[-1]

        refused = [each for each in ended if each["type"] == "error"]
        assert [(each["stream_id"], each["error"]["code"]) for each in refused] == [
            ("l32", "websocket_stream_limit_reached")
        ]
        assert len({each["stream_id"] for each in ended}) == 33
        assert invalid["error"]["code"] == "invalid_stream_id"

    async def test_limits_are_charged_by_turn(self, provider: SimulatedProvider) -> None:
        provider.change(rpm=1)
        async with connect(provider, "/v1/responses") as socket:
            await self.turn(socket)
            error = (await self.turn(socket))[-1]

        assert (error["status"], error["error"]["code"]) == (429, "rate_limit_exceeded")
        assert error["headers"]["x-ratelimit-limit-requests"] == "1"

    async def test_a_socket_grows_old(self, provider: SimulatedProvider) -> None:
        provider.change(session=0.1)
        async with connect(provider, "/v1/responses") as socket:
            await asyncio.sleep(0.15)
            assert (await self.turn(socket))[-1]["error"]["code"] == "websocket_connection_limit_reached"

    async def test_a_message_that_is_too_large_is_the_end(self, provider: SimulatedProvider) -> None:
        provider.change(message_bytes=1000)
        async with connect(provider, "/v1/responses") as socket:
            await self.turn(socket)
            await socket.send(json.dumps({"type": "response.create", "model": "m", "input": "x" * 1000}))
            assert (await closed(socket))[0] == 1009

    async def test_what_it_does_not_know_is_an_error_and_the_socket_goes_on(self, provider: SimulatedProvider) -> None:
        async with connect(provider, "/v1/responses") as socket:
            for said in (
                b"\x00",
                "no",
                "[]",
                '{"type":"response.cancel"}',
                '{"type":"response.create","background":1}',
            ):
                await socket.send(said)
                assert (await until(socket, "error"))[-1]["status"] == 400
            await socket.send('{"type":"response.steer","input":"x"}')
            assert (await until(socket, "response.steer.failed"))[-1]["input"] == "x"
            await self.turn(socket)

    async def test_a_wrong_key_and_a_path_without_sockets_are_refused_at_the_handshake(
        self, provider: SimulatedProvider
    ) -> None:
        for path, status in (("/v1/responses", 401), ("/openai/responses?api-version=2025-04-01-preview", 404)):
            provider.change(api_keys=["sk-b"] if status == 401 else [])
            with pytest.raises(InvalidStatus) as refused:
                async with connect(provider, path):
                    pass
            assert refused.value.response.status_code == status

    async def test_what_goes_wrong_goes_wrong_in_its_turn(self, provider: SimulatedProvider) -> None:
        said = '{"type":"error","status":503}'
        provider.set_faults([{"action": {"kind": "socket", "turn": 2, "frame": said, "then": "end_turn"}}])
        async with connect(provider, "/v1/responses") as socket:
            assert (await self.turn(socket))[-1]["type"] == "response.completed"
            assert (await self.turn(socket)) == [json.loads(said)]
            assert (await self.turn(socket))[-1]["type"] == "response.completed"
        provider.set_faults([{"action": {"kind": "socket", "turn": 1, "after_events": 2, "code": 1012}}])
        async with connect(provider, "/v1/responses") as socket:
            await socket.send('{"type":"response.create","model":"m","input":"Hi"}')
            assert [json.loads(await socket.recv())["type"] for _ in range(2)] == [
                "response.created", "response.in_progress",
            ]  # fmt: skip
            assert (await closed(socket))[0] == 1012
