"""A Responses socket over a transport that does nothing, and an application that the test plays."""

import asyncio
import gc
import json
from typing import Any

import pytest

from adapters.http.server.client import Client
from adapters.http.server.request.head import RequestHead
from adapters.http.sockets.behind import Behind
from adapters.http.sockets.session import Session
from application.held_bytes import HeldBytes
from tests.unit.socket_line import Line
from tests.websocket_frames import BINARY, TEXT, Frame, closing

CREATED = b'data: {"type":"response.created","response":{"id":"resp_1"}}\n\n'
COMPLETED = b'data: {"type":"response.completed","response":{"id":"resp_1","output":[]}}\n\n'
MAX_BODY_BYTES = 1024 * 1024


class Scene:
    """A socket, and the turns that the application was asked to answer."""

    def __init__(self, max_held_bytes: int = 0) -> None:
        self.line = Line()
        self.turns: list[Client] = []
        self.held = HeldBytes(max_held_bytes, MAX_BODY_BYTES)
        self._ends: list[asyncio.Future[None]] = []
        behind = Behind(self._begin, self.held, MAX_BODY_BYTES)
        head = RequestHead("POST", "1.1", b"/v1/responses", "/v1/responses", b"", [], keeps=True)
        self.session = Session(self.line.socket, head, {}, behind, shows_turns=False)
        self.over = asyncio.ensure_future(self.session.run())

    async def _begin_later(self, client: Client) -> None:
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ends.append(end)
        client.on_disconnect(lambda: end.done() or end.set_result(None))
        await end

    def _begin(self, client: Client) -> Any:
        self.turns.append(client)
        return self._begin_later(client)

    async def says(self, *messages: dict[str, Any]) -> None:
        """All of them at once."""
        self.line.comes(*(Frame(TEXT, json.dumps(each).encode()) for each in messages))
        await settled()

    async def end(self, turn: int) -> None:
        """The application is done with it."""
        self._ends[turn].set_result(None)
        await settled()

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(data) for kind, data in self.line.sent() if kind == TEXT]


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def create(**fields: Any) -> dict[str, Any]:
    return {"type": "response.create", "model": "gpt", "input": "Hello"} | fields


async def test_nobody_is_asked_for_a_client_that_has_left_already() -> None:
    scene = Scene()
    frames = [Frame(TEXT, json.dumps(create(stream_id=name)).encode()) for name in ("a", "b")]
    scene.line.comes(*frames, closing(1000))
    await asyncio.wait_for(scene.over, 5)

    assert scene.turns == []
    assert scene.session.turns == 0


async def test_nobody_is_asked_once_the_socket_began_to_close() -> None:
    scene = Scene()
    scene.line.comes(Frame(BINARY, b"x"), Frame(TEXT, json.dumps(create()).encode()))
    await settled()

    assert scene.turns == []


async def test_a_turn_that_may_move_does_not_when_its_client_has_left() -> None:
    scene = Scene()
    await scene.says(create(input=[{"type": "reasoning", "encrypted_content": "x"}]))
    scene.turns[0].reply(429, [], b"{}")
    scene.line.comes(closing(1000))
    await asyncio.wait_for(scene.over, 5)

    assert len(scene.turns) == 1


async def test_a_cancelled_turn_of_a_named_lane_ends_in_its_lane() -> None:
    scene = Scene()
    await scene.says(create(stream_id="a"))
    scene.turns[0].send_chunk(CREATED)
    await scene.says({"type": "response.cancel", "response_id": "resp_1"})

    assert [(event["type"], event["stream_id"]) for event in scene.told()] == [
        ("response.created", "a"),
        ("response.incomplete", "a"),
    ]


async def test_a_turn_may_be_cancelled_in_the_same_breath() -> None:
    scene = Scene()
    await scene.says(create(stream_id="a"), {"type": "response.cancel", "stream_id": "a"})

    assert [event["type"] for event in scene.told()] == ["response.incomplete"]


@pytest.mark.parametrize(
    "end", [COMPLETED, b'data: {"type":"error","code":"server_error","message":"x"}\n\n'], ids=["completed", "error"]
)
async def test_a_turn_has_one_end(end: bytes) -> None:
    scene = Scene()
    await scene.says(create())
    scene.turns[0].send_chunk(CREATED + end)
    await scene.says({"type": "response.cancel", "response_id": "resp_1"})
    scene.turns[0].send_chunk(b'data: {"type":"response.failed","response":{"id":"resp_1"}}\n\n')

    events = scene.told()
    assert len(events) == 3
    assert events[1]["type"] in ("response.completed", "error")
    assert events[2]["error"]["code"] == "response_not_found"


async def test_a_turn_that_waits_when_the_proxy_stops_is_handed_over() -> None:
    scene = Scene()
    await scene.says(create(), create())
    scene.line.socket.shutdown()
    scene.turns[0].send_chunk(CREATED + COMPLETED)
    await scene.end(0)

    assert len(scene.turns) == 1
    assert scene.told()[-1]["error"]["code"] == "websocket_connection_limit_reached"


