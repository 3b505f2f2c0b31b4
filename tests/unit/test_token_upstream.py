"""Calls with tokens: what goes on the wire, what a 401 leads to, and what becomes of endpoints without a token."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from adapters.upstreams.openai.azure_target import azure_target
from adapters.upstreams.openai.target import Target, openai_target
from application.messages import Headers, UpstreamCall
from application.ports import UpstreamFailed
from application.state.access_tokens import YOUNG_S, TokenSource, TokenUnavailable
from application.state.token_upstream import TokenCall, TokenUpstream
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.health.cooldown import CooldownPolicy, HealthState
from domain.rate_limit.token_estimate import Demand
from domain.retry import RetryPolicy
from domain.routing.route_query import RouteQuery
from tests.fakes import FakeClock, FakeReply, ScriptedUpstream
from tests.picture import Picture
from tests.unit.scripted_tokens import SCOPE, RecordingTokenAlarm, ScriptedTokens, SteppedClock

DEMAND = Demand(1, 0)


def good() -> FakeReply:
    return FakeReply(200, [b"{}"])


def unauthorized() -> FakeReply:
    return FakeReply(401, [b'{"error":{"code":"Unauthorized","message":"token has expired"}}'])


class Heard:
    """Listens for room."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def serve_all(self) -> None:
        self._told.append("room")

    def serve_soon(self, _: object) -> None:
        """Nobody waits for one endpoint alone."""


class Bench:
    """An upstream with tokens before one that is scripted."""

    def __init__(self, *script: Callable[[], FakeReply]) -> None:
        self.clock = SteppedClock()
        self.tokens = ScriptedTokens(self.clock)
        self.source = TokenSource(
            SCOPE, self.tokens, self.clock, lambda: 0.5, RecordingTokenAlarm(), when_missing=lambda _: None
        )
        self.wire = ScriptedUpstream({"http": script})
        self.upstream = TokenUpstream(self.wire, self.clock)

    def call(self, headers: Headers = (("x-a", "1"),)) -> TokenCall:
        return TokenCall.of(
            UpstreamCall("POST", "http://h/v1/p", headers, b"body", 5.0, 10.0, 300.0), self.source, lambda: b"body"
        )

    @property
    def sent(self) -> list[str]:
        return [dict(call.headers)["authorization"] for call in self.wire.calls]


async def test_a_call_goes_out_as_it_is_with_the_token_as_bearer() -> None:
    bench = Bench(good)
    reply = await bench.upstream.send(bench.call())

    assert reply.status == 200
    assert bench.wire.calls == [
        UpstreamCall(
            "POST",
            "http://h/v1/p",
            (("x-a", "1"), ("authorization", "Bearer token-1")),
            b"body",
            5.0,
            10.0,
            300.0,
        )
    ]


async def test_calls_of_endpoints_with_a_key_pass_through() -> None:
    bench = Bench(unauthorized)
    call = UpstreamCall("POST", "http://h/v1/p", (("authorization", "Bearer k"),), b"", 5.0, 10.0, 300.0)
    reply = await bench.upstream.send(call)

    assert reply.status == 401
    assert bench.wire.calls == [call]
    assert bench.tokens.asked == []


async def test_after_a_401_the_token_is_renewed_and_the_request_sent_once_more() -> None:
    bench = Bench(good, unauthorized, good)
    await bench.upstream.send(bench.call())
    await bench.clock.pass_time(YOUNG_S)
    reply = await bench.upstream.send(bench.call())

    assert reply.status == 200
    assert bench.sent == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]
    assert [r.closed for r in bench.wire.replies] == [False, True, False]


async def test_a_second_401_is_the_answer() -> None:
    bench = Bench(good, unauthorized)
    await bench.upstream.send(bench.call())
    await bench.clock.pass_time(YOUNG_S)
    reply = await bench.upstream.send(bench.call())
    again = await bench.upstream.send(bench.call())

    assert (reply.status, again.status) == (401, 401)
    assert not bench.wire.replies[-1].closed
    assert bench.sent == ["Bearer token-1", "Bearer token-1", "Bearer token-2", "Bearer token-2"]


async def test_a_401_whose_token_cannot_be_renewed_is_the_answer_with_its_body() -> None:
    bench = Bench(good, unauthorized)
    await bench.upstream.send(bench.call())
    await bench.clock.pass_time(YOUNG_S)
    bench.tokens.fails = TokenUnavailable("no")
    reply = await bench.upstream.send(bench.call())

    assert reply.status == 401
    assert b"Unauthorized" in await reply.receive()
    assert len(bench.wire.calls) == 2


async def test_a_request_that_is_cancelled_while_its_token_is_renewed_closes_the_reply() -> None:
    bench = Bench(good, unauthorized)
    await bench.upstream.send(bench.call())
    await bench.clock.pass_time(YOUNG_S)
    bench.tokens.gate.clear()
    request = asyncio.ensure_future(bench.upstream.send(bench.call()))
    await bench.clock.pass_time(1)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await bench.source.close()

    assert bench.wire.replies[-1].closed


async def test_the_time_that_a_token_takes_is_the_calls() -> None:
    bench = Bench(good)
    bench.tokens.gate.clear()
    request = asyncio.ensure_future(bench.upstream.send(bench.call()))
    await bench.clock.pass_time(1)
    bench.tokens.gate.set()
    await request

    assert bench.wire.calls[0].first_byte_timeout_s == pytest.approx(9.0, abs=0.1)


