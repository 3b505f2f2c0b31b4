"""What is said of the keys that are not simply carried over."""

import math
import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from entrypoints.convert.source import VARIABLE, Node


class Note(Struct, frozen=True, eq=False):
    """A sentence about one key of the input. It never has a value in it that may be secret."""

    node: Node
    text: str
    is_carried: bool  # whether the key was carried over, and means something else here


class Notes(list[Note]):
    """The notes that belong to one place of the result, in order."""

    def differs(self, node: Node, text: str) -> None:
        """The key is carried over, with that difference."""
        self.append(Note(node, text, is_carried=True))

    def left(self, node: Node, text: str) -> None:
        """The key is not carried over; the text says why, or what to do instead."""
        self.append(Note(node, text, is_carried=False))


def by_text(notes: Iterable[Note]) -> list[list[Note]]:
    """The notes that say the same, together, in the order of the first of each."""
    found: dict[tuple[str, bool], list[Note]] = {}
    for note in notes:
        found.setdefault((note.text, note.is_carried), []).append(note)
    return list(found.values())


def places(notes: Iterable[Note]) -> str:
    """Such as `litellm.yaml:12, 14, other.yaml:3`."""
    lines: dict[str, list[str]] = {}
    for note in notes:
        lines.setdefault(note.node.file, []).append(str(note.node.line))
    return ", ".join(f"{file}:{', '.join(dict.fromkeys(numbers))}" for file, numbers in lines.items())


class Section:
    """A mapping of the input. Each key is taken once; `leave_rest` tells of the others, so that none is lost."""

    def __init__(self, node: Node | None, notes: Notes) -> None:
        self.notes = notes
        self._left: dict[str, Node] = {}
        if node is None or node.value is None:
            return
        if isinstance(node.value, dict):
            self._left = dict(node.value)
        else:
            notes.left(node, "is not a mapping, so that nothing could be read in it")

    def add(self, others: Mapping[str, Node]) -> None:
        """Keys of elsewhere, for which those that are here already come first."""
        self._left = {**others, **self._left}

    def take(self, key: str) -> Node | None:
        """The value, from now on in the caller's care; None = the key is not there, or empty."""
        node = self._left.pop(key, None)
        if node is not None and node.value in (None, "", (), {}):
            self.notes.left(node, "is empty")
            return None
        return node

    def has(self, key: str) -> bool:
        return key in self._left

    def rename(self, other: "Section", key: str, name: str) -> None:
        """Reads what `other` says under `key` as if it stood here as `name`."""
        if (node := other.take(key)) is not None:
            self._left[name] = node

    def text(self, key: str) -> str | None:
        """A text or `os.environ/NAME`; numbers as they were written; None = not there, or told as wrong."""
        node = self.secret(key)
        return None if node is None else str(node.value).strip()

    def secret(self, key: str) -> Node | None:
        """A text or number, whose value is not to be shown; None = not there, or told as wrong."""
        node = self.take(key)
        if node is None or (isinstance(node.value, str | int | float) and not isinstance(node.value, bool)):
            return node
        self.notes.left(node, "is not a text")
        return None

    def number(
        self, key: str, low: float, high: float, *, whole: bool = False
    ) -> tuple[Node, int | float | str] | None:
        """A number between the two, or `os.environ/NAME`, with its node; None = not there, or told as wrong."""
        node = self.take(key)
        if node is None:
            return None
        if node.is_variable:
            return node, str(node.value)
        number = _number(node.value)
        if number is None or not low <= number <= high or (whole and number != int(number)):
            kind = "a whole number" if whole else "a number"
            self.notes.left(node, f"is not {kind} from {low:g} to {high:g}, which is what is valid here")
            return None
        return node, int(number) if number == int(number) else number

    def flag(self, key: str) -> tuple[Node, bool | str] | None:
        """A switch, or `os.environ/NAME`, with its node; None = not there, or told as wrong."""
        node = self.take(key)
        if node is None:
            return None
        if node.is_variable:
            return node, str(node.value)
        known = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
        value = known.get(str(node.value).lower())
        if value is None:
            self.notes.left(node, "is neither true nor false")
            return None
        return node, value

    def items(self) -> list[tuple[str, Node]]:
        """All that nobody took yet, from now on in the caller's care."""
        items, self._left = list(self._left.items()), {}
        return items

    def leave(self, key: str, text: str) -> None:
        if (node := self._left.pop(key, None)) is not None:
            self.notes.left(node, text)

    def leave_rest(self, advice: Mapping[str, str], otherwise: str) -> None:
        """Tells each key that nobody took; `advice` is by key, or by the beginning of keys where it ends in `*`."""
        for key in list(self._left):
            self.leave(key, advice.get(key) or _by_beginning(key, advice) or otherwise)


def _by_beginning(key: str, advice: Mapping[str, str]) -> str | None:
    return next((text for name, text in advice.items() if name[-1] == "*" and key.startswith(name[:-1])), None)


def _number(value: object) -> float | int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", value.strip()):
        return float(value)
    return None


def is_variable(value: object) -> bool:
    return isinstance(value, str) and value.startswith(VARIABLE)
