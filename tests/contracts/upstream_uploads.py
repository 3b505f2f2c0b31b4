"""The upstream contract, part 8: bodies that are not held go out as they come in, and no faster than they are taken."""

import asyncio
from collections.abc import Callable

import pytest

from application.messages import ClientLeft, UpstreamCall
from application.ports import Upstream, UpstreamFailed
from domain.failure import FailureKind
from tests.contracts.scripted_server import (
    PATIENCE_S,
    Peer,
    Script,
    ScriptedServer,
    after_request,
    answering,
    hold,
    never_read,
    reply,
)
from tests.contracts.upstream_calls import UpstreamBase, body_of, call, cancel, failure_of, fetch, until_waiting
from tests.contracts.upstream_tls import certificate

SOON_S = 0.2
PIECE = bytes(range(256)) * 256
MANY = 1000


class Pieces:
    """An upload of pieces that are there already; a callable among them is called, an exception is raised."""

    def __init__(self, *pieces: bytes | Callable[[], object] | Exception, length: int | None = None) -> None:
        self._pieces = list(pieces)
        self.length = length
        self.begun = False
        self.read_bytes = 0

    async def read(self) -> bytes:
        self.begun = True
        while self._pieces:
            piece = self._pieces.pop(0)
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, bytes):
                self.read_bytes += len(piece)
                return piece
            got = piece()
            if asyncio.iscoroutine(got):
                await got
        return b""


def whole(*pieces: bytes) -> Pieces:
    """An upload of known length."""
    return Pieces(*pieces, length=sum(map(len, pieces)))


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


def upload(url: str, body: Pieces, **deadlines: float) -> UpstreamCall:
    given = call(url, **deadlines)
    return UpstreamCall(
        given.method, url, (("x-key", "secret"),), body, given.connect_timeout_s, given.first_byte_timeout_s,
        given.idle_timeout_s,
    )  # fmt: skip


