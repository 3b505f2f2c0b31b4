"""What general settings demand of each other and of the groups."""

import ssl
from collections.abc import Sequence
from pathlib import Path

from entrypoints.config.reading.mistakes import Report
from entrypoints.config.reading.shown import shown
from entrypoints.config.settings import GeneralSettings, GroupSettings, models_of
from entrypoints.config.settings_params import CREDENTIAL_HEADERS, CREDENTIAL_PARAMS
from entrypoints.config.urls import is_loopback

GENERAL = "general_settings"
_CACHE = f"{GENERAL}.cache_params"
_KEYS = "write api_keys: [os.environ/PROXY_KEY]"


def check_general(general: GeneralSettings, groups: Sequence[GroupSettings], report: Report) -> None:
    """Report what is wrong between settings that are each valid by themselves."""
    given = report.given(GENERAL)
    if "api_keys" not in given and not general.allow_unauthenticated and not is_loopback(general.bind_address):
        report.add(
            f"{GENERAL}.bind_address",
            "lets other machines use this proxy and its keys",
            "a loopback address such as 127.0.0.1, or api_keys, or allow_unauthenticated: true",
            _KEYS,
        )
    others = sorted(key for key in given if key.startswith("redis_") and key != "redis_url")
    if "redis_url" in given and others:
        names = ", ".join(others)
        report.add(f"{GENERAL}.redis_url", f"excludes {names}", "the URL holds it all", f"leave out {names}")
    _check_origins(general, report)
    _check_held_bytes(general, report)
    _check_ca_bundle(general.ca_bundle, report)
    _check_passthrough_group(general.passthrough_group, groups, report)
    if general.cache:
        _check_cache(general, groups, report)


def warn_about_general(general: GeneralSettings, report: Report) -> None:
    """Warn about what is valid and yet seldom meant."""
    cache_given = report.given(_CACHE)
    idle = {key for key in report.given(GENERAL) if key.startswith("redis_")}
    if "host" in cache_given:
        idle.discard("redis_ssl")  # holds for the cache's own Redis too
    if idle and not general.uses_redis:
        report.warn(f"{GENERAL}.{min(idle)}", "has no effect without redis_host")
    if "host" in cache_given and general.cache_params.type == "memory":
        report.warn(f"{_CACHE}.host", "has no effect with type: memory")
    lone = sorted(cache_given & {"port", "password"})
    if lone and "host" not in cache_given:
        report.warn(f"{_CACHE}.{lone[0]}", "has no effect without host")
    if general.workers != 1 and not general.uses_redis:
        report.warn(
            f"{GENERAL}.workers",
            "without Redis each worker keeps cooldowns, rate limits, cached answers and the owners of responses to "
            "itself; limits are used up faster than any of them knows",
        )


def _check_origins(general: GeneralSettings, report: Report) -> None:
    if "api_keys" in report.given(GENERAL):
        return
    for number, origin in enumerate(general.allowed_origins):
        path = f"{GENERAL}.allowed_origins[{number}]"
        if origin == "*":
            problem = "lets every web page use this proxy and its keys"
            report.add(path, problem, "origins by name, or api_keys", "name the origins")
        if origin == "null":
            report.warn(
                path,
                "any web page can have the origin null (in a sandboxed frame) and so use this proxy; set api_keys",
            )


def _check_held_bytes(general: GeneralSettings, report: Report) -> None:
    held, body = general.max_held_bytes, general.max_body_bytes
    if 0 < held < body:
        key = "max_held_bytes" if "max_held_bytes" in report.given(GENERAL) else "max_body_bytes"
        report.add(
            f"{GENERAL}.{key}",
            f"one body may have {body} bytes (max_body_bytes), all together {held} (max_held_bytes)",
            "max_held_bytes of at least max_body_bytes, or 0 for no bound",
            f"write max_held_bytes: {body}",
        )


def _check_ca_bundle(name: Path | None, report: Report) -> None:
    if name is None:
        return
    path, valid = f"{GENERAL}.ca_bundle", "the path of a PEM file with certificates, seen from this file"
    bundle = report.file.parent / name
    if not bundle.is_file():
        report.add(path, "there is no such file", valid)
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(bundle)
    except (OSError, ValueError):
        report.add(path, "the file holds no readable certificate", valid)


def _check_passthrough_group(chosen: str | None, groups: Sequence[GroupSettings], report: Report) -> None:
    names = dict.fromkeys(group.model_group for group in groups if group.model_group)
    if chosen is not None and chosen not in names:
        report.add(f"{GENERAL}.passthrough_group", "names no group", ", ".join(map(shown, names)))


def _check_cache(general: GeneralSettings, groups: Sequence[GroupSettings], report: Report) -> None:
    has_redis = report.given(GENERAL) & {"redis_host", "redis_url"} or "host" in report.given(_CACHE)
    if general.cache_params.type == "redis" and not has_redis:
        report.add(
            f"{_CACHE}.type",
            "redis is not configured",
            "memory, or redis with redis_host",
            f"write redis_host in {GENERAL}, or memory",
        )
    if general.cache_params.scope != "global":
        return
    for path, model in models_of(groups):
        headers = {name.lower() for name in model.params.default_headers}
        if not report.given(f"{path}.params") & CREDENTIAL_PARAMS and not headers & CREDENTIAL_HEADERS:
            report.add(
                f"{_CACHE}.scope",
                f"global would show one client's answers to others, as {path} uses the client's own key",
                "credential, or api_key for every model",
                "write credential",
            )
