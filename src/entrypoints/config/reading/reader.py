"""Walks the file's values along the rules of the settings and reports every mistake on the way."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from enum import Enum
from functools import cache
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from msgspec import Struct

from entrypoints.config.reading.document import Entries, Items, Scalar, Value
from entrypoints.config.reading.environment import VariableMistake, refuse_empty, resolve
from entrypoints.config.reading.lookalikes import refuse_lookalike
from entrypoints.config.reading.mistakes import MAX_PRINTED, Report, may_be_credential, shown, shown_path, shown_url
from entrypoints.config.reading.rules import Refused, Rule
from entrypoints.config.reading.shapes import AnyRule, ListOf, Nested, OneOrMap, TextMap
from entrypoints.config.reading.synonyms import advice


class _Absence(Enum):
    ABSENT = "absent"


ABSENT: Final = _Absence.ABSENT
_SHORT_LIST = 10  # names that a message can show beside other advice


class Section(Struct, frozen=True):
    """A mapping that was read. `given` has the keys that were written, valid or not (without those
    whose variable is empty where that means absent); `values` has what was valid."""

    path: str
    given: frozenset[str]
    values: dict[str, Any]

    def place(self, key: str) -> str:
        """The path of `key` in this section."""
        return shown_path(self.path, key)


@cache
def rules_of(struct: type[Struct]) -> Mapping[str, AnyRule]:
    """The rule of every field that a file may set: the one in the field's annotation."""
    rules: dict[str, AnyRule] = {}
    for name, hint in get_type_hints(struct, include_extras=True).items():
        if get_origin(hint) is Annotated:
            rules[name] = next(extra for extra in get_args(hint) if isinstance(extra, AnyRule))
    return rules


