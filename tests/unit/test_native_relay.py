"""The relay of a Responses socket: whose turn an event is about, what it books, and when a turn is handed over."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.upstreams.openai.dialect import OpenAIDialect
from adapters.upstreams.openai.responses_events import ResponsesEvents
from adapters.upstreams.openai.target import openai_target
from adapters.websocket.messages import LOST, Closed, Piece
from application.errors import HandedOver, InvalidRequest
from application.messages import Api, ProxyRequest, RequestTrace
from application.sockets import native_relay
from application.sockets.native_relay import NativeRelay
from application.sockets.native_turn import NativeTurn
from application.sockets.relay import Ending
from application.telemetry_ports import CANCELLED
from domain.endpoint import Endpoint
from domain.rate_limit.token_estimate import Demand, Usage
from domain.routing.route_query import RouteQuery
from domain.secret import Secret
from tests.unit.dispatch_bench import Bench, good
from tests.unit.fake_socket import CREATED, DELTA, DONE, INVALID, OVERLOADED, FakeSocket, in_lane


class FakeSpan:
    """Of the one request that there is, and of its attempts."""

    context = ()

    def __init__(self) -> None:
        self.told: list[Any] = []

    def attempt(self, endpoint: Endpoint, api: str, method: str, path: str, *, stream: bool) -> "FakeSpan":
        return self

    def took(self, usage: Usage | None) -> None:
        self.told.append(usage)

    def end(self, *how: Any) -> None:
        self.told.append(how)


class Line:
    """A client, an endpoint among two, and the relay between them."""

    def __init__(self, lane: str = "", *, others: int = 1) -> None:
        self.bench = Bench(*[[good]] * (1 + others), weights=[1] + [0] * others)
        self.client, self.endpoint = FakeSocket(), FakeSocket()
        picture, self.learned = self.bench.picture, list[bytes]()
        providers = OpenAIDialect({each.id: openai_target(f"http://{each.id}/v1", Secret("k")) for each in
                                   self.bench.group.endpoints})  # fmt: skip
        request = self.request()
        query = RouteQuery(Demand.of(request.body, None), "", "", Api.RESPONSES, False, request.body)
        lease = picture.pool.pick(self.bench.group, query, (), self.bench.clock.now())
        assert lease is not None
        lease.state.send()
        self.first = NativeTurn(lease, request, lane, picture.pool, providers, ())
        self.relay = NativeRelay(
            self.bench.group, self.first, lambda _, __, text: self.learned.append(text), providers,
            lease, picture.pool, picture.health, ResponsesEvents(), self.bench.clock, self.endpoint, [],
        )  # fmt: skip
        self.state = picture.states["e1"]
        self.run = asyncio.ensure_future(self.relay.run(self.client))

    def request(self) -> ProxyRequest:
        body = b'{"type":"response.create","model":"g","input":"x"}'
        return ProxyRequest(Api.RESPONSES, "/responses", "", (), (), body, "g", "g", True, "req", 0.0, method="GET")

    def begin(self, lane: str = "", trace: RequestTrace | None = None) -> NativeTurn:
        turn, message = self.relay.begin(self.request(), lane, trace or RequestTrace())
        assert message == b'{"type":"response.create","model":"m","input":"x"}'
        return turn

    async def hears(self, *said: Piece | Closed | bytes) -> list[bytes]:
        """What the client gets of it."""
        before = len(self.client.sent)
        self.endpoint.say(*said)
        for _ in range(20):
            await asyncio.sleep(0)
        return [piece.data for piece in self.client.sent[before:]]

    async def end(self) -> Ending:
        self.client.say(Closed(1000, "", "peer"))
        ending = await self.run
        assert self.state.in_flight == 0
        return ending


async def ended(turn: NativeTurn) -> bool:
    async with asyncio.timeout(1):
        return await turn.flow(lambda _: True)


async def test_each_turn_claims_the_endpoint_until_its_last_event_has_passed() -> None:
    line = Line()
    assert (line.state.in_flight, line.relay.is_streaming) == (1, True)

    assert await line.hears(CREATED, DELTA, DONE) == [CREATED, DELTA, DONE]
    assert (line.state.in_flight, line.relay.is_streaming, line.first.complete) == (0, False, True)
    assert await ended(line.first)
    turn = line.begin()
    assert line.state.in_flight == 1
    await line.hears(DONE)

    assert (turn.complete, line.relay.turns) == (True, 2)
    assert (line.state.tally.attempts, line.state.tally.output_tokens) == (2, 20)
    assert line.learned == [CREATED, DONE, DONE]
    assert await line.end() == Ending(1000, "client")


async def test_turns_of_a_lane_end_in_their_order_and_each_lane_for_itself() -> None:
    line = Line("a")
    second, other = line.begin("a"), line.begin("b")

    await line.hears(in_lane(DONE, "b"))
    assert (line.first.complete, second.complete, other.complete) == (False, False, True)
    await line.hears(in_lane(DONE, "a"))
    assert (line.first.complete, second.complete) == (True, False)
    await line.hears(DONE)  # of an endpoint that knows no lanes
    assert second.complete
    await line.end()


async def test_what_a_turn_takes_that_nobody_asked_for_is_charged() -> None:
    line = Line()
    await line.hears(DONE)
    before = line.first.lease.bucket.tokens.charged

    await line.hears(CREATED, DONE)

    assert line.first.lease.bucket.tokens.charged == before + 30
    assert line.state.tally.output_tokens == 20
    await line.end()


async def test_a_turn_that_the_endpoint_cannot_take_is_handed_over_and_counts() -> None:
    line = Line()
    await line.hears(CREATED, DELTA, DONE)
    turn = line.begin()

    assert await line.hears(CREATED, OVERLOADED) == [CREATED]
    with pytest.raises(HandedOver, match="new socket"):
        await turn.flow(lambda _: True)
    with pytest.raises(HandedOver):
        line.begin()

    assert [what for what, _ in line.bench.alarm.told] == ["limited"]
    assert line.relay.handovers == 2
    line.bench.clock.advance(native_relay.FAREWELL_S)
    assert await line.run == Ending(1001, "proxy")
    assert line.client.told == (1001, "go on with a new socket")
    assert line.state.in_flight == 0


@pytest.mark.parametrize(("said", "others"), [([OVERLOADED], 0), ([DELTA, OVERLOADED], 1), ([INVALID], 1)], ids=str)
async def test_an_error_passes_where_nobody_could_do_better(said: list[bytes], others: int) -> None:
    line = Line(others=others)
    await line.hears(DONE)
    turn = line.begin()

    assert await line.hears(*said) == said
    assert await ended(turn)
    assert turn.failure is not None
    assert line.relay.handovers == 0
    await line.end()


async def test_an_error_about_something_else_does_not_end_a_turn_that_has_begun() -> None:
    line = Line()

    assert await line.hears(CREATED, DELTA, INVALID, DONE) == [CREATED, DELTA, INVALID, DONE]
    assert line.first.complete
    assert line.bench.alarm.told == []
    await line.end()


async def test_an_endpoint_without_room_is_not_asked() -> None:
    line = Line()
    await line.hears(CREATED, DELTA, OVERLOADED)

    with pytest.raises(HandedOver, match="rate limit"):
        line.begin()
    await line.end()


async def test_so_many_turns_wait_and_no_more() -> None:
    line = Line()
    for _ in range(native_relay.MOST_TURNS - 1):
        line.begin()

    with pytest.raises(InvalidRequest, match="wait for one to end"):
        line.begin()
    await line.end()


@pytest.mark.parametrize(("code", "told"), [(LOST, 1011), (1011, 1011), (1000, 1000)])
async def test_a_socket_that_ends_within_turns_fails_them_and_counts_once(code: int, told: int) -> None:
    line = Line()
    second = line.begin()
    await line.hears(CREATED)
    line.endpoint.say(Closed(code, "", "peer"))

    await line.run

    assert line.client.told is not None
    assert line.client.told[0] == told
    for turn in (line.first, second):
        assert turn.failure is not None
        assert await ended(turn)
    assert [what for what, _ in line.bench.alarm.told] == ["cooling"]


async def test_one_that_ends_between_turns_is_nobodys_failure() -> None:
    line = Line()
    await line.hears(CREATED, DONE)
    line.endpoint.say(Closed(LOST, "", "peer"))

    await line.run

    assert line.bench.alarm.told == []


async def test_an_endpoint_that_is_silent_while_a_turn_runs_is_cut_off() -> None:
    line = Line()
    await line.hears(CREATED, DELTA)
    line.bench.clock.advance(200)
    await line.hears(DELTA)
    line.bench.clock.advance(200)
    assert not line.endpoint.is_cut

    line.bench.clock.advance(300)
    assert line.endpoint.is_cut
    line.endpoint.say(Closed(LOST, "", "peer"))
    await line.run

    assert line.first.error == "idle_timeout"


async def test_an_endpoint_may_be_silent_as_long_as_no_turn_runs() -> None:
    line = Line()
    await line.hears(DONE)
    line.bench.clock.advance(3000)
    line.begin()
    line.bench.clock.advance(200)

    assert not line.endpoint.is_cut
    await line.end()


async def test_a_stop_takes_no_more_turns_and_ends_with_the_last() -> None:
    line = Line()
    second = line.begin()
    line.relay.stop()

    with pytest.raises(HandedOver, match="restarted"):
        line.begin()
    await line.hears(DONE)
    assert not line.run.done()
    await line.hears(DONE)

    assert second.complete
    assert await line.run == Ending(1001, "proxy")


async def test_a_turn_that_nobody_waits_for_any_more_ends_the_socket() -> None:
    line = Line()
    line.first.close()

    assert await line.run == Ending(1001, "proxy")
    assert line.state.in_flight == 0


async def test_the_span_of_a_turn_ends_with_it() -> None:
    line = Line()
    spans = [FakeSpan(), FakeSpan()]
    await line.hears(DONE)

    line.begin(trace=RequestTrace(span=spans[0]))
    await line.hears(DONE)
    line.begin(trace=RequestTrace(span=spans[1])).close()
    await line.run

    assert spans[0].told == [Usage(20, 10), (200, "")]
    assert spans[1].told == [None, (200, CANCELLED)]


SAID = st.sampled_from([CREATED, DELTA, DONE, OVERLOADED, INVALID, b"junk"])
LANES = st.sampled_from(["", "a", "b"])


@given(st.lists(st.tuples(LANES, st.none() | SAID), max_size=30), st.sampled_from([LOST, 1000, 1011]), st.booleans())
def test_whatever_is_said_every_turn_ends_and_nothing_is_kept(
    steps: list[tuple[str, bytes | None]], code: int, is_endpoints: bool
) -> None:
    async def play() -> None:
        line = Line()
        turns, handed_over = [line.first], 0
        for lane, said in steps:
            if said is not None:
                await line.hears(in_lane(said, lane) if lane and said != b"junk" else said)
                continue
            try:
                turns.append(line.begin(lane))
            except HandedOver:
                handed_over += 1
        end = Closed(code, "", "peer")
        line.endpoint.say(end) if is_endpoints else line.client.say(end)
        async with asyncio.timeout(5):
            await line.run
        for turn in turns:
            try:
                assert await ended(turn)
            except HandedOver:
                handed_over += 1
        assert handed_over == line.relay.handovers
        assert line.state.in_flight == 0

    asyncio.run(play())
