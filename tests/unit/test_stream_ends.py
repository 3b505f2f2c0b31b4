"""When a stream is complete: by the provider's own word, or with all that was asked for and a clean end."""

import asyncio
import gc
import json
from collections.abc import Sequence
from typing import Any

import pytest

from application.answers import WholeAnswer
from application.attempts.event_stream_answer import EventStreamAnswer
from application.caching.keep_alive import KeepAlive
from application.caching.replay_buffer import ReplayBuffer
from application.caching.shared_stream import SharedStream
from application.messages import Api, RequestTrace
from domain.failure import Failure, FailureKind
from tests.fakes import FakeReply
from tests.flows import next_piece
from tests.unit.dispatch_bench import settled
from tests.unit.stream_line import (
    COMPLETED,
    DELTA,
    DONE,
    HELLO,
    PROMPTS,
    STOP,
    USAGE,
    USAGE_ASKED,
    Line,
    Piece,
    chat,
    chunk,
    event,
    response,
    said,
    stream,
    text,
)

RESET = Failure(FailureKind.RESET)
TRUNCATED = Failure(FailureKind.TRUNCATED)


def text_of(pieces: Sequence[Piece]) -> bytes:
    return b"".join(piece for piece in pieces if isinstance(piece, bytes))


COMPLETE: list[tuple[dict[str, Any], list[Piece]]] = [
    ({}, [HELLO, STOP]),
    ({}, [HELLO, STOP, DONE, RESET]),
    ({}, [HELLO, DONE]),
    ({}, [chat("Hello", "stop")]),
    ({}, [HELLO, STOP.rstrip()]),
    ({}, [HELLO, chat("", "stop", index=None)]),
    ({}, [HELLO, STOP, chat("", end=None, role="assistant")]),
    ({}, [chat("He", "stop"), chat("llo", "stop"), DONE]),
    ({}, [chat("He", "null"), chat("llo", ""), STOP]),
    (USAGE_ASKED, [HELLO, STOP, USAGE]),
    (USAGE_ASKED, [HELLO, STOP, DONE]),
    (USAGE_ASKED, [HELLO, chunk({"index": 0, "delta": {}, "finish_reason": "stop"}, usage={"prompt_tokens": 1})]),
    (USAGE_ASKED, [HELLO, STOP, chunk(usage=[])]),
    ({"stream_options": {"include_usage": False}}, [HELLO, STOP]),
    ({"stream_options": "none"}, [HELLO, STOP]),
    ({"choices": 2}, [chat("a"), chat("b", index=1), chat(end="stop", index=1), STOP]),
    ({"choices": 2}, [chat("a"), STOP, DONE]),
    (PROMPTS, [text("x"), text("y", "stop", 1), text("", "length", 0)]),
    (PROMPTS, [text("x", "stop"), DONE]),
    (PROMPTS | {"best_of": 4}, [text("x", "stop"), text("y", "stop", 1)]),
    (PROMPTS | {"prompt": [1, 2, 3]}, [text("x", "stop")]),
    (PROMPTS | {"prompt": "a"}, [text("x", "stop")]),
    (PROMPTS | {"prompt": []}, [text("x", "stop")]),
    (PROMPTS | {"prompt": None}, [text("x", "stop")]),
    ({"api": Api.RESPONSES}, [DELTA, COMPLETED]),
    ({"api": Api.RESPONSES}, [DELTA, response("incomplete", response={})]),
    ({"api": Api.RESPONSES}, [DELTA, COMPLETED, DONE]),
    ({"api": Api.RESPONSES}, [DELTA, COMPLETED, RESET]),
]
BROKEN: list[tuple[dict[str, Any], list[Piece]]] = [
    ({}, [HELLO]),
    ({}, [HELLO, RESET]),
    ({}, [HELLO, STOP, RESET]),
    ({}, [HELLO, STOP, TRUNCATED]),
    ({}, [HELLO, STOP, Failure(FailureKind.IDLE_TIMEOUT)]),
    ({}, [chat("He", "stop"), RESET]),
    ({}, [chat("He", "stop"), chat("llo", "stop")]),
    ({}, [chat("He", "stop"), chat("llo", "stop"), RESET]),
    ({}, [chat("He", "null"), chat("llo", "null")]),
    ({}, [chat("He", "null"), RESET]),
    ({}, [chat("He", False), chat("llo", True), chat("!", {})]),
    ({}, [HELLO, STOP, chat(" and more")]),
    ({}, [HELLO, STOP, chat(tool_calls=[{"index": 0, "function": {"name": "f"}}])]),
    ({}, [HELLO, chat(end="null")]),
    (USAGE_ASKED, [HELLO, STOP]),
    (USAGE_ASKED, [HELLO, STOP, RESET]),
    (USAGE_ASKED, [HELLO, STOP, USAGE, RESET]),
    (USAGE_ASKED, [HELLO, STOP, chunk(usage=None)]),
    ({"choices": 2}, [chat("a"), chat("b", index=1), STOP]),
    ({"choices": 2}, [chat("a"), STOP, chat("more"), chat(end="stop", index=1)]),
    (PROMPTS, [text("x", "stop")]),
    (PROMPTS, [text("x", "stop"), text("y", index=1)]),
    (PROMPTS, [text("x", "stop"), RESET]),
    (PROMPTS | {"choices": 2}, [text("x", "stop", index) for index in range(3)]),
    (PROMPTS | {"prompt": [[1, 2], [3]]}, [text("x", "stop")]),
    (PROMPTS | {"prompt": [[1, 2], [3]]}, [text("x", "stop"), text("y", "stop"), TRUNCATED]),
    (PROMPTS | USAGE_ASKED | {"prompt": "a"}, [text("x", "stop")]),
    (PROMPTS | {"prompt": "a"}, [text("x", "stop"), text("y")]),
    ({"api": Api.RESPONSES}, [DELTA]),
    ({"api": Api.RESPONSES}, [DELTA, RESET]),
    ({"api": Api.RESPONSES}, [DELTA, response("output_text.done", text="Hi"), TRUNCATED]),
    ({"api": Api.RESPONSES}, [DELTA, COMPLETED[:-20]]),
]