async def test_a_turn_that_is_told_that_the_proxy_stops_asks_nobody_else() -> None:
    scene = Scene()
    await scene.says(create(input=[{"type": "reasoning", "encrypted_content": "x"}]))
    scene.line.socket.shutdown()
    scene.turns[0].reply(503, [], b'{"error":{"code":"proxy_shutting_down"}}')
    await scene.end(0)

    assert len(scene.turns) == 1
    assert [event["error"]["code"] for event in scene.told()] == ["websocket_connection_limit_reached"]


async def test_a_warm_up_is_answered_whatever_its_model_is() -> None:
    scene = Scene()
    scene.line.comes(Frame(TEXT, b'{"type":"response.create","generate":false,"model":1e999}'))
    await settled()

    assert [kind for kind, _ in scene.line.sent()] == [TEXT, TEXT]


async def test_turns_that_wait_are_counted_and_refused_where_there_is_no_room() -> None:
    scene = Scene(max_held_bytes=MAX_BODY_BYTES)
    await scene.says(create(), create(input="x" * 300_000), create(input="x" * 300_000))
    assert scene.held.held_bytes > 600_000
    scene.held.count(500_000)
    await scene.says(create(input="x" * 300_000))
    assert scene.told()[-1]["error"]["code"] == "proxy_out_of_memory"
    scene.held.count(-500_000)
    scene.line.comes(closing(1000))
    await asyncio.wait_for(scene.over, 5)

    assert scene.held.held_bytes == 0


async def test_a_client_that_reads_nothing_is_answered_no_more_until_it_does() -> None:
    scene = Scene()
    scene.line.socket.pause_writing()
    await scene.says(*[{} for _ in range(1000)])
    assert len(scene.told()) == 1
    scene.line.socket.resume_writing()
    await scene.says({})

    assert len(scene.told()) > 1


async def test_what_is_no_json_object_is_no_message() -> None:
    scene = Scene()
    await scene.says(create(stream_id="a"))
    scene.turns[0].send_chunk(CREATED + b"data: junk\n\ndata: [1]\n\n" + COMPLETED + b"data: [DONE]\n\n")

    assert [event["type"] for event in scene.told()] == ["response.created", "response.completed"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [("completed", "completed"), ("incomplete", "incomplete"), ("failed", "failed"), ("else", "completed")],
)
async def test_a_response_that_was_not_streamed_ends_as_it_says(status: str, kind: str) -> None:
    scene = Scene()
    await scene.says(create())
    scene.turns[0].reply(200, [], json.dumps({"id": "resp_1", "status": status, "output": []}).encode())

    (event,) = scene.told()
    assert (event["type"], event["response"]["status"]) == (f"response.{kind}", status)


async def test_what_is_nested_as_deeply_as_can_just_be_read_is_answered() -> None:
    """How deep that is depends on how deep the reader stands."""
    for depth in range(850, 1000):
        scene = Scene()
        nested = b"[" * depth + b"]" * depth
        event = b'{"type":"response.create","input":[{"type":"reasoning","x":%b}]}' % nested
        scene.line.comes(Frame(TEXT, event))
        await settled()
        told = scene.told()
        scene.line.comes(closing(1000))
        await asyncio.wait_for(scene.over, 5)

        assert [event["error"]["code"] for event in told] == ([] if scene.turns else ["invalid_json"])


async def test_a_turn_on_which_the_proxy_fails_ends_and_frees_its_lane() -> None:
    scene, crashed = Scene(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: crashed.append(context.get("exception")))
    await scene.says(create(stream_id="a"), create(stream_id="a"))
    scene._ends[0].set_exception(LookupError("a fault of the proxy's own"))
    await settled()
    asked = len(scene.turns)
    scene._ends.clear()
    scene.turns.clear()
    gc.collect()

    (event,) = scene.told()
    assert (event["status"], event["stream_id"], event["error"]["code"]) == (500, "a", "internal_error")
    assert "fault" not in event["error"]["message"]
    assert asked == 2
    assert [type(error) for error in crashed] == [LookupError]


@pytest.mark.parametrize("junk", [b"[1]", b"null", b"{", b'{"a":"\\ud800"}', b"[" * 5000, b'{"x":' + b"[" * 5000])
@pytest.mark.parametrize("status", [200, 500])
async def test_whatever_a_provider_says_in_a_whole_reply_ends_the_turn(status: int, junk: bytes) -> None:
    scene = Scene()
    await scene.says(create())
    scene.turns[0].reply(status, [], junk)

    assert scene.line.sent()[-1][0] == TEXT


@pytest.mark.parametrize("kind", ["response.created", "response.completed", "error", ""])
async def test_an_event_that_is_nested_too_deeply_is_sent_on(kind: str) -> None:
    scene = Scene()
    await scene.says(create())
    event = b'data: {"type":"%b","response":{"x":%b}}\n\n' % (kind.encode(), b"[" * 5000 + b"]" * 5000)
    scene.turns[0].send_chunk(event)
    scene.turns[0].send_chunk(COMPLETED)

    assert scene.line.sent()
