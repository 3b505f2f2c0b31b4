"""Chat answers as the cache must know them. One shape is made into the other by `chat_chunks` and `chat_merge`."""

from functools import partial

from msgspec import UNSET
from msgspec.structs import replace

from adapters.upstreams.openai.streams.sse import DONE, parse_event
from adapters.upstreams.reshape.chat_chunks import chunks_of
from adapters.upstreams.reshape.chat_merge import merge
from adapters.upstreams.reshape.chat_wire import Chunk, read_chunk, read_completion
from adapters.upstreams.reshape.finish_reasons import all_ended
from adapters.upstreams.reshape.reshaping import Dialect, StreamOptions, write_event

GOOD_ENDS = frozenset(("stop", "tool_calls", "function_call"))
"""The reasons a choice ends for when the model was done; the others are `length` and `content_filter`."""


def _trimmed(frame: bytes, wanted: StreamOptions) -> bytes:
    """One event; b"" = nothing of it is wanted. One that holds nothing unwanted stays as it is, byte for byte."""
    data = parse_event(frame).data
    if data is None or data == DONE:
        return frame
    chunk = read_chunk(data)
    trimmed = chunk if wanted.usage else replace(chunk, usage=UNSET)
    trimmed = trimmed if wanted.obfuscation else replace(trimmed, obfuscation=UNSET)
    if trimmed == chunk:
        return frame
    return b"" if not wanted.usage and _says_only_usage(chunk) else write_event(trimmed)


def _says_only_usage(chunk: Chunk) -> bool:
    """Clients that did not ask for it read `choices[0]` of each chunk, and fail on this one."""
    return isinstance(chunk.usage, dict) and not chunk.choices and chunk.prompt_filter_results is UNSET


CHAT = Dialect(partial(all_ended, good_ends=GOOD_ENDS), read_completion, read_chunk, merge, chunks_of, _trimmed)
