"""Every setting: its name, type, default, rule and meaning. Times are seconds, sizes bytes.

The names are those of the YAML file. The annotation of a field holds its rule (`config_rules.py`);
a field without a rule is worked out by `config.py` and cannot be written in a file.
"""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Struct

from domain.secret import Secret
from entrypoints.config.plain_http import HOSTS, PlainHttpHost
from entrypoints.config.reading.rules import (
    KEY,
    LONG_SECONDS,
    NAME,
    PASSWORD,
    PORT,
    SECONDS,
    SECONDS_OR_OFF,
    Choice,
    ChoiceWithSwitch,
    Number,
    Size,
    Switch,
    Text,
    Whole,
    Workers,
)
from entrypoints.config.reading.shapes import ListOf, Nested, OneOrMap
from entrypoints.config.settings_params import REFUSED_PARAMS, ParamsSettings
from entrypoints.config.urls import Host, HostWithPort, Origin, ProxyUrl, RedisUrl

_REDIS_HOST = Host(
    "the name or IP address of the Redis server, without redis:// and port", port_key="redis_port", url_key="redis_url"
)
_CACHE_HOST = Host(
    "the name or IP address of the Redis server, without redis:// and port", port_key="port", url_key="redis_url"
)

_CACHE_TYPE = Choice(("redis", "memory"), {"local": "memory", "in-memory": "memory"})
_LOG_LEVEL = Choice(
    ("debug", "info", "warning", "error"), {"warn": "warning", "critical": "error", "fatal": "error", "trace": "debug"}
)


class CacheParams(Struct, frozen=True):
    """The response cache (`general_settings.cache_params`)."""

    type: Annotated[Literal["redis", "memory"] | None, _CACHE_TYPE] = None
    """Where answers are kept; None = in Redis if one is configured, else in memory."""
    ttl: Annotated[float, LONG_SECONDS] = 604_800
    """How long an answer is served, in seconds."""
    namespace: Annotated[str, NAME] = "llmproxy"
    """What every key in the store begins with."""
    max_bytes: Annotated[int, Size(1 << 20, 1 << 40)] = 256 << 20
    """The most an in-memory cache holds, in bytes."""
    scope: Annotated[Literal["credential", "global"], Choice(("credential", "global"))] = "credential"
    """Who shares answers: clients with the same credential, or all."""
    when_temperature_absent: Annotated[Literal["bypass", "cache"], Choice(("bypass", "cache"))] = "bypass"
    """What to do with a request that names no temperature (the API's default is 1)."""
    replay_interval: Annotated[float, Number(0, 10, "seconds", from_low=True)] = 0
    """The pause between two pieces of a stream that is sent from the cache, in seconds; 0 = none."""
    host: Annotated[str | None, _CACHE_HOST] = None
    """A Redis for the cache alone; None = the one of general_settings."""
    port: Annotated[int, PORT] = 6379
    """Its port."""
    password: Annotated[Secret | None, PASSWORD] = None
    """Its password; None = none."""


class NamedKey(Struct, frozen=True):
    """One of `api_keys` that has a name."""

    name: Annotated[str, Text("1 to 64 letters, digits, . _ or -", r"[A-Za-z0-9._-]{1,64}")]
    """What the log calls whoever has the key, and what its things are kept under: a new key takes them over."""
    key: Annotated[Secret, KEY]
    """What clients send."""


_KEY_OR_NAMED = OneOrMap(KEY, Nested(NamedKey, "a mapping with name and key", ("name", "key"), hides_names=True))


