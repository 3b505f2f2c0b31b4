"""The httpx adapter keeps the upstream contract, on both event loops."""

import ssl
from typing import Any

from adapters.upstreams.httpx_client import HttpxUpstream
from tests.contracts.upstream import UpstreamContract

_TRUST_NOTHING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class TestHttpxUpstream(UpstreamContract):
    on_both_loops = True

    def make(self, **options: Any) -> HttpxUpstream:
        return HttpxUpstream(**{"ssl_context": _TRUST_NOTHING} | options)
