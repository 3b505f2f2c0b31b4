"""What is decoded of a large text is no larger than the text, whatever it is made of."""

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import pytest

from adapters.http.bodies.decode_request import decoded
from adapters.http.bodies.multipart_model import find_model
from adapters.upstreams.openai.errors.reply_judge import MAX_ERROR_BYTES, MAX_INFLATED_BYTES, judge, read_error
from adapters.upstreams.openai.inflated_reply import InflatedReply, beginning
from adapters.upstreams.openai.stored_ids import MAX_FOUND, made_ids, state_ids
from adapters.upstreams.openai.streams.event_content import event_says
from adapters.upstreams.openai.streams.sse import parse_event
from adapters.upstreams.openai.streams.stream_scanner import OpenAIStreamScanner
from adapters.upstreams.reshape.answer_formats import OpenAIAnswerFormats
from application.errors import InvalidRequest
from application.messages import Api, FrameKind, WholeReply
from application.ports import UpstreamFailed
from application.store_ports import CachedAnswer, Shape
from domain.failure import FailureKind
from tests.fakes import FakeReply

MIB = 1024 * 1024
LISTS = b"[" + b"[]," * (250_000) + b"[]]"
"""As many as are read, in 750 kB: thirty times as much as objects."""
HALF = b'"half":"\\ud83d"'
ZIPPED = (("content-encoding", "gzip"),)
PLAIN = (("content-type", "application/json"),)


