"""Books are not answers: what is said beside the content makes no answer junk, and what cannot be read is unknown."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from adapters.upstreams.openai.errors.reply_judge import judge
from adapters.upstreams.openai.streams.stream_scanner import OpenAIStreamScanner
from application.answers import WholeAnswer
from application.messages import Api, FrameKind, Verdict, WholeReply
from domain.failure import FailureKind
from domain.rate_limit.token_estimate import Usage
from tests.fakes import FakeReply
from tests.unit.dispatch_bench import Bench, body_of

HUGE = "1" + "0" * 400


def obj(*members: str, **fields: str) -> str:
    return "{" + ",".join([*members, *(f'"{name}":{value}' for name, value in fields.items())]) + "}"


BOM = b"\xef\xbb\xbf"
UNKNOWN_USAGES = ["[]", "true", '"3"', "3.5", "{}", "0", '{"prompt_tokens":"3"}', '{"prompt_tokens":-1}']
UNKNOWN_USAGES += ['{"prompt_tokens":1e400}', obj(prompt_tokens=HUGE), '{"prompt_tokens":NaN}']
UNKNOWN_USAGES += ['{"prompt_tokens":true}', '{"prompt_tokens":[]}', '{"prompt_tokens":{"a":1}}', "1" * 5000]
GOOD = {
    Api.CHAT: '"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]',
    Api.COMPLETIONS: '"choices":[{"index":0,"text":"Hi","finish_reason":"stop"}]',
    Api.RESPONSES: '"object":"response","status":"completed","output":[{"type":"message"}]',
    Api.EMBEDDINGS: '"data":[{"embedding":[0.1]}]',
    Api.MODERATIONS: '"results":[{"flagged":false}]',
}


def judged(api: Api, body: str | bytes) -> Verdict:
    whole = WholeReply(200, (), body if isinstance(body, bytes) else body.encode())
    return judge(api, whole, owns_credential=True)


@pytest.mark.parametrize("usage", UNKNOWN_USAGES)
@pytest.mark.parametrize("api", GOOD)
def test_a_usage_that_cannot_be_read_is_unknown_and_the_answer_good(api: Api, usage: str) -> None:
    assert judged(api, obj(GOOD[api], usage=usage)) == Verdict()


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ('{"prompt_tokens":3.0,"completion_tokens":2.0}', Usage(3, 2)),
        ('{"input_tokens":3,"output_tokens":"two"}', Usage(3, 0)),
        ('{"prompt_tokens":3,"completion_tokens":-2}', Usage(3, 0)),
        (obj(prompt_tokens="3", completion_tokens=HUGE), Usage(3, 0)),
        ('{"prompt_tokens":3,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}', Usage(3, 2, 1)),
        ('{"input_tokens":3,"output_tokens":2,"input_tokens_details":{"cached_tokens":1.0}}', Usage(3, 2, 1)),
        ('{"prompt_tokens":3,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":"all"}}', Usage(3, 2)),
        ('{"prompt_tokens":3,"completion_tokens":2,"prompt_tokens_details":[1]}', Usage(3, 2)),
        ('{"prompt_tokens":3,"completion_tokens":2,"prompt_tokens_details":null}', Usage(3, 2)),
    ],
)
def test_what_can_be_read_of_a_usage_is(usage: str, read: Usage) -> None:
    assert judged(Api.CHAT, obj(GOOD[Api.CHAT], usage=usage)).usage == read


@pytest.mark.parametrize(
    "books", ["1e400", HUGE, "NaN", "-Infinity", "Infinity", '"\\ud83d"', "null", "{}", "[]", "false"]
)
@pytest.mark.parametrize("field", ["id", "created", "logprobs", "output", "data", "results", "model", "object"])
@pytest.mark.parametrize("api", [Api.CHAT, Api.COMPLETIONS])
def test_no_field_but_its_content_decides_about_an_answer(api: Api, field: str, books: str) -> None:
    assert judged(api, obj(GOOD[api], **{field: books})).failure is None


@pytest.mark.parametrize("api", GOOD)
def test_a_byte_order_mark_and_what_python_writes_for_no_number_are_read_over(api: Api) -> None:
    assert judged(api, BOM + obj(GOOD[api]).encode()).failure is None
    assert judged(api, obj(GOOD[api], logprobs="[NaN,-Infinity]")).failure is None


@pytest.mark.parametrize("status", ["queued", "in_progress", "incomplete", "cancelled"])
@pytest.mark.parametrize("output", [['"output":null'], [], ['"output":[]']])
def test_a_response_that_is_not_over_needs_no_output(status: str, output: list[str]) -> None:
    assert judged(Api.RESPONSES, obj(*output, object='"response"', status=f'"{status}"')).failure is None


@pytest.mark.parametrize(
    ("api", "body"),
    [
        (Api.CHAT, '{"choices":null}'),
        (Api.CHAT, '{"choices":{}}'),
        (Api.CHAT, '{"choices":"Hi"}'),
        (Api.CHAT, "{}"),
        (Api.CHAT, "[]"),
        (Api.CHAT, '"Hi"'),
        (Api.CHAT, "NaN"),
        (Api.CHAT, '{"choices":[{"message":'),
        (Api.CHAT, ""),
        (Api.RESPONSES, '{"status":"completed","output":null}'),
        (Api.RESPONSES, '{"status":"completed"}'),
        (Api.RESPONSES, '{"status":"queued","output":{}}'),
        (Api.RESPONSES, '{"output":null,"status":["queued"]}'),
        (Api.EMBEDDINGS, '{"data":null}'),
        (Api.EMBEDDINGS, '{"choices":[]}'),
        (Api.MODERATIONS, '{"results":{"flagged":true}}'),
    ],
)
def test_what_has_no_content_is_junk_still(api: Api, body: str) -> None:
    failure = judged(api, body).failure

    assert failure is not None
    assert failure.kind is FailureKind.JUNK


def chunk(choice: str = '{"index":0,"delta":{"content":"Hi"},"finish_reason":null}', **fields: str) -> bytes:
    beside = "".join(f',"{name}":{value}' for name, value in fields.items())
    return f'data: {{"object":"chat.completion.chunk","choices":[{choice}]{beside}}}\n\n'.encode()


ODD_CONTENT_CHUNKS = [
    *[chunk(usage=usage) for usage in UNKNOWN_USAGES],
    *[chunk(obj('"delta":{"content":"Hi"}', index=index)) for index in ("null", '"0"', "0.0", "[]", HUGE, "-1")],
    *[chunk(obj('"delta":{"content":"Hi"}', finish_reason=odd)) for odd in ("false", "0", "{}", "[]", '""', '"null"')],
    *[chunk(**{field: odd}) for field in ("sequence_number", "created", "id", "type", "response", "code", "message")
      for odd in ("null", '"x"', "1.5", "[]", "true", HUGE)],
    chunk('{"delta":"Hi"}'),
    chunk('{"delta":["Hi"]}'),
    chunk('{"delta":null,"text":"Hi"}'),
    chunk('{"delta":{"content":[{"type":"text","text":"Hi"}]}}'),
    chunk('{"delta":{"content":null,"reasoning_content":"Hi"}}'),
    chunk('{"delta":{"content":"Hi"},"logprobs":{"content":[{"logprob":-Infinity}]}}'),
    chunk('{"delta":{"content":"Hi"},"logprobs":NaN}'),
    chunk('{"delta":{"content":"Hi \\ud83d"}}'),
    chunk('null,{"delta":{"content":"Hi"}}'),
    BOM + chunk(),
    chunk('{"message":{"content":"Hi"}}'),
]  # fmt: skip


@pytest.mark.parametrize("event", ODD_CONTENT_CHUNKS)
def test_an_event_with_odd_books_is_content_as_without_them(event: bytes) -> None:
    scanner = OpenAIStreamScanner(owns_credential=True)
    (frame,) = scanner.feed(event)

    assert (frame.kind, frame.failure, frame.data) == (FrameKind.CONTENT, None, event)
    assert not scanner.may_end


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"choices":null,"usage":{"prompt_tokens":1}}\n\n',
        b'data: {"choices":{},"usage":[]}\n\n',
        b'data: {"choices":"none"}\n\n',
        b'data: {"choices":[{"delta":null,"text":null}]}\n\n',
        b'data: {"choices":[null,3]}\n\n',
        b"data:\n\n",
        BOM + b"\n\n",
        b'data: {"type":"response.in_progress","sequence_number":"four","response":[]}\n\n',
    ],
)
def test_an_event_with_odd_books_and_nothing_else_is_preamble(event: bytes) -> None:
    (frame,) = OpenAIStreamScanner(owns_credential=True).feed(event)

    assert frame.kind is FrameKind.PREAMBLE


@pytest.mark.parametrize("cut", range(len(BOM) + 3))
def test_a_byte_order_mark_before_the_first_event_is_no_content_however_it_is_cut(cut: int) -> None:
    scanner = OpenAIStreamScanner(owns_credential=True)
    stream = BOM + chunk()
    frames = [*scanner.feed(stream[:cut]), *scanner.feed(stream[cut:])]

    assert scanner.is_event_stream
    assert not scanner.is_body
    assert [frame.kind for frame in frames] == [FrameKind.CONTENT]


@pytest.mark.parametrize("usage", ['{"input_tokens":4,"output_tokens":2}', '{"input_tokens":4.0,"output_tokens":2.0}'])
def test_the_usage_of_a_response_is_read_where_it_can_be(usage: str) -> None:
    scanner = OpenAIStreamScanner(owns_credential=True)
    scanner.relay(b'data: {"type":"response.completed","response":{"usage":%s}}\n\n' % usage.encode())

    assert scanner.usage == Usage(4, 2)


@pytest.mark.parametrize("usage", UNKNOWN_USAGES)
@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_with_odd_books_is_asked_for_once_and_passes_as_it_came(stream: bool, usage: str) -> None:
    whole = (obj(GOOD[Api.CHAT], usage=usage)).encode()
    events = [chunk(usage=usage), chunk('{"delta":{},"finish_reason":"stop"}', usage=usage), b"data: [DONE]\n\n"]
    good: Callable[[], FakeReply] = lambda: FakeReply(200, events if stream else [whole])  # noqa: E731
    bench = Bench([good], [good])

    got = await bench.text() if stream else body_of(await bench.ask())

    assert got == (b"".join(events) if stream else whole)
    assert bench.asked == ["e1"]
    assert bench.alarm.told == []


def a_choice(**fields: Any) -> bytes:
    return json.dumps({"choices": [{"message": {"content": "Hi"}, **fields}]}).encode()


async def test_not_a_number_in_the_log_probabilities_is_relayed() -> None:
    body = a_choice(logprobs={"content": [{"logprob": float("nan")}]}, index=None, finish_reason=False)
    answer = await Bench([lambda: FakeReply(200, [body])]).ask()

    assert isinstance(answer, WholeAnswer)
    assert answer.reply.body == body


@pytest.mark.parametrize(
    ("api", "content"), [(Api.CHAT, "choices"), (Api.EMBEDDINGS, "data"), (Api.RESPONSES, "output")]
)
def test_an_answer_of_millions_of_values_passes_and_is_not_read(api: Api, content: str) -> None:
    body = b'{"%b":[' % content.encode() + b"[]," * 2_000_000 + b'[]],"usage":{"total_tokens":7}}'

    assert judged(api, body) == Verdict()
    assert judged(api, b" " + body[1:]).failure is not None
