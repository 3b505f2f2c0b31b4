"""What speaks HTTP with the endpoints, as the configuration says."""

import ssl
from collections.abc import Callable

from adapters.upstreams.http1.client import Http1Upstream
from application.ports import Upstream
from entrypoints.config.settings import GeneralSettings


def http_upstream(general: GeneralSettings, ssl_context: ssl.SSLContext) -> Upstream:
    """The adapter that `upstream_client` names."""
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