def peak_bytes(work: Callable[[], object]) -> int:
    """The most that is held at a time, beside what is held before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def bodies() -> Iterator[object]:
    for half in (b'"x":1', HALF):
        for field in (b"messages", b"n", b"stop", b"user", b"prompt_cache_key", b"audio"):
            yield pytest.param(
                b'{"model":"m",%b,"%b":%b}' % (half, field, LISTS), id=f"{half.decode()} {field.decode()}"
            )


@pytest.mark.parametrize("body", list(bodies()))
def test_a_request_of_small_lists(body: bytes) -> None:
    assert decoded(body)[0].model == "m"
    assert peak_bytes(lambda: decoded(body)) < 4 * len(body)


def test_half_a_letter_in_the_name_of_a_large_requests_model_is_refused_as_in_a_small_one() -> None:
    for more in (b"1", LISTS):
        with pytest.raises(InvalidRequest) as refused:
            decoded(b'{"model":"a\\ud83d","x":%b}' % more)
        assert refused.value.param == "model"


@pytest.mark.parametrize(
    "text", [b'{"model":"m","x":%b,"y":NaN}', b'{"model":"m","x":%b', b'{"model":"m","y":"\\ud83d","x":%b}}']
)
def test_what_is_no_json_is_refused_as_in_a_small_request(text: bytes) -> None:
    for more in (b"1", LISTS):
        with pytest.raises(InvalidRequest) as refused:
            decoded(text % more)
        assert refused.value.code == "invalid_json"


@pytest.mark.parametrize("half", [b'"x":1', HALF, b'"x":[NaN,-Infinity]'])
@pytest.mark.parametrize(
    ("api", "good"),
    [
        (Api.CHAT, b'"choices":%b,"usage":{"prompt_tokens":3}'),
        (Api.CHAT, b'"choices":[{"message":{"content":"Hi"},"logprobs":%b}],"usage":{"prompt_tokens":3}'),
        (Api.EMBEDDINGS, b'"data":[{"embedding":%b}],"usage":{"prompt_tokens":3}'),
        (Api.MODERATIONS, b'"results":%b,"usage":{"prompt_tokens":3}'),
        (Api.RESPONSES, b'"output":%b,"error":null,"status":"completed","usage":{"input_tokens":3}'),
        (Api.RESPONSES, b'"output":[],"metadata":%b,"usage":{"input_tokens":3}'),
    ],
)
def test_an_answer_of_small_lists(api: Api, good: bytes, half: bytes) -> None:
    reply = WholeReply(200, PLAIN, b"{%b,%b}" % (half, good % LISTS))

    verdict = judge(api, reply, owns_credential=True)
    assert verdict.failure is None
    assert verdict.usage is not None
    assert verdict.usage.prompt_tokens == 3
    assert peak_bytes(lambda: judge(api, reply, owns_credential=True)) < 4 * len(reply.body)


@pytest.mark.parametrize("field", [b"error", b"usage", b"status"])
def test_an_answer_whose_books_are_small_lists(field: bytes) -> None:
    reply = WholeReply(200, PLAIN, b'{"choices":[1],"%b":%b}' % (field, LISTS))

    assert (judge(Api.CHAT, reply, owns_credential=True).failure is None) is (field != b"error")
    assert peak_bytes(lambda: judge(Api.CHAT, reply, owns_credential=True)) < 4 * len(reply.body)


@pytest.mark.parametrize("status", [200, 400, 429, 500])
@pytest.mark.parametrize("half", [b'"x":1', HALF])
def test_an_error_of_small_lists_keeps_its_code(status: int, half: bytes) -> None:
    error = b'{"error":{"message":"no","code":"invalid_api_key","param":%b},%b}' % (LISTS, half)
    reply = WholeReply(status, PLAIN, error)

    assert read_error(reply).code == "invalid_api_key"
    assert judge(Api.CHAT, reply, owns_credential=True).failure is not None
    assert peak_bytes(lambda: judge(Api.CHAT, reply, owns_credential=True)) < 4 * len(error)


BOMB = 32 * MIB


@pytest.mark.parametrize("bits", [31, 15, -15])
@pytest.mark.parametrize("filler", [b" ", b"[", b'{"a":'])
def test_a_zipped_error_is_inflated_as_far_as_errors_go(bits: int, filler: bytes) -> None:
    headers = (("content-encoding", "gzip" if bits == 31 else "deflate"),)
    bomb = zlib.compress(b'{"error":' + filler * (BOMB // len(filler)), wbits=bits)
    reply = WholeReply(500, headers, bomb)

    assert len(beginning(headers, bomb, MAX_ERROR_BYTES)[0]) == MAX_ERROR_BYTES
    assert peak_bytes(lambda: judge(Api.CHAT, reply, owns_credential=True)) < 12 * MAX_ERROR_BYTES


def test_members_of_a_zipped_error_count_together() -> None:
    one = gzip.compress(b" " * MAX_ERROR_BYTES)
    reply = WholeReply(500, ZIPPED, one * 500)

    assert peak_bytes(lambda: read_error(reply)) < 8 * MAX_ERROR_BYTES
    parts = gzip.compress(b'{"error":{"code":') + b"\0" * 9000 + gzip.compress(b'"c"}}') + b"\0"
    assert read_error(WholeReply(500, ZIPPED, parts)).code == "c"


@pytest.mark.parametrize("bits", [31, 15, -15])
def test_a_zipped_answer_is_inflated_for_the_books_only_so_far(bits: int) -> None:
    headers = (("content-encoding", "gzip" if bits == 31 else "deflate"),)
    small = b'{"choices":[1],"usage":{"prompt_tokens":3}}'
    books = judge(Api.CHAT, WholeReply(200, headers, zlib.compress(small, wbits=bits)), owns_credential=True).usage
    large = WholeReply(200, headers, zlib.compress(small[:-1] + b" " * BOMB + b"}", wbits=bits))

    assert books is not None
    assert judge(Api.CHAT, large, owns_credential=True).failure is None
    assert judge(Api.CHAT, large, owns_credential=True).usage is None
    assert peak_bytes(lambda: judge(Api.CHAT, large, owns_credential=True)) < 4 * MAX_INFLATED_BYTES


def test_a_zipped_body_of_nothing_but_members_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    members = 0
    make = zlib.decompressobj

    def counted(bits: int) -> object:
        nonlocal members
        members += 1
        return make(bits)

    monkeypatch.setattr(zlib, "decompressobj", counted)
    empty = gzip.compress(b"") * 20_000
    judge(Api.CHAT, WholeReply(200, ZIPPED, empty), owns_credential=True)
    of_a_body, members = members, 0
    reply = InflatedReply(FakeReply(200, [empty], ZIPPED), "gzip")
    with pytest.raises(UpstreamFailed) as failed:
        asyncio.run(reply.receive())

    assert of_a_body <= 2000
    assert members <= 2000
    assert failed.value.failure.kind is FailureKind.JUNK


def test_deflate_that_brings_nothing_is_not_held() -> None:
    pieces = [b"x\x9c", *[b"\0\0\0\xff\xff" * 3000] * 200]  # blocks of no bytes (RFC 1951, 3.2.4)
    reply = InflatedReply(FakeReply(200, pieces, ZIPPED), "deflate")

    def read() -> None:
        with pytest.raises(UpstreamFailed):
            asyncio.run(reply.receive())

    assert sum(map(len, pieces)) > MIB
    assert peak_bytes(read) < MIB // 2


def chunk_of(choice: bytes) -> bytes:
    return b'data: {"id":"c","object":"chat.completion.chunk","choices":[%b]}\n\n' % choice


@pytest.mark.parametrize("half", [b'"x":1', HALF])
@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (b'data: {%b,"choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":%b}]}\n\n', FrameKind.CONTENT),
        (b'data: {%b,"choices":%b}\n\n', FrameKind.CONTENT),
        (b'data: {%b,"choices":[{"index":0,"delta":{},"logprobs":%b,"finish_reason":"stop"}]}\n\n', FrameKind.CONTENT),
        (b'data: {%b,"type":"response.output_text.delta","logprobs":%b}\n\n', FrameKind.CONTENT),
        (b'data: {%b,"type":"response.created","response":{"output":%b}}\n\n', FrameKind.PREAMBLE),
        (
            b'data: {%b,"type":"response.completed","response":{"output":%b,"usage":{"input_tokens":3}}}\n\n',
            FrameKind.END,
        ),
        (b'data: {%b,"error":{"message":%b}}\n\n', FrameKind.ERROR),
        (
            b'data: {%b,"type":"response.failed","response":{"error":{"code":"server_error"},"output":%b}}\n\n',
            FrameKind.ERROR,
        ),
    ],
)
def test_an_event_of_small_lists_means_what_it_says(event: bytes, kind: FrameKind, half: bytes) -> None:
    text = event % (half, LISTS)
    scanner = OpenAIStreamScanner(owns_credential=True)

    assert [frame.kind for frame in scanner.feed(text)] == [kind]
    assert scanner.may_end is (b'"stop"' in text or kind is FrameKind.END)
    assert (scanner.usage is not None) is (b'"usage"' in text)
    assert peak_bytes(lambda: OpenAIStreamScanner(owns_credential=True).feed(text)) < 6 * len(text)


def test_an_event_of_many_lines_is_none() -> None:
    event = b"data:\n" * 700_000 + b"\n"

    assert not parse_event(event).recognised
    assert peak_bytes(lambda: parse_event(event)) < len(event)
    assert parse_event(b"data: %b\n" % (b"a" * 200) * 5000 + b"\n").recognised


def test_what_a_small_list_says_is_not_decoded() -> None:
    text = b'{"type":"response.output_item.added","item":%b}' % LISTS

    assert event_says(text)
    assert peak_bytes(lambda: event_says(text)) < len(text)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", [Api.CHAT, Api.COMPLETIONS, Api.RESPONSES])
def test_an_answer_of_small_lists_is_not_kept(api: Api, stream: bool) -> None:
    formats = OpenAIAnswerFormats()
    choices = b'"choices":[{"finish_reason":"stop","text":%b}]' % LISTS
    body = b'{"id":"r","object":"response","status":"completed",%b,"output":%b}' % (choices, LISTS)
    answer = CachedAnswer(Shape(stream), PLAIN, ((b"data: %b\n\ndata: [DONE]\n\n" % body) if stream else body,), 0.0)

    assert not formats.ended_well(api, answer)
    assert formats.reshaped(api, answer, Shape(not stream)) is None
    assert peak_bytes(lambda: formats.ended_well(api, answer)) < len(body)


def test_large_embeddings_are_kept() -> None:
    vectors = json.dumps({"data": [{"embedding": [0.5] * 1536}] * 300}).encode()

    assert len(vectors) > 2 * MIB
    assert OpenAIAnswerFormats().ended_well(Api.EMBEDDINGS, CachedAnswer(Shape(), PLAIN, (vectors,), 0.0))


@pytest.mark.parametrize("letter", [b"a", b"\\n", b'\\"'])
def test_encrypted_contents_of_megabytes_are_found_without_a_note_of_each_letter(letter: bytes) -> None:
    text = b'{"input":[{"encrypted_content":"%b"}]}' % (letter * 2_000_000)

    assert len(state_ids(text)) == 1
    assert peak_bytes(lambda: state_ids(text)) < 5 * len(text)


@pytest.mark.parametrize("value", [b'"resp_1",', b'"file_id":"x",', b'"encrypted_content":"%b",' % (b"a" * 16)])
def test_ids_are_looked_for_so_often(value: bytes) -> None:
    many = b"".join(value.replace(b'",', b'%d",' % number) for number in range(3 * MAX_FOUND))

    assert len(state_ids(b"[%b1]" % many)) <= 3 * MAX_FOUND
    assert len(state_ids(b"[%b1]" % many)) <= MAX_FOUND
    assert len(made_ids(b'[{"id":"a"},%b1]' % many)) <= 2 * MAX_FOUND


def test_a_form_whose_part_has_megabytes_of_headers_names_no_model() -> None:
    fields = b"a:\r\n" * 500_000
    form = b'--b\r\n%bcontent-disposition: form-data; name="model"\r\n\r\nm\r\n--b--' % fields

    assert find_model(form, b"b") is None
    assert peak_bytes(lambda: find_model(form, b"b")) < MIB
    assert find_model(b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n--b--', b"b") is not None
