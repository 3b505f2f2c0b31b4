"""The upstream contract, part 1: a request goes out as it was given."""

import pytest

from application.ports import Upstream
from domain.failure import FailureKind
from tests.contracts.scripted_server import ScriptedServer, answering, reply
from tests.contracts.upstream_calls import UpstreamBase, call, failure_of, fetch

TARGETS = [
    "/v1/chat/completions",
    "/v1/a%2Fb%20c%e4%C3?a[]=1&b=%2F&c=a+b",
    "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
    "/v1/models?",
    "/v1/x?&&a==b&c=?d/e",
    "/v1//double/./dot/../up/",
    "/~u/;p=1,2!$'()*@:|{}?q='\"<>\\^`",
]


class RequestContract(UpstreamBase):
    @pytest.mark.parametrize("target", TARGETS)
    async def test_url_goes_out_byte_for_byte(self, upstream: Upstream, target: str) -> None:
        async with ScriptedServer(answering(reply())) as server:
            await fetch(upstream, call(server.url(target)))

            assert server.requests[0].line == b"POST " + target.encode() + b" HTTP/1.1"

    @pytest.mark.parametrize(("written", "asked"), [("", "/"), ("?a=1", "/?a=1"), ("/p#fragment", "/p")])
    async def test_url_without_path_asks_for_the_root_and_a_fragment_stays_here(
        self, upstream: Upstream, written: str, asked: str
    ) -> None:
        async with ScriptedServer(answering(reply())) as server:
            await fetch(upstream, call(server.url(written)))

            assert server.requests[0].target == asked.encode()

    @pytest.mark.parametrize(
        "url", ["ftp://h.test/v1", "http:///v1", "http://h.test:99999/v1", "http://h.test:x/v1", "v1"]
    )
    async def test_url_that_cannot_be_used_is_a_mistake_in_the_configuration(
        self, upstream: Upstream, url: str
    ) -> None:
        assert (await failure_of(upstream.send(call(url)))).kind is FailureKind.MISCONFIGURED

    async def test_headers_keep_order_repeats_and_bytes_and_only_two_are_added(self, upstream: Upstream) -> None:
        headers = (
            ("x-b", "1"),
            ("x-a", "caf\xe9 \xff"),
            ("x-b", "2"),
            ("authorization", "Bearer secret"),
            ("cookie", "a=1; b=2"),
            ("x-empty", ""),
            ("x-b", "1"),
        )
        async with ScriptedServer(answering(reply())) as server:
            await fetch(upstream, call(server.url(), headers=headers, body=b"{}"))

            sent = [(name.decode().lower(), value.decode("latin-1")) for name, value in server.requests[0].headers]
            added = {"host": f"127.0.0.1:{server.port}", "content-length": "2"}
            assert [field for field in sent if field[0] not in added] == list(headers)
            assert sorted(field for field in sent if field[0] in added) == sorted(added.items())

    @pytest.mark.parametrize("name", ["x-a\r\nx-evil", "x-a"])
    @pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0"])
    async def test_control_characters_never_reach_the_wire(self, upstream: Upstream, name: str, end: str) -> None:
        async with ScriptedServer(answering(reply())) as server:
            with pytest.raises(ValueError):
                await fetch(upstream, call(server.url(), headers=((name, f"1{end}x-evil: 2"),)))

            assert server.requests == []

    async def test_framing_is_the_adapters_own_whatever_the_call_says(self, upstream: Upstream) -> None:
        lies = (
            ("content-length", "1"),
            ("transfer-encoding", "chunked"),
            ("host", "evil.test"),
            ("connection", "close"),
        )
        async with ScriptedServer(answering(reply())) as server:
            await fetch(upstream, call(server.url(), headers=lies, body=b"12345"))

            assert server.requests[0].body == b"12345"
            values = {name.lower(): value for name, value in server.requests[0].headers}
            assert values == {b"host": f"127.0.0.1:{server.port}".encode(), b"content-length": b"5"}

    @pytest.mark.parametrize("size", [1, 1000, 65_535, 65_536, 65_537, 10_000_000])
    async def test_body_arrives_whole(self, upstream: Upstream, size: int) -> None:
        body = bytes(range(256)) * (size // 256) + bytes(size % 256)
        async with ScriptedServer(answering(reply())) as server:
            await fetch(upstream, call(server.url(), body=body))

            assert server.requests[0].body == body

    @pytest.mark.parametrize(
        ("method", "length"), [("GET", None), ("DELETE", None), ("POST", b"0"), ("PUT", b"0"), ("PATCH", b"0")]
    )
    async def test_empty_body_has_a_length_only_where_one_is_expected(
        self, upstream: Upstream, method: str, length: bytes | None
    ) -> None:
        async with ScriptedServer(answering(reply())) as server:
            await fetch(upstream, call(server.url(), method, body=b""))

            lengths = [value for name, value in server.requests[0].headers if name.lower() == b"content-length"]
            assert server.requests[0].line.startswith(method.encode() + b" ")
            assert lengths == ([] if length is None else [length])

    async def test_ipv6_address_is_bracketed_in_host(self, upstream: Upstream) -> None:
        try:
            server = await ScriptedServer(answering(reply()), host="::1").__aenter__()
        except OSError:
            pytest.skip("no IPv6 here")
        try:
            await fetch(upstream, call(server.url()))

            assert (b"host", f"[::1]:{server.port}".encode()) in [
                (name.lower(), value) for name, value in server.requests[0].headers
            ]
        finally:
            await server.__aexit__(None, None, None)