@pytest.mark.parametrize(("asked", "pieces"), COMPLETE)
async def test_a_complete_stream_passes_as_it_came(asked: dict[str, Any], pieces: list[Piece]) -> None:
    line = Line(stream(*pieces), **asked)

    assert await line.text() == text_of(pieces)
    assert line.alarm.told == []
    assert line.nothing_is_left()


@pytest.mark.parametrize(("asked", "pieces"), BROKEN)
async def test_a_cut_stream_never_looks_whole(asked: dict[str, Any], pieces: list[Piece]) -> None:
    line = Line(stream(*pieces), stream(*pieces), **asked)
    got = await line.text()

    assert b'"upstream_stream_error"' in got
    assert b"[DONE]" not in got
    assert line.alarm.told == [("cooling", "e1")]
    assert line.nothing_is_left()


@pytest.mark.parametrize(("asked", "pieces"), BROKEN)
async def test_a_cut_stream_is_not_kept_and_all_who_share_it_hear_that_it_was_cut(
    asked: dict[str, Any], pieces: list[Piece]
) -> None:
    line = Line(stream(*pieces), **{**asked, "store": False})
    got = await line.answers(3)
    asked_first = len(line.upstream.calls)
    again = await line.answers(1)

    assert all(b'"upstream_stream_error"' in one for one in [*got, *again])
    assert len(line.upstream.calls) > asked_first


async def test_a_stream_with_an_end_in_every_chunk_is_kept_only_with_done() -> None:
    pieces = [chat("He", "stop"), chat("llo", "stop"), DONE]
    line = Line(stream(*pieces))

    assert await line.answers(2) == [b"".join(pieces)] * 2
    await line.answers(1)
    assert len(line.upstream.calls) == 1


