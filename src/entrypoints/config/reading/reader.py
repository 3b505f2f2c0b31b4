"""From the file's values to settings: walks the fields of the settings and converts leaf by leaf with msgspec."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, structs

from domain.secret import Secret
from entrypoints.config.reading.document import Node, plain_value
from entrypoints.config.reading.mistakes import MAX_PRINTED, Report
from entrypoints.config.reading.schema import Kind, Refused, Section, keys_of, required_of
from entrypoints.config.reading.shown import may_be_credential, shown, shown_path, shown_url
from entrypoints.config.reading.synonyms import WORDS, advice
from entrypoints.config.reading.variables import refuse_empty, refuse_lookalike, resolve

S = TypeVar("S", bound=Section)

_SHORT_LIST = 10  # names that a message can show beside other advice
_BLANKS = {str: "", Secret: Secret("")}
"""What stands for a required value that could not be read, in settings that nobody gets to use; of lists ()."""


class Reader:
    """Reads settings. Mistakes go to `report`; in place of what could not be read stands its default or a blank."""

    def __init__(self, report: Report, environ: Mapping[str, str], sections: Iterable[type[Section]]) -> None:
        """`sections` are all there are, so that a key that stands in the wrong one can be told where it belongs."""
        self._report = report
        self._environ = environ
        self._homes: dict[str, str] = {}
        for section in sections:
            for key in keys_of(section):
                self._homes.setdefault(key, section.home)

    def section(self, given: Node, struct: type[S], path: str, valid: str) -> S:
        """The settings in `given`. `valid` says what they are, for when `given` is something else."""
        values: dict[str, Any] = {}
        if isinstance(given.value, dict):
            values = self._values(given.value, given, struct, path)
        elif not (struct.is_lenient and given.value is None):
            self._report.add(path, f"got {_described(given)}", valid)
        blanks = {f.name: _BLANKS.get(_base(f.type), ()) for f in structs.fields(struct) if f.required}
        return struct(**(blanks | values))

    def _values(self, entries: Mapping[str, Node], given: Node, struct: type[Section], path: str) -> dict[str, Any]:
        kinds = keys_of(struct)
        values: dict[str, Any] = {}
        absent = {key for key, value in entries.items() if struct.is_lenient and self._is_empty_variable(value)}
        self._report.locate_keys(path, entries.keys() - absent)
        for key, value in entries.items():
            place = shown_path(path, "<...>" if struct.hides_names and key not in kinds else key)
            if key not in kinds:
                if not (struct.has_extensions and key.startswith("x-")):
                    self._report.add(place, *self._unknown(key, struct), at=given.keys[key])
            elif key not in absent:
                self._report.locate(place, value.at)
                if (read := self._read(value, kinds[key], place)) is not UNSET:
                    values[key] = read
        for key in kinds:
            if key in required_of(struct) and key not in entries:
                missing = f"write {key}: and what is valid"
                self._report.add(shown_path(path, key), "is missing", kinds[key].valid, missing, given.at)
        return values

    def _read(self, given: Node, kind: Kind, path: str) -> Any:
        if kind.section is not None and (isinstance(given.value, dict) or kind.scalar is None):
            return self.section(given, kind.section, path, kind.valid)
        if kind.item is None:
            return self._scalar(given, kind, path)
        if kind.name is None:
            return self._list(given, kind.item, path, kind.valid)
        return self._mapping(given, kind.name, kind.item, path, kind.valid)

    def _list(self, given: Node, kind: Kind, path: str, valid: str) -> Any:
        if not isinstance(given.value, tuple) or not given.value:
            fix = "" if given.value is None or isinstance(given.value, tuple | dict) else "write it as a list: [...]"
            self._report.add(path, f"got {_described(given)}", valid, fix)
            return UNSET
        read = []
        for index, item in enumerate(given.value):
            place = f"{path}[{index}]"
            self._report.locate(place, item.at)
            read.append(self._read(item, kind, place))
        return tuple(item for item in read if item is not UNSET)

    def _mapping(self, given: Node, name_kind: Kind, kind: Kind, path: str, valid: str) -> Any:
        if not isinstance(given.value, dict):
            self._report.add(path, f"got {_described(given)}", valid)
            return UNSET
        texts: dict[str, Any] = {}
        for name, value in given.value.items():
            place, at = shown_path(path, name), given.keys[name]
            try:
                _converted(Node(name, at, name), name_kind)
            except Refused as why:
                self._report.add(place, "is not a name that can be set here", valid, why.fix, at)
                continue
            self._report.locate(place, value.at)
            text = self._scalar(value, kind, place)
            if text is not UNSET:
                texts[name] = text
        return texts

    def _scalar(self, given: Node, kind: Kind, path: str) -> Any:
        if isinstance(given.value, tuple | dict):
            self._report.add(path, f"got {_described(given)}", kind.valid)
            return UNSET
        try:
            given = resolve(given, self._environ)
            refuse_empty(given)
            doubt = refuse_lookalike(given, kind, self._environ)
            if doubt is not None:
                self._report.warn(path, doubt)
            return _converted(given, kind)
        except Refused as why:
            got = f"got {_described_scalar(given, kind)}" + (f"; {why.reason}" if why.reason else "")
            self._report.add(path, why.problem or got, why.valid or kind.valid, why.fix)
            return UNSET

    def _is_empty_variable(self, given: Node) -> bool:
        try:
            resolved = resolve(given, self._environ)
        except Refused:
            return False
        return resolved.variable is not None and not resolved.text

    def _unknown(self, key: str, struct: type[Section]) -> tuple[str, str, str]:
        """Problem, what is valid and what to do about a key that is no setting."""
        if key in struct.refused:
            return f"is refused: {struct.refused[key][0]}", "", struct.refused[key][1]
        names, fixes = keys_of(struct), []
        # Comparing is slow for long keys and for many of them, and helps nobody there.
        is_compared = len(key) <= 64 and len(self._report.mistakes) < MAX_PRINTED
        near: list[str] = []
        if is_compared and (foreign := advice(key, struct.home)):
            fixes.append(foreign)
        else:
            near = get_close_matches(key.lower().replace("-", "_"), names, n=1) if is_compared else []
            fixes += [f"move it into {self._homes[key]}"] if key in self._homes else []
            fixes += [f"write {near[0]}"] if near else []
        is_listed = not near and (not fixes or len(names) <= _SHORT_LIST)
        return "is not a setting here", ", ".join(names) if is_listed else "", ", or ".join(fixes)


def _base(hint: Any) -> Any:
    return getattr(hint, "__origin__", hint)


def _converted(given: Node, kind: Kind) -> Any:
    """The value as the type wants it. Raises `Refused`."""
    value: Any = given.value
    if kind.form.takes_any and value is not None:
        value = str(value).lower() if isinstance(value, bool) else given.text
    if given.variable is not None and not kind.is_text:
        value = plain_value(given.text)
    if isinstance(value, bool) and "on" in kind.words:
        value = "on" if value else "off"
    if isinstance(value, str):
        if not re.fullmatch(kind.form.pattern, value):
            raise Refused
        if kind.words:
            value = value.lower() if value.lower() in kind.words else WORDS.get(value.lower(), value)
        value = kind.form.parse(value)
    try:
        return msgspec.convert(value, kind.scalar, strict=given.variable is None, dec_hook=_of_text)
    except msgspec.ValidationError:
        raise Refused(fix=_remedy(given, kind)) from None


def _of_text(wanted: type, value: Any) -> Any:
    if not isinstance(value, str):
        raise TypeError
    return wanted(value)


def _remedy(given: Node, kind: Kind) -> str:
    """What to write in place of a value of the wrong type; empty = nothing that could be said."""
    value = given.value
    if given.variable is not None:
        return f"export {given.variable}=... with what is valid"
    if kind.is_text:
        in_quotes = "" if kind.is_secret or may_be_credential(given.text) else f': "{given.text[:60]}"'
        return "" if value is None or isinstance(value, str) else f"write it in quotes{in_quotes}"
    if kind.scalar is bool:
        word = {"0": "false", "1": "true"}.get(given.text, given.text.lower())
        return f"write {word} without quotes" if word in ("true", "false") else ""
    if isinstance(value, float) and value % 1:
        return kind.form.whole_hint
    if isinstance(value, str) and not may_be_credential(value) and (bare := re.match(r"[-+]?[0-9.]{1,12}", value)):
        rest = value[bare.end() :].strip()
        if isinstance(plain_value(bare.group()), int | float) and (not rest or rest.isalpha()):
            return f"write {bare.group()} without {'a unit' if rest else 'quotes'}"
    near = get_close_matches(given.text.lower()[:30], kind.words, n=1) if kind.words else []
    return f"write {near[0]}" if near else ""


def _described(given: Node) -> str:
    """What stands where something of another shape should: only its kind, as it may hold secrets."""
    if isinstance(given.value, tuple):
        return "a list" if given.value else "an empty list"
    if isinstance(given.value, dict):
        return "a mapping"
    return "nothing" if given.value is None else "a single value"


def _described_scalar(given: Node, kind: Kind) -> str:
    if given.variable is not None:
        # Not even for settings that hold no secret, but for URLs: the wrong variable may have been named.
        url = None if kind.is_secret else shown_url(given.text)
        return f"the value of the environment variable {given.variable}, {url or 'which is not shown'}"
    if given.value is None:
        return "nothing"
    if not given.text:
        return "an empty text"
    if kind.is_secret:
        return "a value that is not shown"
    if isinstance(given.value, str) or may_be_credential(given.text):
        return shown(given.text)
    return given.text[:60]
