"""Single flight: one upstream call for all who ask the same, whoever of them leaves."""

import asyncio

import pytest

from application.answers import Answer, WholeAnswer
from application.caching.replay_buffer import MAX_RECORDING_BYTES, STALL_S, WINDOW_BYTES
from application.caching.shared_stream import SharedStream, TooSlow
from application.caching.single_flight import FINISH_S, SharedCall, SingleFlight
from application.errors import ProxyError
from application.held_bytes import HeldBytes
from application.messages import Headers, RequestTrace, WholeReply
from application.store_ports import CachedAnswer, Shape
from domain.failure import Failure, FailureKind
from tests.fakes import FakeClock
from tests.flows import next_piece
from tests.unit.live_stream import LiveStream, settled

HELD_BACK = 10_000
"""More pieces than may be held ahead of a slow client."""


class Airfield:
    """Flights whose one upstream call the test answers."""

    def __init__(self, max_held_bytes: int = 64 << 20) -> None:
        self.clock = FakeClock()
        self.single_flight = SingleFlight(self.clock, HeldBytes(), max_held_bytes)
        self.calls: list[asyncio.Future[Answer]] = []
        self.kept: list[tuple[bytes, ...]] = []
        self.judging, self.store = asyncio.Event(), asyncio.Event()
        self.judging.set()
        self.store.set()
        self.keeps = True
        self.breaks = False
        self.spared: list[int] = []

    async def ask(self, trace: RequestTrace) -> Answer:
        call: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.calls.append(call)
        return await call

    async def judge(self, headers: Headers, chunks: tuple[bytes, ...], _: RequestTrace) -> CachedAnswer | None:
        await self.judging.wait()
        return CachedAnswer(Shape(), (), chunks, 0.0) if self.keeps else None

    async def put(self, answer: CachedAnswer) -> None:
        await self.store.wait()
        if self.breaks:
            raise RuntimeError("can't start new thread")
        self.kept.append(answer.chunks)

    def flight(self) -> SharedCall:
        found = self.single_flight.under_way("same", self.clock.now())
        asked = (self.ask, self.judge, self.put, self.clock.now(), 0, lambda _, times: self.spared.append(times))
        return found or SharedCall(self.single_flight, "same", *asked)

    async def clients(self, count: int) -> list[asyncio.Task[Answer]]:
        tasks = [asyncio.ensure_future(self.flight().join()) for _ in range(count)]
        await settled()
        return tasks

    async def streams(self, count: int) -> tuple[LiveStream, list[SharedStream]]:
        tasks = await self.clients(count)
        live = LiveStream()
        self.calls[-1].set_result(live)
        seats = [await task for task in tasks]
        return live, [subscriber for subscriber in seats if isinstance(subscriber, SharedStream)]


async def for_ever(seconds: float) -> None:
    await asyncio.Event().wait()


def whole(body: bytes = b"{}", status: int = 200) -> WholeAnswer:
    return WholeAnswer(WholeReply(status, (), body))


async def text(subscriber: SharedStream) -> bytes:
    parts = bytearray()
    while piece := await next_piece(subscriber):
        parts += piece
    subscriber.close()
    return bytes(parts)


async def test_two_hundred_clients_make_one_call_and_all_get_its_answer() -> None:
    field = Airfield()
    clients = await field.clients(200)
    answer = whole()
    field.calls[0].set_result(answer)

    assert all(got is answer for got in await asyncio.gather(*clients))
    assert len(field.calls) == 1


async def test_the_first_ten_may_leave() -> None:
    field = Airfield()
    clients = await field.clients(200)
    for client in clients[:10]:
        client.cancel()
    await settled()
    answer = whole()
    field.calls[0].set_result(answer)

    assert all(got is answer for got in await asyncio.gather(*clients[10:]))
    assert len(field.calls) == 1


