"""From the file's values to settings: walks the fields of the settings and converts leaf by leaf with msgspec."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from domain.secret import Secret
from entrypoints.config.reading.document import Node, plain_value
from entrypoints.config.reading.mistakes import MAX_PRINTED, Position, Report
from entrypoints.config.reading.schema import Kind, Refused, Section, keys_of, required_of
from entrypoints.config.reading.secret_files import PREFIX, file_of, read_secret
from entrypoints.config.reading.shown import may_be_credential, shown, shown_path, shown_url
from entrypoints.config.reading.synonyms import WORDS, advice
from entrypoints.config.reading.units import without_unit
from entrypoints.config.reading.variables import is_empty, refuse_lookalike, resolve

S = TypeVar("S", bound=Section)

_SHORT_LIST = 10  # names that a message can show beside other advice


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

    def section(self, given: Node, struct: type[S], path: str) -> S:
        entries = given.value if isinstance(given.value, dict) else {}
        kinds = keys_of(struct)
        values: dict[str, Any] = {}
        absent = {key for key, value in entries.items() if struct.is_lenient and is_empty(value, self._environ)}
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
        for key in required_of(struct):
            if key not in entries:
                fix = f"write {key}: ... here"
                self._report.add(shown_path(path, key), "is missing", kinds[key].valid, fix, given.at)
        return struct(**(_blanks(struct) | values))

    def _read(self, given: Node, kind: Kind, path: str) -> Any:
        value = given.value
        if kind.section is not None and (isinstance(value, dict) or (value is None and kind.section.is_lenient)):
            return self.section(given, kind.section, path)
        if kind.scalar is not None and not isinstance(value, tuple | dict):
            return self._scalar(given, kind, path)
        if kind.entry is not None and isinstance(value, dict):
            return self._mapping(value, given.keys, kind.entry, kind.valid, path)
        if kind.item is not None and isinstance(value, tuple) and value:
            return self._list(value, kind.item, path)
        is_lone = kind.item is not None and not isinstance(value, tuple | dict | None)
        self._report.add(path, f"got {_described(value)}", kind.valid, "write it as a list: [...]" if is_lone else "")
        return UNSET

    def _list(self, items: Sequence[Node], kind: Kind, path: str) -> Any:
        read = []
        for index, item in enumerate(items):
            place = f"{path}[{index}]"
            self._report.locate(place, item.at)
            one = self._read(item, kind, place)
            # The others keep their places, which is what messages call them by.
            read.append(_blank(kind) if one is UNSET else one)
        return tuple(read)

    def _mapping(
        self, entries: Mapping[str, Node], keys: Mapping[str, Position], kinds: tuple[Kind, Kind], valid: str, path: str
    ) -> Any:
        texts: dict[str, Any] = {}
        for name, value in entries.items():
            place = shown_path(path, name)
            try:
                _converted(Node(name, keys[name], name), kinds[0])
            except Refused as why:
                self._report.add(place, "is not a name that can be set here", valid, why.fix, keys[name])
                continue
            self._report.locate(place, value.at)
            if (text := self._read(value, kinds[1], place)) is not UNSET:
                texts[name] = text
        return texts

    def _scalar(self, given: Node, kind: Kind, path: str) -> Any:
        try:
            given = resolve(given, self._environ)
            if given.variable is not None:
                self._report.variables[path] = given.variable
            file = file_of(given, kind, self._report.file.parent)
            if file is not None:
                self._report.files.append(file)
                given = read_secret(given, file)
                self._report.variables[path] = f"{PREFIX}{given.file}"
            doubt = refuse_lookalike(given, kind, self._environ)
            if doubt is not None:
                self._report.warn(path, doubt)
            return _converted(given, kind)
        except Refused as why:
            got = f"got {_described_scalar(given, kind)}" + (f"; {why.reason}" if why.reason else "")
            self._report.add(path, why.problem or got, why.valid or kind.valid, why.fix)
            return UNSET

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


def _blanks(struct: type[Section]) -> dict[str, Any]:
    """What stands for required values that could not be read, in settings that nobody gets to use."""
    return {key: _blank(keys_of(struct)[key]) for key in required_of(struct)}


def _blank(kind: Kind) -> Any:
    if kind.section is not None and kind.scalar is None:
        return kind.section(**_blanks(kind.section))
    return () if kind.item is not None else Secret("") if kind.is_secret else ""


def _converted(given: Node, kind: Kind) -> Any:
    """The value as the type wants it. Raises `Refused`."""
    value: Any = given.value
    if kind.form.takes_any and value is not None:
        value = str(value).lower() if isinstance(value, bool) else given.text
    if given.variable is not None and not kind.is_text:
        value = plain_value(given.text)
    if isinstance(value, bool) and (word := "on" if value else "off") in kind.words:
        value = word
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
    if given.source:
        return given.mend("what is valid" if given.file else "with what is valid")
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
            number, is_seconds = bare.group(), kind.form.is_seconds
            return without_unit(number, rest, is_seconds=is_seconds) if rest else f"write {number} without quotes"
    near = get_close_matches(given.text.lower()[:30], kind.words, n=1) if kind.words else []
    return f"write {near[0]}" if near else ""


def _described(value: Any) -> str:
    """What stands where something of another shape should: only its kind, as it may hold secrets."""
    if isinstance(value, tuple):
        return "a list" if value else "an empty list"
    return "a mapping" if isinstance(value, dict) else "nothing" if value is None else "a single value"


def _described_scalar(given: Node, kind: Kind) -> str:
    if given.file is not None:
        return f"the content of {given.source}, which is not shown"
    if given.variable is not None:
        # Not even for settings that hold no secret, but for URLs: the wrong variable may have been named.
        url = None if kind.is_secret else shown_url(given.text)
        return f"the value of the environment variable {given.variable}, {url or 'which is not shown'}"
    if given.value is None or not given.text:
        return "nothing" if given.value is None else "an empty text"
    if kind.is_secret:
        return "a value that is not shown"
    return shown(given.text) if isinstance(given.value, str) or may_be_credential(given.text) else given.text[:60]
