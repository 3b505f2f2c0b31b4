"""Which settings a running proxy cannot take over: they hold for sockets, processes and connections that go on."""

from entrypoints.config.settings import GeneralSettings
from entrypoints.wiring.stores import cache_redis, shared_redis

_ALWAYS = (
    "bind_address", "bind_port", "workers", "log_format", "tenancy", "response_affinity_ttl", "currency",
    "redis_timeout",
)  # fmt: skip
_SHARED_REDIS = ("redis_url", "redis_host", "redis_port", "redis_username", "redis_password", "redis_ssl", "ca_bundle")
_CACHE_REDIS = ("type", "host", "port", "password")


def restart_needed(before: GeneralSettings, after: GeneralSettings) -> list[str]:
    """The names of the settings in `general_settings` that are another now and need a restart; empty = none is."""
    names = [name for name in _ALWAYS if getattr(before, name) != getattr(after, name)]
    if before.cache_params.namespace != after.cache_params.namespace:
        names.append("cache_params.namespace")
    connected = {redis for redis in (shared_redis(before), cache_redis(before)) if redis is not None}
    if shared_redis(before) != shared_redis(after):
        names += [name for name in _SHARED_REDIS if getattr(before, name) != getattr(after, name)]
    elif cache_redis(after) not in (None, *connected):
        old, new = before.cache_params, after.cache_params
        names += ["cache"] if before.cache != after.cache else []
        names += [f"cache_params.{name}" for name in _CACHE_REDIS if getattr(old, name) != getattr(new, name)]
        names += [name for name in ("redis_ssl", "ca_bundle") if getattr(before, name) != getattr(after, name)]
    return names


def restart_sentence(names: list[str]) -> str:
    """What to tell of them."""
    which = ", ".join(f"general_settings.{name}" for name in names)
    return f"{which}: a change needs a restart; fix: restart the proxy, or undo the change"
