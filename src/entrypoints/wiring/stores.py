"""From settings to stores: which Redis, if any, holds what, and by which rules."""

from collections.abc import Callable

from adapters.stores.redis.gate import RedisGate
from adapters.stores.redis.settings import RedisSettings
from domain.caching.cache_key import CachePolicy
from entrypoints.config.settings import GeneralSettings

_STATE_KEPT_S = 600.0
_STATE_MARGIN_S = 120.0


def shared_redis(general: GeneralSettings) -> RedisSettings | None:
    """The Redis for what replicas share; None = they share nothing."""
    if general.redis_url is not None:
        return RedisSettings.of_url(general.redis_url, general.ca_bundle)
    if general.redis_host is None:
        return None
    return RedisSettings(
        nodes=((general.redis_host, general.redis_port),),
        username=general.redis_username,
        password=general.redis_password,
        ssl=general.redis_ssl,
        ca_bundle=general.ca_bundle,
    )


def cache_redis(general: GeneralSettings) -> RedisSettings | None:
    """The Redis for the response cache; None = it is in memory, or there is none."""
    if general.cache_type != "redis":
        return None
    params, shared = general.cache_params, shared_redis(general)
    if params.host is None:
        return shared
    return RedisSettings(
        nodes=((params.host, params.port),),
        password=params.password,
        ssl=general.redis_ssl or (shared is not None and shared.ssl),
        ca_bundle=general.ca_bundle,
    )


def cache_policy(general: GeneralSettings) -> CachePolicy:
    params = general.cache_params
    return CachePolicy(
        ttl_s=params.ttl,
        scope_is_global=params.scope == "global",
        absent_is_cacheable=params.when_temperature_absent == "cache",
    )


def state_kept_s(general: GeneralSettings) -> float:
    """How long the state of a replica that says nothing is kept, in seconds: longer than any cooldown."""
    return max(_STATE_KEPT_S, general.cooldown_time + _STATE_MARGIN_S)


def kind_of_states(general: GeneralSettings) -> str:
    return "redis" if general.uses_redis else "memory"


def gates(general: GeneralSettings, shared: Callable[[], RedisGate], cache: Callable[[], RedisGate]) -> list[RedisGate]:
    """Those that there are: for what replicas share, for the cache, one for both, or none."""
    has_own = cache_redis(general) not in (None, shared_redis(general))
    return ([] if shared_redis(general) is None else [shared()]) + ([cache()] if has_own else [])


def kind_of_cache_gate(general: GeneralSettings) -> str:
    """Does the cache have the Redis connections that replicas share, or its own?"""
    return "shared" if cache_redis(general) == shared_redis(general) else "own"
