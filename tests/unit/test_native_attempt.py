"""One attempt to open a Responses socket: what it sends first, how long it holds events back, what headers teach."""

import asyncio
from typing import Any

import pytest

from adapters.upstreams.openai.dialect import SocketDialect
from adapters.upstreams.openai.responses_events import ResponsesEvents
from adapters.upstreams.openai.target import openai_target
from adapters.websocket.messages import Closed, Piece
from application.attempts.opening import AttemptFailed
from application.endpoints.endpoint_state import Lease
from application.held_bytes import HeldBytes
from application.messages import Api, ProxyRequest, RequestTrace
from application.socket_ports import OpenedSocket
from application.sockets.native_attempt import NativeAnswer, NativeAttempt
from domain.failure import FailureKind
from domain.rate_limit.token_estimate import Demand
from domain.routing.route_query import RouteQuery
from domain.secret import Secret
from tests.fakes import FakeReply, ScriptedUpstream
from tests.unit.dispatch_bench import Bench, good
from tests.unit.fake_socket import CREATED, DELTA, OVERLOADED, FakeSocket, in_lane

HOLD_S, FIRST_BYTE_S = 5.0, 120.0
LIMITS = (("x-ratelimit-limit-requests", "100"), ("x-ratelimit-remaining-requests", "7"))


class Line:
    """One attempt at one endpoint, which is open."""

    def __init__(self, answer: Any = None) -> None:
        self.bench = Bench([good])
        self.endpoint = FakeSocket()
        picture = self.bench.picture
        opened: Any = OpenedSocket(LIMITS, self.endpoint)
        upstream = ScriptedUpstream({"http://e1/": [lambda: answer or opened]})
        providers = SocketDialect({"e1": openai_target("http://e1/v1", Secret("k"))})
        self.attempt = NativeAttempt(
            picture.pool, picture.health, upstream, providers, self.bench.clock, HOLD_S, lambda *_: None, HeldBytes(),
            groups={"g": self.bench.group}, stream_hold_s=HOLD_S, events=ResponsesEvents(), propagates=False,
        )  # fmt: skip
        body = b'{"type":"response.create","model":"g","input":"x"}'
        now = self.bench.clock.now()
        self.request = ProxyRequest(
            Api.RESPONSES, "/responses", "", (), (), body, "g", "g", True, "req", now, method="GET"
        )  # fmt: skip
        query = RouteQuery(Demand.of(body, None), "", "", Api.RESPONSES, False, body)
        lease = picture.pool.pick(self.bench.group, query, (), now)
        assert lease is not None
        self.lease: Lease = lease
        self.trace = RequestTrace()
        deadline = now + 600
        self.found = asyncio.ensure_future(self.attempt(lease, self.request, deadline, deadline, self.trace))

    async def settled(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def opened(self) -> NativeAnswer:
        answer = await self.found
        assert isinstance(answer, NativeAnswer)
        return answer

    async def failed(self) -> AttemptFailed:
        outcome = await self.found
        assert isinstance(outcome, AttemptFailed)
        assert self.lease.state.in_flight == 0
        assert self.endpoint.is_cut
        return outcome


async def test_the_turn_is_said_first_and_the_headers_of_the_handshake_are_read() -> None:
    line = Line()
    line.endpoint.say(in_lane(CREATED, "a"), in_lane(DELTA, "a"))

    answer = await line.opened()

    assert line.endpoint.sent == [Piece(b'{"type":"response.create","model":"m","input":"x"}', True)]
    assert line.lease.bucket.requests.room(line.bench.clock.now()) == 7
    assert (answer.turn.lane, answer.relay.is_streaming) == ("a", True)
    assert [(each.endpoint, each.outcome) for each in line.trace.attempts] == [("e1", "ok")]


async def test_what_another_endpoint_could_say_as_well_is_held_back_for_a_while() -> None:
    line = Line()
    line.endpoint.say(CREATED)
    await line.settled()
    line.bench.clock.advance(HOLD_S - 1)
    await line.settled()
    assert not line.found.done()
    line.bench.clock.advance(1)

    await line.opened()


async def test_an_error_within_that_while_is_a_failure_of_the_attempt() -> None:
    line = Line()
    line.endpoint.say(CREATED, OVERLOADED)

    failed = await line.failed()

    assert failed.failure.kind is FailureKind.OVERLOADED
    assert failed.reply is not None
    assert failed.reply.status == 503


async def test_a_response_that_fails_for_what_it_was_asked_passes_as_it_came() -> None:
    line = Line()
    line.endpoint.say(CREATED, b'{"type":"response.failed","response":{"error":{"code":"context_length_exceeded"}}}')

    answer = await line.opened()

    assert answer.relay.is_streaming
    assert not line.endpoint.is_cut


async def test_one_that_fails_for_the_account_is_asked_of_another_and_can_be_shown() -> None:
    line = Line()
    line.endpoint.say(CREATED, b'{"type":"response.failed","response":{"error":{"code":"insufficient_quota"}}}')

    failed = await line.failed()

    assert failed.failure.kind is FailureKind.MONEY
    assert failed.reply is not None
    assert b'"insufficient_quota"' in failed.reply.body


async def test_an_endpoint_that_says_nothing_is_not_waited_for() -> None:
    line = Line()
    await line.settled()
    line.bench.clock.advance(FIRST_BYTE_S)

    assert (await line.failed()).failure.kind is FailureKind.FIRST_BYTE_TIMEOUT


@pytest.mark.parametrize(("code", "kind"), [(1013, FailureKind.OVERLOADED), (1000, FailureKind.TRUNCATED)])
async def test_one_that_closes_instead_failed(code: int, kind: FailureKind) -> None:
    line = Line()
    line.endpoint.say(CREATED, Closed(code, "", "peer"))

    assert (await line.failed()).failure.kind is kind


@pytest.mark.parametrize("status", [400, 404, 405, 426, 501])
async def test_an_endpoint_without_sockets_is_well_for_all_else(status: int) -> None:
    line = Line(FakeReply(status, [b"{}"]))
    outcome = await line.found

    assert isinstance(outcome, AttemptFailed)
    assert outcome.failure.kind is FailureKind.PATH_REFUSED
    assert line.lease.state.takes_all
