"""Chat answers as the cache must know them: a whole one told as a stream, in the chunks that OpenAI or Azure would have
sent, with all text in one piece; and a stream without what is not wanted. The way back is in `chat_merge`."""

from collections.abc import Iterator
from functools import partial

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from adapters.upstreams.openai.streams.sse import DONE, parse_event
from adapters.upstreams.reshape import chat_wire as wire
from adapters.upstreams.reshape.chat_merge import merge
from adapters.upstreams.reshape.finish_reasons import all_ended
from adapters.upstreams.reshape.reshaping import AnswerFormat, Dialect, StreamOptions, told, write_event

GOOD_ENDS = frozenset(("stop", "tool_calls", "function_call"))  # the model was done


def _chunks_of(whole: wire.Completion, with_usage: bool) -> list[wire.Chunk]:
    mould = wire.Chunk(
        id=whole.id,
        object=wire.CHUNK,
        created=whole.created,
        model=whole.model,
        service_tier=whole.service_tier,
        system_fingerprint=whole.system_fingerprint,
        choices=[],
    )
    chunks = told(whole, mould, _pieces, with_usage)
    results = whole.prompt_filter_results
    if results is UNSET:
        return chunks
    # What Azure's filter says of the prompt comes before the first choice, in a chunk that says nothing else.
    preamble = wire.Chunk(id="", object="", created=0, model="", choices=[], prompt_filter_results=results)
    return [preamble, *chunks]


def _pieces(choice: wire.Choice) -> Iterator[wire.ChunkChoice]:
    """Role, text, end. What is said of the text goes with it, or with the end where there is none."""
    verdict: UnsetType | dict[str, object] = UNSET if choice.content_filter_results is UNSET else {}
    mould = wire.ChunkChoice(
        index=choice.index, delta=wire.Delta(), logprobs=None, finish_reason=None, content_filter_results=verdict
    )
    said = {"logprobs": choice.logprobs, "content_filter_results": choice.content_filter_results}
    for delta in _deltas(choice.message):
        has_text = bool(delta.content or delta.refusal)
        yield replace(mould, delta=delta, **(said if has_text else {}))
        if has_text:
            said = {}
    yield replace(mould, finish_reason=choice.finish_reason, **said)


def _deltas(message: wire.Message) -> Iterator[wire.Delta]:
    yield wire.Delta(role="assistant", content=None if message.content is None else "", refusal=None)
    if message.content:
        yield wire.Delta(content=message.content)
    if message.refusal is not None:
        yield wire.Delta(refusal=message.refusal)
    if message.function_call:
        for piece in _calling(message.function_call):
            yield wire.Delta(function_call=piece)
    for index, call in enumerate(message.tool_calls or ()):
        head, *rest = _calling(call.function)
        yield wire.Delta(tool_calls=[wire.ToolCallDelta(index=index, id=call.id, type=call.type, function=head)])
        for piece in rest:
            yield wire.Delta(tool_calls=[wire.ToolCallDelta(index=index, function=piece)])
    if message.annotations:
        yield wire.Delta(annotations=message.annotations)


def _calling(function: wire.Function) -> list[wire.FunctionDelta]:
    head = wire.FunctionDelta(name=function.name, arguments="")
    return [head, wire.FunctionDelta(arguments=function.arguments)] if function.arguments else [head]


def _trimmed(frame: bytes, wanted: StreamOptions) -> bytes:
    """One event; b"" = nothing of it is wanted. One that holds nothing unwanted stays as it is, byte for byte."""
    data = parse_event(frame).data
    if data is None or data == DONE:
        return frame
    chunk = wire.read_chunk(data)
    trimmed = chunk if wanted.usage else replace(chunk, usage=UNSET)
    trimmed = trimmed if wanted.obfuscation else replace(trimmed, obfuscation=UNSET)
    if trimmed == chunk:
        return frame
    return b"" if not wanted.usage and _says_only_usage(chunk) else write_event(trimmed)


def _says_only_usage(chunk: wire.Chunk) -> bool:
    """Clients that did not ask for it read `choices[0]` of each chunk, and fail on this one."""
    return isinstance(chunk.usage, dict) and not chunk.choices and chunk.prompt_filter_results is UNSET


_DIALECT = Dialect(wire.read_completion, wire.read_chunk, merge, _chunks_of, _trimmed)
CHAT = AnswerFormat(partial(all_ended, good_ends=GOOD_ENDS), _DIALECT.reshaped)
