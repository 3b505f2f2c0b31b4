"""`model_list` becomes groups: who shares a public name, with which weights, and what wildcards are."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import gcd, lcm

from msgspec import Struct

from entrypoints.convert.counterparts import UNKNOWN
from entrypoints.convert.model_list.context import Context
from entrypoints.convert.model_list.endpoints import Endpoint, endpoints_of, model_info
from entrypoints.convert.model_list.prices import KEYS as PRICE_KEYS
from entrypoints.convert.model_list.providers import Resolved, resolve
from entrypoints.convert.notes import Notes, Section, is_variable
from entrypoints.convert.source import Node

_MOST = 1_000_000  # of a weight
_REST = "all-other-models"
_NOT_FOR_UNLISTED = (
    "is no fallback for models that are not listed: here every endpoint is asked for these by the name that the client "
    "gave, which the fallback does not know; list the models that need one"
)


class Group(Struct):
    name: str
    notes: Notes
    endpoints: list[Endpoint] = []
    is_for_unlisted: bool = False  # its endpoints are asked for a model by the name that the client gave


class Groups(Struct):
    groups: dict[str, Group]
    notes: Notes  # about entries of which nothing is left
    passthrough_group: str | None = None  # takes models that are not listed; None = there is none


def groups_of(entries: Node | None, context: Context) -> Groups:
    """The groups of `model_list`, in its order, without fallbacks and aliases."""
    result = Groups(groups={}, notes=Notes())
    listed = entries.value if entries is not None else ()
    if entries is not None and not isinstance(listed, tuple):
        result.notes.left(entries, "is not a list")
        listed = ()
    wildcard = _wildcard(listed)
    ids: set[str] = set()
    for entry in listed:
        _add(entry, result, context, ids, wildcard)
    for group in result.groups.values():
        _share(group)
    return result


def _wildcard(entries: Sequence[Node]) -> str | None:
    """The public name with a `*` that becomes the group for models that are not listed; None = there is none."""
    names = [str(each.value["model_name"].value) for each in entries if _has(each, "model_name") and _is_served(each)]
    wild = [name for name in names if "*" in name]
    return "*" if "*" in wild else next(iter(wild), None)


def _is_served(entry: Node) -> bool:
    params = entry.value.get("litellm_params")
    if params is None or not _has(params, "model"):
        return False
    custom = str(params.value["custom_llm_provider"].value) if _has(params, "custom_llm_provider") else None
    has_address = _has(params, "api_base") or _has(params, "base_url")
    return isinstance(resolve(str(params.value["model"].value), custom, has_address=has_address), Resolved)


def _has(entry: Node, key: str) -> bool:
    return isinstance(entry.value, dict) and key in entry.value


def _add(entry: Node, result: Groups, context: Context, ids: set[str], wildcard: str | None) -> None:
    notes = Notes()
    section = Section(entry, notes)
    name = section.text("model_name")
    given = section.take("litellm_params")
    if name is None or given is None or not _is_name(name):
        result.notes.left(entry, "has no litellm_params, or no model_name that can stand in a request")
        return
    if "*" in name and name != wildcard and _is_served(entry):
        result.notes.left(entry, "is a second wildcard; one group takes the models that are not listed")
        return
    public = _REST if name == wildcard else name
    params = Section(given, notes)
    params.add({each: node for each in ("rpm", "tpm") if (node := section.take(each)) is not None})
    info = Section(section.take("model_info"), notes)
    for key in PRICE_KEYS:
        if not params.has(key):
            params.rename(info, key, key)
    found = endpoints_of(entry, public, params, context)
    if isinstance(found, str):
        result.notes.left(entry, found)
        return
    model_info(found, info, ids)
    section.leave_rest({}, UNKNOWN)
    group = result.groups.setdefault(public, Group(public, Notes(), []))
    group.endpoints += found
    if name == wildcard:
        _explain_wildcard(entry, name, group)
        result.passthrough_group, group.is_for_unlisted = public, True
        for each in found:
            each.model = public if "*" in each.model else each.model


def _is_name(name: str) -> bool:
    return 0 < len(name) <= 200 and name.isascii() and name.isprintable()


def _explain_wildcard(entry: Node, name: str, group: Group) -> None:
    prefix = name.removesuffix("*")
    asked = f"; clients ask for MODEL, not for {prefix}MODEL" if prefix.endswith("/") else ""
    group.notes.differs(entry, f"becomes passthrough_group, which takes every model that is not listed{asked}")


def _share(group: Group) -> None:
    """Works out the weights, as LiteLLM's simple-shuffle would choose; see its `simple_shuffle.py`."""
    endpoints = group.endpoints
    by = next((each for each in ("weight", "rpm", "tpm") if each in endpoints[0].shares), None)
    if by is not None:
        for endpoint, weight in zip(endpoints, _whole([_said(each, by) for each in endpoints]), strict=True):
            endpoint.weight = weight
    for endpoint in endpoints:
        if by != "weight" and "weight" in endpoint.shares:
            endpoint.notes.left(endpoint.shares["weight"][0], "does not count, as the first of the group has none")
    _put_in_order(endpoints)


