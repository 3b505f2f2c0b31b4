"""Settings that a running proxy cannot take over are refused by name, all others are none of this."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from domain.secret import Secret
from entrypoints.config.settings import CacheParams, GeneralSettings
from entrypoints.reload.restart_needed import restart_needed, restart_sentence

PLAIN = GeneralSettings()
REDIS = GeneralSettings(redis_host="r", redis_password=Secret("p"))
OWN_CACHE = replace(PLAIN, cache=True, cache_params=CacheParams(type="redis", host="c"))


@pytest.mark.parametrize(
    ("before", "changes", "names"),
    [
        (PLAIN, {"bind_address": "0.0.0.0", "bind_port": 1}, ["bind_address", "bind_port"]),
        (PLAIN, {"workers": "auto", "log_format": "json"}, ["workers", "log_format"]),
        (PLAIN, {"currency": "EUR"}, ["currency"]),
        (PLAIN, {"tenancy": "key", "response_affinity_ttl": 5}, ["tenancy", "response_affinity_ttl"]),
        (PLAIN, {"redis_host": "r"}, ["redis_host"]),
        (PLAIN, {"redis_port": 7}, []),  # without a host it means nothing
        (REDIS, {"redis_host": None}, ["redis_host"]),
        (REDIS, {"redis_timeout": 0.5}, ["redis_timeout"]),
        (REDIS, {"redis_password": Secret("q"), "redis_ssl": True}, ["redis_password", "redis_ssl"]),
        (REDIS, {"cache": True}, []),  # in the Redis that is there
        (REDIS, {"cache": True, "cache_params": CacheParams(host="c")}, ["cache", "cache_params.host"]),
        (PLAIN, {"cache": True}, []),
        (PLAIN, {"cache_params": CacheParams(namespace="n")}, ["cache_params.namespace"]),
        (PLAIN, {"cache_params": CacheParams(ttl=9, max_bytes=1 << 20)}, []),
        (OWN_CACHE, {"cache": False}, []),
        (OWN_CACHE, {"cache_params": CacheParams(type="redis", host="d")}, ["cache_params.host"]),
        (OWN_CACHE, {"cache_params": CacheParams(type="memory", host="c")}, []),
        (replace(REDIS, redis_ssl=True), {"ca_bundle": Path("/x")}, ["ca_bundle"]),
        (PLAIN, {"ca_bundle": Path("/x")}, []),
    ],
)
def test_by_name(before: GeneralSettings, changes: dict[str, Any], names: list[str]) -> None:
    assert restart_needed(before, before) == []
    assert restart_needed(before, replace(before, **changes)) == names


def test_everything_else_can_be_taken_over() -> None:
    other: dict[str, Any] = {
        "num_retries": 9, "allowed_fails": 9, "cooldown_time": 9, "connect_timeout": 9, "first_byte_timeout": 9,
        "stream_idle_timeout": 9, "request_timeout": 9, "stream_hold": 1, "stream_keepalive": 9, "max_wait": 9,
        "rate_limit_reserve": 0.5, "api_keys": (Secret("k"),), "allow_unauthenticated": True, "allowed_hosts": ("h",),
        "allowed_origins": ("null",), "max_body_bytes": 2048, "max_held_bytes": 0, "max_connections": 9,
        "drain_timeout": 9, "upstream_client": "httpx", "outbound_proxy": Secret("http://p:1"), "trust_env": True,
        "log_level": "debug", "passthrough": "off", "passthrough_group": "g", "reload": "watch", "cache": True,
    }  # fmt: skip

    assert restart_needed(PLAIN, replace(PLAIN, **other)) == []


def test_the_sentence_names_them_and_what_to_do() -> None:
    text = restart_sentence(["workers", "redis_host"])

    assert text.startswith("general_settings.workers, general_settings.redis_host: ")
    assert "fix: restart the proxy, or undo the change" in text
