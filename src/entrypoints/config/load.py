"""Reads the configuration file: `load_settings` gives valid `Settings`, or every mistake at once."""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from msgspec import Struct

from entrypoints.config.endpoints_section import build_groups, check_groups, warn_about_groups
from entrypoints.config.proxies import check_environment_proxies
from entrypoints.config.reading.document import read_document
from entrypoints.config.reading.mistakes import ConfigError, Report, shown
from entrypoints.config.reading.reader import Reader, Section, rules_of
from entrypoints.config.reading.shapes import ListOf, Nested
from entrypoints.config.settings import (
    CacheParams,
    EndpointSettings,
    GeneralSettings,
    GroupSettings,
    Settings,
)
from entrypoints.config.settings_params import CREDENTIAL_HEADERS, CREDENTIAL_PARAMS, ParamsSettings
from entrypoints.config.tenants import check_tenants, keys_of, warn_about_tenants
from entrypoints.config.urls import is_loopback

__all__ = ["ConfigError", "load_settings"]

_GROUP = Nested(GroupSettings, "a mapping with model_group and models", required=("model_group", "models"))


class _Root(Struct, frozen=True):
    """The top level of the file."""

    general_settings: Annotated[
        GeneralSettings,
        Nested(GeneralSettings, "a mapping of settings", may_be_empty=True, empty_variable_is_absent=True),
    ]
    model_groups: Annotated[
        tuple[GroupSettings, ...], ListOf(_GROUP, "a list of at least one model_group with its models")
    ]


_NONE: Mapping[str, Any] = MappingProxyType({})
_ROOT = Nested(_Root, "a mapping with the key model_groups", required=("model_groups",), has_extensions=True)


def load_settings(path: Path, environ: Mapping[str, str], overrides: Mapping[str, Any] = _NONE) -> Settings:
    """The settings in the YAML file at `path`, with `os.environ/NAME` looked up in `environ`.

    `overrides` take the place of general settings of these names; what the settings demand of each other holds for
    them as well, so that no flag opens the proxy to the network by the way.
    Raises `ConfigError`, whose `str()` tells all mistakes at once, one a line, without secrets. What
    is only doubtful is in `Settings.warnings`.
    """
    report = Report(path)
    document = read_document(path, report)
    root = Reader(report, environ, _homes()).section(document, _ROOT, "")
    general = root.values.get("general_settings", Section("general_settings", frozenset(), {}))
    general.values.update(overrides)
    groups: Sequence[Section] = root.values.get("model_groups", ())
    check_groups(groups, general.values.get("plain_http_hosts", ()), report)
    _check_general(general, report)
    _check_between(general, groups, report)
    report.raise_if_any()

    built = _build_general(general, path)
    settings = build_groups(groups, built, general.given)
    check_environment_proxies(settings, built, environ, report, is_chosen="trust_env" in general.given)
    report.raise_if_any()
    warn_about_groups(settings, built, report)
    _warn_about_redis(general, report)
    warn_about_tenants(general, report)
    if built.workers != 1 and not built.uses_redis:
        report.warn(
            general.place("workers"),
            "without Redis each worker keeps cooldowns, rate limits, cached answers and the owners of responses to "
            "itself; limits are used up faster than any of them knows",
        )
    return Settings(built, settings, tuple(report.warnings), path)


def _homes() -> dict[str, str]:
    """Where each key belongs, for those who put it elsewhere."""
    homes = {
        "general_settings": GeneralSettings,
        "cache_params": CacheParams,
        "a model": EndpointSettings,
        "params": ParamsSettings,
        "a group": GroupSettings,
        "the top level": _Root,
    }
    found: dict[str, str] = {}
    for home, struct in homes.items():
        for key in rules_of(struct):
            found.setdefault(key, home)
    return found


def _check_general(general: Section, report: Report) -> None:
    values, given = general.values, general.given
    address = values.get("bind_address", "127.0.0.1")
    is_open = "api_keys" not in given and not values.get("allow_unauthenticated")
    if is_open and not is_loopback(address):
        report.add(
            general.place("bind_address"),
            "lets other machines use this proxy and its keys; "
            "valid: a loopback address such as 127.0.0.1, or api_keys, or allow_unauthenticated: true",
        )
    _check_origins(general, report)
    _check_held_bytes(general, report)
    check_tenants(general, report)
    others = sorted(key for key in given if key.startswith("redis_") and key != "redis_url")
    if "redis_url" in given and others:
        report.add(general.place("redis_url"), f"excludes {', '.join(others)}; valid: the URL holds it all")
    if isinstance(name := values.get("ca_bundle"), str):
        _check_ca_bundle(report.file.parent / name, general.place("ca_bundle"), report)


