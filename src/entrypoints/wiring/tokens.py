"""Where the tokens of endpoints come from that name a provider of them instead of a key."""

import ssl
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial

from adapters.upstreams.entra import DefaultAzureTokens
from application.endpoints.pool import EndpointPool
from application.ports import Clock, TokenAlarm, Upstream
from application.state.access_tokens import FetchToken, TokenSource
from application.state.token_upstream import TokenUpstream
from entrypoints.config.settings import GeneralSettings, Settings


def default_azure_tokens(general: GeneralSettings, ssl_context: ssl.SSLContext) -> FetchToken:
    """What gets a token; it goes the same ways out as the requests do."""
    return DefaultAzureTokens(
        ssl_context,
        outbound_proxy=general.outbound_proxy.reveal() if general.outbound_proxy else None,
        trust_env=general.trust_env,
    )


def token_sources(
    settings: Settings,
    fetch: FetchToken,
    clock: Clock,
    draw: Callable[[], float],
    alarm: TokenAlarm,
    pool: EndpointPool,
) -> Mapping[str, TokenSource]:
    """One source for each scope; empty where no endpoint needs any."""
    users: defaultdict[str, list[str]] = defaultdict(list)
    for group in settings.groups:
        for model in group.models:
            if model.params.azure_ad_token_provider is not None:
                users[model.params.azure_ad_scope].append(model.id)
    return {
        scope: TokenSource(scope, fetch, clock, draw, alarm, partial(pool.withhold, endpoints))
        for scope, endpoints in users.items()
    }


def with_tokens(upstream: Upstream, tokens: Mapping[str, TokenSource], clock: Clock) -> Upstream:
    """What sends the calls of these endpoints too; the very same where there are none."""
    return TokenUpstream(upstream, clock) if tokens else upstream
