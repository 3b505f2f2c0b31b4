"""The text of the new file: YAML, with a comment at the place of each note."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from entrypoints.cli.tables import printable
from entrypoints.convert.conversion import Converted
from entrypoints.convert.model_list.endpoints import Endpoint
from entrypoints.convert.notes import Note, by_text, places

_WIDTH = 118


def document(converted: Converted, name: str) -> str:
    """What to write; `name` is that of the file it was made of."""
    return "\n".join(_lines(converted, name)) + "\n"


def _sentence(notes: Sequence[Note]) -> str:
    """What became of the keys, where they stood, and why; the notes all have one text."""
    became = "differs" if notes[0].is_carried else "not carried over"
    keys = ", ".join(dict.fromkeys(note.node.path for note in notes))
    return f"{became}: {places(notes)}: {keys}: {notes[0].text}"


def _lines(converted: Converted, name: str) -> Iterator[str]:
    yield from _comment(f"LLMProxy's configuration, made of {name} by llmproxy convert.", "")
    yield "# What could not be carried over, and what means something else here, stands in comments at its place."
    yield "model_groups:"
    yield from _comments(converted.entry_notes, "  ")
    for group in converted.groups:
        yield from _comments(group.notes, "  ")
        yield f"  - model_group: {_scalar(group.name)}"
        yield "    models:"
        for endpoint in group.endpoints:
            yield from _comments(endpoint.notes, "      ")
            yield from _endpoint(endpoint)
    yield ""
    yield "general_settings:" if converted.general else "general_settings: {}"
    yield "  # LiteLLM listens on all addresses; this is for this machine alone. For others: bind_address, api_keys and"
    yield "  # allowed_hosts, docs/configuration.md."
    yield from _comments(converted.general_notes, "  ")
    yield from _mapping(converted.general, "  ")


def _endpoint(endpoint: Endpoint) -> Iterator[str]:
    first: dict[str, Any] = {} if endpoint.id is None else {"id": endpoint.id}
    shares: dict[str, Any] = {"weight": endpoint.weight}
    if endpoint.priority:
        shares["priority"] = endpoint.priority
    keys = {**first, "model": endpoint.model, **shares, **endpoint.settings, "params": endpoint.params}
    for number, line in enumerate(_mapping(keys, " " * 8)):
        yield line if number else f"{' ' * 6}- {line.lstrip()}"


def _mapping(keys: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in keys.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{_scalar(key)}:"
            yield from _mapping(value, indent + "  ")
        else:
            yield f"{indent}{_scalar(key)}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1 << 30)
    return text.removesuffix("\n").removesuffix("...").removesuffix("\n")


def _comments(notes: Iterable[Note], indent: str) -> Iterator[str]:
    for same in by_text(notes):
        yield from _comment(_sentence(same), indent)


def _comment(text: str, indent: str) -> Iterator[str]:
    lines = textwrap.wrap(printable(text), _WIDTH - len(indent) - 4, break_long_words=False, break_on_hyphens=False)
    for number, line in enumerate(lines):
        yield f"{indent}# {'  ' if number else ''}{line}"