def _check_origins(general: Section, report: Report) -> None:
    if "api_keys" in general.given:
        return
    for number, origin in enumerate(general.values.get("allowed_origins", ())):
        place = f"{general.place('allowed_origins')}[{number}]"
        if origin == "*":
            report.add(place, "lets every web page use this proxy and its keys; valid: origins by name, or api_keys")
        if origin == "null":
            report.warn(
                place,
                "any web page can have the origin null (in a sandboxed frame) and so use this proxy; set api_keys",
            )


def _check_held_bytes(general: Section, report: Report) -> None:
    defaults = GeneralSettings()
    held = general.values.get("max_held_bytes", defaults.max_held_bytes)
    body = general.values.get("max_body_bytes", defaults.max_body_bytes)
    if 0 < held < body:
        key = "max_held_bytes" if "max_held_bytes" in general.given else "max_body_bytes"
        report.add(
            general.place(key),
            f"one body may have {body} bytes (max_body_bytes), all together {held} (max_held_bytes); "
            "valid: max_held_bytes of at least max_body_bytes, or 0 for no bound",
        )


def _check_ca_bundle(bundle: Path, path: str, report: Report) -> None:
    valid = "valid: the path of a PEM file with certificates, seen from this file"
    if not bundle.is_file():
        report.add(path, f"there is no such file; {valid}")
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(bundle)
    except (OSError, ValueError):
        report.add(path, f"the file holds no readable certificate; {valid}")


def _check_between(general: Section, groups: Sequence[Section], report: Report) -> None:
    """What general settings demand of each other and of the groups."""
    names = [group.values["model_group"] for group in groups if "model_group" in group.values]
    chosen = general.values.get("passthrough_group")
    if chosen is not None and chosen not in names:
        served = ", ".join(shown(name) for name in dict.fromkeys(names))
        report.add(general.place("passthrough_group"), f"names no group; valid: {served}")
    cache = general.values.get("cache_params")
    if not isinstance(cache, Section) or general.values.get("cache") is not True:
        return
    has_redis = bool(general.given & {"redis_host", "redis_url"}) or "host" in cache.given
    if cache.values.get("type") == "redis" and not has_redis:
        report.add(cache.place("type"), "redis is not configured; valid: memory, or redis with redis_host")
    if cache.values.get("scope") == "global":
        for path in _without_credential(groups):
            report.add(
                cache.place("scope"),
                f"global would show one client's answers to others, as {path} uses the client's own key; "
                "valid: credential, or api_key for every model",
            )


def _without_credential(groups: Sequence[Section]) -> Iterator[str]:
    for group in groups:
        for model in group.values.get("models", ()):
            params = model.values.get("params", Section("", frozenset(), {}))
            headers = {name.lower() for name in params.values.get("default_headers", ())}
            if not params.given & CREDENTIAL_PARAMS and not headers & CREDENTIAL_HEADERS:
                yield model.path


def _build_general(general: Section, path: Path) -> GeneralSettings:
    values: dict[str, Any] = dict(general.values)
    if isinstance(cache := values.get("cache_params"), Section):
        values["cache_params"] = CacheParams(**cache.values)
    if "api_keys" in values:
        values["api_keys"] = keys_of(values["api_keys"])
    if "ca_bundle" in values:
        values["ca_bundle"] = path.parent / values["ca_bundle"]
    return GeneralSettings(**values)


def _warn_about_redis(general: Section, report: Report) -> None:
    cache = general.values.get("cache_params")
    cache_given = cache.given if isinstance(cache, Section) else frozenset()
    idle = {key for key in general.given if key.startswith("redis_")}
    if "host" in cache_given:
        idle.discard("redis_ssl")  # holds for the cache's own Redis too
    if idle and not general.given & {"redis_host", "redis_url"}:
        report.warn(general.place(min(idle)), "has no effect without redis_host")
    if not isinstance(cache, Section):
        return
    if "host" in cache_given and cache.values.get("type") == "memory":
        report.warn(cache.place("host"), "has no effect with type: memory")
    lone = sorted(cache_given & {"port", "password"})
    if lone and "host" not in cache_given:
        report.warn(cache.place(lone[0]), "has no effect without host")
