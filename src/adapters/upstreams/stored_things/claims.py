"""Which things a good reply says that were made, for where each key has its own.

Unlike `made_ids`, which takes whatever looks like an id, only what the provider itself has put into the places of an id
counts: a model says what it is told to, and metadata, schemas and the tools of an MCP server are anybody's words.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from adapters.upstreams.openai.lenient_json import decode
from application.body.narrowed import is_heavy

_MADE_FILES = ("output_file_id", "error_file_id", "thread_id", "fine_tuned_model")  # of batches, runs and jobs

_NAMES = ("id", *_MADE_FILES)
_LONGEST = 200  # letters of an id


class _Head(msgspec.Struct):
    id: Any = None


_head = msgspec.json.Decoder(_Head)
_object = msgspec.json.Decoder(dict[str, Any])


def claims(text: bytes, *, is_dialogue: bool) -> Sequence[str]:
    """The ids that a reply, or a part of a stream, says that it made; `is_dialogue`: do its replies hold items?"""
    found: list[Any] = []
    for piece in _pieces(text):
        reply = _decoded(piece)
        found += _named(reply)
        found += _items(reply) if is_dialogue else ()
    return tuple(dict.fromkeys(name for name in found if isinstance(name, str) and 0 < len(name) <= _LONGEST))


def _pieces(text: bytes) -> Iterator[bytes]:
    if text.lstrip()[:1] == b"{":
        yield text
        return
    for line in text.split(b"\n"):
        if line.startswith(b"data:") and line[5:].lstrip()[:1] == b"{":
            yield line[5:].strip()


def _decoded(text: bytes) -> dict[str, Any]:
    """Half an emoji is no reason to forget who made what."""
    try:
        return {"id": _head.decode(text).id} if is_heavy(text) else decode(_object, text)
    except (ValueError, RecursionError):
        return {}


def _named(reply: dict[str, Any]) -> list[Any]:
    files, file = reply.get("result_files"), reply.get("file")
    return [
        *(reply.get(name) for name in _NAMES),
        *(files if isinstance(files, list) else ()),
        file.get("id") if isinstance(file, dict) else None,  # of an upload that is complete
    ]


def _items(reply: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    for response in _objects([reply.get("response")]):
        found += [response.get("id"), *_items(response)]
    items = [*_objects([reply.get("item")]), *_objects(reply.get("output")), *_objects(reply.get("data"))]
    for item in (reply, *items):
        found += [item.get("id"), item.get("container_id"), *_annotated(item)]
    for choice in _objects(reply.get("choices")):
        for said in _objects([choice.get("message"), choice.get("delta")]):
            found += [audio.get("id") for audio in _objects([said.get("audio")])]
    return found


def _annotated(item: dict[str, Any]) -> Iterator[Any]:
    for part in _objects(item.get("content")):
        for note in _objects(part.get("annotations")):
            if note.get("type") == "container_file_citation":
                yield from (note.get("container_id"), note.get("file_id"))


def _objects(value: Any) -> Iterable[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else ()