async def test_when_the_last_one_leaves_the_call_ends_and_the_next_client_makes_a_new_one() -> None:
    field = Airfield()
    clients = await field.clients(3)
    for client in clients:
        client.cancel()
    await settled()

    assert field.calls[0].cancelled()
    await field.clients(1)
    assert len(field.calls) == 2
    assert field.single_flight.budget.held_bytes == 0


async def test_an_error_reaches_everybody_and_is_not_kept() -> None:
    field = Airfield()
    clients = await field.clients(5)
    field.calls[0].set_exception(ProxyError("no endpoint"))

    for client in clients:
        with pytest.raises(ProxyError, match="no endpoint"):
            await client
    await field.clients(1)
    assert len(field.calls) == 2
    assert not field.kept


async def test_an_upstreams_own_error_reply_is_shared_and_not_kept() -> None:
    field = Airfield()
    clients = await field.clients(2)
    field.calls[0].set_result(WholeAnswer(WholeReply(400, (), b"bad"), Failure(FailureKind.CLIENT)))
    answers = await asyncio.gather(*clients)
    await settled()

    assert [answer.reply.status for answer in answers if isinstance(answer, WholeAnswer)] == [400, 400]
    assert not field.kept


async def test_a_fault_of_our_own_reaches_everybody_too() -> None:
    field = Airfield()
    clients = await field.clients(2)
    field.calls[0].set_exception(KeyError("bug"))

    for client in clients:
        with pytest.raises(KeyError):
            await client


async def test_who_comes_later_gets_the_stream_from_its_start_and_goes_on_live() -> None:
    field = Airfield()
    live, (first,) = await field.streams(1)
    live.feed(b"a", b"b")
    assert [await next_piece(first), await next_piece(first)] == [b"a", b"b"]
    late = await field.flight().join()
    assert isinstance(late, SharedStream)
    live.feed(b"c", b"")

    assert await text(late) == b"abc"
    assert await text(first) == b"c"
    await settled()
    assert field.kept == [(b"a", b"b", b"c")]
    assert live.closed
    assert field.single_flight.budget.held_bytes == 0


async def test_a_stream_goes_on_for_the_others_when_the_first_client_leaves() -> None:
    field = Airfield()
    live, (first, second) = await field.streams(2)
    live.feed(b"a")
    assert await next_piece(first) == b"a"
    first.close()
    live.feed(b"b", b"")

    assert await text(second) == b"ab"
    assert await next_piece(first) == b""


async def test_a_stream_nobody_listens_to_is_closed_and_not_kept() -> None:
    field = Airfield()
    live, seats = await field.streams(2)
    live.feed(b"a")
    for subscriber in seats:
        subscriber.close()
    await settled()

    assert live.closed
    assert not field.kept
    assert field.single_flight.budget.held_bytes == 0


async def test_what_clients_leave_at_its_last_event_is_kept_though_its_end_comes_later() -> None:
    field = Airfield()
    live, (subscriber,) = await field.streams(1)
    live.feed(b"a", b"[DONE]")
    assert [await next_piece(subscriber), await next_piece(subscriber)] == [b"a", b"[DONE]"]
    live.complete = True
    subscriber.close()
    await settled()

    assert not live.closed
    joined = await field.flight().join()
    assert isinstance(joined, SharedStream)
    live.feed(b"")
    assert await text(joined) == b"a[DONE]"
    await settled()
    assert field.kept == [(b"a", b"[DONE]")]


async def test_its_end_is_not_waited_for_for_long() -> None:
    field = Airfield()
    live, (subscriber,) = await field.streams(1)
    live.feed(b"a", b"[DONE]")
    await next_piece(subscriber)
    await next_piece(subscriber)
    live.complete = True
    subscriber.close()
    await settled()
    assert not live.closed
    field.clock.advance(FINISH_S)
    await settled()

    assert live.closed
    assert field.kept == [(b"a", b"[DONE]")]
    assert field.single_flight.budget.held_bytes == 0


