"""From the bytes of a YAML file to a bounded tree of values that know their lines.

Nothing here knows a setting. It keeps out what makes YAML dangerous or surprising: duplicate keys,
tags, alias bombs, deep nesting, huge files, and YAML 1.1's octal and base-60 numbers.
"""

import re
from pathlib import Path
from typing import TypeAlias

import yaml
from msgspec import Struct

from entrypoints.config.reading.mistakes import Report, shown, shown_path

try:
    from yaml import CSafeLoader as Loader
except ImportError:  # PyYAML was built without libyaml: slower, same results
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

MAX_FILE_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 50_000  # after aliases are expanded
MAX_CHARACTERS = 4 * MAX_FILE_BYTES  # of all values, after aliases are expanded

_VARIABLES = "an environment variable is written os.environ/NAME"
_CORE_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,17})")
_DECIMAL = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")
_NOT_FINITE = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}


class Scalar(Struct, frozen=True):
    """One value. `text` is what stands in the file; `value` what YAML makes of it (dates stay text).

    `variable` names the environment variable the text came from; None = it stands in the file.
    """

    value: str | int | float | bool | None
    text: str
    line: int
    variable: str | None = None


class Items(Struct, frozen=True):
    """A list."""

    items: tuple["Value", ...]
    line: int


class Entries(Struct, frozen=True):
    """A mapping, with the line on which each key stands."""

    entries: dict[str, "Value"]
    key_lines: dict[str, int]
    line: int


Value: TypeAlias = "Scalar | Items | Entries"


def read_document(path: Path, report: Report) -> Entries:
    """The file's top-level mapping. Raises `ConfigError` when the file cannot be read as one.

    Duplicate keys are added to `report`, and the first of them is kept.
    """
    text = _read_text(path, report)
    try:
        _refuse_hostile(text, report)
        root = yaml.compose(text, Loader=Loader)
    except yaml.YAMLError as error:
        _fail_on_syntax(error, text, report)
    if root is None:
        report.fail("the file is empty; valid: a mapping with the key model_groups")
    tree = _Builder(report).build(root, "", 0)
    if not isinstance(tree, Entries):
        kind = "a list" if isinstance(tree, Items) else "a single value"
        report.fail(f"holds {kind}; valid: a mapping with the key model_groups", tree.line)
    return tree


def number_in(text: str) -> int | float | None:
    """The decimal number that `text` is, or None. Octal, base-60 and hexadecimal forms are no numbers."""
    if _INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if text.lower() in _NOT_FINITE:
        return _NOT_FINITE[text.lower()]
    if _DECIMAL.fullmatch(text) and not _LEADING_ZERO.match(text):
        return float(text)
    return None


def _read_text(path: Path, report: Report) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        report.fail("there is no such file; valid: the path of a YAML file")
    except IsADirectoryError:
        report.fail("is a directory; valid: the path of a YAML file")
    except PermissionError:
        report.fail("may not be read by this user; valid: a file with read permission")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        report.fail(f"cannot be read ({reason}); valid: the path of a YAML file")
    if len(raw) > MAX_FILE_BYTES:
        report.fail(f"is larger than {MAX_FILE_BYTES} bytes (1 MiB); valid: a YAML file up to that size")
    return _decode(raw, report)


def _decode(raw: bytes, report: Report) -> str:
    if raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        report.fail("begins with a byte order mark; valid: UTF-8 without one", 1)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        report.fail(f"is not text: byte {raw[error.start]:#04x} is no UTF-8; valid: a YAML file in UTF-8", line)
    control = re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]", text)
    if control is not None:
        line = text.count("\n", 0, control.start()) + 1
        code = ord(control.group())
        report.fail(f"holds the control character {code:#04x}; valid: a YAML file in UTF-8", line)
    return text


def _refuse_hostile(text: str, report: Report) -> None:
    """Look at the parser's events first: they cost little memory, however the file is built."""
    depth = values = 0
    for event in yaml.parse(text, Loader=Loader):
        line = event.start_mark.line + 1 if event.start_mark is not None else None
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            continue
        if isinstance(event, yaml.NodeEvent):
            values += 1
            if values > MAX_VALUES:
                report.fail(f"holds more than {MAX_VALUES} values; valid: a smaller file", line)
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            _refuse_tag(event.tag, line, report)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                report.fail(f"is nested deeper than {MAX_DEPTH} levels; valid: a flatter file", line)


