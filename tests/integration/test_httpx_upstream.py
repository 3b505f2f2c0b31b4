"""The httpx adapter keeps the upstream contract, on both event loops."""

import gc
import ssl
import weakref
from typing import Any

from adapters.upstreams.httpx_client import HttpxUpstream
from tests.contracts.scripted_server import ScriptedServer, after_request, chunked
from tests.contracts.upstream import UpstreamContract
from tests.contracts.upstream_calls import call

_TRUST_NOTHING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class TestHttpxUpstream(UpstreamContract):
    on_both_loops = True

    def make(self, **options: Any) -> HttpxUpstream:
        return HttpxUpstream(**{"ssl_context": _TRUST_NOTHING} | options)

    async def test_closed_reply_is_not_kept_alive_by_its_idle_timer(self) -> None:
        async with self.opened() as upstream, ScriptedServer(after_request(chunked(b"a", end=b""))) as server:
            got = await upstream.send(call(server.url(), idle_s=600))
            await got.receive()
            body = weakref.ref(got._body)
            got.close()
            del got
            gc.collect()

            assert body() is None
