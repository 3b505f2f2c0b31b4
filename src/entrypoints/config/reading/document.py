"""From the bytes of a YAML file to a bounded tree of values that know their places.

Nothing here knows a setting. It keeps out what makes YAML dangerous or surprising: duplicate keys,
tags, alias bombs, deep nesting, huge files, and YAML 1.1's octal and base-60 numbers.
"""

import errno
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml
from msgspec import Struct

from entrypoints.config.reading.mistakes import Position, Report
from entrypoints.config.reading.shown import shown, shown_path

try:
    from yaml import CSafeLoader as Loader
except ImportError:  # PyYAML was built without libyaml: slower, same results
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

MAX_FILE_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 50_000  # after aliases are expanded
MAX_CHARACTERS = 4 * MAX_FILE_BYTES  # of all values, after aliases are expanded

_FILE = "a YAML file in UTF-8"
_ROOT = "a mapping with the key model_groups"
_VARIABLES = "an environment variable is written os.environ/NAME"
_TAG = "tag:yaml.org,2002:"
_TAGS = {None, *(_TAG + name for name in ("str", "int", "float", "bool", "null", "seq", "map"))}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,17})")
_DECIMAL = re.compile(r"[-+]?(?!0[0-9])(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


class Node(Struct, frozen=True):
    value: "str | int | float | bool | tuple[Node, ...] | dict[str, Node] | None"  # as YAML has it; dates are texts
    at: Position
    text: str = ""  # of a single value: what stands in the file
    keys: dict[str, Position] = {}  # of a mapping: where each key begins
    variable: str | None = None  # the environment variable that the text came from; None = it stands in the file
    file: str | None = None  # the file that the text came from, as messages name it; likewise

    @property
    def source(self) -> str:
        """Where the text came from, in words; empty = it stands in the file."""
        if self.file is not None:
            return f"the file {self.file}"
        return "" if self.variable is None else f"the environment variable {self.variable}"

    def mend(self, how: str) -> str:
        """What to do to have another text there."""
        return f"write {how} into {self.file}" if self.file is not None else f"export {self.variable}=... {how}"


def read_document(path: Path, report: Report) -> Node:
    """The file's top-level mapping. Raises `ConfigError` when the file cannot be read as one. Duplicate keys are added
    to `report`, and the first of them is kept."""
    text = _decode(_read(path, report), report)
    try:
        root = _Composer(yaml.parse(text, Loader=Loader), report).document()
    except yaml.YAMLError as error:
        _fail_on_syntax(error, text, report)
    if root is None:
        report.fail("the file is empty", _ROOT, "begin with examples/minimal.yaml")
    if not isinstance(root.value, dict):
        report.fail(f"holds {'a list' if isinstance(root.value, tuple) else 'a single value'}", _ROOT, at=root.at)
    return root


def plain_value(text: str) -> str | int | float | bool | None:
    """What `text` means without quotes: nothing, a switch, a decimal number, or itself; octal and hex are texts."""
    word = text.lower()
    if word in ("", "~", "null"):
        return None
    if word in ("yes", "true", "on", "no", "false", "off"):
        return word in ("yes", "true", "on")
    if _INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if word.lstrip("+-") in (".inf", ".nan"):
        return float(word.replace(".", ""))
    return float(text) if _DECIMAL.fullmatch(text) else text


def _read(path: Path, report: Report) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        known = {errno.ENOENT: "there is no such file", errno.EISDIR: "is a directory"}
        known[errno.EACCES] = "may not be read by this user"
        report.fail(known.get(error.errno or 0, f"cannot be read ({error.strerror})"), "the path of a YAML file")
    except ValueError:
        report.fail("cannot be read (not a file name)", "the path of a YAML file")
    if len(raw) > MAX_FILE_BYTES:
        report.fail(f"is larger than {MAX_FILE_BYTES} bytes (1 MiB)", "a YAML file up to that size")
    return raw


def _decode(raw: bytes, report: Report) -> str:
    if raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        report.fail("begins with a byte order mark", "UTF-8 without one", "save it as UTF-8", Position(1, 1))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        at = _position(raw[: error.start].decode("utf-8"))
        report.fail(f"is not text: byte {raw[error.start]:#04x} is no UTF-8", _FILE, "save it as UTF-8", at)
    if (found := _CONTROL.search(text)) is not None:
        at = _position(text[: found.start()])
        report.fail(f"holds the control character {ord(found.group()):#04x}", _FILE, "delete it", at)
    return text


def _position(before: str) -> Position:
    return Position(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _at(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1)


def _fail_on_syntax(error: yaml.YAMLError, text: str, report: Report) -> None:
    # The parser's own words can quote the file (an unquoted key that begins with *), so only known ones pass.
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        report.fail("is not valid YAML", _FILE)
    at, problem = _at(mark), str(getattr(error, "problem", "") or "")
    source = (text.splitlines()[mark.line : mark.line + 1] or [""])[0]
    if "\\t" in problem or "'\t'" in problem or "\t" in source[: len(source) - len(source.lstrip())]:
        report.fail("holds a tab", "YAML is indented with spaces", "write spaces in its place", at)
    if re.search(r"[:\-\[,] *[%@`]", source):
        report.fail("is not valid YAML: a value begins with %, @ or `", "", f"write it in quotes; {_VARIABLES}", at)
    is_known = re.fullmatch(r"[a-z ,':<>?\-]{1,120}", problem.replace("'", ""))
    report.fail(f"is not valid YAML: {problem if is_known else 'it cannot be parsed here'}", at=at)


class _Composer:
    """Makes values of the parser's events, in little memory. What aliases expand to is counted but shared."""

    def __init__(self, events: Iterator[Any], report: Report) -> None:
        self._events = events
        self._report = report
        self._anchors: dict[str, tuple[Node, int, int]] = {}  # each with the values and characters in it
        self._values = 0
        self._characters = 0

    def document(self) -> Node | None:
        root = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._fail(event, "holds more than one document (---)", "one", "leave out --- and what follows")
                root = self._node(next(self._events), "", 0)
        return root

    def _node(self, event: Any, path: str, depth: int) -> Node:
        before = self._values, self._characters
        node, values, characters = self._single(event)
        self._values += values
        self._characters += characters
        if self._values > MAX_VALUES or self._characters > MAX_CHARACTERS:
            problem = f"holds more than {MAX_VALUES} values, or aliases (*name) that expand to too much"
            self._fail(event, problem, "a smaller file")
        if depth > MAX_DEPTH:
            self._fail(event, f"is nested deeper than {MAX_DEPTH} levels", "a flatter file")
        if isinstance(event, yaml.MappingStartEvent):
            node = self._mapping(node.at, path, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                items.append(self._node(item, f"{path}[{len(items)}]", depth + 1))
            node = Node(tuple(items), node.at)
        if event.anchor is not None and not isinstance(event, yaml.AliasEvent):
            self._anchors[event.anchor] = node, self._values - before[0], self._characters - before[1]
        return node

    def _single(self, event: Any) -> tuple[Node, int, int]:
        """A single value, what an alias stands for, or an empty beginning; with the values and characters in it."""
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                fix = "write a value that begins with * in quotes, or define &name before it"
                self._fail(event, "uses an alias (*name) that is not defined", "", fix)
            return self._anchors[event.anchor]
        if event.tag not in _TAGS:
            kind = "a !!python tag" if event.tag.startswith(_TAG + "python") else "a tag (!...)"
            self._fail(event, f"holds {kind}", "plain YAML", f"write a ! at the beginning in quotes; {_VARIABLES}")
        if not isinstance(event, yaml.ScalarEvent):
            return Node(None, _at(event.start_mark)), 1, 0
        text = event.value
        is_text = event.tag == _TAG + "str" or (event.tag is None and not event.implicit[0])
        return Node(text if is_text else plain_value(text), _at(event.start_mark), text), 1, len(text)

    def _mapping(self, at: Position, path: str, depth: int) -> Node:
        entries: dict[str, Node] = {}
        keys: dict[str, Position] = {}
        merged: list[Node] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key_node, at_key = self._node(event, path, depth + 1), _at(event.start_mark)
            if isinstance(key_node.value, tuple | dict):
                self._fail(event, "holds a key that is a list or a mapping", "keys are names", _VARIABLES)
            key = key_node.text
            place, value_event = shown_path(path, key), next(self._events)
            value = self._node(value_event, place, depth + 1)
            if key == "<<" and getattr(event, "implicit", (True,))[0]:
                bases = value.value if isinstance(value.value, tuple) else (value,)
                if not all(isinstance(base.value, dict) for base in bases):
                    problem = "merges (<<) something that is no mapping"
                    self._fail(value_event, problem, "<<: *name", "name a mapping")
                merged += bases
            elif key in keys:
                problem = f"the key {shown(key)} stands twice, on lines {keys[key].line} and {at_key.line}"
                self._report.add(place, problem, "once", "leave out one of the two", at_key)
            else:
                entries[key], keys[key] = value, at_key
        for base in merged:  # the first one wins
            for name, inherited in base.value.items() if isinstance(base.value, dict) else ():
                entries.setdefault(name, inherited)
                keys.setdefault(name, base.keys[name])
        return Node(entries, at, keys=keys)

    def _fail(self, event: Any, problem: str, valid: str, fix: str = "") -> NoReturn:
        self._report.fail(problem, valid, fix, _at(event.start_mark))
