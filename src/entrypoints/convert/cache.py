"""`cache` and `cache_params`."""

from typing import Any

from entrypoints.convert.counterparts import by_key
from entrypoints.convert.literals import Literals
from entrypoints.convert.notes import Section
from entrypoints.convert.source import VARIABLE, Node

_TYPES = {"redis": "redis", "local": "memory"}
_DIFFERS = (
    "only answers that would be the same again are cached (temperature: 0), for each client's credential; see "
    "when_temperature_absent and scope, docs/caching.md"
)
_ADVICE = by_key(
    {
        "supported_call_types": "chat, completions, responses with store: false, embeddings and moderations are cached",
        "max_connections": "connections to Redis need no bound",
        "redis_startup_nodes": "write redis_url: redis+cluster://HOST:PORT,HOST2:PORT in general_settings",
        "service_name sentinel_nodes": "write redis_url: redis+sentinel://HOST:PORT/SERVICE in general_settings",
        "sentinel_password": "write redis_url with ?sentinel_password=... in general_settings",
        "ssl_cert_reqs ssl_check_hostname": "certificates are always checked; see ca_bundle",
        "username": "write redis_username in general_settings, and let the cache use that Redis",
        "default_in_memory_ttl default_in_redis_ttl": "write ttl in cache_params",
        "similarity_threshold qdrant_* redis_semantic_*": "only requests that are the same have the same answer",
        "s3_* gcs_*": "answers are kept in memory or in Redis",
        "gcp_*": "Redis is asked with user and password",
    }
)


def convert_cache(litellm: Section, general: dict[str, Any], literals: Literals) -> None:
    wanted = litellm.flag("cache")
    node = litellm.take("cache_params")
    section = Section(node, litellm.notes)
    kind, mode = section.take("type"), section.take("mode")
    params: dict[str, Any] = {}
    if (reason := _why_not(kind, mode)) is not None:
        litellm.notes.left(*reason)
        for each in (wanted[0] if wanted is not None else None, kind, mode):
            if each is not None and each is not reason[0]:
                litellm.notes.left(each, f"the cache is left off, because of {reason[0].path}")
    else:
        params["type"] = _TYPES[str(kind.value)] if kind is not None else "redis"
        if mode is not None:
            litellm.notes.differs(mode, "is what is always so here")
    _ttl(section, params, kind)
    if (namespace := section.text("namespace")) is not None:
        params["namespace"] = namespace
    is_used = reason is None and wanted is not None and wanted[1] is not False
    _redis(section, params, general, literals, wanted[0] if wanted is not None and is_used else None)
    section.leave_rest(_ADVICE, "has no counterpart in cache_params")
    if reason is None and wanted is not None:
        general["cache"] = wanted[1]
        if is_used:
            litellm.notes.differs(wanted[0], _DIFFERS)
    if params and (wanted is not None or node is not None):
        general["cache_params"] = params


def _why_not(kind: Node | None, mode: Node | None) -> tuple[Node, str] | None:
    if kind is not None and kind.value not in _TYPES:
        return kind, "answers are kept in memory or in Redis; write cache: true and cache_params for one of these"
    if mode is not None and mode.value == "default_off":
        return mode, "requests cannot ask to be cached; write cache: true where all that can be is to be cached"
    return None


def _ttl(section: Section, params: dict[str, Any], kind: Node | None) -> None:
    own = "default_in_memory_ttl" if kind is not None and kind.value == "local" else "default_in_redis_ttl"
    for key in (own, "ttl"):
        if (found := section.number(key, 0.001, 315_360_000)) is not None:
            params["ttl"] = found[1]


def _redis(
    section: Section, params: dict[str, Any], general: dict[str, Any], literals: Literals, wanted: Node | None
) -> None:
    """`wanted` is the `cache` that is switched on; None = it is not."""
    host = section.text("host")
    port = section.number("port", 1, 65_535, whole=True)
    password = section.secret("password")
    if host is not None:
        params["host"] = host
    elif wanted is not None and params["type"] == "redis" and not general.keys() & {"redis_host", "redis_url"}:
        params["host"] = f"{VARIABLE}REDIS_HOST"
        if port is None:
            params["port"] = f"{VARIABLE}REDIS_PORT"
        if password is None:
            params["password"] = f"{VARIABLE}REDIS_PASSWORD"
        section.notes.differs(
            wanted, "like LiteLLM, Redis is taken from REDIS_HOST, REDIS_PORT and REDIS_PASSWORD, which may be empty"
        )
    if port is not None:
        params["port"] = port[1]
    if password is not None:
        params["password"] = literals.put(password, "CACHE_PASSWORD")
    if (ssl := section.flag("ssl")) is not None:
        general.setdefault("redis_ssl", ssl[1])
        if ssl[1] is not False:
            section.notes.differs(ssl[0], "is redis_ssl, which holds for every Redis of the file")
