"""The upstream contract, part 7: TLS is verified, names and outbound proxies fail as what they are."""

import asyncio
import base64
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from application.ports import Upstream
from domain.failure import FailureKind
from tests.contracts.scripted_server import Peer, Script, ScriptedServer, after_request, answering, chunked, hold, reply
from tests.contracts.upstream_calls import UpstreamBase, call, cancel, failure_of, fetch, until_waiting


@cache
def certificate(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A self-signed certificate for a subjectAltName: the server's context, and a client's that trusts it."""
    with tempfile.TemporaryDirectory() as folder:
        key, cert = Path(folder, "key.pem"), Path(folder, "cert.pem")
        options = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
        files = ["-addext", f"subjectAltName={name}", "-keyout", str(key), "-out", str(cert)]
        subprocess.run(["openssl", "req", *options.split(), *files], check=True, capture_output=True)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(cert, key)
        return server, ssl.create_default_context(cafile=str(cert))


def _says(words: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.send(words)
        await peer.gone()

    return script


def _ends(end: Callable[[Peer], None]) -> Script:
    async def script(peer: Peer) -> None:
        await until_waiting()
        end(peer)

    return script


class HttpProxy:
    """An HTTP proxy that tunnels CONNECT and keeps what it was asked; other requests it answers itself."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.headers: dict[bytes, bytes] = {}

    async def __call__(self, peer: Peer) -> None:
        request = await peer.request()
        self.heads.append(request.line)
        self.headers = {name.lower(): value for name, value in request.headers}
        if not request.line.startswith(b"CONNECT"):
            await peer.send(reply(b"from the proxy"))
            await peer.gone()
            return
        host, _, port = request.target.decode().partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        await peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await peer.tunnel(reader, writer)


class TlsContract(UpstreamBase):
    async def test_trusted_certificate_is_accepted_and_the_connection_used_again(self) -> None:
        tls, trusting = certificate("IP:127.0.0.1")
        async with self.opened(ssl_context=trusting) as upstream, ScriptedServer(answering(reply()), tls=tls) as server:
            for _ in range(3):
                assert await fetch(upstream, call(server.url())) == b"ok"

            assert len(server.peers) == 1

    async def test_untrusted_certificate_is_refused(self) -> None:
        tls, _ = certificate("IP:127.0.0.1")
        async with (
            self.opened(ssl_context=ssl.create_default_context()) as upstream,
            ScriptedServer(answering(reply()), tls=tls) as server,
        ):
            failure = await failure_of(fetch(upstream, call(server.url())))

            assert failure.kind is FailureKind.TLS
            assert failure.reason.startswith("certificate verify failed")
            assert server.requests == []

    async def test_certificate_for_another_name_is_refused(self) -> None:
        tls, trusting = certificate("DNS:elsewhere.test")
        async with self.opened(ssl_context=trusting) as upstream, ScriptedServer(answering(reply()), tls=tls) as server:
            failure = await failure_of(fetch(upstream, call(server.url())))

            assert failure.kind is FailureKind.TLS
            assert "mismatch" in failure.reason

    @pytest.mark.parametrize(
        "script", [_says(b"x" * 100), _says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), _ends(Peer.reset), _ends(Peer.abort)]
    )
    async def test_server_that_speaks_no_tls_is_a_tls_failure(self, upstream: Upstream, script: Script) -> None:
        async with ScriptedServer(script) as server:
            failure = await failure_of(fetch(upstream, call(server.url().replace("http:", "https:"))))

            assert failure.kind is FailureKind.TLS

    async def test_reset_in_a_reply_over_tls_is_a_reset(self) -> None:
        async def cut(peer: Peer) -> None:
            await peer.request()
            await peer.send(chunked(b"a", end=b""))
            await read.wait()
            peer.reset()

        read = asyncio.Event()
        tls, trusting = certificate("IP:127.0.0.1")
        async with self.opened(ssl_context=trusting) as upstream, ScriptedServer(cut, tls=tls) as server:
            got = await upstream.send(call(server.url()))
            await got.receive()
            read.set()

            assert (await failure_of(got.receive())).kind is FailureKind.RESET

    async def test_dead_tls_connection_from_the_pool_is_replaced_unseen(self) -> None:
        async def once(peer: Peer) -> None:
            await peer.request()
            await peer.send(reply())
            await peer.request()
            peer.reset()

        tls, trusting = certificate("IP:127.0.0.1")
        async with (
            self.opened(ssl_context=trusting) as upstream,
            ScriptedServer(once, answering(reply()), tls=tls) as server,
        ):
            for _ in range(2):
                assert await fetch(upstream, call(server.url())) == b"ok"

    @pytest.mark.parametrize("began", [b"", chunked(b"a", end=b"")])
    async def test_cancelled_call_over_tls_closes_at_once(self, began: bytes) -> None:
        tls, trusting = certificate("IP:127.0.0.1")
        async with (
            self.opened(ssl_context=trusting) as upstream,
            ScriptedServer(after_request(began), tls=tls) as server,
        ):
            task = asyncio.create_task(fetch(upstream, call(server.url())))
            await server.peer()
            await until_waiting()

            await cancel(task)

            await server.over(0)
            assert server.open == 0

    @pytest.mark.parametrize("size", [10_000_000])
    async def test_large_bodies_pass_both_ways_over_tls(self, size: int) -> None:
        tls, trusting = certificate("IP:127.0.0.1")
        body = bytes(range(250)) * (size // 250)
        async with (
            self.opened(ssl_context=trusting) as upstream,
            ScriptedServer(answering(reply(body)), tls=tls) as server,
        ):
            assert await fetch(upstream, call(server.url(), body=body)) == body
            assert server.requests[0].body == body

    async def test_name_that_does_not_resolve(self, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
        async def unknown(*_: Any, **__: Any) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", unknown)

        assert (await failure_of(fetch(upstream, call("http://nowhere.test/v1")))).kind is FailureKind.DNS

    async def test_https_goes_through_the_outbound_proxy_in_a_tunnel(self) -> None:
        tls, trusting = certificate("IP:127.0.0.1")
        proxy = HttpProxy()
        async with ScriptedServer(proxy) as between, ScriptedServer(answering(reply()), tls=tls) as server:
            url = between.url("").replace("://", "://user:p%40ss@")
            async with self.opened(ssl_context=trusting, outbound_proxy=url) as upstream:
                for _ in range(2):
                    headers = (("authorization", "Bearer secret"),)
                    assert await fetch(upstream, call(server.url(), headers=headers)) == b"ok"

            assert proxy.heads == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1".encode()]
            assert proxy.headers[b"proxy-authorization"] == b"Basic " + base64.b64encode(b"user:p@ss")
            assert b"authorization" not in proxy.headers
            names = [name.lower() for name, _ in server.requests[0].headers]
            assert sorted(names) == [b"authorization", b"content-length", b"host"]

    async def test_http_goes_through_the_outbound_proxy_with_its_whole_url(self) -> None:
        proxy = HttpProxy()
        async with ScriptedServer(proxy) as between:
            url = between.url("").replace("://", "://user:pass@")
            async with self.opened(outbound_proxy=url) as upstream:
                target = "http://elsewhere.test/v1/a%2Fb?a[]=%2F&b="
                assert await fetch(upstream, call(target)) == b"from the proxy"

            assert proxy.heads == [f"POST {target} HTTP/1.1".encode()]
            assert proxy.headers[b"host"] == b"elsewhere.test"
            assert proxy.headers[b"proxy-authorization"] == b"Basic " + base64.b64encode(b"user:pass")

    @pytest.mark.parametrize("trust_env", [False, True])
    async def test_environment_counts_only_if_it_is_trusted(
        self, trust_env: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        async def here(_: Any, __: str, port: int | None, **___: Any) -> Any:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port or 0))]

        monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", here)
        (tmp_path / "netrc").write_text("machine h.test login user password pass")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        for name in ("HTTP_PROXY", "NO_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        proxy = HttpProxy()
        async with ScriptedServer(proxy) as between, ScriptedServer(answering(reply(b"direct"))) as server:
            monkeypatch.setenv("http_proxy", between.url(""))
            monkeypatch.setenv("no_proxy", "localhost")
            async with self.opened(trust_env=trust_env) as upstream:
                expected = b"from the proxy" if trust_env else b"direct"

                assert await fetch(upstream, call(server.url().replace("127.0.0.1", "h.test"))) == expected
            monkeypatch.setenv("no_proxy", "h.test")
            async with self.opened(trust_env=trust_env) as upstream:
                assert await fetch(upstream, call(server.url().replace("127.0.0.1", "h.test"))) == b"direct"
                assert b"authorization" not in {name.lower() for name, _ in server.requests[-1].headers}

    @pytest.mark.parametrize(
        "script",
        [
            after_request(reply(b"", "proxy-authenticate: Basic", status="407 Proxy Authentication Required")),
            after_request(then=Peer.reset),
            after_request(then=Peer.finish),
            after_request(b"junk\r\n\r\n"),
        ],
    )
    async def test_proxy_that_does_not_tunnel_is_a_failure_to_connect(self, script: Script) -> None:
        async with ScriptedServer(script) as between, self.opened(outbound_proxy=between.url("")) as upstream:
            failure = await failure_of(fetch(upstream, call("https://elsewhere.test/v1")))

            assert failure.kind is FailureKind.CONNECT
            assert "proxy" in failure.reason

    async def test_proxy_that_is_not_there_is_a_failure_to_connect(self) -> None:
        async with ScriptedServer(hold) as between:
            url = between.url("")
        async with self.opened(outbound_proxy=url) as upstream:
            for target in ("https://elsewhere.test/v1", "http://elsewhere.test/v1"):
                assert (await failure_of(fetch(upstream, call(target)))).kind is FailureKind.CONNECT

    async def test_silent_proxy_is_within_the_connect_deadline_and_cancelled_at_once(self) -> None:
        async with ScriptedServer(hold) as between, self.opened(outbound_proxy=between.url("")) as upstream:
            failure = await failure_of(fetch(upstream, call("https://elsewhere.test/v1", connect_s=0.2)))
            task = asyncio.create_task(fetch(upstream, call("https://elsewhere.test/v1")))
            await between.peer(1)
            await until_waiting()
            await cancel(task)

            assert failure.kind is FailureKind.CONNECT_TIMEOUT
            await between.over(0)
            await between.over(1)