async def test_a_broken_stream_is_shared_to_its_error_and_not_kept() -> None:
    field = Airfield()
    live, (first, second) = await field.streams(2)
    live.failure = Failure(FailureKind.RESET)
    live.feed(b"a", b"error", b"")

    assert await text(first) == b"aerror"
    assert await text(second) == b"aerror"
    assert first.failure is live.failure
    await settled()
    assert not field.kept


async def test_a_stream_that_crashes_raises_for_everybody_after_what_had_come() -> None:
    field = Airfield()
    live, (first,) = await field.streams(1)
    live.feed(b"a", KeyError("bug"))

    assert await next_piece(first) == b"a"
    with pytest.raises(KeyError):
        await next_piece(first)
    assert live.closed


async def test_one_clients_error_frame_does_not_end_the_stream_of_the_others() -> None:
    field = Airfield()
    live, (first, second) = await field.streams(2)

    assert first.error_frame("stopping", "proxy_shutting_down") == b"error proxy_shutting_down"
    assert await next_piece(first) == b""
    live.feed(b"a", b"")
    assert await text(second) == b"a"


async def test_a_good_answer_can_be_joined_until_it_is_in_the_cache_and_then_only_by_who_looked_before() -> None:
    field = Airfield()
    field.store.clear()
    client = (await field.clients(1))[0]
    answer = whole()
    field.calls[0].set_result(answer)
    await client

    entry = await field.flight().kept()
    assert entry is not None
    assert entry.chunks == (answer.reply.body,)
    looked = field.clock.now()
    field.clock.advance(0.05)
    field.clock.sleep = for_ever  # type: ignore[method-assign]
    field.store.set()
    await settled()
    assert field.single_flight.under_way("same", looked) is not None
    assert field.single_flight.under_way("same", field.clock.now()) is None


async def test_who_comes_while_an_answer_is_judged_learns_whether_it_is_kept() -> None:
    field = Airfield()
    field.judging.clear()
    field.keeps = False
    client = (await field.clients(1))[0]
    field.calls[0].set_result(whole())
    await client
    waiting = asyncio.ensure_future(field.flight().kept())
    await settled()

    assert not waiting.done()
    field.judging.set()
    assert await waiting is None
    await settled()
    assert field.single_flight.under_way("same", field.clock.now()) is None


async def test_a_store_that_breaks_does_not_make_the_answer_immortal() -> None:
    field = Airfield()
    field.breaks = True
    flight = field.flight()
    client = asyncio.ensure_future(flight.join())
    await settled()
    field.calls[0].set_result(whole())
    await client
    await settled()

    assert field.single_flight.under_way("same", field.clock.now()) is None
    assert field.single_flight.budget.held_bytes == 0
    with pytest.raises(RuntimeError):
        await flight._task


async def test_who_boards_at_the_moment_the_last_one_leaves_makes_a_call_of_its_own() -> None:
    field = Airfield()
    (first,) = await field.clients(1)
    first.cancel()
    await asyncio.sleep(0)
    answer = whole()
    (second,) = await field.clients(1)
    field.calls[-1].set_result(answer)

    assert await second is answer
    assert len(field.calls) == 2


async def test_a_client_that_takes_nothing_is_left_behind_when_others_wait_for_it() -> None:
    field = Airfield(max_held_bytes=1)
    live, (fast, stalled) = await field.streams(2)
    live.feed(*[b"x" * 4096] * 100, b"")

    taken = asyncio.ensure_future(text(fast))
    for _ in range(100):
        await settled()
    field.clock.advance(STALL_S)
    assert len(await taken) == 100 * 4096
    with pytest.raises(TooSlow):
        await next_piece(stalled)
    assert field.single_flight.budget.held_bytes == 0


