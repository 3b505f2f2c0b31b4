"""The adapter of our own keeps the upstream contract, on both event loops; and what only it promises."""

import asyncio
import gc
import socket
import ssl
from contextlib import suppress
from typing import Any
from unittest.mock import Mock

import httptools
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.upstreams.http1 import pool, resolver
from adapters.upstreams.http1.client import Http1Upstream
from adapters.upstreams.http1.connection import Connection
from adapters.upstreams.http1.connector import Connecting
from adapters.upstreams.http1.reply import Http1Reply
from adapters.upstreams.http1.reply_reader import ReplyReader
from adapters.upstreams.http1.request import Origin
from adapters.upstreams.outbound.proxies import OutboundProxies
from application.ports import Upstream, UpstreamFailed
from domain.failure import FailureKind
from tests.contracts.no_files import no_files
from tests.contracts.reply_scripts import JUNK, Played, playing
from tests.contracts.scripted_server import Peer, ScriptedServer, after_request, answering, chunked, hold, reply
from tests.contracts.upstream import UpstreamContract
from tests.contracts.upstream_calls import UpstreamBase, body_of, call, cancel, failure_of, fetch, until_waiting
from tests.contracts.upstream_pool import one
from tests.contracts.upstream_tls import certificate
from tests.contracts.upstream_unasked import speaking_first
from tests.contracts.upstream_uploads import Pieces, forever, upload
from tests.integration.harness import eventually
from tests.integration.other_process import other_process

_TRUST_NOTHING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class TestHttp1Upstream(UpstreamContract):
    on_both_loops = True

    def make(self, **options: Any) -> Http1Upstream:
        return Http1Upstream(**{"ssl_context": _TRUST_NOTHING} | options)


