"""Chat completions as server-sent events, frame by frame as OpenAI and Azure OpenAI send them.

A role-only delta opens, one delta for each token follows, a finishing chunk, the usage chunk if it was asked for and
`[DONE]` close. Azure sends a chunk with empty `choices` and its filter's verdict on the prompt before all that.
"""

from collections.abc import Iterator
from typing import Any

from simulator.content.answers import (
    FINGERPRINT,
    SAFE,
    call_id,
    contents_of,
    finish_reason,
    prompt_filter_results,
    usage_of,
)
from simulator.content.questions import ChatQuestion, CompletionsQuestion
from simulator.content.text import Content, Turn
from simulator.protocol.reply import EVENT_STREAM, EventStream, Reply, encode_json

DONE = b"data: [DONE]\n\n"
CHAT_ERROR_FRAME = (
    b'data: {"error":{"message":"The server had an error while processing your request. Sorry about that!",'
    b'"type":"server_error","param":null,"code":null}}\n\n'
)


def data_frame(value: Any) -> bytes:
    return b"data: %b\n\n" % encode_json(value)


def chat_stream_reply(question: ChatQuestion, turn: Turn) -> Reply:
    """The same answer as `chat_reply` would give to this question, as a stream."""
    contents = contents_of(question, turn)
    wants_usage = question.stream_options is not None and bool(question.stream_options.include_usage)
    chunks = _Chunks(turn, wants_usage=wants_usage)
    opening = [chunks.with_delta(i, _first_delta(content, turn, i)) for i, content in enumerate(contents)]
    if turn.is_azure:
        opening.insert(0, _azure_preamble())
    closing = [chunks.with_delta(i, {}, finish_reason(content)) for i, content in enumerate(contents)]
    if wants_usage:
        closing.append(chunks.frame(choices=[], usage=usage_of(turn, contents)))
    closing.append(DONE)
    events = EventStream(opening, chunks.tokens(contents), closing)
    return Reply(200, content_type=EVENT_STREAM, events=events, works=True)


class _Chunks:
    """Makes the `chat.completion.chunk` frames of one answer."""

    def __init__(self, turn: Turn, *, wants_usage: bool) -> None:
        self._wants_usage = wants_usage
        self._is_azure = turn.is_azure
        self._common = {
            "id": f"chatcmpl-{turn.unique}",
            "object": "chat.completion.chunk",
            "created": turn.created_s,
            "model": turn.model,
            "service_tier": "default",
            "system_fingerprint": FINGERPRINT,
        }

    def frame(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        value = {**self._common, "choices": choices}
        if self._wants_usage:
            value["usage"] = usage
        return data_frame(value)

    def with_delta(self, index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice: dict[str, Any] = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        if self._is_azure:
            choice["content_filter_results"] = SAFE if delta.get("content") else {}
        return self.frame([choice])

    def tokens(self, contents: list[Content]) -> Iterator[bytes]:
        """A frame for each token, the choices taking turns. Only the token differs: the rest is encoded once."""
        moulds = [self._mould(index, content) for index, content in enumerate(contents)]
        for position in range(max(len(content.pieces) for content in contents)):
            for content, (before, after) in zip(contents, moulds, strict=True):
                if position < len(content.pieces):
                    yield before + encode_json(content.pieces[position]) + after

    def _mould(self, index: int, content: Content) -> tuple[bytes, bytes]:
        if content.tool_name is None:
            frame = self.with_delta(index, {"content": "\x00"})
        else:
            frame = self.with_delta(index, {"tool_calls": [{"index": 0, "function": {"arguments": "\x00"}}]})
        before, _, after = frame.partition(b'"\\u0000"')
        return before, after


def _first_delta(content: Content, turn: Turn, index: int) -> dict[str, Any]:
    if content.tool_name is None:
        return {"role": "assistant", "content": "", "refusal": None}
    function = {"name": content.tool_name, "arguments": ""}
    call = {"index": 0, "id": call_id(turn, index), "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _azure_preamble() -> bytes:
    return data_frame(
        {
            "choices": [],
            "created": 0,
            "id": "",
            "model": "",
            "object": "",
            "prompt_filter_results": prompt_filter_results(),
        }
    )


def completions_stream_reply(question: CompletionsQuestion, turn: Turn) -> Reply:
    """Legacy completions: text chunks, a finishing one, `[DONE]`."""
    contents = contents_of(ChatQuestion(n=question.n, max_tokens=question.max_tokens), turn)
    common = {"id": f"cmpl-{turn.unique}", "object": "text_completion", "created": turn.created_s}

    def frame(index: int, text: str, finish: str | None = None) -> bytes:
        choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish}
        return data_frame({**common, "model": turn.model, "choices": [choice]})

    tokens = (frame(i, piece) for i, content in enumerate(contents) for piece in content.pieces)
    closing = [frame(i, "", finish_reason(content)) for i, content in enumerate(contents)]
    if question.stream_options is not None and question.stream_options.include_usage:
        usage = {name: count for name, count in usage_of(turn, contents).items() if isinstance(count, int)}
        closing.append(data_frame({**common, "model": turn.model, "choices": [], "usage": usage}))
    return Reply(200, content_type=EVENT_STREAM, events=EventStream([], tokens, [*closing, DONE]), works=True)
