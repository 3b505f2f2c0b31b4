"""`cache_params` of general settings: how answers are cached."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from domain.caching.cache_key import CachePolicy
from entrypoints.config import urls
from entrypoints.config import value_types as values
from entrypoints.config.reading.schema import Section


class CacheParams(Section, frozen=True):
    """The response cache (`general_settings.cache_params`)."""

    home: ClassVar = "cache_params"
    valid: ClassVar = "a mapping of cache settings"
    is_lenient: ClassVar = True

    type: Literal["redis", "memory"] | None = None
    """Where answers are kept. None = in Redis if one is configured, else in memory."""
    ttl: values.LongSeconds = CachePolicy().ttl_s
    """How long an answer is served, in seconds."""
    namespace: values.Name = "llmproxy"
    """What every key in the store begins with."""
    max_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 40, description=values.A_SIZE), values.SIZE] = 256 << 20
    """The most that a cache in memory holds, in bytes."""
    scope: Literal["credential", "global"] = "credential"
    """Who shares answers: clients with the same credential, or all. `global` is refused while a model passes on the
    client's own key."""
    when_temperature_absent: Literal["bypass", "cache"] = "bypass"
    """What becomes of a request that names no temperature: the API's default is 1, so that answers differ."""
    replay_interval: Annotated[float, Meta(ge=0, le=10, description="a number of seconds"), values.TIME] = 0
    """The pause between two pieces of a stream that is sent from the cache, in seconds; 0 = none."""
    host: urls.CacheHost | None = None
    """A Redis for the cache alone, with TLS if `redis_ssl` is true. None = the one of general_settings."""
    port: values.Port = 6379
    """Its port."""
    password: values.Password | None = None
    """Its password. Secret."""