class TestHttp1Beyond(UpstreamBase):
    """Beyond the contract."""

    on_both_loops = True

    def make(self, **options: Any) -> Http1Upstream:
        return Http1Upstream(**{"ssl_context": _TRUST_NOTHING} | options)

    @pytest.fixture
    async def names(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
        """The addresses of names; a name without any is never found out. `asked` counts lookups."""
        known: dict[str, list[str]] = {"asked": []}

        async def look_up(_: Any, host: str, *__: Any, **___: Any) -> Any:
            known["asked"].append(host)
            await asyncio.sleep(0.01)
            if not known.get(host):
                await asyncio.get_running_loop().create_future()
            families = {True: socket.AF_INET6, False: socket.AF_INET}
            return [(families[":" in where], socket.SOCK_STREAM, 6, "", (where, 0)) for where in known[host]]

        monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", look_up)
        return known

    # TLS

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    async def test_a_new_connection_takes_up_the_tls_session_of_an_earlier_one(self, version: ssl.TLSVersion) -> None:
        async def once(peer: Peer) -> None:
            tls_of.append(peer._writer.get_extra_info("ssl_object"))
            await peer.request()
            await peer.send(reply(b"ok", "connection: keep-alive"))
            await peer.request()
            await peer.send(reply(b"ok", "connection: close"))
            await peer.gone()

        tls_of: list[Any] = []
        tls, trusting = certificate.__wrapped__("IP:127.0.0.1")
        tls.minimum_version = tls.maximum_version = version
        async with self.opened(ssl_context=trusting) as upstream, ScriptedServer(once, tls=tls) as server:
            for _ in range(4):
                assert await fetch(upstream, call(server.url())) == b"ok"

            assert [tls_object.session_reused for tls_object in tls_of] == [False, True]

    async def test_the_server_is_told_the_name_and_the_certificate_must_be_for_it(
        self, names: dict[str, list[str]]
    ) -> None:
        told: list[str | None] = []
        tls, trusting = certificate.__wrapped__("DNS:good.test")
        tls.sni_callback = lambda _, name, __: told.append(name)
        names["good.test"] = names["evil.test"] = ["127.0.0.1"]
        async with self.opened(ssl_context=trusting) as upstream, ScriptedServer(answering(reply()), tls=tls) as server:
            good = server.url().replace("127.0.0.1", "good.test")

            assert await fetch(upstream, call(good)) == b"ok"
            failure = await failure_of(fetch(upstream, call(good.replace("good", "evil"))))
            assert failure.kind is FailureKind.TLS
            assert "mismatch" in failure.reason
            assert told == ["good.test", "evil.test"]
            assert len(server.requests) == 1

    async def test_a_session_is_not_taken_up_for_another_name(self, names: dict[str, list[str]]) -> None:
        tls, trusting = certificate.__wrapped__("DNS:good.test")
        names["good.test"] = names["evil.test"] = ["127.0.0.1"]
        last = answering(reply(b"ok", "connection: close"))
        async with self.opened(ssl_context=trusting) as upstream, ScriptedServer(last, tls=tls) as server:
            good = server.url().replace("127.0.0.1", "good.test")
            for _ in range(2):
                await fetch(upstream, call(good))

            failure = await failure_of(fetch(upstream, call(good.replace("good", "evil"))))
            assert failure.kind is FailureKind.TLS

    async def test_bytes_before_the_tls_handshake_are_not_taken_for_a_reply(self, upstream: Upstream) -> None:
        async def blurt(peer: Peer) -> None:
            await peer.send(reply(b"evil"))
            await peer.gone()

        async with ScriptedServer(blurt) as server:
            failure = await failure_of(fetch(upstream, call(server.url().replace("http:", "https:"))))

            assert failure.kind is FailureKind.TLS

    async def test_what_came_in_plain_text_never_counts_as_said_over_tls(self) -> None:
        """Else whoever sits on the line could answer the first request (as with STARTTLS, CVE-2011-0411)."""
        plain = Mock(spec=asyncio.Transport)
        plain.is_closing.return_value = False
        connection = Connection(asyncio.get_running_loop(), 65_536)
        connection.connection_made(plain)
        connection.data_received(reply(b"evil"))

        with pytest.raises(UpstreamFailed) as failed:
            await Connecting(_TRUST_NOTHING, OutboundProxies(None, trust_env=False), 65_536)._tls(
                connection, Origin(True, "h.test", 443)
            )

        assert failed.value.failure.kind is FailureKind.TLS

    async def test_bytes_after_the_tunnels_headers_are_refused(self) -> None:
        async def chatty(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + reply(b"evil"))
            await peer.gone()

        async with ScriptedServer(chatty) as between, self.opened(outbound_proxy=between.url("")) as upstream:
            failure = await failure_of(fetch(upstream, call("https://elsewhere.test/v1")))

            assert failure.kind in (FailureKind.CONNECT, FailureKind.TLS)
            await between.over(0)

    # Names and addresses

    async def test_calls_at_one_time_share_a_lookup_and_later_calls_its_answer(
        self, upstream: Upstream, names: dict[str, list[str]]
    ) -> None:
        names["h.test"] = ["127.0.0.1"]
        async with ScriptedServer(answering(reply(b"ok", "connection: close"))) as server:
            url = server.url().replace("127.0.0.1", "h.test")
            await asyncio.gather(*(fetch(upstream, call(url)) for _ in range(10)))
            await fetch(upstream, call(url))

            assert names["asked"] == ["h.test"]

    async def test_a_cancelled_call_leaves_the_lookup_to_the_others(
        self, upstream: Upstream, names: dict[str, list[str]]
    ) -> None:
        names["h.test"] = ["127.0.0.1"]
        async with ScriptedServer(answering(reply())) as server:
            url = server.url().replace("127.0.0.1", "h.test")
            first = asyncio.create_task(fetch(upstream, call(url)))
            second = asyncio.create_task(fetch(upstream, call(url)))
            await asyncio.sleep(0)

            await cancel(first)

            assert await second == b"ok"

    async def test_a_failed_lookup_is_not_kept(self, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
        async def flaky(*_: Any, **__: Any) -> Any:
            asked.append(1)
            if len(asked) == 1:
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

        asked: list[int] = []
        monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", flaky)
        async with ScriptedServer(answering(reply())) as server:
            url = server.url().replace("127.0.0.1", "h.test")

            assert (await failure_of(fetch(upstream, call(url)))).kind is FailureKind.DNS
            assert await fetch(upstream, call(url)) == b"ok"

    @pytest.mark.parametrize("others", [["::1"], ["127.0.0.2"], ["::1", "127.0.0.2", "127.0.0.3"]])
    async def test_addresses_that_refuse_are_passed_over(
        self, upstream: Upstream, names: dict[str, list[str]], others: list[str]
    ) -> None:
        names["h.test"] = [*others, "127.0.0.1"]
        async with ScriptedServer(answering(reply())) as server:
            assert await fetch(upstream, call(server.url().replace("127.0.0.1", "h.test"))) == b"ok"

    async def test_an_address_that_does_not_answer_is_not_waited_for(self, upstream: Upstream) -> None:
        async def connect(where: str) -> str:
            tried.append(where)
            if where == "deaf":
                await asyncio.get_running_loop().create_future()
            await asyncio.sleep(0)
            return where

        tried: list[str] = []
        dropped: list[str] = []

        assert await resolver.first_to_answer(["deaf", "good", "late"], connect, dropped.append) == "good"
        assert tried == ["deaf", "good"]
        assert dropped == []

    async def test_of_two_addresses_that_answer_at_once_one_is_dropped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def connect(where: str) -> str:
            await gate.wait()
            return where

        gate = asyncio.Event()
        dropped: list[str] = []
        monkeypatch.setattr(resolver, "_HEAD_START_S", 0.0)
        race = asyncio.create_task(resolver.first_to_answer(["a", "b"], connect, dropped.append))
        await until_waiting()
        gate.set()
        won = await race
        await until_waiting()

        assert sorted([won, *dropped]) in (["a", "b"], [won])

    # The pool

    @one
    async def test_calls_get_their_turn_in_the_order_they_came(self, upstream: Upstream) -> None:
        async with ScriptedServer(answering(reply())) as server:
            await asyncio.gather(*(fetch(upstream, call(server.url(f"/v1/{number}"))) for number in range(20)))

            assert [request.target for request in server.requests] == [b"/v1/%d" % number for number in range(20)]
            assert len(server.peers) == 1

    @one
    async def test_turns_are_kept_when_each_reply_ends_its_connection(self, upstream: Upstream) -> None:
        async with ScriptedServer(answering(reply(b"ok", "connection: close"))) as server:
            await asyncio.gather(*(fetch(upstream, call(server.url(f"/v1/{number}"))) for number in range(20)))

            assert [request.target for request in server.requests] == [b"/v1/%d" % number for number in range(20)]

    async def test_a_connection_is_given_up_when_it_is_old(
        self, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with ScriptedServer(answering(reply())) as server:
            await fetch(upstream, call(server.url()))
            await fetch(upstream, call(server.url()))
            monkeypatch.setattr(pool, "_MAX_AGE_S", 0.0)
            await asyncio.sleep(0.01)
            await fetch(upstream, call(server.url()))

            assert len(server.peers) == 2
            await server.over(0)

    @one
    async def test_a_fresh_connection_takes_the_place_of_the_dead_one_also_when_no_slot_is_left(
        self, upstream: Upstream
    ) -> None:
        async def dies(peer: Peer) -> None:
            await peer.request()
            await peer.send(reply())
            await peer.request()
            peer.reset()

        async with ScriptedServer(dies, dies, answering(reply(b"fresh"))) as server:
            await fetch(upstream, call(server.url()))
            bodies = await asyncio.gather(*(fetch(upstream, call(server.url())) for _ in range(3)))

            assert bodies == [b"fresh", b"ok", b"fresh"]
            assert (len(server.peers), len(server.requests)) == (3, 5)

    async def test_a_connection_lost_late_is_not_replaced(
        self, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def works_then_dies(peer: Peer) -> None:
            await peer.request()
            await peer.send(reply())
            await peer.request()
            await asyncio.sleep(0.1)
            peer.reset()

        monkeypatch.setattr("adapters.upstreams.http1.client._RACE_S", 0.05)
        async with ScriptedServer(works_then_dies, answering(reply())) as server:
            await fetch(upstream, call(server.url()))

            assert (await failure_of(fetch(upstream, call(server.url())))).kind is FailureKind.RESET
            assert len(server.requests) == 2

    async def test_close_ends_calls_that_look_up_a_name_or_connect(
        self, upstream: Upstream, names: dict[str, list[str]]
    ) -> None:
        async with ScriptedServer(hold) as deaf:
            urls = ["http://unknown.test/v1", deaf.url().replace("http:", "https:")]
            calls = [asyncio.create_task(fetch(upstream, call(url))) for url in urls]
            await deaf.peer()
            await until_waiting()

            await upstream.close()

            results = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(result) for result in results] == [UpstreamFailed, UpstreamFailed]
            await deaf.over(0)

    async def test_nothing_is_sent_after_close(self, upstream: Upstream) -> None:
        async with ScriptedServer(answering(reply())) as server:
            await fetch(upstream, call(server.url()))
            await upstream.close()

            await failure_of(fetch(upstream, call(server.url())))
            await failure_of(fetch(upstream, call(server.url().replace("127.0.0.1", "localhost"))))
            assert len(server.requests) == 1

    async def test_of_all_origins_together_so_many_connections_are_kept_idle(self) -> None:
        async with (
            self.opened(max_idle=2) as upstream,
            ScriptedServer(answering(reply())) as one,
            ScriptedServer(answering(reply())) as other,
        ):
            await asyncio.gather(*(fetch(upstream, call(server.url())) for server in (one, other) for _ in range(4)))

            await eventually(lambda: one.open + other.open == 2)
            assert len(one.requests) == len(other.requests) == 4

    async def test_without_files_idle_connections_make_room_for_a_new_one(self, upstream: Upstream) -> None:
        async with other_process() as url, ScriptedServer(answering(reply())) as server:
            await asyncio.gather(*(fetch(upstream, call(server.url())) for _ in range(3)))
            with no_files():
                assert await fetch(upstream, call(url)) == b"other"
                await eventually(lambda: server.open == 2)

    async def test_without_files_and_with_nothing_idle_no_endpoint_is_to_blame(self, upstream: Upstream) -> None:
        async with ScriptedServer(answering(reply())) as server:
            with no_files():
                failure = await failure_of(fetch(upstream, call(server.url())))

            assert failure.kind is FailureKind.LOCAL
            assert await fetch(upstream, call(server.url())) == b"ok"

    async def test_nothing_stays_of_a_connection_that_has_gone_and_no_collector_is_needed(self) -> None:
        def alive() -> int:
            return sum(isinstance(each, kinds) for each in gc.get_objects())

        kinds = (Connection, ReplyReader, Http1Reply, httptools.HttpResponseParser)
        gc.collect()
        gc.disable()
        before = alive()
        try:
            for sent in (reply(), chunked(b"a"), chunked(b"a", end=b""), b"HTTP/1.1 200 OK\r\nx", b"junk\r\n\r\n"):
                for script in (after_request(sent, then=Peer.finish), speaking_first(sent)):
                    upstream = self.make()
                    async with ScriptedServer(script) as server:
                        for _ in range(3):
                            with suppress(UpstreamFailed):
                                await fetch(upstream, call(server.url()))
                        await upstream.close()
                    await until_waiting()
            assert alive() <= before
        finally:
            gc.enable()

    # Replies

    async def test_reply_before_the_request_is_given_and_nothing_more_is_sent(self, upstream: Upstream) -> None:
        async def busy(peer: Peer) -> None:
            await peer.send(reply(b"later", status="503 Busy"))
            sent.append(await peer.rest())

        sent: list[int] = []
        async with ScriptedServer(busy, answering(reply(b"next"))) as server:
            body = Pieces(b"x" * 100, forever, length=200)
            got = await upstream.send(upload(server.url(), body))

            assert (got.status, await body_of(got)) == (503, b"later")
            await server.over(0)
            assert await fetch(upstream, call(server.url())) == b"next"

    async def test_a_reader_may_take_longer_than_any_deadline(self, upstream: Upstream) -> None:
        async def in_parts(peer: Peer) -> None:
            await peer.request()
            await peer.send(chunked(b"a", end=b""))
            await go_on.wait()
            await peer.send(b"1\r\nb\r\n")
            await finish.wait()
            await peer.send(b"0\r\n\r\n")

        go_on, finish = asyncio.Event(), asyncio.Event()
        async with ScriptedServer(in_parts) as server:
            got = await upstream.send(call(server.url(), first_byte_s=0.3, idle_s=0.3))
            await asyncio.sleep(0.5)
            assert await got.receive() == b"a"
            waiting = asyncio.create_task(got.receive())
            await until_waiting()
            go_on.set()
            assert await waiting == b"b"
            await asyncio.sleep(0.5)
            finish.set()

            assert await got.receive() == b""

    async def test_whole_reply_in_one_segment_is_received_without_waiting(self, upstream: Upstream) -> None:
        async with ScriptedServer(answering(reply(b"a" * 1000), chunked(b"b" * 10, b"c" * 10))) as server:
            for expected in (b"a" * 1000, b"b" * 10 + b"c" * 10):
                got = await upstream.send(call(server.url()))
                received = got.receive()
                with pytest.raises(StopIteration) as stopped:
                    received.send(None)

                assert stopped.value.value == expected
                assert await got.receive() == b""

    @pytest.mark.parametrize("cuts", [b"\r", b"\n", b"\r\n", *JUNK])
    async def test_what_follows_a_reply_while_it_is_idle_ends_the_connection(
        self, upstream: Upstream, cuts: bytes
    ) -> None:
        async def later(peer: Peer) -> None:
            await peer.request()
            await peer.send(reply())
            await until_waiting(0.02)
            await peer.send(cuts)
            await peer.gone()

        async with ScriptedServer(later, answering(reply(b"next"))) as server:
            await fetch(upstream, call(server.url()))
            await server.over(0)

            assert await fetch(upstream, call(server.url())) == b"next"

    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(pieces=st.lists(st.binary(min_size=1, max_size=300) | st.sampled_from(JUNK), min_size=1, max_size=6))
    async def test_random_bytes_are_at_most_one_reply_and_leave_nothing_behind(self, pieces: list[bytes]) -> None:
        async with self.opened() as upstream:
            played = Played("POST", tuple(pieces), "finish")
            async with ScriptedServer(playing(played), answering(reply(b"next"))) as server:
                try:
                    await fetch(upstream, call(server.url()))
                except UpstreamFailed as failed:
                    kind = failed.failure.kind
                    assert kind in (FailureKind.JUNK, FailureKind.TRUNCATED, FailureKind.RESET)

                await server.over(0)  # what is still on its way could be taken for the beginning of the next reply
                assert await fetch(upstream, call(server.url())) == b"next"
                assert len(server.peers) == 2


async def test_no_task_is_woken_for_the_pieces_of_a_flow() -> None:
    takers: list[object] = []
    upstream = Http1Upstream()
    came = asyncio.Event()

    def take(piece: bytes) -> bool:
        takers.append(asyncio.current_task())
        came.set()
        return True

    async def pieces(peer: Peer) -> None:
        await peer.request()
        await peer.send(chunked(end=b""))
        await until_waiting()
        for _ in range(5):
            came.clear()
            await peer.send(b"1\r\nx\r\n")
            await came.wait()
        await peer.send(b"0\r\n\r\n")

    async with ScriptedServer(pieces) as server:
        got = await upstream.send(call(server.url()))
        assert await got.flow(take)
        await upstream.close()

    assert takers == [None] * 5