async def test_without_a_token_nothing_is_sent() -> None:
    bench = Bench(good)
    bench.tokens.fails = TokenUnavailable("no")
    with pytest.raises(UpstreamFailed) as caught:
        await bench.upstream.send(bench.call())

    assert caught.value.failure.kind is FailureKind.NO_CREDENTIAL
    assert bench.wire.calls == []


def with_azure_endpoint(source: TokenSource) -> Target:
    return azure_target("https://r.openai.azure.com", "d", "2024-10-21", token=source)


def with_base_url(source: TokenSource) -> Target:
    return openai_target("https://r.openai.azure.com/openai/v1", None, token=source)


@pytest.mark.parametrize("make", [with_azure_endpoint, with_base_url])
def test_the_clients_own_credential_stays_here(make: Callable[[TokenSource], Target]) -> None:
    target = make(Bench(good).source)

    assert target.owns_key
    assert target.headers((("x-a", "1"),), (("api-key", "client"), ("authorization", "Bearer c"))) == (("x-a", "1"),)


def group_of(*endpoints: tuple[str, int]) -> ModelGroup:
    made = tuple(Endpoint(id=name, model="m", provider="azure", weight=w, bucket=name) for name, w in endpoints)
    return ModelGroup("g", made, CooldownPolicy(), RetryPolicy())


def picked(picture: Picture, group: ModelGroup, times: int = 4) -> Sequence[str | None]:
    leases = [picture.pick(group, "", DEMAND, ()) for _ in range(times)]
    return [None if lease is None else lease.endpoint.id for lease in leases]


def test_withheld_endpoints_are_passed_over_fallbacks_serve_and_it_ends_at_once() -> None:
    group = group_of(("a", 1), ("b", 1), ("spare", 0))
    told: list[str] = []
    picture = Picture([group], FakeClock())
    picture.signal.listen(Heard(told))

    picture.pool.withhold(["a"], True)
    assert set(picked(picture, group)) == {"b"}
    assert picture.state(group.endpoints[0]) is HealthState.COOLING
    picture.pool.withhold(["b"], True)
    assert set(picked(picture, group)) == {"spare"}
    told.clear()
    picture.pool.withhold(["a", "b"], False)
    assert set(picked(picture, group)) == {"a", "b"}
    assert told == ["room"]


def test_a_lone_endpoint_that_is_withheld_is_tried_all_the_same() -> None:
    group = group_of(("a", 1))
    picture = Picture([group], FakeClock())
    picture.pool.withhold(["a"], True)

    assert picked(picture, group) == [None] * 4
    assert picture.pool.opens_in_s(group.endpoints[0]) > 0
    lease = picture.pick_last_resort(group, "", DEMAND, ())
    assert lease is not None


def test_nobody_waits_for_the_limits_of_an_endpoint_that_is_withheld() -> None:
    group = group_of(("a", 1))
    picture = Picture([group], FakeClock())
    lease = picture.pick(group, "", DEMAND, ())
    assert lease is not None
    picture.failed(lease, Failure(FailureKind.RATE_LIMITED, retry_after_s=10))
    picture.release(lease)

    assert picture.pool.limited_s(group, RouteQuery(DEMAND), ()) == pytest.approx(10, abs=1)
    picture.pool.withhold(["a"], True)
    assert picture.pool.limited_s(group, RouteQuery(DEMAND), ()) is None


def test_the_last_resort_is_an_endpoint_that_can_be_asked() -> None:
    group = group_of(("a", 1), ("b", 1))
    clock = FakeClock()
    picture = Picture([group], clock)
    picture.pool.withhold(["a"], True)
    lease = picture.pick(group, "", DEMAND, ())
    assert lease is not None
    picture.failed(lease, Failure(FailureKind.CONNECT))
    picture.release(lease)
    last = picture.pick_last_resort(group, "", DEMAND, ())

    assert last is not None
    assert last.endpoint.id == "b"


async def test_neither_a_call_nor_a_target_shows_the_token() -> None:
    bench = Bench(good)
    await bench.source.token(1.0)

    assert "token-1" not in f"{bench.call()!r} {with_base_url(bench.source)!r}"


class _ReadUpload:
    """An upload as it is after a call: it was read."""

    length = 4
    begun = True

    async def read(self) -> bytes:
        return b""


async def test_an_upload_that_was_read_is_not_sent_again_but_the_next_call_has_another_token() -> None:
    bench = Bench(good, unauthorized, good)
    upload = UpstreamCall("POST", "http://h/v1/p", (), _ReadUpload(), 5.0, 10.0, 300.0)
    call = TokenCall.of(upload, bench.source, lambda: None)
    await bench.upstream.send(bench.call())
    await bench.clock.pass_time(YOUNG_S)
    refused = await bench.upstream.send(call)
    reply = await bench.upstream.send(bench.call())

    assert (refused.status, reply.status) == (401, 200)
    assert bench.sent == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


async def test_an_upload_that_is_still_held_is_sent_again_with_another_token() -> None:
    bench = Bench(good, unauthorized, good)
    upload = UpstreamCall("POST", "http://h/v1/p", (), _ReadUpload(), 5.0, 10.0, 300.0)
    call = TokenCall.of(upload, bench.source, lambda: b"held")
    await bench.upstream.send(bench.call())
    await bench.clock.pass_time(YOUNG_S)
    reply = await bench.upstream.send(call)

    assert reply.status == 200
    assert bench.sent == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]