EMPTY: list[tuple[dict[str, Any], list[Piece]]] = [
    ({}, [chat("", role="assistant"), STOP, DONE]),
    ({}, [chat(None, role="assistant", refusal=None, tool_calls=[]), STOP, DONE]),
    ({}, [chat("", reasoning_content="I think"), STOP, DONE]),
    ({"api": Api.COMPLETIONS, "prompt": "a"}, [text("", "stop"), DONE]),
    ({"api": Api.RESPONSES, "store": False}, [COMPLETED]),
    (
        {"api": Api.RESPONSES, "store": False},
        [
            response(
                "completed",
                response={
                    "id": "resp_1",
                    "object": "response",
                    "status": "completed",
                    "output": [
                        {"type": "reasoning", "summary": []},
                        {"type": "message", "content": [{"type": "output_text", "text": "", "annotations": []}]},
                    ],
                },
            )
        ],
    ),
]


@pytest.mark.parametrize(("asked", "pieces"), EMPTY)
async def test_a_stream_without_content_and_without_calls_is_not_kept(
    asked: dict[str, Any], pieces: list[Piece]
) -> None:
    line = Line(stream(*pieces), **asked)

    assert await line.answers(1) == await line.answers(1) == [text_of(pieces)]
    assert len(line.upstream.calls) == 2


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}


def as_response(*output: object) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "status": "completed", "output": output}


