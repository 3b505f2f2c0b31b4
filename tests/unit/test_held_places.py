"""Each place that keeps bytes for clients counts them in the worker's budget, and gives them back."""

import asyncio
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest

from adapters.http.bodies.body import read_body
from adapters.http.bodies.upload import ClientUpload
from adapters.http.server.connection import Connection
from adapters.http.server.http_server import HttpServer
from application.answers import Answer, WholeAnswer
from application.attempts.reading import read_json, read_whole
from application.caching.single_flight import SharedCall, SingleFlight
from application.held_bytes import SMALL_BYTES, HeldBytes, Holding, TooMuchHeld
from application.messages import Headers, RequestTrace, WholeReply
from application.store_ports import CachedAnswer
from tests.asgi_application import AsgiApplication
from tests.fakes import FakeClock, FakeReply
from tests.unit.http_line import GET, HELD, Line, Wire, echo
from tests.unit.http_line import Holding as Waiting

KIB = 1024
PIECE = b"x" * 100 * KIB


# Bodies.


async def read(budget: HeldBytes, *sizes: int, length: int | None = None) -> tuple[Holding, bytes]:
    """Read a body in pieces of those sizes, the last one with the end."""
    pieces = [{"type": "http.request", "body": b"x" * size, "more_body": True} for size in sizes]
    pieces[-1]["more_body"] = False
    holding = Holding(budget)

    async def receive() -> Any:
        return pieces.pop(0)

    return holding, await read_body(receive, length, 1 << 20, SimpleNamespace(held=holding))


@pytest.mark.parametrize("sizes", [(10,), (1000, 10), (100_000,), (100_000, 70_000, 1)])
async def test_a_body_is_held_until_its_request_is_over(sizes: tuple[int, ...]) -> None:
    budget = HeldBytes(1 << 20)
    holding, body = await read(budget, *sizes)

    assert len(body) == sum(sizes)
    assert budget.held_bytes == holding.held_bytes == (0 if sizes == (10,) else len(body))  # which is not worth it
    holding.close()
    assert budget.held_bytes == 0


async def test_no_more_of_a_body_is_read_than_fits() -> None:
    budget = HeldBytes(8 * 100_000)
    with pytest.raises(TooMuchHeld):
        await read(budget, *[100_000] * 9)

    assert budget.held_bytes == 700_000  # and the request, which is over now, gives it back


async def test_of_an_upload_its_beginning_and_the_piece_that_passes_are_held() -> None:
    sizes = [1000, 500, 70_000, 20]

    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * sizes.pop(0), "more_body": len(sizes) > 0}

    budget = HeldBytes(1 << 20)
    upload = ClientUpload(receive, sum(sizes))
    upload.held = Holding(budget)
    await upload.peek(1001)
    run = upload.upload("")
    held = []
    while await run.read():
        held.append(budget.held_bytes)

    assert held == [1500, 71_500, 1520]
    upload.held.close()
    assert budget.held_bytes == 0


# Connections of clients.


async def test_what_the_application_has_not_taken_is_held() -> None:
    line = Line(app := Waiting())
    await line.feed(GET, HELD + PIECE, PIECE)

    assert line.host.held.held_bytes == 2 * len(PIECE)
    app.answer()
    await line.settle()
    app.answer()
    await line.settle()
    assert line.host.held.held_bytes == 0


async def test_what_is_read_by_the_application_is_not_held_by_its_connection() -> None:
    line = Line(echo)
    await line.feed(HELD + PIECE, PIECE, PIECE[: 300_000 - 2 * len(PIECE)])

    assert len(line.replies("POST")) == 1
    assert line.host.held.held_bytes == 0


async def test_requests_that_are_not_parsed_yet_are_held() -> None:
    line = Line(Waiting())
    await line.feed(GET * 2000)

    assert line.host.held.held_bytes > 1980 * len(GET)
    await line.lose()
    assert line.host.held.held_bytes == 0


async def test_a_head_that_is_not_complete_is_held() -> None:
    line = Line(echo)
    await line.feed(b"GET /a HTTP/1.1\r\nhost: here\r\n", b"x: %b\r\n" % (b"x" * 30_000), b"y: z\r\n")
    assert 30_000 < line.host.held.held_bytes < 31_000
    assert line.host.stalled == [line.connection]

    await line.feed(b"\r\n")
    assert line.host.held.held_bytes == 0
    await line.lose()
    assert not line.host.stalled


@pytest.mark.parametrize("end", ["taken", "lost"])
async def test_what_the_client_does_not_take_is_held(end: str) -> None:
    line = Line(echo)
    line.wire.unsent_bytes = 500_000
    line.connection.pause_writing()

    assert line.host.held.held_bytes == 500_000
    assert line.host.stalled == [line.connection]
    if end == "taken":
        line.connection.resume_writing()
    else:
        await line.lose()
    assert line.host.held.held_bytes == 0
    assert not line.host.stalled