async def test_an_answer_that_is_not_kept_cannot_be_joined_any_more() -> None:
    field = Airfield()
    field.keeps = False
    client = (await field.clients(1))[0]
    field.calls[0].set_result(whole())
    await client
    await field.clients(1)

    assert len(field.calls) == 2


async def test_a_stream_too_long_to_record_passes_at_the_pace_of_its_slowest_client() -> None:
    field = Airfield()
    live, (fast, slow) = await field.streams(2)
    piece = b"x" * 4096
    pieces = MAX_RECORDING_BYTES // len(piece) + HELD_BACK
    live.feed(*[piece] * pieces, b"")
    taken = 0

    async def listen() -> None:
        nonlocal taken
        while await next_piece(fast):
            taken += 1

    listener = asyncio.ensure_future(listen())
    for _ in range(pieces):
        await asyncio.sleep(0)
    assert taken < pieces
    assert field.single_flight.under_way("same", field.clock.now()) is None
    assert len(await text(slow)) == pieces * len(piece)
    await listener

    assert taken == pieces
    await settled()
    assert not field.kept
    assert field.single_flight.budget.held_bytes == 0


async def test_one_client_alone_bounds_what_is_read_ahead_of_it() -> None:
    field = Airfield(max_held_bytes=1)
    live, (subscriber,) = await field.streams(1)
    piece = b"x" * 1024
    live.feed(*[piece] * HELD_BACK, b"")
    for _ in range(HELD_BACK):
        await asyncio.sleep(0)

    assert live.taken <= WINDOW_BYTES // len(piece) + 2
    assert len(await text(subscriber)) == HELD_BACK * len(piece)


async def test_memory_is_given_back_when_the_last_slow_reader_of_a_landed_stream_leaves() -> None:
    field = Airfield()
    live, (fast, slow) = await field.streams(2)
    live.feed(b"abc", b"")
    await text(fast)
    await settled()

    assert field.single_flight.budget.held_bytes == 3
    slow.close()
    assert field.single_flight.budget.held_bytes == 0


async def test_each_piece_goes_to_those_who_wait_for_it_at_the_moment_it_comes() -> None:
    field = Airfield()
    live, seats = await field.streams(2)
    takers: list[object] = []

    def take(piece: bytes) -> bool:
        takers.append(asyncio.current_task())
        return True

    flows = [asyncio.ensure_future(subscriber.flow(take)) for subscriber in seats]
    await settled()
    live.feed(b"a", b"b", b"")

    assert await asyncio.gather(*flows) == [True, True]
    assert len(set(takers)) == 1  # that of the flight
    assert len(takers) == 4
    assert not {*takers} & {*flows}


async def test_a_reader_that_breaks_ends_its_own_flow_and_no_other() -> None:
    field = Airfield()
    live, (bad, good) = await field.streams(2)

    def take(piece: bytes) -> bool:
        raise KeyError("bug")

    flow = asyncio.ensure_future(bad.flow(take))
    await settled()
    live.feed(b"a", b"b", b"")

    assert await text(good) == b"ab"
    with pytest.raises(KeyError):
        await flow


async def test_those_who_get_an_answer_spare_all_calls_but_one() -> None:
    field = Airfield()
    clients = await field.clients(20)
    for client in clients[:10]:
        client.cancel()
    await settled()
    assert not field.spared
    field.calls[0].set_result(whole())
    await asyncio.gather(*clients[10:])

    assert field.spared == [9]


async def test_one_client_alone_spares_no_call() -> None:
    field = Airfield()
    (client,) = await field.clients(1)
    field.calls[0].set_result(whole())
    await client

    assert not field.spared


async def test_of_a_stream_those_spare_calls_who_stay_until_it_is_complete() -> None:
    field = Airfield()
    live, (early, one, other, last) = await field.streams(4)
    live.feed(b"a")
    await settled()
    early.close()
    live.complete = True
    one.close()
    live.feed(b"[DONE]", b"")
    await asyncio.gather(text(other), text(last))

    assert field.spared == [2]
