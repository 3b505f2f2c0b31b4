"""The adapter of our own keeps the upstream contract, on both event loops."""

import ssl
from typing import Any

from adapters.upstreams.http1.client import Http1Upstream
from tests.contracts.upstream import UpstreamContract

_TRUST_NOTHING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class TestHttp1Upstream(UpstreamContract):
    on_both_loops = True

    def make(self, **options: Any) -> Http1Upstream:
        return Http1Upstream(**{"ssl_context": _TRUST_NOTHING} | options)