class Crowd:
    """Clients of one server that do not read."""

    def __init__(self, max_bytes: int) -> None:
        self.held = HeldBytes(max_bytes)
        self._socket = socket.socket()
        self.server = HttpServer(AsgiApplication(echo), cast("Any", None), self._socket, 100, held=self.held)
        self.wires: list[Wire] = []
        self.connections: list[Connection] = []

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def come(self) -> Connection:
        connection, wire = Connection(self.server), Wire()
        connection.connection_made(cast("asyncio.Transport", wire))
        self.wires.append(wire)
        self.connections.append(connection)
        return connection

    async def stall(self, connection: Connection, size: int) -> None:
        self.wires[self.connections.index(connection)].unsent_bytes = size
        connection.pause_writing()
        await asyncio.sleep(0)

    @property
    def cut(self) -> list[int]:
        return [number for number, wire in enumerate(self.wires) if "abort" in wire.events]


async def test_when_the_budget_is_spent_clients_that_have_taken_nothing_for_longest_are_cut() -> None:
    with Crowd(8 * 100_000) as crowd:
        clients = [crowd.come() for _ in range(10)]
        for client in clients[:7]:
            await crowd.stall(client, 100_000)
        assert crowd.held.held_bytes == 700_000
        clients[0].resume_writing()
        await crowd.stall(clients[0], 100_000)
        assert crowd.cut == []

        await crowd.stall(clients[7], 150_000)
        assert crowd.cut == [1, 2]
        assert crowd.held.held_bytes == 650_000
        for client in clients:
            client.connection_lost(None)
        assert crowd.held.held_bytes == 0


async def test_a_client_that_has_taken_all_since_is_not_cut() -> None:
    with Crowd(8 * 100_000) as crowd:
        heads = crowd.come()
        heads.data_received(b"GET /a HTTP/1.1\r\nhost: here\r\nx: %b\r\n" % (b"x" * 30_000))
        heads.data_received(b"y: z\r\n")
        heads.data_received(b"\r\n")
        await asyncio.sleep(0)
        await crowd.stall(crowd.come(), 750_000)

        assert crowd.cut == [1]


# Replies of endpoints.


@pytest.mark.parametrize("sizes", [(70_000, 70_000), (1000, 1000, 1000), (70_000,)])
async def test_a_whole_reply_is_held_while_it_is_read(sizes: tuple[int, ...]) -> None:
    budget, seen = HeldBytes(1 << 20), []
    pieces = [piece for size in sizes for piece in (b"x" * size, lambda: seen.append(budget.held_bytes))]

    assert len(await read_whole(FakeReply(200, pieces), budget)) == sum(sizes)
    assert seen[-1] == sum(sizes)
    assert budget.held_bytes == 0


async def test_a_reply_that_does_not_fit_is_read_no_further() -> None:
    budget = HeldBytes(8 * SMALL_BYTES)
    reply = FakeReply(200, [b"x" * SMALL_BYTES] * 20, (("content-type", "application/json"),))
    with pytest.raises(TooMuchHeld):
        await read_whole(reply, budget)
    assert len(reply._pieces) == 12
    assert budget.held_bytes == 0

    small = HeldBytes(4 * SMALL_BYTES)
    with pytest.raises(TooMuchHeld):
        await read_json(FakeReply(200, [b"x" * SMALL_BYTES] * 20, (("content-type", "application/json"),)), small)
    assert small.held_bytes == 0


# Streams that several read.


class Trip:
    """One flight, whose call the test answers."""

    def __init__(self, max_bytes: int) -> None:
        self.budget = HeldBytes(max_bytes)
        self.single_flight = SingleFlight(FakeClock(), self.budget)
        self.call: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    async def ask(self, trace: RequestTrace) -> Answer:
        return await self.call

    async def judge(self, headers: Headers, chunks: tuple[bytes, ...]) -> CachedAnswer | None:
        return None

    async def put(self, answer: CachedAnswer) -> None: ...

    def start(self) -> SharedCall:
        return SharedCall(self.single_flight, "same", self.ask, self.judge, self.put, 0.0, 300_000, None)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_was_asked_is_held_on_when_the_first_client_leaves_the_others() -> None:
    trip = Trip(1 << 20)
    flight = trip.start()
    first, second, third = (asyncio.ensure_future(flight.join()) for _ in range(3))
    await settle()
    assert trip.budget.held_bytes == 0  # each client counts its own
    second.cancel()
    await settle()
    assert trip.budget.held_bytes == 0

    first.cancel()
    await settle()
    assert trip.budget.held_bytes == 300_000
    trip.call.set_result(WholeAnswer(WholeReply(200, (), b"y" * 1000)))
    assert isinstance(await third, WholeAnswer)
    await settle()
    assert trip.budget.held_bytes == 0


async def test_when_all_have_left_nothing_of_it_is_held() -> None:
    trip = Trip(1 << 20)
    flight = trip.start()
    clients = [asyncio.ensure_future(flight.join()) for _ in range(3)]
    await settle()
    for client in clients:
        client.cancel()
        await settle()

    assert trip.budget.held_bytes == 0


async def test_while_the_worker_holds_too_much_nothing_is_recorded() -> None:
    trip = Trip(8 * SMALL_BYTES)
    assert not trip.single_flight.budget.full
    holding = Holding(trip.budget)
    holding.hold(7 * SMALL_BYTES)

    assert trip.single_flight.budget.full
    holding.close()
    assert not trip.single_flight.budget.full