def refusing(then: Callable[[Peer], None] | None = None) -> Script:
    """Answers when it has seen the headers and the beginning of the body."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.take(1000)
        await peer.send(reply(b"too large", status="413 Content Too Large"))
        if then is not None:
            then(peer)
        await peer.rest()

    return script


class UploadContract(UpstreamBase):
    @pytest.mark.parametrize(
        ("body", "framing"),
        [
            (whole(b"abc", b"de"), (b"content-length", b"5")),
            (whole(), (b"content-length", b"0")),
            (Pieces(b"abc", b"de"), (b"transfer-encoding", b"chunked")),
            (Pieces(), (b"transfer-encoding", b"chunked")),
        ],
        ids=["length", "no bytes", "chunked", "chunked without bytes"],
    )
    async def test_upload_arrives_framed_by_its_length_or_in_chunks(
        self, upstream: Upstream, body: Pieces, framing: tuple[bytes, bytes]
    ) -> None:
        async with ScriptedServer(answering(reply())) as server:
            for _ in range(2):
                again = Pieces(*body._pieces, length=body.length)
                assert await fetch(upstream, upload(server.url(), again)) == b"ok"

            expected = b"".join(piece for piece in body._pieces if isinstance(piece, bytes))
            assert [request.body for request in server.requests] == [expected] * 2
            headers = [(name.lower(), value) for name, value in server.requests[0].headers]
            assert [pair for pair in headers if pair[0] in (b"content-length", b"transfer-encoding")] == [framing]
            assert len(server.peers) == 1

    @pytest.mark.parametrize("known", [True, False])
    async def test_large_upload_arrives_byte_for_byte(self, upstream: Upstream, known: bool) -> None:
        body = Pieces(*[PIECE] * 100, length=100 * len(PIECE) if known else None)
        async with ScriptedServer(answering(reply())) as server:
            assert await fetch(upstream, upload(server.url(), body)) == b"ok"
            assert server.requests[0].body == PIECE * 100

    async def test_what_has_come_goes_on_before_the_rest_comes(self, upstream: Upstream) -> None:
        arrived = asyncio.Event()

        async def first_then_rest(peer: Peer) -> None:
            await peer.head()
            await peer.take(3)
            arrived.set()
            await peer.take(2)
            await peer.send(reply())

        async with ScriptedServer(first_then_rest) as server:
            assert await fetch(upstream, upload(server.url(), Pieces(b"abc", arrived.wait, b"de", length=5))) == b"ok"

    @pytest.mark.parametrize("encrypted", [False, True])
    async def test_no_more_is_read_than_the_server_takes(self, encrypted: bool) -> None:
        go_on = asyncio.Event()

        async def hesitant(peer: Peer) -> None:
            await go_on.wait()
            await peer.request()
            await peer.send(reply())

        body = whole(*[PIECE] * MANY)
        tls, trusting = certificate("IP:127.0.0.1") if encrypted else (None, None)
        async with self.opened(ssl_context=trusting) as upstream, ScriptedServer(hesitant, tls=tls) as server:
            task = asyncio.create_task(fetch(upstream, upload(server.url(), body)))
            await until_waiting(0.5)
            read_before = body.read_bytes
            go_on.set()

            assert await task == b"ok"
            assert 0 < read_before < MANY * len(PIECE) / 2
            assert body.read_bytes == MANY * len(PIECE)

    async def test_an_encrypted_upload_is_given_up_and_answered_early_as_well(self) -> None:
        tls, trusting = certificate("IP:127.0.0.1")
        scripts = refusing(), never_read
        async with self.opened(ssl_context=trusting) as upstream, ScriptedServer(*scripts, tls=tls) as server:
            got = await upstream.send(upload(server.url(), whole(*[PIECE] * MANY)))
            assert (got.status, await body_of(got)) == (413, b"too large")

            failure = await failure_of(upstream.send(upload(server.url(), whole(*[PIECE] * MANY), idle_s=SOON_S)))
            assert failure.kind is FailureKind.IDLE_TIMEOUT

    @pytest.mark.parametrize("then", [None, Peer.finish, Peer.reset])
    @pytest.mark.parametrize("known", [True, False])
    async def test_an_answer_before_the_end_of_the_upload_is_given_and_reading_stops(
        self, upstream: Upstream, known: bool, then: Callable[[Peer], None] | None
    ) -> None:
        body = Pieces(bytes(1000), forever, length=2000 if known else None)
        async with ScriptedServer(refusing(then), answering(reply(b"next"))) as server:
            async with asyncio.timeout(PATIENCE_S):
                got = await upstream.send(upload(server.url(), body))
                text = await body_of(got)

            assert (got.status, text) == (413, b"too large")
            await server.over(0)
            assert await fetch(upstream, upload(server.url(), whole(b"x"))) == b"next"

    async def test_an_answer_while_the_server_takes_nothing_more_is_given(self, upstream: Upstream) -> None:
        async def refuse(peer: Peer) -> None:
            await peer.head()
            await asyncio.sleep(SOON_S)
            await peer.send(reply(b"not for you", status="401 Unauthorized"))
            await peer.over.wait()

        body = whole(*[PIECE] * MANY)
        async with ScriptedServer(refuse) as server:
            got = await upstream.send(upload(server.url(), body))

            assert (got.status, await body_of(got)) == (401, b"not for you")
            assert body.read_bytes < MANY * len(PIECE) / 2

    async def test_interim_replies_do_not_stop_an_upload(self, upstream: Upstream) -> None:
        async def hints(peer: Peer) -> None:
            await peer.head()
            await peer.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
            await peer.take(5)
            await peer.send(reply())

        body = Pieces(b"abc", lambda: asyncio.sleep(SOON_S), b"de", length=5)
        async with ScriptedServer(hints) as server:
            assert await fetch(upstream, upload(server.url(), body)) == b"ok"

    @pytest.mark.parametrize(
        ("then", "waiting"), [(Peer.finish, True), (Peer.reset, True), (Peer.finish, False), (Peer.reset, False)]
    )
    async def test_connection_lost_in_an_upload(
        self, upstream: Upstream, then: Callable[[Peer], None], waiting: bool
    ) -> None:
        async def lose(peer: Peer) -> None:
            await peer.head()
            await peer.take(1000)
            then(peer)

        body = Pieces(bytes(1000), forever, length=2000) if waiting else whole(*[PIECE] * MANY)
        async with ScriptedServer(lose, answering(reply(b"next"))) as server:
            async with asyncio.timeout(PATIENCE_S):
                failure = await failure_of(upstream.send(upload(server.url(), body)))

            assert failure.kind is FailureKind.RESET
            assert await fetch(upstream, call(server.url())) == b"next"

    async def test_junk_in_answer_to_an_upload(self, upstream: Upstream) -> None:
        async def junk(peer: Peer) -> None:
            await peer.head()
            await peer.send(b"SSH-2.0-OpenSSH_9.2\r\n")
            await peer.gone()

        async with ScriptedServer(junk) as server:
            failure = await failure_of(upstream.send(upload(server.url(), Pieces(b"a", forever, length=2))))

            assert failure.kind is FailureKind.JUNK

    @pytest.mark.parametrize("error", [ClientLeft(), RuntimeError("the upload itself fails")])
    async def test_upload_that_breaks_off_cuts_the_connection(self, upstream: Upstream, error: Exception) -> None:
        body = Pieces(b"abc", error, length=5)
        async with ScriptedServer(hold, answering(reply(b"next"))) as server:
            with pytest.raises(type(error)):
                await upstream.send(upload(server.url(), body))

            await server.over(0)
            assert await fetch(upstream, call(server.url())) == b"next"

    async def test_upload_shorter_than_its_length_is_not_taken_for_complete(self, upstream: Upstream) -> None:
        async with ScriptedServer(hold) as server:
            with pytest.raises(ClientLeft):
                await upstream.send(upload(server.url(), Pieces(b"abc", length=5)))

            await server.over(0)

    @pytest.mark.parametrize("script", [hold, never_read])
    async def test_cancelled_in_an_upload(self, upstream: Upstream, script: Script) -> None:
        body = Pieces(b"abc", forever, length=5) if script is hold else whole(*[PIECE] * MANY)
        async with ScriptedServer(script) as server:
            task = asyncio.create_task(fetch(upstream, upload(server.url(), body)))
            peer = await server.peer()
            await until_waiting()

            await cancel(task)

            if script is never_read:
                assert await peer.rest() < MANY * len(PIECE)
            await server.over(0)

    async def test_time_for_the_reply_begins_when_all_is_sent(self, upstream: Upstream) -> None:
        pause = lambda: asyncio.sleep(SOON_S)  # noqa: E731
        body = Pieces(b"a", pause, b"b", pause, b"c", pause, b"d", length=4)
        async with ScriptedServer(after_request()) as server:
            task = asyncio.create_task(upstream.send(upload(server.url(), body, first_byte_s=2 * SOON_S)))
            failure = await failure_of(task)

            assert failure.kind is FailureKind.FIRST_BYTE_TIMEOUT
            assert body.read_bytes == 4

    async def test_server_that_takes_nothing_for_too_long_is_given_up(self, upstream: Upstream) -> None:
        async with ScriptedServer(never_read) as server:
            failure = await failure_of(
                upstream.send(upload(server.url(), whole(*[PIECE] * MANY), first_byte_s=600, idle_s=SOON_S))
            )

            assert failure.kind is FailureKind.IDLE_TIMEOUT

    async def test_client_that_sends_nothing_for_too_long_is_given_up(self, upstream: Upstream) -> None:
        async with ScriptedServer(hold) as server:
            with pytest.raises(ClientLeft):
                await upstream.send(upload(server.url(), Pieces(b"abc", forever, length=5), idle_s=SOON_S))

            await server.over(0)

    async def test_upload_with_progress_may_take_longer_than_any_deadline(self, upstream: Upstream) -> None:
        pause = lambda: asyncio.sleep(SOON_S)  # noqa: E731
        body = Pieces(*[b"x", pause] * 8, length=8)
        async with ScriptedServer(answering(reply())) as server:
            assert await fetch(upstream, upload(server.url(), body, first_byte_s=0.6, idle_s=0.6)) == b"ok"

    @pytest.mark.parametrize("end", [Peer.finish, Peer.reset])
    async def test_dead_connection_is_not_replaced_once_an_upload_was_read(
        self, upstream: Upstream, end: Callable[[Peer], None]
    ) -> None:
        async def close_on_second(peer: Peer) -> None:
            await peer.request()
            await peer.send(reply())
            await peer.head()
            end(peer)

        body = Pieces(b"abc", forever, length=5)
        async with ScriptedServer(close_on_second, answering(reply(b"not asked"))) as server:
            await fetch(upstream, call(server.url()))
            failure = await failure_of(upstream.send(upload(server.url(), body)))

            assert failure.kind is FailureKind.RESET
            assert len(server.peers) == 1

    async def test_upload_that_was_read_is_refused(self, upstream: Upstream) -> None:
        async with ScriptedServer(answering(reply())) as server:
            body = whole(b"abc")
            await body.read()

            with pytest.raises(ValueError, match="second time"):
                await upstream.send(upload(server.url(), body))

    async def test_an_unreachable_server_leaves_the_upload_unread(self, upstream: Upstream) -> None:
        async with ScriptedServer(hold) as gone:
            url = gone.url()
        body = whole(b"abc")

        with pytest.raises(UpstreamFailed):
            await upstream.send(upload(url, body))

        assert not body.begun
