"""The upstream contract, part 9: which way a call goes out, and where a name points after it could not be reached."""

import asyncio
import socket
from typing import Any

import pytest
from msgspec.structs import replace

from application.ports import Upstream
from domain.failure import FailureKind
from tests.contracts.scripted_server import ScriptedServer, answering, reply
from tests.contracts.upstream_calls import UpstreamBase, call, failure_of, fetch
from tests.contracts.upstream_tls import HttpProxy, certificate

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class WaysContract(UpstreamBase):
    @pytest.fixture
    async def where(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
        """Where names point; a name that is not in it is the loopback address. `asked` has the lookups."""
        known: dict[str, list[str]] = {"asked": []}

        async def look_up(_: Any, host: str, port: int | None, *__: Any, **___: Any) -> Any:
            is_address = host[0].isdigit() or ":" in host
            if not is_address:
                known["asked"].append(host)
            found = [host] if is_address else known.get(host, ["127.0.0.1"])
            return [
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port or 0, 0, 0))
                if ":" in address
                else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0))
                for address in found
            ]

        monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", look_up)
        return known

    @pytest.fixture(autouse=True)
    def no_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)

    @pytest.mark.parametrize(
        ("no_proxy", "is_direct"),
        [
            ("corp.test", True),
            (".corp.test", True),
            ("*.corp.test", True),
            ("a.corp.test:{port}", True),
            (" x.test , corp.test ", True),
            ("x.test corp.test", True),
            ("*", True),
            ("CORP.test", True),
            ("a.corp.test:1", False),
            ("rp.test", False),
            (".a.corp.test", False),
            ("127.0.0.0/8", False),  # names are not looked up to find out
            ("", False),
        ],
    )
    async def test_no_proxy_is_read_as_go_and_curl_read_it(
        self, where: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, no_proxy: str, is_direct: bool
    ) -> None:
        async with ScriptedServer(HttpProxy()) as between, ScriptedServer(answering(reply(b"direct"))) as server:
            monkeypatch.setenv("http_proxy", between.url(""))
            monkeypatch.setenv("NO_PROXY", no_proxy.format(port=server.port))
            async with self.opened(trust_env=True) as upstream:
                got = await fetch(upstream, call(f"http://a.corp.test:{server.port}/v1"))

            assert got == (b"direct" if is_direct else b"from the proxy")
            assert len(between.requests) == (0 if is_direct else 1)

    async def test_this_machine_is_never_asked_through_the_environments_proxy(
        self, where: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with ScriptedServer(HttpProxy()) as between, ScriptedServer(answering(reply(b"direct"))) as server:
            monkeypatch.setenv("ALL_PROXY", between.url(""))
            async with self.opened(trust_env=True) as upstream:
                for host in ("localhost", "127.0.0.1"):
                    assert await fetch(upstream, call(f"http://{host}:{server.port}/v1")) == b"direct"

            assert between.requests == []

    @pytest.mark.parametrize(
        "url", ["socks5://127.0.0.1:1080", "https://127.0.0.1:3128", "http://:x", "http://h:99999"]
    )
    async def test_no_call_goes_straight_where_the_proxy_cannot_be_used(
        self, where: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, url: str
    ) -> None:
        async with ScriptedServer(answering(reply(b"direct"))) as server:
            monkeypatch.setenv("HTTP_PROXY", url)
            async with self.opened(trust_env=True) as upstream:
                failure = await failure_of(fetch(upstream, call(f"http://h.test:{server.port}/v1")))

            assert (failure.kind, failure.reason) == (FailureKind.MISCONFIGURED, "outbound proxy cannot be used")
            assert server.requests == []

    async def test_a_call_that_names_its_proxy_goes_through_that_and_shares_no_connection_with_others(
        self, where: dict[str, list[str]]
    ) -> None:
        async with (
            ScriptedServer(answering(reply(b"general"))) as general,
            ScriptedServer(answering(reply(b"own"))) as own,
            ScriptedServer(answering(reply(b"direct"))) as server,
            self.opened(outbound_proxy=general.url("")) as upstream,
        ):
            plain = call(f"http://h.test:{server.port}/v1")
            calls = {
                b"general": plain,
                b"own": replace(plain, outbound_proxy=own.url("").replace("://", "://user:p%40ss@")),
                b"direct": replace(plain, outbound_proxy=""),
            }
            for _ in range(2):
                assert [await fetch(upstream, each) for each in calls.values()] == list(calls)

            assert [len(each.peers) for each in (general, own, server)] == [1, 1, 1]
            authorized = (b"proxy-authorization", b"Basic dXNlcjpwQHNz")
            assert authorized in [(name.lower(), value) for name, value in own.requests[0].headers]
            assert authorized[0] not in [name.lower() for name, _ in server.requests[0].headers]

    async def test_a_call_that_names_a_proxy_or_none_has_no_ear_for_the_environment(
        self, where: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with ScriptedServer(HttpProxy()) as between, ScriptedServer(answering(reply(b"direct"))) as server:
            monkeypatch.setenv("http_proxy", between.url(""))
            async with self.opened(trust_env=True) as upstream:
                plain = call(f"http://h.test:{server.port}/v1")

                assert await fetch(upstream, replace(plain, outbound_proxy="")) == b"direct"
                assert await fetch(upstream, plain) == b"from the proxy"
            monkeypatch.setenv("no_proxy", "*")
            async with self.opened(trust_env=True) as upstream:
                assert await fetch(upstream, replace(plain, outbound_proxy=between.url(""))) == b"from the proxy"
                assert await fetch(upstream, plain) == b"direct"

    # Names

    async def test_all_addresses_of_a_name_are_tried(self, upstream: Upstream, where: dict[str, list[str]]) -> None:
        where["h.test"] = ["::1", "127.0.0.2", "127.0.0.3", "127.0.0.1"]
        async with ScriptedServer(answering(reply())) as server:
            assert await fetch(upstream, call(f"http://h.test:{server.port}/v1")) == b"ok"

    async def test_after_a_refusal_the_name_is_looked_up_anew(
        self, upstream: Upstream, where: dict[str, list[str]]
    ) -> None:
        where["h.test"] = ["127.0.0.2"]
        async with ScriptedServer(answering(reply())) as server:
            url = f"http://h.test:{server.port}/v1"
            assert (await failure_of(fetch(upstream, call(url)))).kind is FailureKind.CONNECT
            where["h.test"] = ["127.0.0.1"]

            assert await fetch(upstream, call(url)) == b"ok"
            assert where["asked"] == ["h.test", "h.test"]

    async def test_after_a_handshake_that_did_not_end_in_time_the_name_is_looked_up_anew(
        self, where: dict[str, list[str]]
    ) -> None:
        tls, trusting = certificate("DNS:h.test")
        async with ScriptedServer(answering(reply()), tls=tls) as server:
            where["h.test"] = ["127.0.0.2"]
            url = f"https://h.test:{server.port}/v1"
            with socket.create_server(("127.0.0.2", server.port)):  # nobody takes what it lets in
                async with self.opened(ssl_context=trusting) as upstream:
                    failure = await failure_of(fetch(upstream, call(url, connect_s=0.2)))
                    assert failure.kind is FailureKind.CONNECT_TIMEOUT
                    where["h.test"] = ["127.0.0.1"]

                    assert await fetch(upstream, call(url)) == b"ok"

    async def test_after_a_proxy_that_was_not_there_its_name_is_looked_up_anew(
        self, where: dict[str, list[str]]
    ) -> None:
        where["proxy.test"] = ["127.0.0.2"]
        async with (
            ScriptedServer(HttpProxy()) as between,
            self.opened(outbound_proxy=f"http://proxy.test:{between.port}") as upstream,
        ):
            assert (await failure_of(fetch(upstream, call("http://h.test/v1")))).kind is FailureKind.CONNECT
            where["proxy.test"] = ["127.0.0.1"]

            assert await fetch(upstream, call("http://h.test/v1")) == b"from the proxy"

    async def test_while_it_can_be_reached_a_name_is_not_looked_up_for_every_connection(
        self, upstream: Upstream, where: dict[str, list[str]]
    ) -> None:
        async with ScriptedServer(answering(reply(b"ok", "connection: close"))) as server:
            for _ in range(3):
                assert await fetch(upstream, call(f"http://h.test:{server.port}/v1")) == b"ok"

            assert where["asked"] == ["h.test"]