def _refuse_tag(tag: str | None, line: int | None, report: Report) -> None:
    if tag is None or tag in _CORE_TAGS:
        return
    kind = "a !!python tag" if tag.startswith("tag:yaml.org,2002:python") else "a tag (!...)"
    report.fail(f"holds {kind}; valid: plain YAML, with a value that begins with ! in quotes; {_VARIABLES}", line)


def _fail_on_syntax(error: yaml.YAMLError, text: str, report: Report) -> None:
    # The parser's own words can quote the file (an unquoted key that begins with *), so only known ones pass.
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", "") or "")
    if mark is None:
        report.fail("is not valid YAML; valid: a YAML file in UTF-8")
    source = text.splitlines()[mark.line : mark.line + 1]
    indent = re.match(r"\s*", source[0]) if source else None
    if "\\t" in problem or "'\t'" in problem or (indent and "\t" in indent.group()):
        report.fail("holds a tab; valid: YAML is indented with spaces", mark.line + 1)
    if "undefined alias" in problem:
        report.fail(
            "uses an alias (*name) that is not defined; valid: a value that begins with * in quotes",
            mark.line + 1,
        )
    if "but found another document" in problem:
        report.fail("holds more than one document (---); valid: one", mark.line + 1)
    if source and re.search(r"[:\-\[,] *[%@`]", source[0]):
        report.fail(f"is not valid YAML: a value begins with %, @ or `; valid: in quotes; {_VARIABLES}", mark.line + 1)
    known = re.fullmatch(r"[a-z ,':<>?\-]{1,120}", problem.replace("'", ""))
    report.fail(f"is not valid YAML: {problem if known else 'it cannot be parsed here'}", mark.line + 1)


class _Builder:
    """Turns composed nodes into values, expanding aliases and merge keys (<<) within a budget."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._values = 0
        self._characters = 0

    def build(self, node: yaml.Node, path: str, depth: int) -> Value:
        line = node.start_mark.line + 1
        self._values += 1
        self._characters += len(node.value) if isinstance(node, yaml.ScalarNode) else 0
        if self._values > MAX_VALUES or self._characters > MAX_CHARACTERS or depth > MAX_DEPTH:
            self._report.fail("holds aliases (*name) that expand to too much; valid: fewer", line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            built = [self.build(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(node.value)]
            return Items(tuple(built), line)
        return Scalar(_scalar_value(node), node.value, line)

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> Entries:
        entries: dict[str, Value] = {}
        lines: dict[str, int] = {}
        merged: list[Entries] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._report.fail(f"holds a key that is a list or a mapping; valid: keys are names; {_VARIABLES}", line)
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged += self._merged(value_node, path, depth)
                continue
            key: str = key_node.value
            place = shown_path(path, key)
            if key in entries:
                first = lines[key]
                self._report.locate(place, line)
                self._report.add(place, f"the key {shown(key)} stands twice, on lines {first} and {line}; valid: once")
                continue
            lines[key] = line
            entries[key] = self.build(value_node, place, depth + 1)
        for base in merged:
            for key, value in base.entries.items():
                entries.setdefault(key, value)
                lines.setdefault(key, base.key_lines[key])
        return Entries(entries, lines, node.start_mark.line + 1)

    def _merged(self, node: yaml.Node, path: str, depth: int) -> list[Entries]:
        """The mappings that `<<: *name` or `<<: [*one, *two]` brings in, the one that wins first."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        built = [self.build(item, path, depth + 1) for item in nodes]
        merged = [base for base in built if isinstance(base, Entries)]
        if len(merged) < len(built):
            line = node.start_mark.line + 1
            self._report.fail("merges (<<) something that is no mapping; valid: <<: *name", line)
        return merged


def _scalar_value(node: yaml.Node) -> str | int | float | bool | None:
    text: str = node.value
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    is_plain = getattr(node, "style", None) not in ("'", '"', "|", ">")
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in ("yes", "true", "on")
    if kind in ("int", "float") or (is_plain and kind == "str"):
        number = number_in(text)  # YAML 1.1 takes 1e3 for a text; everybody else for a number
        return text if number is None else number
    return text