class Reader:
    """Reads values by their rules. Mistakes go to `report`; what could not be read is left out."""

    def __init__(self, report: Report, environ: Mapping[str, str], elsewhere: Mapping[str, str]) -> None:
        """`elsewhere` tells for a key in which part of the file it belongs."""
        self._report = report
        self._environ = environ
        self._elsewhere = elsewhere

    def section(self, given: Value, rule: Nested, path: str) -> Section:
        """The settings in `given`; those with mistakes are missing from the section's values."""
        if rule.may_be_empty and isinstance(given, Scalar) and given.value is None:
            return Section(path, frozenset(), {})
        if not isinstance(given, Entries):
            self._refuse(path, _described(given), "", rule.valid)
            return Section(path, frozenset(), {})
        rules = rules_of(rule.struct)
        values: dict[str, Any] = {}
        absent: set[str] = set()
        for key, value in given.entries.items():
            place = shown_path(path, "<...>" if rule.hides_names and key not in rules else key)
            self._report.locate(place, given.key_lines[key])
            if key not in rules:
                if not (rule.has_extensions and key.startswith("x-")):
                    self._report.add(place, rule.refused.get(key) or self._unknown(key, rule.struct.__name__, rules))
            elif rule.empty_variable_is_absent and self._is_empty_variable(value):
                absent.add(key)
            else:
                read = self._read(value, rules[key], place)
                if read is not ABSENT:
                    values[key] = read
        for key in rule.required:
            if key not in given.entries:
                self._report.locate(shown_path(path, key), given.line)
                self._report.add(shown_path(path, key), f"is missing; valid: {rules[key].valid}")
        return Section(path, frozenset(given.entries) - absent, values)

    def _read(self, given: Value, rule: AnyRule, path: str) -> Any:
        if isinstance(rule, Nested):
            return self.section(given, rule, path)
        if isinstance(rule, ListOf):
            return self._list(given, rule, path)
        if isinstance(rule, TextMap):
            return self._text_map(given, rule, path)
        if isinstance(rule, OneOrMap):
            if isinstance(given, Entries):
                return self.section(given, rule.many, path)
            return self._scalar(given, rule.one, path, rule.valid)
        return self._scalar(given, rule, path, rule.valid)

    def _scalar(self, given: Value, rule: Rule, path: str, valid: str) -> Any:
        if not isinstance(given, Scalar):
            return self._refuse(path, _described(given), "", valid)
        try:
            given = resolve(given, self._environ)
            refuse_empty(given)
            doubt = refuse_lookalike(given, rule, self._environ)
            if doubt is not None:
                self._report.warn(path, doubt)
            return rule.read(given)
        except VariableMistake as mistake:
            self._report.add(path, str(mistake))
            return ABSENT
        except Refused as refused:
            return self._refuse(path, _described_scalar(given, rule.secret), str(refused), valid)

    def _list(self, given: Value, rule: ListOf, path: str) -> Any:
        if not isinstance(given, Items) or not given.items:
            return self._refuse(path, _described(given), "", rule.valid)
        read = []
        for index, item in enumerate(given.items):
            place = f"{path}[{index}]"
            self._report.locate(place, item.line)
            read.append(self._read(item, rule.item, place))
        return tuple(item for item in read if item is not ABSENT)

    def _text_map(self, given: Value, rule: TextMap, path: str) -> Any:
        if not isinstance(given, Entries):
            return self._refuse(path, _described(given), "", rule.valid)
        texts: dict[str, Any] = {}
        seen: set[str] = set()
        for name, value in given.entries.items():
            place = shown_path(path, name)
            self._report.locate(place, given.key_lines[name])
            known_as = name.lower() if rule.is_caseless else name
            if not rule.matches(name):
                self._report.add(place, f"is not a name that can be set here; valid: {rule.valid}")
                continue
            if known_as in seen:
                self._report.add(place, "stands twice, in different case; valid: once")
                continue
            seen.add(known_as)
            text = self._scalar(value, rule.value, place, rule.value.valid)
            if text is not ABSENT:
                texts[name] = text
        return texts

    def _is_empty_variable(self, given: Value) -> bool:
        if not isinstance(given, Scalar):
            return False
        try:
            resolved = resolve(given, self._environ)
        except VariableMistake:
            return False
        return resolved.variable is not None and not resolved.text

    def _refuse(self, path: str, got: str, note: str, valid: str) -> _Absence:
        parts = (f"got {got}", note, f"valid: {valid}")
        self._report.add(path, "; ".join(part for part in parts if part))
        return ABSENT

    def _unknown(self, key: str, section: str, rules: Collection[str]) -> str:
        foreign = advice(key, section) if len(key) <= 64 else None
        if foreign is not None:
            hints = [foreign] if len(rules) > _SHORT_LIST else [foreign, f"valid: {', '.join(rules)}"]
            return "; ".join(("is not a setting here", *hints))
        hints = []
        near: list[str] = []
        # Comparing is slow for long keys and for many of them, and helps nobody there.
        if len(key) <= 64 and len(self._report.mistakes) < MAX_PRINTED:
            near = get_close_matches(key.lower().replace("-", "_"), rules, n=1)
        if key in self._elsewhere:
            hints.append(f"it belongs in {self._elsewhere[key]}")
        hints.append(f"nearest valid name: {near[0]}" if near else f"valid: {', '.join(rules)}")
        return "; ".join(("is not a setting here", *hints))


def _described(given: Value) -> str:
    """What stands where something of another shape should: only its kind, as it may hold secrets."""
    if isinstance(given, Items):
        return "a list" if given.items else "an empty list"
    if isinstance(given, Entries):
        return "a mapping"
    return "nothing" if given.value is None else "a single value"


def _described_scalar(given: Scalar, is_secret: bool) -> str:
    if given.variable is not None:
        # Not even for settings that hold no secret, but for URLs: the wrong variable may have been named.
        url = None if is_secret else shown_url(given.text)
        return f"the value of the environment variable {given.variable}, {url or 'which is not shown'}"
    if given.value is None:
        return "nothing"
    if not given.text:
        return "an empty text"
    if is_secret:
        return "a value that is not shown"
    if isinstance(given.value, str) or may_be_credential(given.text):
        return shown(given.text)
    return given.text[:60]
