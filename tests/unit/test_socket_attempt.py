"""One attempt to open a Realtime socket: how long an endpoint that says nothing is waited for."""

import asyncio
from math import inf
from typing import Any

import pytest

from adapters.upstreams.openai.dialect import SocketDialect
from adapters.upstreams.openai.realtime_events import RealtimeEvents
from adapters.upstreams.openai.target import openai_target
from adapters.websocket.messages import Closed, Piece
from application.attempts.opening import AttemptFailed
from application.endpoints.endpoint_state import Lease
from application.held_bytes import HeldBytes
from application.messages import FREE, Api, Binding, ProxyRequest, RequestTrace
from application.socket_ports import OpenedSocket
from application.sockets.attempt import PAUSE_S, SILENCE_S, SocketAnswer, SocketAttempt
from domain.failure import FailureKind
from domain.rate_limit.token_estimate import Demand
from domain.routing.route_query import RouteQuery
from domain.secret import Secret
from tests.fakes import ScriptedUpstream
from tests.unit.dispatch_bench import Bench, good
from tests.unit.fake_socket import OVERLOADED, FakeSocket

HOLD_S, FIRST_BYTE_S, REQUEST_S = 5.0, 120.0, 600.0


class Line:
    """One attempt at one endpoint, which is open."""

    def __init__(
        self, *, is_alone: bool, api: Api = Api.REALTIME, binding: Binding = FREE, hold_s: float = HOLD_S
    ) -> None:
        self.bench = Bench([good])
        self.endpoint = FakeSocket()
        picture, now = self.bench.picture, self.bench.clock.now()
        opened: Any = OpenedSocket((), self.endpoint)
        self.attempt = SocketAttempt(
            picture.pool, picture.health, ScriptedUpstream({"http://e1/": [lambda: opened]}),
            SocketDialect({"e1": openai_target("http://e1/v1", Secret("k"))}), self.bench.clock, hold_s,
            lambda *_: None, HeldBytes(), stream_hold_s=hold_s, events=RealtimeEvents(), propagates=False,
        )  # fmt: skip
        request = ProxyRequest(
            api, "/realtime", "model=g", (), (), b"", "g", None, True, "req", now, method="GET",
            binding=binding,
        )  # fmt: skip
        query = RouteQuery(Demand.of(b"", None), "", "", api, False, b"")
        lease = picture.pool.pick(self.bench.group, query, (), now)
        assert lease is not None
        self.lease: Lease = lease
        sign_by = inf if is_alone else now + REQUEST_S
        self.found = asyncio.ensure_future(self.attempt(lease, request, now + REQUEST_S, sign_by, RequestTrace()))

    async def is_decided_after(self, seconds: float) -> bool:
        for _ in range(10):
            await asyncio.sleep(0)
        self.bench.clock.advance(seconds)
        for _ in range(10):
            await asyncio.sleep(0)
        return self.found.done()

    async def opened(self) -> SocketAnswer:
        answer = await self.found
        assert isinstance(answer, SocketAnswer)
        return answer

    async def failure(self) -> FailureKind:
        outcome = await self.found
        assert isinstance(outcome, AttemptFailed)
        assert self.endpoint.is_cut
        assert self.lease.state.in_flight == 0
        return outcome.failure.kind


async def test_a_client_is_let_in_to_a_silent_endpoint_after_a_while_where_no_other_could_take_over() -> None:
    line = Line(is_alone=True)

    assert not await line.is_decided_after(HOLD_S - 1)
    assert await line.is_decided_after(1)
    await line.opened()
    assert not line.lease.state.is_heard, "it has yet to show how it is"


async def test_where_another_could_it_is_a_failure_of_the_endpoint() -> None:
    line = Line(is_alone=False)

    assert not await line.is_decided_after(FIRST_BYTE_S - 1)
    assert await line.is_decided_after(1)
    assert await line.failure() is FailureKind.FIRST_BYTE_TIMEOUT


async def test_nobody_is_held_back_for_longer_than_a_first_byte_may_take() -> None:
    line = Line(is_alone=True, hold_s=2 * FIRST_BYTE_S)

    assert await line.is_decided_after(FIRST_BYTE_S)
    await line.opened()


@pytest.mark.parametrize(
    ("api", "ids", "seconds"),
    [
        (Api.REALTIME, ("rtc_1",), SILENCE_S),
        (Api.OTHER, (), PAUSE_S),
        (Api.OTHER, ("live_1",), PAUSE_S),
    ],
)
async def test_beside_a_call_that_runs_and_where_nobody_knows_who_begins_silence_is_good_after_a_moment(
    api: Api, ids: tuple[str, ...], seconds: float
) -> None:
    line = Line(is_alone=False, api=api, binding=Binding(ids=ids))

    assert not await line.is_decided_after(0)
    assert await line.is_decided_after(seconds)
    await line.opened()


async def test_half_a_message_is_taken_along() -> None:
    line = Line(is_alone=True)
    line.endpoint.say(Piece(b'{"type":', True, True, False))

    assert await line.is_decided_after(HOLD_S)
    client = FakeSocket()
    relay = asyncio.ensure_future((await line.opened()).relay.run(client))
    line.endpoint.say(Piece(b'"x"}', True, False, True), Closed(1000, "", "peer"))
    await relay

    assert b"".join(piece.data for piece in client.sent) == b'{"type":"x"}'


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (OVERLOADED, FailureKind.OVERLOADED),
        (Closed(1013, "", "peer"), FailureKind.OVERLOADED),
        (Closed(1000, "", "peer"), FailureKind.TRUNCATED),
    ],
)
async def test_a_refusal_within_that_while_is_still_a_failure(said: Any, kind: FailureKind) -> None:
    line = Line(is_alone=True)
    line.endpoint.say(said, *([] if isinstance(said, Closed) else [Closed(1011, "", "peer")]))

    assert await line.failure() is kind
