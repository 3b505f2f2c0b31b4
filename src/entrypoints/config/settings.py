"""Every setting: its name, type, default and meaning. Times are seconds, sizes bytes.

The names are those of the YAML file, and the types say what is valid (`value_types.py`, `urls.py`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from domain.caching.cache_key import CachePolicy
from domain.endpoint import Endpoint
from domain.health.cooldown import CooldownPolicy
from domain.retry import RetryPolicy
from entrypoints.config import urls
from entrypoints.config import value_types as values
from entrypoints.config.plain_http import PlainHttpHost
from entrypoints.config.reading.schema import COMPUTED, Form, Section
from entrypoints.config.settings_params import ParamsSettings
from entrypoints.config.telemetry import NO_TELEMETRY, Telemetry

_ENDPOINT = Endpoint("", "", "")
"""The timeouts of an endpoint that nobody configured; as with the policies, the domain has the defaults."""


class CacheParams(Section, frozen=True):
    """The response cache (`general_settings.cache_params`)."""

    home: ClassVar = "cache_params"
    valid: ClassVar = "a mapping of cache settings"
    is_lenient: ClassVar = True

    type: Literal["redis", "memory"] | None = None
    """Where answers are kept; None = in Redis if one is configured, else in memory."""
    ttl: values.LongSeconds = CachePolicy().ttl_s
    """How long an answer is served, in seconds."""
    namespace: values.Name = "llmproxy"
    """What every key in the store begins with."""
    max_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 40, description=values.A_SIZE), values.SIZE] = 256 << 20
    """The most an in-memory cache holds, in bytes."""
    scope: Literal["credential", "global"] = "credential"
    """Who shares answers: clients with the same credential, or all."""
    when_temperature_absent: Literal["bypass", "cache"] = "bypass"
    """What to do with a request that names no temperature (the API's default is 1)."""
    replay_interval: Annotated[float, Meta(ge=0, le=10, description="a number of seconds")] = 0
    """The pause between two pieces of a stream that is sent from the cache, in seconds; 0 = none."""
    host: urls.CacheHost | None = None
    """A Redis for the cache alone; None = the one of general_settings."""
    port: values.Port = 6379
    password: values.Password | None = None


class NamedKey(Section, frozen=True):
    """One of `api_keys` that has a name."""

    valid: ClassVar = "a mapping with name and key"
    hides_names: ClassVar = True

    name: values.Id
    """What the log calls whoever has the key, and what its things are kept under: a new key takes them over."""
    key: values.ApiKey
    """What clients send."""


class GeneralSettings(Section, frozen=True):
    """What holds for the whole proxy (`general_settings`)."""

    home: ClassVar = "general_settings"
    valid: ClassVar = "a mapping of settings"
    is_lenient: ClassVar = True

    bind_address: urls.BindAddress = "127.0.0.1"
    """Where to listen; other than loopback only with `api_keys` or `allow_unauthenticated`."""
    bind_port: values.Port = 4000
    num_retries: Annotated[int, Meta(ge=0, le=20)] = RetryPolicy().num_retries
    """Further attempts after a first one that failed."""
    allowed_fails: Annotated[int, Meta(ge=1, le=1000)] = CooldownPolicy().allowed_fails
    """Failures in a row after which an endpoint rests."""
    cooldown_time: values.Seconds = CooldownPolicy().cooldown_s
    """How long an endpoint rests, in seconds."""

    redis_host: urls.RedisHost | None = None
    """The Redis server; None (and no `redis_url`) = state is kept in memory."""
    redis_port: values.Port = 6379
    redis_password: values.Password | None = None
    redis_username: values.UserName | None = None
    """The ACL user; None = Redis' default user."""
    redis_ssl: bool = False
    """Whether to speak TLS with Redis."""
    redis_url: urls.RedisUrl | None = None
    """All of the above in one; excludes the other redis_ keys."""
    cache: bool = False
    cache_params: CacheParams = CacheParams()

    connect_timeout: values.Seconds = _ENDPOINT.connect_timeout_s
    """DNS, TCP and TLS together, in seconds."""
    first_byte_timeout: values.Seconds = _ENDPOINT.first_byte_timeout_s
    """From the request sent to the first byte of the reply, in seconds."""
    stream_idle_timeout: values.Seconds = _ENDPOINT.stream_idle_timeout_s
    """The longest silence inside a stream, in seconds."""
    request_timeout: values.Seconds = _ENDPOINT.request_timeout_s
    """All attempts together until the first content, in seconds."""
    stream_hold: values.SecondsOrZero = 5
    """How long the events before the first content may be held back, in seconds."""
    stream_keepalive: values.SecondsOrZero = 0
    """After how long a silence inside a stream the proxy sends a comment, in seconds; 0 = never."""
    max_wait: values.SecondsOrZero = 30
    """How long a request waits for a rate-limited group, in seconds; 0 = not at all."""
    rate_limit_reserve: Annotated[float, Meta(ge=0, lt=1)] = 0.02
    """The part of an endpoint's limit that is left unused while another endpoint has room."""
    response_affinity_ttl: values.LongSeconds = 2_592_000
    """How long the endpoint of a stored response is remembered, in seconds."""

    api_keys: Annotated[tuple[values.ApiKey | NamedKey, ...], Meta(description="a list of at least one key")] = ()
    """The keys clients must send, with or without a name; empty = the proxy asks for none."""
    tenancy: Literal["shared", "key"] = "shared"
    """The owner of what providers keep: all keys together, or only the key that made it."""
    allow_unauthenticated: bool = False
    """Says on purpose that anybody who reaches `bind_address` may use the proxy."""
    allowed_hosts: Annotated[tuple[urls.HostWithPort, ...], Meta(description="a list of host names")] = ()
    """Host headers that are let in besides the loopback names and the bind address."""
    allowed_origins: Annotated[tuple[urls.Origin, ...], Meta(description="a list of origins")] = ()
    """Web pages, and applications made of them, that may call the proxy; empty = none."""
    plain_http_hosts: Annotated[tuple[PlainHttpHost, ...], Meta(description="a list of hosts")] = ()
    """Hosts that may be called over http besides loopback and private ones; empty = none."""
    max_body_bytes: Annotated[int, Meta(ge=1024, le=1 << 30, description=values.A_SIZE), values.SIZE] = 32 << 20
    """The largest request body, in bytes."""
    max_held_bytes: Annotated[int, Meta(ge=0, le=1 << 40, description=values.A_SIZE), values.SIZE] = 256 << 20
    """The most a worker holds for its clients, bodies and answers together, in bytes; 0 = no bound."""
    max_connections: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    """The most connections to one endpoint, per worker."""
    drain_timeout: values.SecondsOrZero = 30
    """How long running requests may take to end at shutdown, in seconds."""
    workers: Annotated[int, Meta(ge=1, le=256)] | Literal["auto"] = 1
    """Processes that serve; auto = one per CPU."""

    metrics: Literal["loopback", "keys", "open"] = "loopback"
    """Who may ask for `GET /metrics`: clients on this machine, those with one of `api_keys`, or all."""
    websockets: Literal["bridge", "off"] = "bridge"
    """Whether Responses (each turn as a request) and Realtime are served over WebSocket; off = clients are told to use
    HTTP."""
    max_websockets: Annotated[int, Meta(ge=0, le=100_000)] = 1000
    """The most open WebSockets, per worker."""

    upstream_client: Literal["http1", "httpx"] = "http1"
    """What speaks HTTP with the endpoints: the client of our own, or httpx over it."""
    ca_bundle: values.PemFile | None = None
    """Certificates to trust besides the system's; None = the system's alone."""
    outbound_proxy: urls.ProxyUrl | None = None
    """The proxy for calls to endpoints; None = none."""
    trust_env: bool = False
    """Whether HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY in the environment are followed."""
    reload: Literal["signal", "watch"] = "signal"
    """When the file is read anew: when somebody says so (`llmproxy reload`, SIGHUP), or also when it has changed."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important log lines that are written."""
    log_format: Literal["text", "json"] | None = None
    """How log lines look; None = text on a terminal, json elsewhere."""
    propagate_trace_context: bool = False
    """Whether endpoints get a trace context: the attempt's own where traces are recorded, else the client's."""
    passthrough: Literal["off", "on", "admin"] = "on"
    """Whether what names no group is passed on: no; yes, but for the API that administers the account; all of it."""
    passthrough_group: values.Name | None = None
    """The group that takes /v1 paths that name no model, and models that are no group's. None = paths without a model
    go to the only group, with several they are answered 404; models that are no group's are unknown."""

    @property
    def uses_redis(self) -> bool:
        """Whether a Redis server is configured for what replicas share."""
        return self.redis_host is not None or self.redis_url is not None

    @property
    def cache_type(self) -> Literal["off", "memory", "redis"]:
        if not self.cache:
            return "off"
        if self.cache_params.type is not None:
            return self.cache_params.type
        return "redis" if self.uses_redis or self.cache_params.host is not None else "memory"


class EndpointSettings(Section, frozen=True):
    """One of a group's `models`: an endpoint. After loading the id and the timeouts are those that hold for it."""

    home: ClassVar = "a model"
    valid: ClassVar = "a mapping with model, weight and params"

    model: values.Name
    """The name the endpoint knows the model by."""
    id: values.Id = ""
    """What people see; without one in the file `group/1`, `group/2`, ... in the order of the file."""
    weight: Annotated[
        int, Meta(ge=0, le=1_000_000), Form(whole_hint="use whole numbers, e.g. 7 and 3 instead of 0.7 and 0.3")
    ] = 1
    """Its share of the group's requests; 0 = only when no other endpoint can."""
    params: ParamsSettings = ParamsSettings()
    connect_timeout: values.Seconds = _ENDPOINT.connect_timeout_s
    first_byte_timeout: values.Seconds = _ENDPOINT.first_byte_timeout_s
    stream_idle_timeout: values.Seconds = _ENDPOINT.stream_idle_timeout_s
    request_timeout: values.Seconds = _ENDPOINT.request_timeout_s
    """These four as in general_settings, whose values hold where the file does not say them here."""
    whole_reply_timeout: Annotated[float, COMPUTED] = _ENDPOINT.whole_reply_timeout_s
    """What `first_byte_timeout` is for replies that are not streamed: they have their first byte when all is generated,
    so where nobody set `first_byte_timeout` they may take all of `request_timeout`. In seconds."""
    rpm: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    """Requests a minute, for providers that send no rate-limit headers; None = unknown."""
    tpm: Annotated[int, Meta(ge=1, le=10**12)] | None = None
    """Tokens a minute, likewise."""
    outbound_proxy: urls.ProxyUrlOrNone | None = None
    """The proxy for calls to this endpoint, empty = none; None = as general_settings and trust_env say."""


class GroupSettings(Section, frozen=True):
    """One of `model_groups`: the endpoints behind one public model name."""

    home: ClassVar = "a group"
    valid: ClassVar = "a mapping with model_group and models"

    model_group: values.Name
    """The model name clients ask for."""
    models: Annotated[tuple[EndpointSettings, ...], Meta(description="a list of at least one model")]
    """Its endpoints, in the order of the file."""
    affinity: Literal["none", "prompt_cache_key"] = "none"
    """Whether requests that share a prompt cache go to one endpoint."""


def models_of(groups: Sequence[GroupSettings]) -> Iterator[tuple[str, EndpointSettings]]:
    for index, group in enumerate(groups):
        for number, model in enumerate(group.models):
            yield f"model_groups[{index}].models[{number}]", model


class ConfigFile(Section, frozen=True):
    """The top level of the file."""

    home: ClassVar = "the top level"
    has_extensions: ClassVar = True

    model_groups: Annotated[
        tuple[GroupSettings, ...], Meta(description="a list of at least one model_group with its models")
    ]
    general_settings: GeneralSettings = GeneralSettings()


class Settings(Struct, frozen=True):
    general: GeneralSettings
    groups: tuple[GroupSettings, ...]
    warnings: tuple[str, ...]
    """Sentences for the log at start, each with file and key; none of them stops the start."""
    path: Path
    """The file it was read from."""
    telemetry: Telemetry = NO_TELEMETRY
    """What is sent by OTLP, as the environment says."""
