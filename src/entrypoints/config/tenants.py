"""What the settings about keys, and about whose things are whose, demand of each other."""

from collections.abc import Iterator

from domain.secret import Secret
from entrypoints.config.general_section import GENERAL
from entrypoints.config.reading.mistakes import Report
from entrypoints.config.settings import GeneralSettings, NamedKey


def check_tenants(general: GeneralSettings, report: Report) -> None:
    """Keys and their names stand once; `tenancy: key` has what it needs, and nothing that would undo it."""
    _check_keys(general, report)
    given = report.given(GENERAL)
    if general.passthrough == "off" and "passthrough_group" in given:
        report.add(
            f"{GENERAL}.passthrough",
            "off leaves nothing to passthrough_group",
            "on or admin, or off without passthrough_group",
            "leave out passthrough_group",
        )
    if general.tenancy != "key":
        return
    path = f"{GENERAL}.tenancy"
    if "api_keys" not in given:
        problem = "key tells clients apart by api_keys, and there are none"
        report.add(path, problem, "shared, or api_keys", "write api_keys: [os.environ/PROXY_KEY]")
    if general.workers != 1 and not given & {"redis_host", "redis_url"}:
        report.add(
            path,
            "key with several workers needs Redis: without it each worker knows only what itself has seen made",
            "shared, or workers: 1, or redis_host",
            "write redis_host, or workers: 1",
        )
    if general.passthrough == "admin":
        problem = "admin would let every key administer the account of all"
        report.add(f"{GENERAL}.passthrough", problem, "on or off with tenancy: key", "write on")
    if general.cache_params.scope == "global":
        problem = "global would show one key's answers to others"
        report.add(f"{GENERAL}.cache_params.scope", problem, "credential with tenancy: key", "write credential")


def warn_about_tenants(general: GeneralSettings, report: Report) -> None:
    """Where `tenancy: key` is valid, but forgets."""
    if general.tenancy == "key" and not general.uses_redis:
        report.warn(
            f"{GENERAL}.tenancy",
            "without Redis the proxy forgets at a restart whose things are whose, and nobody reaches them any more",
        )


def _check_keys(general: GeneralSettings, report: Report) -> None:
    places: dict[Secret | str, str] = {}
    for place, key, name in _keys(general):
        if (first := places.setdefault(key, place)) != place:
            report.add(place, f"is the same key as {first}", "each key once", "leave out one of the two")
        if name and (first := places.setdefault(name, place)) != place:
            report.add(place, f"has the same name as {first}", "each name once", "write another name")


def _keys(general: GeneralSettings) -> Iterator[tuple[str, Secret, str]]:
    """Place, key and name (empty = none) of each that could be read."""
    for number, item in enumerate(general.api_keys):
        key, name = (item.key, item.name) if isinstance(item, NamedKey) else (item, "")
        if key.reveal():
            yield f"{GENERAL}.api_keys[{number}]", key, name
