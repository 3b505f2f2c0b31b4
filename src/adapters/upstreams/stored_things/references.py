"""Which kept things a request refers to, for where each key has its own.

Unlike `state_ids`, which may miss one or find one too many, this decides who may read what. So it reads JSON as whoever
is behind us will: escapes are undone, and of two members of one name both count. What a client says to a model is no
reference, whatever it looks like.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote_plus

from msgspec import Struct

from application.ports import Named

_STEMS = (
    "response|conversation|file|container|vector_store|thread|run|message|assistant|batch|upload|part|video|skill|"
    "eval|item|job|step|voice|agent|environment|approval_request|checkpoint|consent|completion|prompt"
)
_REFERRING = re.compile(
    rf"(?:[a-z0-9_]*_)?(?:{_STEMS})_ids?|conversation|container|training_file|validation_file|result_files"
    r"|fine_tuned_model"
)
"""Members whose texts are ids, whatever those look like."""

_TEXTS = frozenset({
    "arguments", "call_id", "code", "content", "custom_id", "delta", "description", "input", "instructions", "model",
    "name", "object", "output", "prompt", "prompt_cache_key", "purpose", "queries", "query", "refusal", "role",
    "safety_identifier", "text", "title", "tool_call_id", "type", "url", "user",
})  # fmt: skip
"""Members whose texts are the client's or a model's own words."""

_CLIENTS_OWN = frozenset({
    "acknowledged_safety_checks", "input_schema", "json_schema", "metadata", "parameters", "pending_safety_checks",
    "properties", "schema",
})  # fmt: skip
"""Members that mean nothing to the provider, at whatever depth."""

_ITEMS = frozenset({"additional_messages", "input", "items", "messages", "output", "tool_calls"})  # lists of items

_WHOLE_ITEMS = frozenset({
    "message", "function", "custom", "function_call", "function_call_output", "custom_tool_call",
    "custom_tool_call_output", "computer_call_output", "local_shell_call_output", "shell_call_output",
    "apply_patch_call_output",
})  # fmt: skip
"""What a request has with all its content: its id says nothing."""

# What no word looks like: after what ids begin with, letters and digits in one long run.
_ID_LIKE = re.compile(
    r"(?:resp|conv|msg|rs|cmp|fc|ctc|ws|fs|ci|ig|mcp|mcpl|mcpr|cu|file|vs|vsfb|cntr|cfile|batch|asst|evalrun|item|audio"
    r"|upload|part|thread|run|step|video|eval|skill|voice)_(?=[A-Za-z]*[0-9])[A-Za-z0-9]{16,200}"
    r"|(?:chatcmpl|file|assistant|ftjob)-(?=[A-Za-z]*[0-9])[A-Za-z0-9]{16,200}"
)
_PROMPT = "pmpt_"  # prompts are made where no API reaches, for all users of the account

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")


class _Found(Struct):
    ids: list[str]  # those in it that refer to something
    whole: list[str]  # those of items in it that it has with all their content
    own: list[str] = []  # what it is called itself; of two names of one member both
    is_whole: bool = False  # has it all its content, if it is an item?


def references(body: bytes) -> Named:
    """What a body of JSON names. Raises `ValueError` or `RecursionError` for what is no JSON."""
    found = _Found([], [])
    _collect("", json.loads(body.decode(), object_pairs_hook=_object), found, is_item=False)
    return Named(_once(found.ids), _once(found.whole))


def form_references(fields: Iterable[tuple[str, str]]) -> Sequence[str]:
    """The ids that a form names, by the names and the texts of its fields. Raises as `references`."""
    found = _Found([], [])
    for written, text in fields:
        name = written.casefold()
        last = ([part for part in _BRACKETS.findall(name) if part] or [_BRACKETS.sub("", name)])[-1]
        is_json = text.lstrip()[:1] in ("{", "[") and last not in _TEXTS
        _collect(last, json.loads(text, object_pairs_hook=_object) if is_json else text, found, is_item=False)
        found.ids += [text] if last == "id" else []
    return _once((*found.ids, *found.whole))


def query_references(query: str) -> Sequence[str]:
    """What of a query's values is certainly an id."""
    values = (unquote_plus(part.partition("=")[2]) for part in query.split("&"))
    return _once(value for value in values if _ID_LIKE.fullmatch(value))


def _object(pairs: list[tuple[str, Any]]) -> _Found:
    # Some read names whatever their case (Go's encoding/json).
    members = [(name.casefold(), value) for name, value in pairs]
    found = _Found([], [], is_whole=_is_whole(members))
    for name, value in members:
        if name == "id":
            found.own = [*found.own, value] if isinstance(value, str) and value else found.own
        else:
            _collect(name, value, found, is_item=False)
    return found


def _is_whole(members: list[tuple[str, Any]]) -> bool:
    """Of two members of one name both have to say so."""
    names = {name for name, _ in members}
    kinds = [value for name, value in members if name == "type"]
    if not kinds:
        return names >= {"role", "content"} or "function" in names
    reasons = [value for name, value in members if name == "encrypted_content"]
    if reasons and all(isinstance(value, str) and value for value in reasons):
        return all(isinstance(kind, str) for kind in kinds)
    return all(isinstance(kind, str) and kind in _WHOLE_ITEMS for kind in kinds)


def _collect(name: str, value: Any, found: _Found, *, is_item: bool) -> None:
    """`is_item`: does it stand in a list of what was said?"""
    if name in _CLIENTS_OWN:
        return
    if isinstance(value, str):
        if value and (_REFERRING.fullmatch(name) or (name not in _TEXTS and _ID_LIKE.fullmatch(value))):
            found.ids.append(value)
    elif isinstance(value, _Found):
        found.ids += value.ids
        found.whole += value.whole
        (found.whole if is_item and value.is_whole else found.ids).extend(value.own)
    elif isinstance(value, list):
        for item in value:
            _collect(name, item, found, is_item=name in _ITEMS)


def _once(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in ids if not name.startswith(_PROMPT)))
