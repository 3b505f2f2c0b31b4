"""WebSockets on the real server and real sockets, with four other implementations at the far end."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import aiohttp
import aiohttp.web
import pytest
import pytest_asyncio
import websockets.asyncio.client
import websockets.asyncio.server
import websockets.sync.client
import wsproto
import wsproto.events

from adapters.http.server.client import Client
from adapters.http.server.http_server import HttpServer
from adapters.websocket.connection import WebSocket
from adapters.websocket.handshake import BadHandshake, Opening, accept
from adapters.websocket.messages import Closed, Piece
from application.telemetry_ports import RequestLog
from tests.integration.harness import eventually
from tests.websocket_frames import CLOSE, PING, TEXT, Frame

MAX_BYTES = 4 * 1024 * 1024
TEXTS = ["", "a", "häßlich 🦊" * 20, "x" * 126, "y" * 70_000, "z" * 1_500_000]


class Echo:
    """Sends back what comes, on any path but /no, and keeps what it was told."""

    def __init__(self) -> None:
        self.ends: list[Closed] = []
        self.open: list[WebSocket] = []
        self.is_slow = asyncio.Event()
        self.is_slow.set()

    def begin(self, client: Client) -> Awaitable[None] | None:
        head = client.head
        if not head.upgrades or head.path == "/no":
            client.reply(426 if head.upgrades else 200, ("content-length: 2",), b"no")
            return None
        return self._serve(client)

    async def _serve(self, client: Client) -> None:
        await self.is_slow.wait()
        headers = [(name.decode(), value.decode()) for name, value in client.head.headers]
        try:
            accepted = accept(headers, ("realtime",))
        except BadHandshake:
            client.reply(400, ("content-length: 0",), b"")
            return
        ours = WebSocket("server", asyncio.get_running_loop(), MAX_BYTES, 30.0)
        if not client.switch(accepted.fields, ours):
            return
        self.open.append(ours)
        while isinstance(piece := await ours.receive(), Piece):
            if (waiting := ours.writable()) is not None:
                await waiting
            ours.send(piece.data, is_text=piece.is_text)
        self.ends.append(piece)


class NoLog:
    def crashed(self, request_id: str, error: Exception) -> None:
        raise error


class Served:
    def __init__(self) -> None:
        self.echo = Echo()
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        self.port = sock.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}"
        self.server = HttpServer(self.echo, cast("RequestLog", NoLog()), sock, 100)

    @property
    def is_quiet(self) -> bool:
        return not self.server._connections and not self.server._guests and not self.server.running


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    await served.server.start(100)
    yield served
    async with asyncio.timeout(20):
        await served.server.stop()
    assert served.is_quiet


HEAD = (
    b"GET /echo HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
)
GET = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"


async def opened(served: Served, behind: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A raw socket after the handshake."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(HEAD + behind)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    return reader, writer


class TestServer:
    """On the loop that workers run, and on asyncio's."""

    on_both_loops = True

    async def test_websockets_own_asyncio_client(self, served: Served) -> None:
        async with websockets.asyncio.client.connect(f"{served.url}/a", max_size=None) as client:
            for each in TEXTS:
                await client.send(each)
                assert await client.recv() == each
            await client.send([b"\xff", b"\xfe" * 100_000])
            assert await client.recv() == b"\xff" + b"\xfe" * 100_000
            await (await client.ping(b"there?"))
            await client.close(4001, "enough")
        await eventually(lambda: served.echo.ends == [Closed(4001, "enough", "peer")])
        assert (client.close_code, client.close_reason) == (4001, "enough")

    async def test_websockets_own_sync_client(self, served: Served) -> None:
        def talk() -> list[object]:
            with websockets.sync.client.connect(f"{served.url}/a", max_size=None) as client:
                got = []
                for each in TEXTS:
                    client.send(each)
                    got.append(client.recv())
                return got

        assert await asyncio.to_thread(talk) == TEXTS

    async def test_aiohttp(self, served: Served) -> None:
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{served.port}/a"
            async with session.ws_connect(url, protocols=("b", "realtime"), compress=15, max_msg_size=0) as client:
                assert (client.protocol, client.compress) == ("realtime", 0)
                for each in TEXTS:
                    await client.send_str(each)
                    assert await client.receive_str() == each
                await client.send_bytes(b"\x00\xff")
                assert await client.receive_bytes() == b"\x00\xff"
        await eventually(lambda: [each.code for each in served.echo.ends] == [1000])

    async def test_wsproto(self, served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        wire = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        writer.write(wire.send(wsproto.events.Request(host="h", target="/a")))
        got: list[Any] = []

        async def events(enough: Callable[[], bool]) -> None:
            async with asyncio.timeout(20):
                while not enough():
                    wire.receive_data(await reader.read(65_536) or None)
                    got.extend(wire.events())

        await events(lambda: bool(got))
        assert isinstance(got.pop(0), wsproto.events.AcceptConnection)
        for each in TEXTS:
            writer.write(wire.send(wsproto.events.TextMessage(each)))
            await events(lambda: bool(got) and got[-1].message_finished)
            assert "".join(part.data for part in got) == each
            got.clear()
        writer.write(wire.send(wsproto.events.CloseConnection(1000, "bye")))
        await events(lambda: bool(got))
        assert got[0].code == 1000
        writer.close()

    async def test_frames_may_come_with_the_head_and_an_earlier_request_before_it(self, served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(GET + HEAD + Frame(TEXT, b"early").to("server"))
        replies = await reader.readexactly(len(b"HTTP/1.1 200 OK"))
        assert replies == b"HTTP/1.1 200 OK"
        await reader.readuntil(b"no")
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(7) == b"\x81\x05early"
        writer.transport.abort()

    async def test_what_comes_before_the_answer_waits_and_only_so_much_is_read(self, served: Served) -> None:
        served.echo.is_slow.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(HEAD)
        messages = [b"%07d" % number for number in range(60_000)]
        sent = b"".join(Frame(TEXT, each).to("server") for each in messages)
        writer.write(sent)
        await asyncio.sleep(0.1)
        (connection,) = served.server._connections
        assert connection._inflow.holding.held_bytes < 600_000 < len(sent)
        served.echo.is_slow.set()
        await reader.readuntil(b"\r\n\r\n")
        for each in messages:
            assert (await reader.readexactly(9))[2:] == each
        assert served.server.held.held_bytes == 0
        writer.transport.abort()

    async def test_a_refused_upgrade_closes_and_nothing_behind_it_is_a_request(self, served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(HEAD.replace(b"/echo", b"/no") + GET * 3)
        reply = await reader.read()

        assert reply.startswith(b"HTTP/1.1 426")
        assert reply.count(b"HTTP/1.1") == 1
        assert b"connection: close" in reply
        writer.close()

    @pytest.mark.parametrize(
        "wrong",
        [(b"-version: 13", b"-version: 12"), (b"sec-websocket-key: dGhl", b"sec-websocket-key: x"), (b"-key", b"-k")],
    )
    async def test_a_bad_handshake_is_refused(self, served: Served, wrong: tuple[bytes, bytes]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(HEAD.replace(*wrong) + GET)
        reply = await reader.read()

        assert (reply[:12], reply.count(b"HTTP/1.1")) == (b"HTTP/1.1 400", 1)
        writer.close()

    @pytest.mark.parametrize(
        ("frame", "code"),
        [
            (Frame(TEXT, b"a", is_wrongly_masked=True), 1002),
            (Frame(PING, b"a", is_last=False), 1002),
            (Frame(TEXT, b"\xff"), 1007),
            (Frame(TEXT, length=MAX_BYTES + 1), 1009),
        ],
    )
    async def test_a_broken_frame_is_told_why_and_the_connection_ends(
        self, served: Served, frame: Frame, code: int
    ) -> None:
        reader, writer = await opened(served, frame.to("server"))
        rest = await reader.read()

        assert (rest[0], rest[2:4]) == (0x80 | CLOSE, struct.pack("!H", code))
        writer.close()
        await eventually(lambda: served.is_quiet)
        assert [each.code for each in served.echo.ends] == [code]

    async def test_a_client_that_vanishes_leaves_nothing(self, served: Served) -> None:
        clients = [await opened(served) for _ in range(20)]
        for number, (_, writer) in enumerate(clients):
            writer.write(Frame(TEXT, b"half", is_last=False).to("server")[: number or None])
            await writer.drain()
            if number % 2:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        await eventually(lambda: served.is_quiet)
        assert len(served.echo.ends) == 20

    async def test_a_client_that_leaves_before_the_answer_is_not_switched(self, served: Served) -> None:
        served.echo.is_slow.clear()
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(HEAD)
        await eventually(lambda: bool(served.server.running))
        writer.transport.abort()
        await eventually(lambda: not served.server._connections)
        served.echo.is_slow.set()
        await eventually(lambda: served.is_quiet)
        assert served.echo.open == []

    async def test_a_client_that_never_reads_costs_little(self, served: Served) -> None:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", served.port))
        await loop.sock_sendall(sock, HEAD)
        message = Frame(TEXT, b"x" * 50_000).to("server")
        sent = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                for _ in range(2_000):
                    await loop.sock_sendall(sock, message)
                    sent += 1
        (ours,) = served.echo.open
        transport = ours._transport
        assert transport is not None
        assert sent < 2_000
        assert ours._held_bytes + transport.get_write_buffer_size() < 2 * 1024 * 1024
        sock.close()

    async def test_a_server_that_stops_says_so_and_returns(self, served: Served) -> None:
        async with websockets.asyncio.client.connect(f"{served.url}/a") as client:
            await client.send("a")
            assert await client.recv() == "a"
            async with asyncio.timeout(20):
                await served.server.stop()
            with pytest.raises(websockets.ConnectionClosed):
                await client.recv()
            assert client.close_code == 1001

    async def test_a_socket_that_is_opened_while_the_server_stops_is_told_as_well(self, served: Served) -> None:
        served.echo.is_slow.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(HEAD)
        await eventually(lambda: len(served.server.running) == 1)
        stopping = asyncio.ensure_future(served.server.stop())
        await asyncio.sleep(0.2)
        served.echo.is_slow.set()
        async with asyncio.timeout(5):
            await reader.readuntil(b"\r\n\r\n")
            assert (await reader.readexactly(4))[2:] == struct.pack("!H", 1001)
            writer.close()
            await stopping


async def ours_to(url_port: int, talk: Callable[[WebSocket], Awaitable[None]], offered: tuple[str, ...] = ()) -> None:
    """A client of ours, with the handshake that our upstream will make."""
    reader, writer = await asyncio.open_connection("127.0.0.1", url_port)
    opening = Opening(offered)
    fields = "".join(f"{name}: {value}\r\n" for name, value in opening.fields)
    writer.write(f"GET /a HTTP/1.1\r\nhost: h\r\n{fields}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    pairs = [tuple(line.split(": ", 1)) for line in head[1:] if line]
    opening.check(int(head[0].split()[1]), cast("Any", pairs))
    ours = WebSocket("client", asyncio.get_running_loop(), MAX_BYTES, 30.0)
    transport = writer.transport
    transport.set_protocol(ours)
    ours.connection_made(transport)
    try:
        async with asyncio.timeout(20):
            await talk(ours)
    finally:
        transport.abort()


async def says_the_same(ours: WebSocket) -> None:
    for each in TEXTS:
        if (waiting := ours.writable()) is not None:
            await waiting
        ours.send(each.encode())
        assert await ours.receive() == Piece(each.encode(), True)
    ours.send(b"\x00\xff", is_text=False)
    assert await ours.receive() == Piece(b"\x00\xff", False)
    ours.close(1000, "bye")
    assert await ours.receive() == Closed(1000, "bye", "us")


class TestClient:
    """Our client, and other implementations' servers."""

    on_both_loops = True

    async def test_websockets_own_server(self) -> None:
        async def echo(peer: Any) -> None:
            async for message in peer:
                await peer.send(message)

        async with websockets.asyncio.server.serve(echo, "127.0.0.1", 0, max_size=None) as server:
            await ours_to(server.sockets[0].getsockname()[1], says_the_same)

    async def test_aiohttp(self) -> None:
        async def echo(request: aiohttp.web.Request) -> aiohttp.web.WebSocketResponse:
            peer = aiohttp.web.WebSocketResponse(protocols=("realtime",), max_msg_size=0)
            await peer.prepare(request)
            async for message in peer:
                if message.type is aiohttp.WSMsgType.TEXT:
                    await peer.send_str(message.data)
                else:
                    await peer.send_bytes(message.data)
            return peer

        app = aiohttp.web.Application()
        app.router.add_get("/a", echo)
        runner = aiohttp.web.AppRunner(app)
        await runner.setup()
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            await ours_to(runner.addresses[0][1], says_the_same, ("realtime",))
        finally:
            await runner.cleanup()

    async def test_our_own_server(self, served: Served) -> None:
        await ours_to(served.port, says_the_same)

    async def test_wsproto(self) -> None:
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        thread = threading.Thread(target=_wsproto_echo, args=(listening,), daemon=True)
        thread.start()
        await ours_to(listening.getsockname()[1], says_the_same)
        await asyncio.to_thread(thread.join, 20)
        listening.close()


def _wsproto_echo(listening: socket.socket) -> None:
    peer, _ = listening.accept()
    wire = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    with peer:
        while data := peer.recv(65_536):
            wire.receive_data(data)
            for event in wire.events():
                match event:
                    case wsproto.events.Request():
                        peer.sendall(wire.send(wsproto.events.AcceptConnection()))
                    case wsproto.events.Message():
                        kind = type(event)
                        peer.sendall(wire.send(kind(event.data, message_finished=event.message_finished)))
                    case wsproto.events.CloseConnection():
                        peer.sendall(wire.send(event.response()))
                        return
