"""The official SDK reads the answers that the cache puts into another shape as it reads the original."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from adapters.upstreams.reshape.answer_formats import OpenAIAnswerFormats
from adapters.upstreams.reshape.reshaping import EVENT_STREAM
from application.messages import Api
from application.store_ports import CachedAnswer, Shape
from tests.examples import examples
from tests.unit.chat_shapes import (
    STREAM,
    STREAM_WITH_USAGE,
    WHOLE,
    completion,
    events_of,
    value_of,
    whole_answer,
    wholes,
)

QUESTION: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
WITH_SERVER = settings(
    deadline=None, max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Server:
    """Answers whatever is asked with `body`."""

    def __init__(self) -> None:
        self.body = b""
        self.content_type = ""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-type", server.content_type)
                self.send_header("content-length", str(len(server.body)))
                self.end_headers()
                self.wfile.write(server.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has there
                """Not to stderr."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def give(self, answer: CachedAnswer) -> None:
        self.body = b"".join(answer.chunks)
        self.content_type = dict(answer.headers)["content-type"]

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def client(server: Server) -> Iterator[OpenAI]:
    with OpenAI(api_key="sk-test", base_url=server.url, max_retries=0) as client:
        yield client


def reshaped(answer: CachedAnswer, shape: Shape) -> CachedAnswer:
    converted = OpenAIAnswerFormats().reshaped(Api.CHAT, answer, shape)
    assert converted is not None
    return converted


def choices_of(completion: ChatCompletion) -> list[dict[str, Any]]:
    """What a program can see, but for the difference between null, empty and absent, which the SDK blurs itself."""
    return [
        {
            "role": choice.message.role,
            "content": choice.message.content,
            "refusal": choice.message.refusal,
            "annotations": [one.to_dict() for one in choice.message.annotations or ()],
            "function_call": choice.message.function_call and choice.message.function_call.to_dict(),
            "calls": [
                (call.id, call.type, call.function.name, call.function.arguments)
                for call in choice.message.tool_calls or ()
                if call.type == "function"
            ],
            "tokens": [one.to_dict() for one in (choice.logprobs and choice.logprobs.content) or ()],
            "refused": [one.to_dict() for one in (choice.logprobs and choice.logprobs.refusal) or ()],
            "finish_reason": choice.finish_reason,
        }
        for choice in completion.choices
    ]


@WITH_SERVER
@given(whole=wholes())
def test_the_sdk_gathers_from_the_made_stream_what_it_reads_in_the_whole_answer(
    server: Server, client: OpenAI, whole: dict[str, Any]
) -> None:
    original = whole_answer(whole)
    server.give(original)
    read = client.chat.completions.create(**QUESTION)
    server.give(reshaped(original, STREAM_WITH_USAGE))
    with client.chat.completions.stream(**QUESTION, stream_options={"include_usage": True}) as stream:
        gathered = stream.get_final_completion()

    assert server.content_type == EVENT_STREAM
    assert choices_of(gathered) == choices_of(read)
    assert gathered.usage == read.usage


@WITH_SERVER
@given(whole=wholes())
def test_a_program_that_reads_the_first_choice_of_each_chunk_can(
    server: Server, client: OpenAI, whole: dict[str, Any]
) -> None:
    whole.pop("prompt_filter_results", None)
    server.give(reshaped(reshaped(whole_answer(whole), STREAM_WITH_USAGE), STREAM))

    with client.chat.completions.create(**QUESTION, stream=True) as stream:
        pieces = [(chunk.choices[0].index, chunk.choices[0].delta.content or "") for chunk in stream]

    texts = ["".join(text for at, text in pieces if at == index) for index in range(len(whole["choices"]))]
    assert texts == [choice["message"]["content"] or "" for choice in whole["choices"]]


@given(wholes())
def test_the_sdks_types_hold_for_both_forms(whole: dict[str, Any]) -> None:
    stream = reshaped(whole_answer(whole), STREAM_WITH_USAGE)

    merged = ChatCompletion.model_validate(value_of(reshaped(stream, WHOLE)), strict=True)
    assert merged.to_dict() == whole
    for chunk in events_of(stream):
        if chunk["object"]:  # Azure's preamble is no chunk by the SDK's types
            assert ChatCompletionChunk.model_validate(chunk, strict=True).to_dict() == chunk


def test_the_sdk_reads_the_merged_whole_as_a_whole(server: Server, client: OpenAI) -> None:
    whole = completion({"content": "Grüße \u2028 \U0001f600"})
    server.give(reshaped(reshaped(whole_answer(whole), STREAM_WITH_USAGE), WHOLE))

    answer = client.chat.completions.create(**QUESTION)

    assert json.loads(answer.to_json()) == whole
