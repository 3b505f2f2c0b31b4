"""What speaks HTTP with the endpoints, as the configuration says, and where the tokens of those come from that name a
provider of tokens instead of a key."""

import ssl
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from adapters.http.sockets.realtime import TAKES_NOTHING_S
from adapters.upstreams.entra import DefaultAzureTokens
from adapters.upstreams.http1.client import Http1Upstream
from adapters.upstreams.http1.connector import Connecting
from adapters.upstreams.http1.socket import MAX_HEAD_BYTES, SocketUpstream
from adapters.upstreams.outbound.proxies import OutboundProxies
from application.endpoints.pool import EndpointPool
from application.held_bytes import HeldBytes
from application.ports import Clock, Upstream
from application.state.access_tokens import FetchToken, TokenSource
from application.state.token_upstream import TokenUpstream
from application.telemetry_ports import TokenAlarm
from entrypoints.config.settings import GeneralSettings, Settings, models_of


def http_upstream(general: GeneralSettings, ssl_context: ssl.SSLContext) -> Upstream:
    make: Callable[..., Upstream] = Http1Upstream
    if general.upstream_client == "httpx":
        # Imported only where it is used: it brings httpx along.
        from adapters.upstreams.httpx.client import HttpxUpstream  # noqa: PLC0415

        make = HttpxUpstream
    return make(
        max_connections=general.max_connections,
        ssl_context=ssl_context,
        outbound_proxy=general.outbound_proxy.reveal() if general.outbound_proxy else None,
        trust_env=general.trust_env,
    )


def socket_upstream(
    upstream: Upstream, general: GeneralSettings, ssl_context: ssl.SSLContext, held: HeldBytes
) -> Upstream:
    """What opens sockets to endpoints, the same way out as `upstream`."""
    connecting: Connecting | None = getattr(upstream, "connecting", None)
    if connecting is None:  # somebody else's client
        proxies = OutboundProxies(
            general.outbound_proxy.reveal() if general.outbound_proxy else None, trust_env=general.trust_env
        )
        connecting = Connecting(ssl_context, proxies, MAX_HEAD_BYTES)
    return SocketUpstream(connecting, held, general.max_body_bytes, TAKES_NOTHING_S)


def spare_files(upstream: Upstream) -> Callable[[], bool] | None:
    """What closes an idle connection to an endpoint, so that its file can be used for another; None = nothing does."""
    free: Callable[[], bool] | None = getattr(upstream, "free_a_file", None)
    return free


def trusted_roots(general: GeneralSettings) -> ssl.SSLContext:
    """The system's roots, and those of `ca_bundle`."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if general.ca_bundle is not None:
        context.load_verify_locations(general.ca_bundle)
    return context


def default_azure_tokens(general: GeneralSettings, ssl_context: ssl.SSLContext) -> FetchToken:
    """What gets a token; it goes the same ways out as the requests do."""
    return DefaultAzureTokens(
        ssl_context,
        outbound_proxy=general.outbound_proxy.reveal() if general.outbound_proxy else None,
        trust_env=general.trust_env,
    )


def token_sources(
    settings: Settings,
    earlier: Mapping[str, TokenSource],
    fetch: FetchToken,
    clock: Clock,
    draw: Callable[[], float],
    alarm: TokenAlarm,
    pool: EndpointPool,
) -> Mapping[str, TokenSource]:
    """One source for each scope, of `earlier` where it is there already; empty where no endpoint needs any."""
    return {
        scope: earlier.get(scope) or TokenSource(scope, fetch, clock, draw, alarm, partial(pool.withhold, endpoints))
        for scope, endpoints in token_users(settings).items()
    }


def token_users(settings: Settings) -> Mapping[str, Sequence[str]]:
    """The ids of the endpoints that need a token, by its scope."""
    users: defaultdict[str, list[str]] = defaultdict(list)
    for _, model in models_of(settings.groups):
        if model.params.azure_ad_token_provider is not None:
            users[model.params.azure_ad_scope].append(model.id)
    return users


def with_tokens(upstream: Upstream, tokens: Mapping[str, TokenSource], clock: Clock) -> Upstream:
    """What sends the calls of these endpoints too; the very same where there are none."""
    return TokenUpstream(upstream, clock) if tokens else upstream