def _put_in_order(endpoints: Sequence[Endpoint]) -> None:
    """The levels of `order` become priorities from 0 on; LiteLLM asks those without one after all others."""
    levels = sorted({order for each in endpoints if isinstance(order := _said(each, "order"), int | float)})
    for endpoint in endpoints:
        order = _said(endpoint, "order")
        if is_variable(order):
            endpoint.notes.left(endpoint.shares["order"][0], "is a variable; write priority: 1 for what comes second")
        elif levels:
            endpoint.priority = levels.index(order) if isinstance(order, int | float) else len(levels)


def _said(endpoint: Endpoint, what: str) -> int | float | str | None:
    return endpoint.shares[what][1] if what in endpoint.shares else None


def _whole(given: Sequence[int | float | str | None]) -> list[int | str]:
    """Whole numbers in the same proportions; None is 0, and variables stay as they are."""
    if any(is_variable(each) for each in given):
        return [each if isinstance(each, str) else round(each or 0) for each in given]
    exact = [Fraction(each or 0).limit_denominator(1000) for each in given if not isinstance(each, str)]
    factor = lcm(*(each.denominator for each in exact))
    counts = [int(each * factor) for each in exact]
    divisor = max(gcd(*counts), 1)
    divisor = max(divisor, -(-max(counts) // _MOST))
    return [max(1, count // divisor) if count else 0 for count in counts]


def add_fallbacks(groups: Mapping[str, Group], fallbacks: Node | None, defaults: Node | None, notes: Notes) -> None:
    """Endpoints of a fallback stand in the group as well, with weight 0."""
    originals = {name: list(group.endpoints) for name, group in groups.items()}
    named: set[str] = set()
    for name, targets in _pairs(fallbacks, notes):
        those = [group for key, group in groups.items() if name in (key, "*")]
        named.update(group.name for group in those)
        _add_fallback(those, targets, originals, notes)
    if defaults is not None:
        _add_fallback([group for name, group in groups.items() if name not in named], defaults, originals, notes)


def _pairs(fallbacks: Node | None, notes: Notes) -> Iterator[tuple[str, Node]]:
    if fallbacks is None:
        return
    for each in fallbacks.value if isinstance(fallbacks.value, tuple) else (fallbacks,):
        if isinstance(each.value, dict):
            yield from each.value.items()
        else:
            notes.left(each, "is not a mapping of a model to its fallbacks")


def _add_fallback(
    groups: Sequence[Group], targets: Node, originals: Mapping[str, Sequence[Endpoint]], notes: Notes
) -> None:
    items = targets.value if isinstance(targets.value, tuple) else (targets,)
    names = []
    for item in items:
        if isinstance(item.value, str) and item.value in originals:
            names.append(item.value)
        else:
            notes.left(item, "names no group of this file, so that it is nobody's fallback")
    of_whom = [group for group in groups if set(names) - {group.name}]
    if names and not of_whom:
        notes.left(targets, "is the fallback of no group of this file")
    for group in of_whom:
        if group.is_for_unlisted:
            group.notes.left(targets, _NOT_FOR_UNLISTED)
            continue
        others = [name for name in names if name != group.name]
        group.endpoints += [_copy(each, weight=0) for name in others for each in originals[name]]
        more = "; all of them are equal here, not one after the other" if len(others) > 1 else ""
        text = f"its endpoints stand in this group too, with weight 0: for when no other can{more}"
        group.notes.differs(targets, text)


def _copy(endpoint: Endpoint, weight: int | str) -> Endpoint:
    return Endpoint(
        endpoint.model,
        Notes(),
        weight=weight,
        priority=endpoint.priority,
        settings=dict(endpoint.settings),
        params=dict(endpoint.params),
    )


def add_aliases(groups: dict[str, Group], aliases: Section) -> None:
    """One more group with the same endpoints for each alias."""
    for alias, node in aliases.items():
        hidden = isinstance(node.value, dict)
        target = node.value["model"].value if _has(node, "model") else node.value
        if not isinstance(target, str) or target not in groups or alias in groups or not _is_name(alias):
            aliases.notes.left(node, "is no free name for one of the groups")
            continue
        copies = [_copy(each, each.weight) for each in groups[target].endpoints]
        groups[alias] = Group(alias, Notes(), copies)
        listed = "; it is listed by GET /v1/models" if hidden else ""
        groups[alias].notes.differs(node, f"an alias is one more group with the same endpoints{listed}")