class GeneralSettings(Struct, frozen=True):
    """What holds for the whole proxy (`general_settings`)."""

    bind_address: Annotated[str, Host("an IP address or a host name, without a port", port_key="bind_port")] = (
        "127.0.0.1"
    )
    """Where to listen; other than loopback only with `api_keys` or `allow_unauthenticated`."""
    bind_port: Annotated[int, PORT] = 4000
    """Where to listen."""
    num_retries: Annotated[int, Whole(0, 20)] = 3
    """Further attempts after a first one that failed."""
    allowed_fails: Annotated[int, Whole(1, 1000)] = 1
    """Failures in a row after which an endpoint rests."""
    cooldown_time: Annotated[float, SECONDS] = 60
    """How long an endpoint rests, in seconds."""

    redis_host: Annotated[str | None, _REDIS_HOST] = None
    """The Redis server; None (and no `redis_url`) = state is kept in memory."""
    redis_port: Annotated[int, PORT] = 6379
    """Its port."""
    redis_password: Annotated[Secret | None, PASSWORD] = None
    """Its password; None = none."""
    redis_username: Annotated[str | None, Text("a user name that is not empty")] = None
    """The ACL user; None = Redis' default user."""
    redis_ssl: Annotated[bool, Switch()] = False
    """Whether to speak TLS with Redis."""
    redis_url: Annotated[
        Secret | None,
        RedisUrl(
            "redis://, rediss:// (TLS), unix://, redis+sentinel:// or redis+cluster://, "
            "such as redis://:password@host:6379/0"
        ),
    ] = None
    """All of the above in one; excludes the other redis_ keys."""
    cache: Annotated[bool, Switch()] = False
    """Whether answers are cached."""
    cache_params: Annotated[
        CacheParams,
        Nested(CacheParams, "a mapping of cache settings", may_be_empty=True, empty_variable_is_absent=True),
    ] = CacheParams()
    """How answers are cached."""

    connect_timeout: Annotated[float, SECONDS] = 5
    """DNS, TCP and TLS together, in seconds."""
    first_byte_timeout: Annotated[float, SECONDS] = 120
    """From the request sent to the first byte of the reply, in seconds."""
    stream_idle_timeout: Annotated[float, SECONDS] = 300
    """The longest silence inside a stream, in seconds."""
    request_timeout: Annotated[float, SECONDS] = 600
    """All attempts together until the first content, in seconds."""
    stream_hold: Annotated[float, SECONDS_OR_OFF] = 5
    """How long the events before the first content may be held back, in seconds."""
    stream_keepalive: Annotated[float, SECONDS_OR_OFF] = 0
    """After how long a silence inside a stream the proxy sends a comment, in seconds; 0 = never."""
    max_wait: Annotated[float, SECONDS_OR_OFF] = 30
    """How long a request waits for a rate-limited group, in seconds; 0 = not at all."""
    rate_limit_reserve: Annotated[float, Number(0, 1, from_low=True, below_high=True)] = 0.02
    """The part of an endpoint's limit that is left unused while another endpoint has room."""
    response_affinity_ttl: Annotated[float, LONG_SECONDS] = 2_592_000
    """How long the endpoint of a stored response is remembered, in seconds."""

    api_keys: Annotated[tuple[Secret | NamedKey, ...], ListOf(_KEY_OR_NAMED, "a list of at least one key")] = ()
    """The keys clients must send, with or without a name; empty = the proxy asks for none."""
    tenancy: Annotated[Literal["shared", "key"], Choice(("shared", "key"))] = "shared"
    """The owner of what providers keep: all keys together, or only the key that made it."""
    allow_unauthenticated: Annotated[bool, Switch()] = False
    """Says on purpose that anybody who reaches `bind_address` may use the proxy."""
    allowed_hosts: Annotated[
        tuple[str, ...],
        ListOf(HostWithPort("a host name or IP address, with or without :port"), "a list of host names"),
    ] = ()
    """Host headers that are let in besides the loopback names and the bind address."""
    allowed_origins: Annotated[
        tuple[str, ...],
        ListOf(
            Origin(
                "http:// or https:// or another scheme, a host and an optional :port, nothing after; "
                'chrome-extension://*, http://localhost:*, https://*.example.com; "null" in quotes; "*" with api_keys'
            ),
            "a list of origins",
        ),
    ] = ()
    """Web pages, and applications made of them, that may call the proxy; empty = none."""
    plain_http_hosts: Annotated[tuple[str, ...], ListOf(PlainHttpHost(HOSTS), "a list of hosts")] = ()
    """Hosts that may be called over http besides loopback and private ones; empty = none."""
    max_body_bytes: Annotated[int, Size(1024, 1 << 30)] = 32 << 20
    """The largest request body, in bytes."""
    max_held_bytes: Annotated[int, Size(0, 1 << 40)] = 256 << 20
    """The most a worker holds for its clients, bodies and answers together, in bytes; 0 = no bound."""
    max_connections: Annotated[int, Whole(1, 100_000)] = 1000
    """The most connections to one endpoint, per worker."""
    drain_timeout: Annotated[float, SECONDS_OR_OFF] = 30
    """How long running requests may take to end at shutdown, in seconds."""
    workers: Annotated[int | Literal["auto"], Workers(1, 256)] = 1
    """Processes that serve; auto = one per CPU."""

    upstream_client: Annotated[Literal["http1", "httpx"], Choice(("http1", "httpx"))] = "http1"
    """What speaks HTTP with the endpoints: the client of our own, or httpx over it."""
    ca_bundle: Annotated[Path | None, Text("the path of a PEM file with certificates, seen from this file")] = None
    """Certificates to trust besides the system's; None = the system's alone."""
    outbound_proxy: Annotated[Secret | None, ProxyUrl("http://host:port or http://user:password@host:port")] = None
    """The proxy for calls to endpoints; None = none."""
    trust_env: Annotated[bool, Switch()] = False
    """Whether HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY in the environment are followed."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _LOG_LEVEL] = "info"
    """The least important log lines that are written."""
    log_format: Annotated[Literal["text", "json"] | None, Choice(("text", "json"))] = None
    """How log lines look; None = text on a terminal, json elsewhere."""
    passthrough: Annotated[Literal["off", "on", "admin"], ChoiceWithSwitch(("off", "on", "admin"))] = "on"
    """Whether what names no group is passed on: no; yes, but for the API that administers the account; all of it."""
    passthrough_group: Annotated[str | None, NAME] = None
    """The group that takes /v1 paths that name no model, and models that are no group's. None = paths without a model
    go to the only group, with several they are answered 404; models that are no group's are unknown."""

    @property
    def uses_redis(self) -> bool:
        """Whether a Redis server is configured for what replicas share."""
        return self.redis_host is not None or self.redis_url is not None

    @property
    def cache_type(self) -> Literal["off", "memory", "redis"]:
        """Where answers are kept."""
        if not self.cache:
            return "off"
        if self.cache_params.type is not None:
            return self.cache_params.type
        return "redis" if self.uses_redis or self.cache_params.host is not None else "memory"


