"""Chat answers as the OpenAI API words them, whole and in chunks, and strictly: a field unknown here is an error.

Who turns one form into the other must know what every field means; one that it does not know it would lose. Fields and
their order are those of openai-python's `ChatCompletion` and `ChatCompletionChunk`; `prompt_filter_results` and
`content_filter_results` are Azure's ("Content filtering", Azure OpenAI documentation). `UNSET` = the field is not
there, which is not the same as null. Numbers and lists that only pass through are not looked into.
"""

from functools import partial
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from adapters.upstreams.openai.lenient_json import decode_exactly

Text = str | UnsetType | None
Items = list[Any] | UnsetType | None
Words = dict[str, Any] | UnsetType | None

CHUNK: Final = "chat.completion.chunk"


class Logprobs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    content: list[Any] | None = None
    refusal: list[Any] | None = None


class Function(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    arguments: str


class ToolCall(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    type: Literal["function"]
    function: Function


class Message(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    role: Literal["assistant"]
    content: str | None = None
    tool_calls: list[ToolCall] | UnsetType | None = UNSET
    function_call: Function | UnsetType | None = UNSET
    refusal: str | None = None
    annotations: Items = UNSET


class Choice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    index: int
    message: Message
    logprobs: Logprobs | None = None
    finish_reason: str
    content_filter_results: dict[str, Any] | UnsetType = UNSET


class Completion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Words = UNSET
    service_tier: Text = UNSET
    system_fingerprint: Text = UNSET
    prompt_filter_results: list[Any] | UnsetType = UNSET


class FunctionDelta(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Text = UNSET
    arguments: Text = UNSET


class ToolCallDelta(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    index: int
    id: Text = UNSET
    type: Literal["function"] | UnsetType | None = UNSET
    function: FunctionDelta | UnsetType | None = UNSET


class Delta(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    role: Literal["assistant"] | UnsetType | None = UNSET
    content: Text = UNSET
    tool_calls: list[ToolCallDelta] | UnsetType | None = UNSET
    function_call: FunctionDelta | UnsetType | None = UNSET
    refusal: Text = UNSET
    annotations: Items = UNSET


class ChunkChoice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    index: int
    delta: Delta
    logprobs: Logprobs | UnsetType | None = UNSET
    finish_reason: Text = UNSET
    content_filter_results: dict[str, Any] | UnsetType = UNSET


class Chunk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    object: Literal["chat.completion.chunk", ""]  # Azure leaves it empty before the first choice
    created: int
    model: str
    service_tier: Text = UNSET
    system_fingerprint: Text = UNSET
    choices: list[ChunkChoice]
    usage: Words = UNSET
    obfuscation: Text = UNSET  # padding that hides how long each piece is
    prompt_filter_results: list[Any] | UnsetType = UNSET


read_completion = partial(decode_exactly, msgspec.json.Decoder(Completion))  # raises `ValueError`, `RecursionError`
read_chunk = partial(decode_exactly, msgspec.json.Decoder(Chunk))  # the data of one event; raises likewise