@pytest.mark.parametrize(
    ("api", "body", "is_kept"),
    [
        (Api.CHAT, said(content=""), False),
        (Api.CHAT, said(content=None), False),
        (Api.CHAT, said(content=None, tool_calls=[], refusal=None), False),
        (Api.CHAT, said(content=[], annotations=[{}]), False),
        (Api.CHAT, said(content=None, reasoning_content="hmm"), False),
        (Api.CHAT, said(), False),
        (Api.CHAT, {"choices": [{"index": 0, "message": None, "finish_reason": "stop"}]}, False),
        (Api.CHAT, said(content="Hi"), True),
        (Api.CHAT, said(content=[{"type": "text", "text": "Hi"}]), True),
        (Api.CHAT, said(content=None, tool_calls=[CALL]), True),
        (Api.CHAT, said(content=None, function_call={"name": "f", "arguments": ""}), True),
        (Api.CHAT, said(content=None, refusal="No."), True),
        (Api.COMPLETIONS, {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}, False),
        (Api.COMPLETIONS, {"choices": [{"index": 0, "text": "Hi", "finish_reason": "stop"}]}, True),
        (Api.RESPONSES, as_response(), False),
        (Api.RESPONSES, as_response({"type": "message", "content": []}), False),
        (Api.RESPONSES, as_response({"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}]}), False),
        (Api.RESPONSES, as_response(MESSAGE), True),
        (Api.RESPONSES, as_response({"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}), True),
        (Api.RESPONSES, as_response({"type": "function_call", "name": "f", "arguments": ""}), True),
    ],
)
async def test_a_whole_answer_without_content_and_without_calls_is_not_kept(
    api: Api, body: dict[str, Any], is_kept: bool
) -> None:
    whole = json.dumps(body).encode()
    line = Line(lambda: FakeReply(200, [whole]), api=api, stream=False, store=False)

    assert await line.answers(1) == await line.answers(1) == [whole]
    assert len(line.upstream.calls) == (1 if is_kept else 2)


PREAMBLE = [
    chat("", role="assistant"),
    chat(None, role="assistant", refusal=None, tool_calls=[]),
    chat("", end="null"),
    chat("", end=""),
    chunk(prompt_filter_results=[{"prompt_index": 0}]),
    text(""),
    response("created", response={"status": "queued"}),
    response("queued", response={"status": "queued"}),
    response("in_progress", response={}),
    response("output_item.added", output_index=0, item={"id": "msg_1", "type": "message", "status": "in_progress",
                                                        "role": "assistant", "content": []}),
    response("output_item.added", item={"id": "fc_1", "type": "function_call", "name": "f", "arguments": "",
                                        "call_id": "call_1", "status": "in_progress"}),
    response("output_item.added", item={"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": ""}),
    response("output_item.added", item={"id": "ws_1", "type": "web_search_call", "status": "in_progress"}),
    response("content_part.added", item_id="msg_1", part={"type": "output_text", "text": "", "annotations": []}),
    response("reasoning_summary_part.added", item_id="rs_1", part={"type": "summary_text", "text": ""}),
    response("output_text.delta", delta="", logprobs=[]),
    response("web_search_call.in_progress", item_id="ws_1", output_index=0),
]  # fmt: skip


@pytest.mark.parametrize("cut", [RESET, TRUNCATED, None])
@pytest.mark.parametrize("preamble", PREAMBLE)
async def test_after_events_without_content_another_endpoint_is_asked(preamble: bytes, cut: Failure | None) -> None:
    line = Line(stream(preamble, *([cut] if cut else [])), stream(HELLO, DONE))

    assert await line.text() == HELLO + DONE
    assert line.asked == ["e1", "e2"]


CONTENT = [
    HELLO,
    STOP,
    chat(None, refusal="No."),
    chat(None, tool_calls=[{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": "{"}}]),
    response("output_text.delta", delta="Hi"),
    response("function_call_arguments.delta", delta="{"),
    response("reasoning_summary_text.delta", delta="Hm"),
    response("refusal.delta", delta="No"),
    response("image_generation_call.partial_image", partial_image_b64="aGk="),
    response("output_item.added", item={"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}),
    response("output_item.added", item={"type": "function_call", "name": "f", "arguments": "{}"}),
    response("output_item.added", item={"type": "reasoning", "encrypted_content": "gAAA"}),
    response("content_part.added", part={"type": "output_text", "text": "Hi"}),
    response("an_event.of_tomorrow", something="new"),
]


@pytest.mark.parametrize("content", CONTENT)
async def test_after_content_nothing_is_repeated(content: bytes) -> None:
    line = Line(stream(content, RESET), stream(HELLO, DONE))

    assert b'"upstream_stream_error"' in await line.text()
    assert line.asked == ["e1"]


class OpenReply(FakeReply):
    """A reply whose connection the provider keeps open after its last piece."""

    async def receive(self) -> bytes:
        if self._pieces:
            return await super().receive()
        await asyncio.Event().wait()
        return b""


OPEN: list[tuple[dict[str, Any], list[Piece]]] = [
    ({}, [HELLO, STOP, DONE]),
    ({}, [HELLO + STOP + DONE]),
    ({}, [STOP + DONE]),
    (USAGE_ASKED, [HELLO, STOP, USAGE, DONE]),
    ({"choices": 2}, [HELLO, STOP, DONE]),
    ({"api": Api.COMPLETIONS, "prompt": "a"}, [text("x", "stop"), DONE]),
    ({"api": Api.RESPONSES}, [DELTA, COMPLETED]),
    ({"api": Api.RESPONSES}, [DELTA + COMPLETED]),
    ({"api": Api.RESPONSES}, [DELTA, COMPLETED, DONE]),
    ({"api": Api.RESPONSES}, [DELTA, response("failed", response={"error": {"code": "server_error"}})]),
    ({"api": Api.RESPONSES}, [DELTA, response("incomplete", response={})]),
    ({}, [HELLO, event({"error": {"message": "boom", "type": "server_error"}})]),
]


async def time_passes(line: Line) -> None:
    """Longer than the end of any stream is waited for."""
    for _ in range(30):
        await settled()
        line.clock.advance(0.1)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("asked", "pieces"), OPEN)
async def test_the_reply_ends_when_the_stream_has_said_its_end(
    asked: dict[str, Any], pieces: list[Piece], shared: bool
) -> None:
    line = Line(lambda: OpenReply(200, pieces), **{**asked, "store": False})
    asked_for: asyncio.Future[Any] = asyncio.ensure_future(line.answers(2) if shared else line.text())
    await time_passes(line)
    got = asked_for.result() if shared else [asked_for.result()]

    assert got == [text_of(pieces)] * len(got)
    await time_passes(line)
    assert line.nothing_is_left()


async def test_a_connection_whose_body_ends_after_done_is_left_to_the_pool() -> None:
    ended = asyncio.Event()

    class Slow(FakeReply):
        read_to_its_end = False

        async def receive(self) -> bytes:
            if self._pieces:
                return await super().receive()
            await ended.wait()
            self.read_to_its_end = True
            return b""

        def close(self) -> None:
            assert self.read_to_its_end
            super().close()

    line = Line(lambda: Slow(200, [HELLO, DONE]))
    assert await line.text() == HELLO + DONE
    assert not line.upstream.replies[0].closed
    ended.set()
    await asyncio.sleep(0.01)

    assert line.upstream.replies[0].closed


async def test_until_done_comes_a_chat_stream_is_waited_for() -> None:
    open_reply = OpenReply(200, [HELLO, STOP])
    line = Line(lambda: open_reply)
    answer = await line.ask(stream=True)
    assert not isinstance(answer, WholeAnswer)
    assert [await next_piece(answer), await next_piece(answer)] == [HELLO, STOP]
    waits = asyncio.ensure_future(next_piece(answer))
    await asyncio.sleep(0.01)

    assert not waits.done()
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)
    answer.close()


WHOLE = {
    Api.CHAT: said(content="Hi"),
    Api.COMPLETIONS: {"choices": [{"index": 0, "text": "Hi", "finish_reason": "stop"}]},
    Api.RESPONSES: as_response(MESSAGE),
}


@pytest.mark.parametrize("filling", [0, 300_000])
@pytest.mark.parametrize("lead", [b"", b"\n\n  ", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("api", WHOLE)
async def test_a_good_answer_in_one_piece_is_an_answer_to_a_request_for_a_stream(
    api: Api, lead: bytes, filling: int
) -> None:
    body = lead + json.dumps({**WHOLE[api], "metadata": "x\n\n" * filling}, indent=1).encode()
    headers = (("content-type", "application/json"), ("x-kept", "1"))
    cut = [body[at : at + 9000] for at in range(0, len(body), 9000)]
    line = Line(lambda: FakeReply(200, [body[:1], *[cut[0][1:], *cut[1:]]], headers), api=api, store=False)
    answer = await line.ask(stream=True)

    assert isinstance(answer, WholeAnswer)
    assert (answer.reply.body, answer.reply.headers) == (body, headers)
    assert answer.final_failure is None
    assert line.asked == ["e1"]
    assert line.alarm.told == []
    assert line.nothing_is_left()
    assert await line.answers(3) == [body] * 3
    assert len(line.upstream.calls) == 2
    await line.answers(1)
    assert len(line.upstream.calls) == 3  # no stream, so not kept as one


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b'{"choices":', b'{"choices":{}}', b'{"error":{"type":"server_error"}}', b"{" * 100_000]
)
async def test_junk_in_one_piece_fails_over_still(body: bytes) -> None:
    line = Line(lambda: FakeReply(200, [body]), stream(HELLO, DONE))

    assert await line.text() == HELLO + DONE
    assert line.asked == ["e1", "e2"]
    assert line.alarm.told == [("cooling", "e1")]


async def test_an_answer_in_one_piece_that_is_cut_fails_over() -> None:
    body = json.dumps(said(content="Hi")).encode()
    line = Line(lambda: FakeReply(200, [body[:20], RESET]), stream(HELLO, DONE))

    assert await line.text() == HELLO + DONE
    assert line.alarm.told == [("cooling", "e1")]


@pytest.mark.parametrize("comment", [b": ping\n\n", b": ping\n", b": ping\r\n\r\n", b": ping\r\n", b":\n\n"])
@pytest.mark.parametrize("first", [b"", chat("", role="assistant"), HELLO[:30]])
async def test_comments_of_the_provider_are_held_only_so_long(comment: bytes, first: bytes) -> None:
    """Also where nothing else has come, or only half an event."""

    def late() -> None:
        line.clock.advance(6)

    waits = asyncio.Event()

    class Silent(FakeReply):
        async def receive(self) -> bytes:
            if len(self._pieces) == 1:
                await waits.wait()
            return await super().receive()

    pieces: list[Piece] = [comment, comment, late, comment, first, HELLO + DONE]
    if first == HELLO[:30]:
        pieces = [comment, late, comment + first, HELLO[30:] + DONE]
    line = Line(lambda: Silent(200, [piece for piece in pieces if piece != b""]))
    async with asyncio.timeout(10):
        answer = await line.ask(stream=True)
        assert not isinstance(answer, WholeAnswer)
        got = await next_piece(answer)
    assert got.startswith(comment)
    waits.set()
    while piece := await next_piece(answer):
        got += piece
    answer.close()

    assert got == text_of(pieces)
    await settled()


async def test_comments_alone_are_no_answer() -> None:
    line = Line(stream(b": ping\n\n", b": ping\n\n"), stream(HELLO, DONE))

    assert await line.text() == HELLO + DONE
    assert line.asked == ["e1", "e2"]


@pytest.mark.parametrize("shared", [False, True])
async def test_a_silent_stream_is_kept_alive_and_the_comments_are_not_kept(shared: bool) -> None:
    goes_on = asyncio.Event()

    class Quiet(FakeReply):
        async def receive(self) -> bytes:
            if len(self._pieces) == 1:
                await goes_on.wait()
            return await super().receive()

    line = Line(lambda: Quiet(200, [HELLO + STOP[:20], STOP[20:] + DONE]))
    alive = KeepAlive(line.cached if shared else line.dispatch, interval_s=0.005)
    answers = [await alive(line.group, line.request(), RequestTrace()) for _ in range(2 if shared else 1)]
    for answer in answers:
        assert not isinstance(answer, WholeAnswer)
        assert [await next_piece(answer) for _ in range(3)] == [HELLO, b": keepalive\n\n", b": keepalive\n\n"]
    goes_on.set()
    for answer in answers:
        assert not isinstance(answer, WholeAnswer)
        rest = b""
        while piece := await next_piece(answer):
            rest += piece
        answer.close()
        assert rest.replace(b": keepalive\n\n", b"") == STOP + DONE
        assert answer.complete
    await asyncio.sleep(0.01)

    if shared:
        assert await line.answers(1) == [HELLO + STOP + DONE]
        assert len(line.upstream.calls) == 1


async def test_a_kept_alive_stream_whose_client_leaves_leaves_nothing_behind() -> None:
    line = Line(lambda: OpenReply(200, [HELLO]))
    answer = await KeepAlive(line.dispatch, interval_s=0.005)(line.group, line.request(), RequestTrace())
    assert not isinstance(answer, WholeAnswer)
    assert [await next_piece(answer), await next_piece(answer)] == [HELLO, b": keepalive\n\n"]
    waits = asyncio.ensure_future(next_piece(answer))
    await asyncio.sleep(0)
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)
    answer.close()
    answer.close()
    await asyncio.sleep(0.01)

    assert line.nothing_is_left()
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("pieces", [[HELLO, STOP, DONE], [HELLO, RESET]])
async def test_no_circle_is_left_of_a_stream(pieces: list[Piece], shared: bool) -> None:
    line = Line(stream(*pieces))
    gc.collect()
    gc.disable()
    try:
        _ = await line.answers(2) if shared else await line.text()
        await settled()
        left = [one for one in gc.get_objects() if isinstance(one, (EventStreamAnswer, SharedStream, ReplayBuffer))]
    finally:
        gc.enable()

    assert left == []
