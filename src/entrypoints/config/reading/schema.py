"""What the types of the settings say about reading them: msgspec's own constraints, and a parse for texts."""

from collections.abc import Callable, Mapping
from functools import cache, reduce
from operator import or_
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from msgspec import Meta, Struct, structs

from domain.secret import Secret


class Refused(ValueError):
    """The value is not valid. Its texts never hold the value; empty ones say nothing."""

    def __init__(self, reason: str = "", fix: str = "", *, problem: str = "", valid: str = "") -> None:
        """`reason` follows what was found, unless `problem` says it all; `valid` is said in place of the type's."""
        super().__init__(reason or problem or fix)
        self.reason, self.fix, self.problem, self.valid = reason, fix, problem, valid


class Form(Struct, frozen=True):
    """Stands in an annotation beside `Meta`: how a value is taken before msgspec converts it."""

    parse: Callable[[str], str | int] = str  # a text becomes what msgspec converts; raises `Refused`
    pattern: str = r"[^\x00-\x1f\x7f]+"  # of the whole text; here, as msgspec has patterns for texts alone
    number_texts: str = ""  # a pattern of the texts that `parse` makes a number of; empty = it makes none
    whole_hint: str = ""  # what to do about a fraction
    is_seconds: bool = False  # a time, which may stand with another unit by mistake
    is_key: bool = False  # an API key: what no key looks like is refused
    is_free: bool = False  # a password, a header or a query: hardly any text is certainly wrong
    takes_any: bool = False  # a number, date or switch counts as the text that stands in the file


COMPUTED = "computed"


class Section(Struct, frozen=True):
    """A mapping of the file whose keys are the fields. A field with the annotation `COMPUTED` is no key."""

    home: ClassVar[str] = ""  # what messages call it: a key is to be moved into "params"
    valid: ClassVar[str] = ""  # what may stand there: "a mapping of ..."
    is_lenient: ClassVar[bool] = False  # nothing counts as an empty mapping, an empty variable as no key
    hides_names: ClassVar[bool] = False  # a key that is no field may be a secret
    has_extensions: ClassVar[bool] = False  # keys that begin with x- are left alone: a place for anchors
    refused: ClassVar[Mapping[str, tuple[str, str]]] = {}  # keys that cannot be had: the reason, and what to do


class Kind(Struct, frozen=True):
    valid: str
    scalar: Any = None  # what msgspec converts a single value to; None = no single value may stand there
    is_secret: bool = False
    is_text: bool = False
    words: tuple[str, ...] = ()  # texts to choose from
    form: Form = Form()
    section: type[Section] | None = None  # in place of a single value, or alone
    item: "Kind | None" = None  # of a list
    entry: "tuple[Kind, Kind] | None" = None  # name and value in a mapping whose names are free


@cache
def keys_of(section: type[Section]) -> Mapping[str, Kind]:
    return {
        field.name: _kind(field.type)
        for field in structs.fields(section)
        if COMPUTED not in getattr(field.type, "__metadata__", ())
    }


def required_of(section: type[Section]) -> tuple[str, ...]:
    return section.__struct_fields__[: len(section.__struct_fields__) - len(section.__struct_defaults__)]


def _kind(hint: Any) -> Kind:
    is_union = get_origin(hint) in (Union, UnionType)
    members = [member for member in (get_args(hint) if is_union else (hint,)) if member is not NoneType]
    kinds = [_member(member) for member in members]
    if len(kinds) == 1:
        return kinds[0]
    scalars = [kind for kind in kinds if kind.scalar is not None]
    return structs.replace(
        scalars[0],
        valid=", or ".join(kind.valid for kind in kinds),
        scalar=reduce(or_, (kind.scalar for kind in scalars)),
        words=tuple(word for kind in kinds for word in kind.words),
        section=next((kind.section for kind in kinds if kind.section), None),
    )


def _member(hint: Any) -> Kind:
    base, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    meta = next((extra for extra in extras if isinstance(extra, Meta)), Meta())
    valid, origin, arguments = meta.description or "", get_origin(base), get_args(base)
    if origin is tuple:
        return Kind(valid, item=_kind(arguments[0]))
    if origin is Mapping:
        return Kind(valid, entry=(_kind(arguments[0]), _kind(arguments[1])))
    if origin is Literal:
        return Kind(" or ".join(arguments), hint, words=arguments)
    if issubclass(base, Section):
        return Kind(base.valid, section=base)
    form = next((extra for extra in extras if isinstance(extra, Form)), Form())
    is_text = base not in (bool, int, float)
    return Kind(_range(base, meta), hint, issubclass(base, Secret), is_text, form=form)


def _range(base: type, meta: Meta) -> str:
    """`a whole number from 1 to 65535`, or what the description says."""
    if base is bool:
        return "true or false"
    lower = f" above {meta.gt:.12g}" if meta.gt is not None else f" from {meta.ge}" if meta.ge is not None else ""
    upper = f" below {meta.lt:.12g}" if meta.lt is not None else ""
    if meta.le is not None:
        upper = f" to {meta.le}" if base is int else f" up to {meta.le:.12g}"
    default = {int: "a whole number", float: "a number"}.get(base, "")
    return (meta.description or default) + lower + upper
