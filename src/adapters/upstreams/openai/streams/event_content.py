"""Does an event carry anything that a client would show or act on? What does not could come from any endpoint."""

from collections.abc import Collection
from typing import Any

import msgspec

from adapters.upstreams.openai.lenient_json import decode
from application.body.narrowed import LARGE_BYTES, is_heavy

_IN_DELTAS = frozenset({"role", "type", "index"})
"""Fields of a chat delta, and of the parts in it, that say nothing by themselves."""

_IN_EVENTS = frozenset(
    {
        *("type", "role", "status", "phase", "sequence_number", "response_id", "obfuscation"),
        *("item_id", "output_index", "content_index", "summary_index", "annotation_index"),
        *("id", "call_id", "name", "namespace", "server_label"),
    }
)
"""Fields of the events of the Responses API, and of items and parts in them, that only say where something belongs, or
what is going to be filled (openai-python, `ResponseStreamEvent`)."""


_any = msgspec.json.Decoder(dict[str, Any])


def says(value: Any, labels: Collection[str] = _IN_DELTAS) -> bool:
    """Is there anything in it but nulls, empty texts and lists, and what stands under these labels?"""
    if isinstance(value, str):
        return bool(value)
    left = [value]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            left += [inner for name, inner in part.items() if name not in labels]
        elif isinstance(part, list):
            left += part
        elif part is not None and part is not False and part != "":
            return True
    return False


def event_says(data: bytes) -> bool:
    """The same of an event of the Responses API, which has come whole. One of so many values that they are not decoded
    says something. Raises as `decode` does."""
    if len(data) > LARGE_BYTES and is_heavy(data):
        return True
    return says(decode(_any, data), _IN_EVENTS)
