"""A whole chat answer told as a stream: the chunks that OpenAI or Azure would have sent, with all text in one piece."""

from collections.abc import Iterator

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from adapters.upstreams.reshape.chat_wire import (
    CHUNK,
    Choice,
    Chunk,
    ChunkChoice,
    Completion,
    Delta,
    Function,
    FunctionDelta,
    Message,
    ToolCallDelta,
)
from adapters.upstreams.reshape.reshaping import NotUnderstood


def chunks_of(whole: Completion, *, with_usage: bool) -> list[Chunk]:
    """The chunks of this answer. Raises `NotUnderstood` if `with_usage` asks for what it does not say, or if two of its
    choices claim one place.

    As OpenAI does with `include_usage`, each chunk then has a `usage`: null, but for a last chunk without choices.
    """
    if len({choice.index for choice in whole.choices}) < len(whole.choices):
        raise NotUnderstood("two choices have the same index")
    mould = Chunk(
        id=whole.id,
        object=CHUNK,
        created=whole.created,
        model=whole.model,
        service_tier=whole.service_tier,
        system_fingerprint=whole.system_fingerprint,
        choices=[],
        usage=None if with_usage else UNSET,
    )
    chunks = [replace(mould, choices=[piece]) for choice in whole.choices for piece in _pieces(choice)]
    if whole.prompt_filter_results is not UNSET:
        chunks.insert(0, _preamble(whole.prompt_filter_results))
    if with_usage:
        if not isinstance(whole.usage, dict):
            raise NotUnderstood("the answer does not say what it used")
        chunks.append(replace(mould, usage=whole.usage))
    return chunks


def _preamble(results: list[object]) -> Chunk:
    """What Azure's filter says of the prompt comes before the first choice, in a chunk that says nothing else."""
    return Chunk(id="", object="", created=0, model="", choices=[], prompt_filter_results=results)


def _pieces(choice: Choice) -> Iterator[ChunkChoice]:
    """One choice: its role, what it says, and why it ended. What is said of the text goes with the text, or with the
    end where there is none."""
    verdict: UnsetType | dict[str, object] = UNSET if choice.content_filter_results is UNSET else {}
    mould = ChunkChoice(
        index=choice.index, delta=Delta(), logprobs=None, finish_reason=None, content_filter_results=verdict
    )
    said = {"logprobs": choice.logprobs, "content_filter_results": choice.content_filter_results}
    for delta in _deltas(choice.message):
        has_text = bool(delta.content or delta.refusal)
        yield replace(mould, delta=delta, **(said if has_text else {}))
        if has_text:
            said = {}
    yield replace(mould, finish_reason=choice.finish_reason, **said)


def _deltas(message: Message) -> Iterator[Delta]:
    yield Delta(role="assistant", content=None if message.content is None else "", refusal=None)
    if message.content:
        yield Delta(content=message.content)
    if message.refusal is not None:
        yield Delta(refusal=message.refusal)
    if message.function_call:
        for piece in _calling(message.function_call):
            yield Delta(function_call=piece)
    for index, call in enumerate(message.tool_calls or ()):
        head, *rest = _calling(call.function)
        yield Delta(tool_calls=[ToolCallDelta(index=index, id=call.id, type=call.type, function=head)])
        for piece in rest:
            yield Delta(tool_calls=[ToolCallDelta(index=index, function=piece)])
    if message.annotations:
        yield Delta(annotations=message.annotations)


def _calling(function: Function) -> list[FunctionDelta]:
    """The name first, then the arguments."""
    head = FunctionDelta(name=function.name, arguments="")
    return [head, FunctionDelta(arguments=function.arguments)] if function.arguments else [head]
