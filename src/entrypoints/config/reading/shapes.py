"""What settings are built of besides single values: mappings, lists, and either of two."""

import re
from collections.abc import Mapping

from msgspec import Struct

from entrypoints.config.reading.rules import Rule


class Nested(Struct, frozen=True):
    """A mapping whose keys are the annotated fields of `struct`."""

    struct: type[Struct]
    what: str
    required: tuple[str, ...] = ()
    refused: Mapping[str, str] = {}  # keys people may expect, with the reason why they cannot be had
    may_be_empty: bool = False  # a key with nothing after it counts as an empty mapping
    empty_variable_is_absent: bool = False
    hides_names: bool = False  # a key that is no field's name may be a secret
    has_extensions: bool = False  # keys that begin with x- are left alone: a place for anchors

    @property
    def valid(self) -> str:
        return self.what


class ListOf(Struct, frozen=True):
    """A list with at least one item."""

    item: "Rule | Nested | OneOrMap"
    what: str

    @property
    def valid(self) -> str:
        return self.what


class TextMap(Struct, frozen=True):
    """A mapping from names that `name` matches, none of them in `refused`, to values read by `value`."""

    what: str
    name: str
    value: Rule
    refused: frozenset[str] = frozenset()  # in lower case
    is_caseless: bool = False  # X-A and x-a are the same name

    @property
    def valid(self) -> str:
        return self.what

    def matches(self, name: str) -> bool:
        """Whether `name` may stand in this mapping."""
        return re.fullmatch(self.name, name) is not None and name.lower() not in self.refused


class OneOrMap(Struct, frozen=True):
    """A scalar, or a mapping in its place."""

    one: Rule
    many: Nested

    @property
    def valid(self) -> str:
        return f"{self.one.valid}, or {self.many.valid}"


AnyRule = Rule | Nested | ListOf | TextMap | OneOrMap
