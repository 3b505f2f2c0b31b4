"""What general settings demand of each other and of the groups."""

import ssl
from collections.abc import Sequence
from pathlib import Path

from application.messages import KEY_HEADERS
from domain.secret import Secret
from entrypoints.config.reading.mistakes import Place, Report
from entrypoints.config.reading.shown import shown
from entrypoints.config.settings import GeneralSettings, GroupSettings, NamedKey, models_of
from entrypoints.config.settings_params import CREDENTIAL_PARAMS
from entrypoints.config.urls import is_loopback

_API_KEYS = "write api_keys: [os.environ/PROXY_KEY]"
_REDIS = {"redis_host", "redis_url"}


def check_general(general: GeneralSettings, groups: Sequence[GroupSettings], report: Report) -> None:
    here = report.at("general_settings")
    if "api_keys" not in here.given and not general.allow_unauthenticated and not is_loopback(general.bind_address):
        valid = "a loopback address such as 127.0.0.1, or api_keys, or allow_unauthenticated: true"
        here.add("bind_address", "lets other machines use this proxy and its keys", valid, _API_KEYS)
    in_url = (key for key in here.given if key.startswith("redis_") and key not in ("redis_url", "redis_timeout"))
    others = ", ".join(sorted(in_url))
    if "redis_url" in here.given and others:
        here.add("redis_url", f"excludes {others}", "the URL holds it all", f"leave out {others}")
    _check_origins(general, here)
    _check_held_bytes(general, here)
    _check_ca_bundle(general.ca_bundle, report.file.parent, here)
    _check_passthrough(general, groups, here)
    _check_cache(general, groups, report)
    _check_keys(general, here)
    if general.metrics == "keys" and "api_keys" not in here.given:
        problem = "keys asks for one of api_keys, and there are none"
        here.add("metrics", problem, "loopback or open, or api_keys", _API_KEYS)
    if general.tenancy == "key":
        _check_tenants(general, here)


def warn_about_general(general: GeneralSettings, report: Report) -> None:
    here, cache = report.at("general_settings"), report.at("general_settings.cache_params")
    idle = {key for key in here.given if key.startswith("redis_")}
    if "host" in cache.given:
        idle -= {"redis_ssl", "redis_timeout"}  # hold for the cache's own Redis too
    if idle and not general.uses_redis:
        here.warn(min(idle), "has no effect without redis_host")
    if "host" in cache.given and general.cache_params.type == "memory":
        cache.warn("host", "has no effect with type: memory")
    lone = sorted(cache.given & {"port", "password"})
    if lone and "host" not in cache.given:
        cache.warn(lone[0], "has no effect without host")
    if general.workers != 1 and not general.uses_redis:
        lost = "cooldowns, rate limits, cached answers and the owners of responses"
        spent = "limits are used up faster than any of them knows"
        here.warn("workers", f"without Redis each worker keeps {lost} to itself; {spent}")
    if general.tenancy == "key" and not general.uses_redis:
        forgets = "at a restart whose things are whose, and nobody reaches them any more"
        here.warn("tenancy", f"without Redis the proxy forgets {forgets}")


def _check_origins(general: GeneralSettings, here: Place) -> None:
    for number, origin in enumerate(general.allowed_origins if "api_keys" not in here.given else ()):
        key = f"allowed_origins[{number}]"
        if origin == "*":
            problem = "lets every web page use this proxy and its keys"
            here.add(key, problem, "origins by name, or api_keys", "name the origins")
        if origin == "null":
            origin_null = "any web page can have the origin null (in a sandboxed frame) and so use this proxy"
            here.warn(key, f"{origin_null}; set api_keys")


def _check_held_bytes(general: GeneralSettings, here: Place) -> None:
    held, body = general.max_held_bytes, general.max_body_bytes
    if 0 < held < body:
        key = "max_held_bytes" if "max_held_bytes" in here.given else "max_body_bytes"
        problem = f"one body may have {body} bytes (max_body_bytes), all together {held} (max_held_bytes)"
        valid = "max_held_bytes of at least max_body_bytes, or 0 for no bound"
        here.add(key, problem, valid, f"write max_held_bytes: {body}")


def _check_ca_bundle(name: Path | None, folder: Path, here: Place) -> None:
    valid = "the path of a PEM file with certificates, seen from this file"
    if name is None:
        return
    try:
        is_there = (folder / name).is_file()
    except OSError:  # its name is too long, or its folder may not be searched
        is_there = False
    if not is_there:
        here.add("ca_bundle", "there is no such file", valid)
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(folder / name)
    except (OSError, ValueError):
        here.add("ca_bundle", "the file holds no readable certificate", valid)


def _check_passthrough(general: GeneralSettings, groups: Sequence[GroupSettings], here: Place) -> None:
    names = dict.fromkeys(group.model_group for group in groups if group.model_group)
    if general.passthrough_group is not None and general.passthrough_group not in names:
        here.add("passthrough_group", "names no group", ", ".join(map(shown, names)))
    if general.passthrough == "off" and "passthrough_group" in here.given:
        valid = "on or admin, or off without passthrough_group"
        here.add("passthrough", "off leaves nothing to passthrough_group", valid, "leave out passthrough_group")


def _check_cache(general: GeneralSettings, groups: Sequence[GroupSettings], report: Report) -> None:
    here, cache = report.at("general_settings.cache_params"), general.cache_params
    has_redis = report.at("general_settings").given & _REDIS or "host" in here.given
    if general.cache and cache.type == "redis" and not has_redis:
        valid = "memory, or redis with redis_host"
        here.add("type", "redis is not configured", valid, "write redis_host in general_settings, or memory")
    for path, model in models_of(groups) if general.cache and cache.scope == "global" else ():
        headers = {name.lower() for name in model.params.default_headers}
        if not report.at(f"{path}.params").given & CREDENTIAL_PARAMS and not headers & KEY_HEADERS:
            problem = f"global would show one client's answers to others, as {path} uses the client's own key"
            here.add("scope", problem, "credential, or api_key for every model", "write credential")


def _check_keys(general: GeneralSettings, here: Place) -> None:
    places: dict[Secret | str, str] = {}
    for number, item in enumerate(general.api_keys):
        key, name = (item.key, item.name) if isinstance(item, NamedKey) else (item, "")
        place = f"api_keys[{number}]"
        if key.reveal() and (first := places.setdefault(key, place)) != place:
            here.add(place, f"is the same key as {here.path}.{first}", "each key once", "leave out one of the two")
        if name and (first := places.setdefault(name, place)) != place:
            here.add(place, f"has the same name as {here.path}.{first}", "each name once", "write another name")


def _check_tenants(general: GeneralSettings, here: Place) -> None:
    """`tenancy: key` has what it needs, and nothing that would undo it."""
    if "api_keys" not in here.given:
        problem = "key tells clients apart by api_keys, and there are none"
        here.add("tenancy", problem, "shared, or api_keys", _API_KEYS)
    if general.workers != 1 and not here.given & _REDIS:
        problem = "key with several workers needs Redis: without it each worker knows only what itself has seen made"
        here.add("tenancy", problem, "shared, or workers: 1, or redis_host", "write redis_host, or workers: 1")
    if general.passthrough == "admin":
        problem = "admin would let every key administer the account of all"
        here.add("passthrough", problem, "on or off with tenancy: key", "write on")
    if general.cache_params.scope == "global":
        problem = "global would show one key's answers to others"
        here.add("cache_params.scope", problem, "credential with tenancy: key", "write credential")
