"""What a reply says of itself: its id, its model, how it ended, what it took. Of its content nothing is kept."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct, structs

from application.shown_text import LONGEST_TEXT, shown

_LARGE_BYTES = 64 * 1024
"""More is not read: it would hold up every other request."""
_LONGEST_ID = 256
_MOST_REASONS = 16
_DATA = b"data:"
_decode = msgspec.json.Decoder().decode


class ReplyFacts(Struct, frozen=True):
    """Empty, or None of a number = the reply does not say, or in a part that was not read."""

    id: str = ""
    model: str = ""
    finish_reasons: tuple[str, ...] = ()
    cache_read_tokens: int | None = None
    reasoning_tokens: int | None = None

    def and_then(self, text: bytes) -> "ReplyFacts":
        """With what `text` says: a reply of JSON, or events of a stream. What comes later holds."""
        if len(text) > _LARGE_BYTES:
            return self
        facts = self
        for said in _said(text):
            facts = structs.replace(
                facts, **{name: value for name, value in _facts(said) if value not in ("", (), None)}
            )
        return facts


def _said(text: bytes) -> Iterator[dict[str, Any]]:
    """The objects in it. In events of Responses the response stands in one, with its usage."""
    pieces = [text] if text.lstrip()[:1] == b"{" else [it[len(_DATA) :] for it in text.splitlines() if it[:5] == _DATA]
    for piece in pieces:
        try:
            found = _decode(piece)
        except (ValueError, RecursionError):  # such as [DONE], or what is packed
            continue
        if isinstance(found, dict):
            response = found.get("response")
            yield response if isinstance(response, dict) else found


def _facts(said: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    is_response = said.get("object") == "response"
    if is_response or isinstance(said.get("choices"), list):
        yield "id", _text(said.get("id"), _LONGEST_ID)
    yield "model", _text(said.get("model"), LONGEST_TEXT)
    yield "finish_reasons", _finish_reasons(said, is_response=is_response)
    usage = said.get("usage")
    if isinstance(usage, dict):
        yield "cache_read_tokens", _count(usage, ("prompt_tokens_details", "input_tokens_details"), "cached_tokens")
        yield (
            "reasoning_tokens",
            _count(usage, ("completion_tokens_details", "output_tokens_details"), "reasoning_tokens"),
        )


def _finish_reasons(said: dict[str, Any], *, is_response: bool) -> tuple[str, ...]:
    if is_response:
        status = _text(said.get("status"), LONGEST_TEXT)
        return () if status in ("", "queued", "in_progress") else (status,)
    choices = said.get("choices")
    if not isinstance(choices, list):
        return ()
    reasons = [_text(it.get("finish_reason"), LONGEST_TEXT) for it in choices[:_MOST_REASONS] if isinstance(it, dict)]
    return tuple(filter(None, reasons))


def _text(value: object, longest: int) -> str:
    return shown(value[:longest]) if isinstance(value, str) else ""


def _count(usage: dict[str, Any], places: tuple[str, ...], name: str) -> int | None:
    for place in places:
        details = usage.get(place)
        value = details.get(name) if isinstance(details, dict) else None
        if type(value) is int and 0 <= value <= 10**12:
            return value
    return None
