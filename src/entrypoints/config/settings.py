"""Every setting: its name, type, default and meaning. Times are seconds, sizes bytes.

The names are those of the YAML file, and the types say what is valid (`value_types.py`, `urls.py`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from domain.endpoint import Endpoint
from domain.health.cooldown import CooldownPolicy
from domain.retry import RetryPolicy
from entrypoints.config import urls
from entrypoints.config import value_types as values
from entrypoints.config.plain_http import PlainHttpHost
from entrypoints.config.reading.schema import COMPUTED, Form, Section
from entrypoints.config.settings_cache import CacheParams
from entrypoints.config.settings_params import ParamsSettings
from entrypoints.config.settings_price import PriceSettings
from entrypoints.config.telemetry import NO_TELEMETRY, Telemetry

_ENDPOINT = Endpoint("", "", "")
"""The timeouts of an endpoint that nobody configured; as with the policies, the domain has the defaults."""


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
    """Where to listen; a name stands for all of its addresses, `localhost` for 127.0.0.1 and ::1. Anything but a
    loopback address needs `api_keys`, or `allow_unauthenticated: true` said on purpose."""
    bind_port: values.Port = 4000
    """The port to listen on."""
    num_retries: Annotated[int, Meta(ge=0, le=20)] = RetryPolicy().num_retries
    """Further attempts after a first one that failed."""
    allowed_fails: Annotated[int, Meta(ge=1, le=1000)] = CooldownPolicy().allowed_fails
    """Failures in a row after which an endpoint rests."""
    cooldown_time: values.Seconds = CooldownPolicy().cooldown_s
    """How long an endpoint rests, in seconds."""

    redis_host: urls.RedisHost | None = None
    """The Redis server. None (and no `redis_url`) = state is kept in memory."""
    redis_port: values.Port = 6379
    """Its port."""
    redis_password: values.Password | None = None
    """Its password. Secret."""
    redis_username: values.UserName | None = None
    """The ACL user. None = Redis' default user."""
    redis_ssl: bool = False
    """Whether to speak TLS with Redis."""
    redis_url: urls.RedisUrl | None = None
    """All of the above in one, instead of them: [its forms](#redis). Secret."""

    redis_timeout: values.FewSeconds = 0.1
    """How long an operation of Redis may take with connecting, in seconds; in a cluster twice that. Then what waits for
    it goes on [without](stores.md#when-redis-fails)."""
    cache: bool = False
    """Whether answers are cached: [caching](caching.md)."""
    cache_params: CacheParams = CacheParams()
    """How answers are cached: [cache_params](#cache_params)."""

    connect_timeout: values.Seconds = _ENDPOINT.connect_timeout_s
    """DNS, TCP and TLS together, in seconds."""
    first_byte_timeout: values.Seconds = _ENDPOINT.first_byte_timeout_s
    """From the request sent to the first event of a stream, in seconds. For replies that are not streamed, whose
    first byte comes only when all is generated, it holds where it is set here or at the model; else they may take
    all of `request_timeout`."""
    stream_idle_timeout: values.Seconds = _ENDPOINT.stream_idle_timeout_s
    """The longest silence inside a stream, in seconds."""
    request_timeout: values.Seconds = _ENDPOINT.request_timeout_s
    """All attempts together until the first content, in seconds."""
    stream_hold: values.SecondsOrZero = 5
    """How long the events before a stream's first content may be held back, so that an error among them can still
    be failed over, in seconds. Also how long a Realtime endpoint that waits for its client to speak first is waited
    for, where no other could take over: [Realtime](websockets.md#realtime)."""
    stream_keepalive: values.SecondsOrZero = 0
    """When a provider is silent for so long inside a stream, in seconds, the client gets a comment (`: keepalive`),
    for balancers that cut silent connections; 0 = never. Never inside an event, after the end, or in the cache. It
    begins when the headers have been sent: with the first content, or after `stream_hold`."""
    max_wait: values.SecondsOrZero = 30
    """How long a request waits when its whole group is rate limited, in seconds; 0 = it is answered 429 at once:
    [rate limits](rate-limits.md)."""
    max_wait_for_tier: values.SecondsOrZero = 0
    """How long a request may wait for an earlier tier before it goes to a later one, in seconds; 0 = not at all:
    [tiers](tiers.md#waiting-for-an-earlier-tier)."""
    rate_limit_reserve: Annotated[float, Meta(ge=0, lt=1)] = 0.02
    """The part of an endpoint's limit that is left unused while another endpoint has room."""
    response_affinity_ttl: values.LongSeconds = 2_592_000
    """How long the endpoint of a stored response is remembered, in seconds."""

    api_keys: Annotated[tuple[values.ApiKey | NamedKey, ...], Meta(description="a list of at least one key")] = ()
    """What clients must send: keys, or `{name: team-a, key: ...}`, mixed as you like, each key and each name once.
    Empty = the proxy asks for no key. The name of a key is in the log, and with `tenancy: key` what the key stores
    is kept under it."""
    tenancy: Literal["shared", "key"] = "shared"
    """shared: whatever one key stores at a provider (responses, files, conversations, ...) **every other key reads,
    lists, continues and deletes**. key: it is the key's own; that needs `api_keys`, and Redis where there are
    several workers: [tenants](tenants.md)."""
    allow_unauthenticated: bool = False
    """Says on purpose that anybody who reaches `bind_address` may use the proxy and its keys."""
    allowed_hosts: Annotated[tuple[urls.HostWithPort, ...], Meta(description="a list of host names")] = ()
    """`Host` headers that are let in besides the loopback names and the bind address, with or without port.
    `/health/live` answers under any name. Wildcards are not taken."""
    allowed_origins: Annotated[tuple[urls.Origin, ...], Meta(description="a list of origins")] = ()
    """Web pages, and applications made of them, that may call the proxy: `https://console.internal`,
    `app://obsidian.md`, `chrome-extension://*`, `http://localhost:*`, `https://*.example.com`, `"null"`; `"*"` with
    `api_keys`. Empty = none: [web pages](http.md#web-pages)."""
    plain_http_hosts: Annotated[tuple[PlainHttpHost, ...], Meta(description="a list of hosts")] = ()
    """Hosts that may be called over http besides loopback and private ones: names, `*.suffix`, IP addresses,
    networks (`10.20.0.0/16`): [params](#params)."""
    max_body_bytes: Annotated[int, Meta(ge=1024, le=1 << 30, description=values.A_SIZE), values.SIZE] = 32 << 20
    """The largest request body, in bytes. Units: B, kB, MB, GB, KiB, MiB, GiB."""
    max_held_bytes: Annotated[int, Meta(ge=0, le=1 << 40, description=values.A_SIZE), values.SIZE] = 256 << 20
    """The most that a worker holds for its clients: bodies and answers, all together, in bytes; 0 = no bound, else
    at least `max_body_bytes`. What does not fit is answered 503 with `retry-after`: [what is
    held](deploy.md#what-is-held-for-clients)."""
    max_connections: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    """The most connections to one endpoint, per worker."""
    drain_timeout: values.SecondsOrZero = 30
    """How long running requests may take to end at shutdown, in seconds."""
    workers: Annotated[int, Meta(ge=1, le=256)] | Literal["auto"] = 1
    """Processes that serve; auto = one per CPU."""

    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", description="three capital letters, such as USD")] = "USD"
    """What all prices are in (ISO 4217): [costs](cost.md)."""
    metrics: Literal["loopback", "keys", "open"] = "loopback"
    """Who may ask for `GET /metrics`: clients on this machine, those with one of `api_keys`, or all:
    [metrics](metrics.md#who-sees-them)."""
    websockets: Literal["bridge", "native", "off"] = "bridge"
    """How Responses are served [over WebSocket](websockets.md): bridge = each turn is a request over HTTP; native = on
    a socket to an endpoint. All other sockets, Realtime's too, are relayed with either; off = clients are told to use
    HTTP (426)."""
    max_websockets: Annotated[int, Meta(ge=0, le=100_000)] = 1000
    """The most open WebSockets, per worker; beyond it: 426, for all but Responses 503."""

    upstream_client: Literal["http1", "httpx"] = "http1"
    """What speaks HTTP with the endpoints: the client of our own, or httpx over its connections, for [transports of
    httpx](#transports-of-httpx) (about three times the instructions per call)."""
    ca_bundle: values.PemFile | None = None
    """Certificates to trust besides the system's. A relative path is seen from the configuration file."""
    outbound_proxy: urls.ProxyUrl | None = None
    """The proxy for calls to endpoints: [proxies](#proxies). Secret."""
    trust_env: bool = False
    """Whether HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY in the environment are followed: [proxies](#proxies)."""
    reload: Literal["signal", "watch"] = "signal"
    """When the file is read anew while the proxy runs: when somebody says so (`llmproxy reload`, SIGHUP), or also when
    it has changed: [reload](reload.md)."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important log lines that are written."""
    log_format: Literal["text", "json"] | None = None
    """How log lines look: [the log](http.md#the-log). None = text on a terminal, json elsewhere."""
    propagate_trace_context: bool = False
    """Whether endpoints get a trace context (`traceparent`, `tracestate`): the one of the attempt where traces are
    recorded, else the client's own. false: no `traceparent`, `tracestate` or `baggage` of a client leaves the
    proxy: [tracing](tracing.md)."""
    passthrough: Literal["off", "on", "admin"] = "on"
    """What becomes of requests that name no model group, by model or as what a group's endpoints keep. off: they
    are refused, models that are no group's and all routes that are only passed through. on: they are passed on, but
    for the API that administers the provider's account (`/v1/organization/...`, `/v1/projects/...`,
    `/v1/fine_tuning/checkpoints/...`), which is refused. admin: that as well. [Which is open
    when](http.md#what-is-passed-through)."""
    passthrough_group: values.Name | None = None
    """The group that takes /v1 paths that name no model; without it the only group there is, and with several they
    are answered 404. Where it is set it also takes models that are no group's, under the name the client gave
    ([requests that name nothing](responses.md#requests-that-name-nothing)), and its endpoints are asked for models
    that are not listed (`GET /v1/models/{model}`)."""

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
    """The name the endpoint knows the model by; for Azure the deployment."""
    id: values.Id = ""
    """What logs, reply headers and the status page call it, each once in the file. Without one `group/1`,
    `group/2`, ... in the order of the file."""
    weight: Annotated[
        int, Meta(ge=0, le=1_000_000), Form(whole_hint="use whole numbers, e.g. 7 and 3 instead of 0.7 and 0.3")
    ] = 1
    """Its share within its tier: 7 and 3 for 70 and 30 %. 0 = only when no endpoint with a weight can take the
    request."""
    priority: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Its [tier](tiers.md): 0 is used first, and a higher one only while no lower one can take the request. Of weight
    0 it says nothing."""
    capacity: Literal["metered", "provisioned"] = "metered"
    """metered: its replies say what is left of its rate limit. provisioned: reserved capacity such as an Azure PTU,
    whose replies do not; how much there is the proxy learns from its 429s: [provisioned capacity](provisioned.md)."""
    output_token_ratio: values.OutputRatio = 1
    """Of provisioned capacity: one output token counts for so many input tokens, for Azure's gpt-4.1 for 4, for gpt-5
    for 8: [output tokens](provisioned.md#output-tokens)."""
    params: ParamsSettings = ParamsSettings()
    """How it is reached: [params](#params)."""
    connect_timeout: values.Seconds = _ENDPOINT.connect_timeout_s
    first_byte_timeout: values.Seconds = _ENDPOINT.first_byte_timeout_s
    stream_idle_timeout: values.Seconds = _ENDPOINT.stream_idle_timeout_s
    request_timeout: values.Seconds = _ENDPOINT.request_timeout_s
    """These four as in general_settings, whose values hold where the file does not say them here."""
    whole_reply_timeout: Annotated[float, COMPUTED] = _ENDPOINT.whole_reply_timeout_s
    """What `first_byte_timeout` is for replies that are not streamed: they have their first byte when all is generated,
    so where nobody set `first_byte_timeout` they may take all of `request_timeout`. In seconds."""
    rpm: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    """Requests a minute, for providers that send no rate-limit headers. None = unknown."""
    tpm: Annotated[int, Meta(ge=1, le=10**12)] | None = None
    """Tokens a minute, likewise."""
    outbound_proxy: urls.ProxyUrlOrNone | None = None
    """The [proxy](#proxies) for calls to this endpoint; none = it is called directly. Connections are not shared
    with other ways to the same host. None = as general_settings and `trust_env` say. Secret."""
    price: PriceSettings | None = None
    """What the provider charges: [price](#price). None = unknown: its replies are counted as without a known cost."""


class GroupSettings(Section, frozen=True):
    """One of `model_groups`: the endpoints behind one public model name."""

    home: ClassVar = "a group"
    valid: ClassVar = "a mapping with model_group and models"

    model_group: values.Name
    """The model name clients ask for, each once. A `*` is a character like any other, and warned about."""
    models: Annotated[tuple[EndpointSettings, ...], Meta(description="a list of at least one model")]
    """The endpoints behind it, in the order of the file."""
    affinity: Literal["none", "prompt_cache_key"] = "none"
    """Whether requests with the same `prompt_cache_key` go to one endpoint, so that its prompt cache is hit:
    [affinity](affinity.md)."""
    websockets: Literal["bridge", "native", "off"] | None = None
    """As in general_settings, for this group; None = as there. native: for endpoints that have [Responses over
    WebSocket](websockets.md#native)."""
    price_baseline: values.Name | None = None
    """The `id` of the model of this group whose price costs are [held against](cost.md#sums), to say what routing
    saved; None = the one whose input and output together cost the most."""


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
