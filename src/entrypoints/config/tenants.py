"""What the settings about keys, and about whose things are whose, demand of each other."""

from collections.abc import Iterable, Iterator
from typing import Any

from domain.secret import Secret
from entrypoints.config.reading.mistakes import Report
from entrypoints.config.reading.reader import Section
from entrypoints.config.settings import NamedKey


def check_tenants(general: Section, report: Report) -> None:
    """Keys and their names stand once; `tenancy: key` has what it needs, and nothing that would undo it."""
    _check_keys(general, report)
    values = general.values
    if values.get("passthrough") == "off" and "passthrough_group" in general.given:
        report.add(
            general.place("passthrough"),
            "off leaves nothing to passthrough_group; valid: on or admin, or off without passthrough_group",
        )
    if values.get("tenancy") != "key":
        return
    place = general.place("tenancy")
    if "api_keys" not in general.given:
        report.add(place, "key tells clients apart by api_keys, and there are none; valid: shared, or api_keys")
    if values.get("workers", 1) != 1 and not _has_redis(general):
        report.add(
            place,
            "key with several workers needs Redis: without it each worker knows only what itself has seen made; "
            "valid: shared, or workers: 1, or redis_host",
        )
    if values.get("passthrough") == "admin":
        report.add(
            general.place("passthrough"),
            "admin would let every key administer the account of all; valid with tenancy: key: on or off",
        )
    cache = values.get("cache_params")
    if isinstance(cache, Section) and cache.values.get("scope") == "global":
        report.add(
            cache.place("scope"), "global would show one key's answers to others; valid with tenancy: key: credential"
        )


def warn_about_tenants(general: Section, report: Report) -> None:
    """Where `tenancy: key` is valid, but forgets."""
    if general.values.get("tenancy") == "key" and not _has_redis(general):
        report.warn(
            general.place("tenancy"),
            "without Redis the proxy forgets at a restart whose things are whose, and nobody reaches them any more",
        )


def keys_of(read: Iterable[Any]) -> tuple[Secret | NamedKey, ...]:
    """The keys that were read, without a mistake, in the order of the file."""
    return tuple(NamedKey(**item.values) if isinstance(item, Section) else item for item in read)


def _check_keys(general: Section, report: Report) -> None:
    places: dict[Secret | str, str] = {}
    for place, key, name in _keys(general):
        first = places.setdefault(key, place)
        if first != place:
            report.add(place, f"is the same key as {first}; valid: each key once")
        if not name:
            continue
        first = places.setdefault(name, place)
        if first != place:
            report.add(place, f"has the same name as {first}; valid: each name once")


def _keys(general: Section) -> Iterator[tuple[str, Secret, str]]:
    """Place, key and name (empty = none) of each that could be read."""
    for number, item in enumerate(general.values.get("api_keys", ())):
        if not isinstance(item, Section):
            yield f"{general.place('api_keys')}[{number}]", item, ""
        elif isinstance(key := item.values.get("key"), Secret):
            yield item.path, key, item.values.get("name", "")


def _has_redis(general: Section) -> bool:
    return bool(general.given & {"redis_host", "redis_url"})
