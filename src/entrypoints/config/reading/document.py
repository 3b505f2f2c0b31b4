"""From the bytes of a YAML file to a bounded tree of values that know their places.

Nothing here knows a setting. It keeps out what makes YAML dangerous or surprising: duplicate keys,
tags, alias bombs, deep nesting, huge files, and YAML 1.1's octal and base-60 numbers.
"""

import re
from pathlib import Path
from typing import Any, TypeAlias

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
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,17})")
_DECIMAL = re.compile(r"[-+]?(?!0[0-9])(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?")
_NOT_FINITE = re.compile(r"([-+]?)\.(inf)|\.(nan)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


class Scalar(Struct, frozen=True):
    """One value. `text` is what stands in the file; `value` what YAML makes of it (dates stay text).

    `variable` names the environment variable the text came from; None = it stands in the file.
    """

    value: str | int | float | bool | None
    text: str
    at: Position
    variable: str | None = None


class Items(Struct, frozen=True):
    """A list."""

    items: tuple["Value", ...]
    at: Position


class Entries(Struct, frozen=True):
    """A mapping, with the place of each key."""

    entries: dict[str, "Value"]
    keys: dict[str, Position]
    at: Position


Value: TypeAlias = "Scalar | Items | Entries"


def read_document(path: Path, report: Report) -> Entries:
    """The file's top-level mapping. Raises `ConfigError` when the file cannot be read as one.

    Duplicate keys are added to `report`, and the first of them is kept.
    """
    text = _decode(_read(path, report), report)
    try:
        _refuse_hostile(text, report)
        root = yaml.compose(text, Loader=Loader)
    except yaml.YAMLError as error:
        _fail_on_syntax(error, text, report)
    if root is None:
        report.fail("the file is empty", _ROOT, "begin with examples/minimal.yaml")
    tree = _Builder(report).build(root, "", 0)
    if not isinstance(tree, Entries):
        report.fail(f"holds {'a list' if isinstance(tree, Items) else 'a single value'}", _ROOT, at=tree.at)
    return tree


def plain_value(text: str) -> str | int | float | bool:
    """What `text` without quotes means: true, yes, on and their opposites, a decimal number, or itself. Octal, base-60
    and hexadecimal forms are no numbers."""
    if text.lower() in ("yes", "true", "on", "no", "false", "off"):
        return text.lower() in ("yes", "true", "on")
    if _INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if found := _NOT_FINITE.fullmatch(text):
        return float((found[1] or "") + (found[2] or found[3]))
    return float(text) if _DECIMAL.fullmatch(text) else text


def _read(path: Path, report: Report) -> bytes:
    valid = "the path of a YAML file"
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        report.fail("there is no such file", valid)
    except IsADirectoryError:
        report.fail("is a directory", valid, "name the file in it")
    except PermissionError:
        report.fail("may not be read by this user", "a file with read permission")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        report.fail(f"cannot be read ({reason})", valid)
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
    """Of the character that follows `before`."""
    return Position(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _at(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1)


def _refuse_hostile(text: str, report: Report) -> None:
    """Look at the parser's events first: they cost little memory, however the file is built."""
    depth = values = 0
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            values += 1
            depth += isinstance(event, yaml.CollectionStartEvent)
            at = _at(event.start_mark)
            _refuse_tag(getattr(event, "tag", None) or "", at, report)
            if values > MAX_VALUES:
                report.fail(f"holds more than {MAX_VALUES} values", "a smaller file", at=at)
            if depth > MAX_DEPTH:
                report.fail(f"is nested deeper than {MAX_DEPTH} levels", "a flatter file", at=at)


def _refuse_tag(tag: str, at: Position, report: Report) -> None:
    if tag and tag not in {_TAG + name for name in ("str", "int", "float", "bool", "null", "seq", "map")}:
        kind = "a !!python tag" if tag.startswith(_TAG + "python") else "a tag (!...)"
        fix = f"write a value that begins with ! in quotes; {_VARIABLES}"
        report.fail(f"holds {kind}", "plain YAML", fix, at)


def _fail_on_syntax(error: yaml.YAMLError, text: str, report: Report) -> None:
    # The parser's own words can quote the file (an unquoted key that begins with *), so only known ones pass.
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        report.fail("is not valid YAML", _FILE)
    at, problem = _at(mark), str(getattr(error, "problem", "") or "")
    source = (text.splitlines()[mark.line : mark.line + 1] or [""])[0]
    if "\\t" in problem or "'\t'" in problem or "\t" in source[: len(source) - len(source.lstrip())]:
        report.fail("holds a tab", "YAML is indented with spaces", "write spaces in its place", at)
    if "undefined alias" in problem:
        fix = "write a value that begins with * in quotes, or define &name above it"
        report.fail("uses an alias (*name) that is not defined", fix=fix, at=at)
    if "but found another document" in problem:
        report.fail("holds more than one document (---)", "one", "leave out the --- and what follows", at)
    if re.search(r"[:\-\[,] *[%@`]", source):
        report.fail("is not valid YAML: a value begins with %, @ or `", "", f"write it in quotes; {_VARIABLES}", at)
    is_known = re.fullmatch(r"[a-z ,':<>?\-]{1,120}", problem.replace("'", ""))
    report.fail(f"is not valid YAML: {problem if is_known else 'it cannot be parsed here'}", at=at)


class _Builder:
    """Turns composed nodes into values, expanding aliases and merge keys (<<) within a budget."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._values = 0
        self._characters = 0

    def build(self, node: yaml.Node, path: str, depth: int) -> Value:
        at = _at(node.start_mark)
        self._values += 1
        self._characters += len(node.value) if isinstance(node, yaml.ScalarNode) else 0
        if self._values > MAX_VALUES or self._characters > MAX_CHARACTERS or depth > MAX_DEPTH:
            self._report.fail("holds aliases (*name) that expand to too much", "fewer", at=at)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            items = (self.build(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(node.value))
            return Items(tuple(items), at)
        return Scalar(_value_of(node), node.value, at)

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> Entries:
        built = Entries({}, {}, _at(node.start_mark))
        merged: list[Entries] = []
        for key_node, value_node in node.value:
            at, key = _at(key_node.start_mark), key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                self._report.fail("holds a key that is a list or a mapping", "keys are names", _VARIABLES, at)
            if key_node.tag == _TAG + "merge":
                merged += self._merged(value_node, path, depth)
            elif (place := shown_path(path, key)) and key in built.keys:
                lines = f"{built.keys[key].line} and {at.line}"
                problem = f"the key {shown(key)} stands twice, on lines {lines}"
                self._report.add(place, problem, "once", "leave out one of the two", at)
            else:
                built.keys[key] = at
                built.entries[key] = self.build(value_node, place, depth + 1)
        for base in merged:
            for key, value in base.entries.items():
                built.entries.setdefault(key, value)
                built.keys.setdefault(key, base.keys[key])
        return built

    def _merged(self, node: yaml.Node, path: str, depth: int) -> list[Entries]:
        """The mappings that `<<: *name` or `<<: [*one, *two]` brings in, the one that wins first."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        built = [self.build(item, path, depth + 1) for item in nodes]
        merged = [base for base in built if isinstance(base, Entries)]
        if len(merged) < len(built):
            at = _at(node.start_mark)
            self._report.fail("merges (<<) something that is no mapping", "<<: *name", "name a mapping", at)
        return merged


def _value_of(node: Any) -> str | int | float | bool | None:
    if node.tag == _TAG + "null":
        return None
    if node.tag == _TAG + "bool":
        return str(node.value).lower() in ("yes", "true", "on")
    is_plain = node.style not in ("'", '"', "|", ">")
    if node.tag in (_TAG + "int", _TAG + "float") or (is_plain and node.tag == _TAG + "str"):
        return plain_value(node.value)  # YAML 1.1 takes 1e3 for a text; everybody else for a number
    return str(node.value)
