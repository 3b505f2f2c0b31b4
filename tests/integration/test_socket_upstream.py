"""Sockets to endpoints: each over a connection of its own, refused handshakes as whole replies, junk as what it is."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from adapters.upstreams.http1.connector import Connecting
from adapters.upstreams.http1.socket import SocketUpstream
from adapters.upstreams.outbound.proxies import OutboundProxies
from adapters.websocket.handshake import accept
from application.held_bytes import HeldBytes
from application.messages import UpstreamCall
from application.ports import UpstreamReply
from application.socket_ports import OpenedSocket
from domain.failure import FailureKind
from tests.contracts.scripted_server import Peer, Script, ScriptedServer
from tests.contracts.upstream_calls import body_of, call, failure_of
from tests.contracts.upstream_tls import HttpProxy, certificate

on_both_loops = True
PATIENCE_S = 20
HELLO = b"\x81\x05hello"


@asynccontextmanager
async def opener(context: ssl.SSLContext | None = None, proxy: str | None = None) -> AsyncIterator[SocketUpstream]:
    connecting = Connecting(
        context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), OutboundProxies(proxy, trust_env=False), 64 * 1024
    )
    yield SocketUpstream(connecting, HeldBytes(1 << 30, 1 << 20), 1 << 20, 30.0)
    connecting.close()


def asking(server: ScriptedServer, **times: float) -> UpstreamCall:
    headers = (("authorization", "Bearer secret"), ("accept-encoding", "identity"))
    return call(server.url("/v1/realtime?model=m"), "GET", headers, b"", **times)


def says(change: Callable[[bytes], bytes] = lambda head: head, behind: bytes = b"") -> Script:
    """A server that takes the handshake, with what its head is changed to, and frames right behind it."""

    async def script(peer: Peer) -> None:
        request = await peer.request()
        pairs = [(name.decode(), value.decode()) for name, value in request.headers]
        fields = "".join(f"{field}\r\n" for field in accept(pairs, ("realtime",)).fields)
        await peer.send(
            change(f"HTTP/1.1 101 Switching Protocols\r\n{fields}x-ratelimit-limit-requests: 7\r\n\r\n".encode())
            + behind
        )
        await peer.gone()

    return script


def verbatim(*pieces: bytes, ends: bool = False) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)
        if ends:
            peer.abort()
        else:
            await peer.gone()

    return script


async def opened(upstream: SocketUpstream, sent: UpstreamCall) -> OpenedSocket:
    reply: UpstreamReply = await upstream.send(sent)
    assert isinstance(reply, OpenedSocket), reply.status
    return reply


async def first_word(reply: OpenedSocket) -> bytes:
    async with asyncio.timeout(PATIENCE_S):
        piece = await reply.socket.next_piece()
    assert piece is not None
    return piece.data


async def test_what_comes_right_behind_the_handshake_is_not_lost() -> None:
    async with ScriptedServer(says(behind=HELLO)) as server, opener() as upstream:
        reply = await opened(upstream, asking(server))

        assert (reply.status, dict(reply.headers)["x-ratelimit-limit-requests"]) == (101, "7")
        assert await first_word(reply) == b"hello"
        reply.close()
        await server.over()

    (request,) = server.requests
    sent = {name.lower(): value for name, value in request.headers}
    assert request.line == b"GET /v1/realtime?model=m HTTP/1.1"
    assert (sent[b"connection"].lower(), sent[b"upgrade"], sent[b"sec-websocket-version"]) == (
        b"upgrade",
        b"websocket",
        b"13",
    )
    assert sent[b"authorization"] == b"Bearer secret"
    assert not {b"accept-encoding", b"content-length", b"sec-websocket-extensions", b"sec-websocket-protocol"} & set(
        sent
    )


async def test_the_handshake_may_come_byte_by_byte() -> None:
    async def script(peer: Peer) -> None:
        request = await peer.request()
        pairs = [(name.decode(), value.decode()) for name, value in request.headers]
        head = "HTTP/1.1 101 X\r\n" + "".join(f"{field}\r\n" for field in accept(pairs).fields) + "\r\n"
        await peer.send(*(bytes([byte]) for byte in head.encode() + HELLO))
        await peer.gone()

    async with ScriptedServer(script) as server, opener() as upstream:
        reply = await opened(upstream, asking(server))

        assert await first_word(reply) == b"hello"
        reply.close()


async def test_a_subprotocol_is_offered_where_the_call_names_one() -> None:
    async with ScriptedServer(says()) as server, opener() as upstream:
        asked = asking(server)
        reply = await opened(upstream, UpstreamCall(
            asked.method, asked.url, (*asked.headers, ("sec-websocket-protocol", "realtime")), b"", 9, 9, 9
        ))  # fmt: skip
        reply.close()

    assert (b"sec-websocket-protocol", b"realtime") in [(n.lower(), v) for n, v in server.requests[0].headers]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 3\r\n\r\nbad",
        b"HTTP/1.1 401 Unauthorized\r\ntransfer-encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 401 Unauthorized\r\ncontent-length: 3\r\n\r\nbad",
    ],
)
async def test_a_refused_handshake_is_a_reply_like_any(answer: bytes) -> None:
    for pieces in ([answer], [bytes([byte]) for byte in answer]):
        async with ScriptedServer(verbatim(*pieces)) as server, opener() as upstream:
            reply = await upstream.send(asking(server))

            assert (reply.status, await body_of(reply)) == (401, b"bad")
            await server.over()  # the connection is not used again


BROKEN: list[tuple[str, Script, FailureKind]] = [
    ("another key", says(lambda head: head.replace(b"accept: ", b"accept: x")), FailureKind.JUNK),
    ("no key", says(lambda head: head.replace(b"sec-websocket-accept", b"x-accept")), FailureKind.JUNK),
    (
        "an extension",
        says(lambda head: head[:-2] + b"sec-websocket-extensions: permessage-deflate\r\n\r\n"),
        FailureKind.JUNK,
    ),
    ("a subprotocol", says(lambda head: head[:-2] + b"sec-websocket-protocol: other\r\n\r\n"), FailureKind.JUNK),
    ("no upgrade", says(lambda head: head.replace(b"upgrade: websocket\r\n", b"")), FailureKind.JUNK),
    ("another protocol", says(lambda head: head.replace(b"websocket\r\n", b"h2c\r\n", 1)), FailureKind.JUNK),
    ("a broken line", says(lambda head: head[:-2] + b"nonsense\r\n\r\n"), FailureKind.JUNK),
    ("an endless head", says(lambda head: head[:-2] + b"x: y\r\n" * 20_000), FailureKind.JUNK),
    ("not HTTP", verbatim(b"SSH-2.0-OpenSSH\r\n"), FailureKind.JUNK),
    ("nothing", verbatim(ends=True), FailureKind.RESET),
    ("half a head", verbatim(b"HTTP/1.1 101 Switching", ends=True), FailureKind.TRUNCATED),
]


@pytest.mark.parametrize(("script", "kind"), [each[1:] for each in BROKEN], ids=[each[0] for each in BROKEN])
async def test_what_is_no_handshake_fails_and_leaves_no_connection(script: Script, kind: FailureKind) -> None:
    async with ScriptedServer(script) as server, opener() as upstream:
        failure = await failure_of(upstream.send(asking(server)))

        assert failure.kind is kind
        await server.over()


async def test_a_server_that_says_nothing_is_not_waited_for_longer_than_the_call_says() -> None:
    async with ScriptedServer(verbatim()) as server, opener() as upstream:
        failure = await failure_of(upstream.send(asking(server, first_byte_s=0.1)))

        assert failure.kind is FailureKind.FIRST_BYTE_TIMEOUT
        await server.over()


async def test_a_call_that_is_cancelled_leaves_no_connection() -> None:
    async with ScriptedServer(verbatim()) as server, opener() as upstream:
        task = asyncio.create_task(upstream.send(asking(server)))
        await server.peer()
        task.cancel()
        await server.over()

        assert task.cancelled() or isinstance(
            (await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError
        )


async def test_over_tls_and_through_a_proxy() -> None:
    tls, trusting = certificate("IP:127.0.0.1")
    proxy = HttpProxy()
    async with (
        ScriptedServer(says(behind=HELLO), tls=tls) as server,
        ScriptedServer(proxy) as between,
        opener(trusting, f"http://user:pass@127.0.0.1:{between.port}") as upstream,
    ):
        reply = await opened(upstream, asking(server))

        assert await first_word(reply) == b"hello"
        reply.close()

    assert proxy.heads == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1".encode()]


async def test_a_certificate_that_nobody_trusts_is_refused() -> None:
    tls, _ = certificate("IP:127.0.0.1")
    async with ScriptedServer(says(), tls=tls) as server, opener() as upstream:
        failure = await failure_of(upstream.send(asking(server)))

    assert failure.kind is FailureKind.TLS
    assert server.requests == []