class EndpointSettings(Struct, frozen=True):
    """One of a group's `models`: an endpoint. The timeouts are those that hold for it."""

    id: Annotated[str, Text("1 to 64 letters, digits, . _ or -", r"[A-Za-z0-9._-]{1,64}")]
    """What people see; without one in the file `group/1`, `group/2`, ... in the order of the file."""
    model: Annotated[str, NAME]
    """The name the endpoint knows the model by."""
    weight: Annotated[int, Whole(0, 1_000_000, "use whole numbers, e.g. 7 and 3 instead of 0.7 and 0.3")]
    """Its share of the group's requests; 0 = only when no other endpoint can."""
    params: Annotated[
        ParamsSettings,
        Nested(ParamsSettings, "a mapping of OpenAI client arguments", refused=REFUSED_PARAMS),
    ]
    """How it is reached."""
    connect_timeout: Annotated[float, SECONDS]
    """In seconds, as in general_settings; so are the next three."""
    first_byte_timeout: Annotated[float, SECONDS]
    """In seconds."""
    stream_idle_timeout: Annotated[float, SECONDS]
    """In seconds."""
    request_timeout: Annotated[float, SECONDS]
    """In seconds."""
    whole_reply_timeout: float = 600
    """What `first_byte_timeout` is for replies that are not streamed: they have their first byte when all is generated,
    so where nobody set `first_byte_timeout` they may take all of `request_timeout`. In seconds."""
    rpm: Annotated[int | None, Whole(1, 10**9)] = None
    """Requests a minute, for providers that send no rate-limit headers; None = unknown."""
    tpm: Annotated[int | None, Whole(1, 10**12)] = None
    """Tokens a minute, likewise."""
    outbound_proxy: Annotated[
        Secret | None, ProxyUrl("http://host:port, http://user:password@host:port or none", may_be_none=True)
    ] = None
    """The proxy for calls to this endpoint, empty = none; None = as general_settings and trust_env say."""


_MODEL = Nested(EndpointSettings, "a mapping with model, weight and params", required=("model",))


class GroupSettings(Struct, frozen=True):
    """One of `model_groups`: the endpoints behind one public model name."""

    model_group: Annotated[str, NAME]
    """The model name clients ask for."""
    models: Annotated[tuple[EndpointSettings, ...], ListOf(_MODEL, "a list of at least one model")]
    """Its endpoints, in the order of the file."""
    affinity: Annotated[Literal["none", "prompt_cache_key"], Choice(("none", "prompt_cache_key"))] = "none"
    """Whether requests that share a prompt cache go to one endpoint."""


class Settings(Struct, frozen=True):
    """A configuration that was found valid."""

    general: GeneralSettings
    groups: tuple[GroupSettings, ...]
    warnings: tuple[str, ...]
    """Sentences for the log at start, each with file and key; none of them stops the start."""
    path: Path
    """The file it was read from."""
