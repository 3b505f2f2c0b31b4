"""The relay of two sockets: what passes, what is read beside it, and how either's end ends the other."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.upstreams.openai.realtime_events import RealtimeEvents
from adapters.websocket.messages import LOST, NO_CODE, Closed, Piece
from application.endpoints.endpoint_state import Lease
from application.messages import Api
from application.sockets.relay import Ending, Relay
from application.sockets.whole_messages import BEGINNING_BYTES, MOST_BYTES, WholeMessages
from domain.rate_limit.token_estimate import Demand
from domain.routing.route_query import RouteQuery
from tests.unit.dispatch_bench import Bench, good
from tests.unit.fake_socket import OVERLOADED, FakeSocket

DONE = b'{"type":"response.done","response":{"usage":{"input_tokens":20,"output_tokens":10}}}'
CREATED = b'{"type":"response.created"}'


class Line:
    """A client, an endpoint, and the relay between them."""

    def __init__(self, *begun: bytes) -> None:
        self.bench = Bench([good])
        self.client, self.endpoint = FakeSocket(), FakeSocket()
        query = RouteQuery(Demand.of(b"", None), "", "", Api.REALTIME, False, b"")
        lease = self.bench.picture.pool.pick(self.bench.group, query, (), self.bench.clock.now())
        assert lease is not None
        self.lease: Lease = lease
        pieces = [Piece(each, True) for each in begun]
        self.relay = Relay(
            lease,
            self.bench.picture.pool,
            self.bench.picture.health,
            RealtimeEvents(),
            self.bench.clock,
            self.endpoint,
            pieces,
        )
        self.run = asyncio.ensure_future(self.relay.run(self.client))

    @property
    def is_free(self) -> bool:
        return self.lease.state.in_flight == 0 and self.endpoint.is_cut

    async def settled(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


async def test_pieces_pass_as_they_come_after_what_was_said_already() -> None:
    line = Line(b"first")
    fragments = [Piece(b"a", False, True, False), Piece(b"b", False, False, True)]
    line.endpoint.say(*fragments, Closed(1000, "", "peer"))
    line.client.say(b"up")

    await line.run

    assert line.client.sent == [Piece(b"first", True), *fragments]
    assert line.endpoint.sent == [Piece(b"up", True)]


@pytest.mark.parametrize(
    ("closed", "told", "ending"),
    [
        (Closed(1000, "ok", "peer"), (1000, "ok"), Ending(1000, "client")),
        (Closed(NO_CODE, "", "peer"), (NO_CODE, ""), Ending(NO_CODE, "client")),
        (Closed(4001, "ours", "peer"), (4001, "ours"), Ending(4001, "client")),
        (Closed(LOST, "", "peer"), (1001, ""), Ending(LOST, "client")),
        (Closed(1009, "too large", "us"), (1001, ""), Ending(1009, "proxy")),
    ],
)
async def test_the_clients_end_is_told_to_the_endpoint(closed: Closed, told: Any, ending: Ending) -> None:
    line = Line()
    line.client.say(closed)

    assert await line.run == ending
    assert line.endpoint.told == told
    assert line.is_free
    assert line.bench.alarm.told == []


@pytest.mark.parametrize(
    ("closed", "told", "ending"),
    [
        (Closed(1000, "ok", "peer"), (1000, "ok"), Ending(1000, "endpoint")),
        (Closed(1001, "60 minutes", "peer"), (1001, "60 minutes"), Ending(1001, "endpoint")),
        (Closed(LOST, "", "peer"), (1011, "the provider's socket was lost"), Ending(LOST, "endpoint")),
        (Closed(1007, "no text", "us"), (1011, "the provider's socket was lost"), Ending(1007, "proxy")),
    ],
)
async def test_the_endpoints_end_is_told_to_the_client(closed: Closed, told: Any, ending: Ending) -> None:
    line = Line()
    line.endpoint.say(closed)

    assert await line.run == ending
    assert line.client.told == told
    assert line.is_free


@pytest.mark.parametrize(
    ("said", "age_s", "code", "counts"),
    [
        ([], 0, LOST, True),
        ([], 60, LOST, False),
        ([CREATED], 60, LOST, True),
        ([CREATED, DONE], 60, LOST, False),
        ([CREATED], 60, 1011, True),
        ([CREATED], 60, 1001, True),
        ([], 3600, 1001, False),
        ([], 0, 1000, True),
    ],
)
async def test_a_lost_socket_counts_where_something_was_lost_with_it(
    said: Sequence[bytes], age_s: float, code: int, counts: bool
) -> None:
    line = Line()
    line.bench.clock.advance(age_s)
    line.endpoint.say(*said, Closed(code, "", "peer"))

    await line.run

    assert [what for what, _ in line.bench.alarm.told] == (["cooling"] if counts else [])


@pytest.mark.parametrize(
    ("is_asked", "age_s", "counts"), [(True, 60, True), (False, 60, False), (True, 0, True), (False, 0, True)]
)
async def test_a_close_instead_of_any_answer_counts_where_something_was_asked(
    is_asked: bool, age_s: float, counts: bool
) -> None:
    line = Line()
    line.bench.clock.advance(age_s)
    line.client.say(*([b"hello"] if is_asked else []))
    await line.settled()
    line.endpoint.say(Closed(1000, "", "peer"))

    await line.run

    assert [what for what, _ in line.bench.alarm.told] == (["cooling"] if counts else [])


@pytest.mark.parametrize(("first", "told"), [(b'{"type":"session.created"}', []), (OVERLOADED, ["limited"])])
async def test_what_a_silent_endpoint_says_first_shows_how_it_is(first: bytes, told: Sequence[str]) -> None:
    line = Line()
    assert not line.lease.state.is_heard

    line.endpoint.say(first)
    await line.settled()

    assert line.lease.state.is_heard
    assert [what for what, _ in line.bench.alarm.told] == told
    assert line.client.sent == [Piece(first, True)]
    line.client.say(Closed(1000, "", "peer"))
    await line.run


async def test_no_more_is_taken_of_one_side_than_the_other_takes() -> None:
    line = Line()
    line.client.full = asyncio.get_running_loop().create_future()
    line.endpoint.say(b"1", b"2")

    await line.settled()
    assert [piece.data for piece in line.client.sent] == [b"1"]
    line.client.full.set_result(None)
    line.client.full = None
    await line.settled()
    assert [piece.data for piece in line.client.sent] == [b"1", b"2"]
    line.client.say(Closed(1000, "", "peer"))
    await line.run


async def test_turns_are_counted_and_what_they_took_is_charged_until_the_provider_tells_itself() -> None:
    line = Line()
    before = line.lease.bucket.tokens.charged
    limit = b'{"name":"tokens","limit":100,"remaining":50,"reset_seconds":30}'
    told = b'{"type":"rate_limits.updated","rate_limits":[%b]}' % limit
    line.endpoint.say(CREATED, DONE, told, CREATED, DONE, Closed(1000, "", "peer"))

    await line.run

    assert line.relay.turns == 2
    assert line.lease.bucket.tokens.charged == before + 30
    assert line.lease.bucket.tokens.room(line.bench.clock.now()) == 50


async def test_a_stop_waits_for_the_turn_that_runs() -> None:
    line = Line()
    line.endpoint.say(CREATED)
    await line.settled()
    assert line.client.when_stopping is not None
    line.client.when_stopping()
    await line.settled()
    assert not line.run.done()
    line.endpoint.say(DONE)

    assert await line.run == Ending(1001, "proxy")
    assert line.client.told == (1001, "the proxy stops")


async def test_a_stop_without_a_turn_or_without_patience_is_the_end() -> None:
    for is_answering in (False, True):
        line = Line()
        line.endpoint.say(*([CREATED] if is_answering else []))
        await line.settled()
        line.relay.interrupt() if is_answering else line.relay.stop()

        assert await line.run == Ending(1001, "proxy")
        assert line.is_free
        assert line.bench.alarm.told == []


async def test_a_relay_that_is_cancelled_lets_go_of_all() -> None:
    line = Line()
    await line.settled()
    line.run.cancel()
    await asyncio.gather(line.run, return_exceptions=True)

    assert line.is_free


@given(st.lists(st.tuples(st.lists(st.binary(max_size=5), min_size=1, max_size=5), st.booleans()), max_size=8))
def test_messages_are_what_their_pieces_make(messages: list[tuple[list[bytes], bool]]) -> None:
    whole = WholeMessages()
    found = []
    for parts, is_text in messages:
        for number, part in enumerate(parts):
            message = whole.add(Piece(part, is_text, number == 0, number == len(parts) - 1))
            assert (message is None) == (number < len(parts) - 1)
        found.append(message)

    assert found == [b"".join(parts) if is_text else b"" for parts, is_text in messages]


def test_of_a_message_that_is_too_long_only_the_beginning_is_held() -> None:
    whole = WholeMessages()
    half = b"begin" + bytes(MOST_BYTES // 2)
    beginning = half[:BEGINNING_BYTES]

    assert [whole.add(Piece(half, True, n == 0, n == 3)) for n in range(4)] == [None, None, None, beginning]
    assert whole.add(Piece(half + half, True)) == beginning
    assert whole.add(Piece(half + half, False)) == b""
