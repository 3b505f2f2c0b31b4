"""The chunks of a chat stream merged into the whole answer that OpenAI or Azure would have given.

Texts are strung together, calls are put together by their index, and what should be said once may be repeated, but not
contradicted. The whole message has the nulls and the empty list that OpenAI writes (`refusal`, `annotations`,
`logprobs`), whether or not the stream named them.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

from msgspec import UNSET, UnsetType

from adapters.upstreams.reshape import chat_wire as wire
from adapters.upstreams.reshape.reshaping import NotUnderstood, in_order

T = TypeVar("T")


def merge(chunks: Iterable[wire.Chunk]) -> wire.Completion:
    """The whole answer. Raises `NotUnderstood` if a part of it did not come (the usage, an end, a call between others),
    came twice and not the same, or belongs to another answer."""
    envelope: tuple[str, int, str] | None = None
    choices: dict[int, _Choice] = {}
    usage: dict[str, Any] | None = None
    service_tier: wire.Text = UNSET
    system_fingerprint: wire.Text = UNSET
    prompt_filter_results: list[Any] | None = None
    for chunk in chunks:
        if chunk.id:
            envelope = _once(envelope, (chunk.id, chunk.created, chunk.model))
        if chunk.choices and not (chunk.id and chunk.object == wire.CHUNK):
            raise NotUnderstood("a piece that belongs to no answer")
        if chunk.choices and chunk.usage:
            raise NotUnderstood("a usage before the end")
        usage = _once(usage, chunk.usage)
        service_tier = _latest(service_tier, chunk.service_tier)
        system_fingerprint = _latest(system_fingerprint, chunk.system_fingerprint)
        prompt_filter_results = _once(prompt_filter_results, chunk.prompt_filter_results)
        for piece in chunk.choices:
            choices.setdefault(piece.index, _Choice()).take(piece)
    if envelope is None or usage is None or not choices:
        raise NotUnderstood("the stream does not say all that a whole answer does")
    answer_id, created, model = envelope
    return wire.Completion(
        id=answer_id,
        created=created,
        model=model,
        choices=[choice.whole(index) for index, choice in enumerate(in_order(choices))],
        usage=usage,
        service_tier=service_tier,
        system_fingerprint=system_fingerprint,
        prompt_filter_results=UNSET if prompt_filter_results is None else prompt_filter_results,
    )


def _once(said: T | None, again: T | UnsetType | None) -> T | None:
    """What is said once; null, empty and absent say nothing."""
    if again is UNSET or again is None or again == "":
        return said
    if said is not None and said != again:
        raise NotUnderstood("two chunks contradict each other")
    return again


def _latest(said: wire.Text, again: wire.Text) -> wire.Text:
    """The last that was said, as openai-python reads it; null does not take it back."""
    return said if again is UNSET or (again is None and said is not UNSET) else again


class _Choice:
    def __init__(self) -> None:
        self._content: list[str] | None = None
        self._refusal: list[str] | None = None
        self._annotations: list[Any] = []
        self._tool_calls: dict[int, _Call] = {}
        self._function_call: _Call | None = None
        self._logprobs: wire.Logprobs | None = None
        self._finish_reason: str | None = None
        self._verdict: dict[str, Any] | None = None

    def take(self, piece: wire.ChunkChoice) -> None:
        self._take_delta(piece.delta)
        self._finish_reason = _once(self._finish_reason, piece.finish_reason)
        if piece.logprobs:
            so_far = self._logprobs or wire.Logprobs()
            self._logprobs = wire.Logprobs(
                content=_extended(so_far.content, piece.logprobs.content),
                refusal=_extended(so_far.refusal, piece.logprobs.refusal),
            )
        if piece.content_filter_results is not UNSET:
            self._verdict = self._verdict or {}
            for name, result in piece.content_filter_results.items():
                self._verdict[name] = _once(self._verdict.get(name), result)

    def _take_delta(self, delta: wire.Delta) -> None:
        if isinstance(delta.content, str):
            self._content = _extended(self._content, [delta.content])
        if isinstance(delta.refusal, str):
            self._refusal = _extended(self._refusal, [delta.refusal])
        self._annotations.extend(delta.annotations or ())
        if delta.function_call:
            self._function_call = self._function_call or _Call()
            self._function_call.take_function(delta.function_call)
        for call in delta.tool_calls or ():
            self._tool_calls.setdefault(call.index, _Call()).take(call)

    def whole(self, index: int) -> wire.Choice:
        if self._finish_reason is None:
            raise NotUnderstood("a choice did not end")
        message = wire.Message(
            role="assistant",
            content=None if self._content is None else "".join(self._content),
            tool_calls=[call.tool_call() for call in in_order(self._tool_calls)] or UNSET,
            function_call=UNSET if self._function_call is None else self._function_call.function(),
            refusal=None if self._refusal is None else "".join(self._refusal),
            annotations=self._annotations,
        )
        return wire.Choice(
            index=index,
            message=message,
            logprobs=self._logprobs,
            finish_reason=self._finish_reason,
            content_filter_results=UNSET if self._verdict is None else self._verdict,
        )


def _extended(so_far: list[T] | None, more: list[T] | None) -> list[T] | None:
    if so_far is None or more is None:
        return so_far if more is None else list(more)
    so_far.extend(more)
    return so_far


class _Call:
    def __init__(self) -> None:
        self._id: str | None = None
        self._name: str | None = None
        self._arguments: list[str] = []

    def take(self, call: wire.ToolCallDelta) -> None:
        self._id = _once(self._id, call.id)
        if call.function:
            self.take_function(call.function)

    def take_function(self, function: wire.FunctionDelta) -> None:
        self._name = _once(self._name, function.name)
        if function.arguments:
            self._arguments.append(function.arguments)

    def tool_call(self) -> wire.ToolCall:
        if self._id is None:
            raise NotUnderstood("a call without an id")
        return wire.ToolCall(id=self._id, type="function", function=self.function())

    def function(self) -> wire.Function:
        if self._name is None:
            raise NotUnderstood("a call without a name")
        return wire.Function(name=self._name, arguments="".join(self._arguments))
