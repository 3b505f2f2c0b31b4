"""Whole replies: chat completions, legacy completions, embeddings, moderations, the list of models."""

import base64
from array import array
from collections.abc import Sequence
from hashlib import shake_256
from math import sqrt
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from simulator.content.questions import (
    ChatQuestion,
    CompletionsQuestion,
    EmbeddingsQuestion,
    ModerationsQuestion,
)
from simulator.content.text import Content, Turn, digest_of
from simulator.protocol.errors import missing_parameter
from simulator.protocol.reply import Reply, encode_json, json_reply

FINGERPRINT = "fp_simulated"
SAFE = {kind: {"filtered": False, "severity": "safe"} for kind in ("hate", "self_harm", "sexual", "violence")}
_DEFAULT_MODELS = ("gpt-5-mini", "gpt-4.1", "text-embedding-3-small")
_DEFAULT_DIMENSIONS = 1536
_CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
"""All that omni-moderation knows; typed clients miss what is not there."""
_CREATED_S = 1_735_689_600


class Choice(Struct):
    index: int
    message: dict[str, Any]
    finish_reason: str
    logprobs: None = None
    content_filter_results: dict[str, Any] | UnsetType = UNSET


class Completion(Struct, kw_only=True):
    """`chat.completion`; the filter fields are Azure's."""

    id: str
    object: str = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: dict[str, Any]
    service_tier: str = "default"
    system_fingerprint: str = FINGERPRINT
    prompt_filter_results: list[dict[str, Any]] | UnsetType = UNSET


def prompt_filter_results() -> list[dict[str, Any]]:
    return [{"prompt_index": 0, "content_filter_results": SAFE}]


def chat_reply(question: ChatQuestion, turn: Turn) -> Reply:
    """A `chat.completion` with `n` choices."""
    contents = contents_of(question, turn)
    completion = Completion(
        id=f"chatcmpl-{turn.unique}",
        created=turn.created_s,
        model=turn.model,
        choices=[
            Choice(
                index,
                _message(content, turn, index),
                finish_reason(content),
                content_filter_results=SAFE if turn.is_azure else UNSET,
            )
            for index, content in enumerate(contents)
        ],
        usage=usage_of(turn, contents),
        prompt_filter_results=prompt_filter_results() if turn.is_azure else UNSET,
    )
    return Reply(200, encode_json(completion), works=True)


def contents_of(question: ChatQuestion, turn: Turn) -> list[Content]:
    """The answers, one for each choice asked for."""
    ask = question.ask()
    return [turn.compose(ask, index) for index in range(question.n or 1)]


def finish_reason(content: Content) -> str:
    if content.tool_name is not None:
        return "tool_calls"
    return "length" if content.is_cut else "stop"


def call_id(turn: Turn, index: int) -> str:
    return f"call_{turn.unique}{index:02x}"


def usage_of(turn: Turn, contents: Sequence[Content]) -> dict[str, Any]:
    """Chat's `usage`: input by its bytes, output by its pieces."""
    prompt = turn.prompt_tokens
    completion = sum(len(content.pieces) for content in contents)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _message(content: Content, turn: Turn, index: int) -> dict[str, Any]:
    if content.tool_name is None:
        return {"role": "assistant", "content": content.text, "refusal": None, "annotations": []}
    function = {"name": content.tool_name, "arguments": content.text}
    call = {"id": call_id(turn, index), "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None, "annotations": []}


def completions_reply(question: CompletionsQuestion, turn: Turn) -> Reply:
    """A legacy `text_completion`."""
    contents = contents_of(ChatQuestion(n=question.n, max_tokens=question.max_tokens), turn)
    choices = [
        {"index": index, "text": content.text, "logprobs": None, "finish_reason": finish_reason(content)}
        for index, content in enumerate(contents)
    ]
    usage = {name: count for name, count in usage_of(turn, contents).items() if isinstance(count, int)}
    value = {"id": f"cmpl-{turn.unique}", "object": "text_completion", "created": turn.created_s}
    return json_reply(200, {**value, "model": turn.model, "choices": choices, "usage": usage}, works=True)


def embeddings_reply(question: EmbeddingsQuestion, turn: Turn) -> Reply:
    """One vector for each input, equal in both encodings."""
    if question.input is None:
        return missing_parameter("input")
    texts = _embedded_inputs(question.input)
    dimensions = question.dimensions or _DEFAULT_DIMENSIONS
    data = []
    for index, text in enumerate(texts):
        vector = _vector(f"{turn.name} {turn.model} {digest_of(text)}".encode(), dimensions)
        shown = base64.b64encode(vector.tobytes()).decode() if question.encoding_format == "base64" else vector.tolist()
        data.append({"object": "embedding", "index": index, "embedding": shown})
    tokens = turn.prompt_tokens
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_reply(200, {"object": "list", "data": data, "model": turn.model, "usage": usage}, works=True)


def _embedded_inputs(given: str | list[str | int | list[int]]) -> list[bytes]:
    if isinstance(given, str):
        return [given.encode()]
    if given and isinstance(given[0], int):
        return [encode_json(given)]
    return [encode_json(item) for item in given]


def _vector(seed: bytes, dimensions: int) -> "array[float]":
    """A unit vector of 32-bit floats."""
    raw = array("b", shake_256(seed).digest(dimensions))
    norm = sqrt(sum(value * value for value in raw)) or 1.0
    return array("f", [value / norm for value in raw])


def moderations_reply(question: ModerationsQuestion, turn: Turn) -> Reply:
    """Nothing is ever flagged. Each text has its result; texts and images that are asked about together have one."""
    result = {
        "flagged": False,
        "categories": dict.fromkeys(_CATEGORIES, False),
        "category_scores": dict.fromkeys(_CATEGORIES, 0.0001),
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }
    given = question.input
    count = len(given) if isinstance(given, list) and all(isinstance(text, str) for text in given) else 1
    return json_reply(200, {"id": f"modr-{turn.unique}", "model": turn.model, "results": [result] * count}, works=True)


def models_reply(models: Sequence[str]) -> Reply:
    """The configured models, else three usual ones."""
    data = [_model(name) for name in models or _DEFAULT_MODELS]
    return json_reply(200, {"object": "list", "data": data})


def model_reply(name: str, *, deleted: bool = False) -> Reply:
    return json_reply(200, {"id": name, "object": "model", "deleted": True} if deleted else _model(name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED_S, "owned_by": "simulated"}
