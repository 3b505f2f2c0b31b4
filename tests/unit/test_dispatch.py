"""The attempt loop over scripted upstreams: who is asked, in which order, after which wait, what the client hears."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec import structs

from adapters.http.server.error_body import status_of
from application.answers import WholeAnswer
from application.attempts.event_stream_answer import EventStreamAnswer
from application.endpoints.endpoint_state import Lease
from application.errors import AllLimited, ProxyError, UpstreamsFailed
from application.messages import RequestTrace
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.rate_limit.limit_reading import Reading, Readings
from domain.rate_limit.token_estimate import Demand
from domain.routing.route_query import RouteQuery
from tests.fakes import FakeClock, FakeReply, HeldClock
from tests.picture import Picture
from tests.unit.dispatch_bench import CONTENT, DONE, GOOD, ROLE, Bench, body_of, good, refused, settled, status, stream


async def test_a_good_first_answer_is_the_answer() -> None:
    bench = Bench([good], [good])

    assert body_of(await bench.ask()) == GOOD
    assert bench.asked == ["e1"]
    assert bench.nothing_is_left()


@pytest.mark.parametrize(
    "bad",
    [
        refused,
        status(500),
        status(408),
        status(409),
        status(401),
        status(404),
        lambda: FakeReply(302, [], (("location", "http://elsewhere/"),)),
        lambda: FakeReply(200, [b""]),
        lambda: FakeReply(200, [b"<html>"]),
        lambda: FakeReply(200, [b'{"choices":', Failure(FailureKind.RESET)]),
        lambda: FakeReply(200, [b'{"error":{"message":"x"}}']),
        status(429, {"code": "rate_limit_exceeded"}),
        status(429, {"code": "insufficient_quota"}),
    ],
)
async def test_a_failed_attempt_goes_to_the_next_endpoint_at_once(bad: Callable[[], FakeReply | Failure]) -> None:
    bench = Bench([bad], [good])

    assert body_of(await bench.ask()) == GOOD
    assert bench.asked == ["e1", "e2"]
    assert bench.clock.slept == []
    assert bench.nothing_is_left()


@pytest.mark.parametrize("code", [400, 415, 422, 451])
async def test_what_the_client_caused_is_returned_at_once_and_changes_nothing(code: int) -> None:
    bench = Bench([status(code, {"type": "invalid_request_error"})], [good])

    answer = await bench.ask()

    assert isinstance(answer, WholeAnswer)
    assert answer.reply.status == code
    assert bench.asked == ["e1"]
    assert bench.alarm.told == []


async def test_with_no_fresh_endpoint_left_it_backs_off_and_tries_again() -> None:
    bench = Bench([status(500), status(500), status(500), good])

    assert body_of(await bench.ask()) == GOOD
    assert bench.asked == ["e1"] * 4
    assert bench.clock.slept == [0.25, 0.5, 1.0], "half of 0.5, 1 and 2 s, as the draw is 0.5"


async def test_no_more_attempts_are_made_than_one_and_num_retries() -> None:
    bench = Bench(*([status(500)] for _ in range(6)), retries=2)

    with pytest.raises(UpstreamsFailed) as told:
        await bench.ask()

    assert bench.asked == ["e1", "e2", "e3"]
    assert status_of(told.value) == 502
    assert told.value.should_retry is False


async def test_a_retry_that_could_not_end_before_the_deadline_is_not_started() -> None:
    bench = Bench([status(500)])

    with pytest.raises(UpstreamsFailed):
        await bench.ask(patience_s=0.2)

    assert bench.asked == ["e1"]
    assert bench.clock.slept == []


async def test_weight_0_serves_only_when_no_other_can() -> None:
    bench = Bench([good, good, refused], [good], weights=[1, 0])
    for _ in range(2):
        await bench.ask()
        assert bench.asked == ["e1"]
    await bench.ask()

    assert bench.asked == ["e1", "e2"]
    await bench.ask()
    assert bench.asked == ["e2"], "e1 is cooling"


async def test_a_dead_endpoint_is_asked_once_per_cooldown() -> None:
    bench = Bench([refused], [good])
    for _ in range(20):
        await bench.ask()

    assert sum(call.url.startswith("http://e1/") for call in bench.upstream.calls) == 1
    bench.clock.advance(61)
    for _ in range(20):
        await bench.ask()
    assert sum(call.url.startswith("http://e1/") for call in bench.upstream.calls) == 2


async def test_a_burst_at_the_start_asks_a_dead_endpoint_once() -> None:
    bench = Bench([refused], [refused], [good])

    answers = await asyncio.gather(*(bench.dispatch(bench.group, bench.request(), RequestTrace()) for _ in range(50)))

    assert all(body_of(answer) == GOOD for answer in answers)
    for dead in ("http://e1/", "http://e2/"):
        assert sum(call.url.startswith(dead) for call in bench.upstream.calls) == 1


async def test_when_all_are_cooling_the_one_that_ends_first_is_tried_anyway() -> None:
    bench = Bench([refused, good], [refused, good], retries=1)
    with pytest.raises(UpstreamsFailed):
        await bench.ask()
    bench.clock.advance(5)

    assert body_of(await bench.ask()) == GOOD
    assert bench.asked == ["e1"]
    assert ("recovered", "e1") in bench.alarm.told


async def test_the_retry_budget_keeps_an_outage_from_being_multiplied() -> None:
    bench = Bench([status(503)], [status(503)])
    with pytest.raises(UpstreamsFailed):
        await bench.ask()
    before = len(bench.upstream.calls)

    asked = [bench.dispatch(bench.group, bench.request(), RequestTrace()) for _ in range(100)]
    results = await asyncio.gather(*asked, return_exceptions=True)

    assert all(isinstance(result, UpstreamsFailed) for result in results)
    assert len(bench.upstream.calls) - before <= 100 + 20 + 10 + 3 * 3


async def test_one_endpoint_dying_under_load_costs_no_client_anything() -> None:
    dies = [good] * 10 + [lambda: FakeReply(200, [Failure(FailureKind.RESET)])]
    bench = Bench(dies, [good], [good])

    answers = await asyncio.gather(*(bench.dispatch(bench.group, bench.request(), RequestTrace()) for _ in range(150)))

    assert all(body_of(answer) == GOOD for answer in answers)


async def test_a_429_does_not_cool_but_rests_the_bucket_for_the_delay_it_named() -> None:
    bench = Bench([status(429, {"code": "rate_limit_exceeded"}, retry_after="9"), good], [good])
    await bench.ask()
    for _ in range(3):
        await bench.ask()
        assert bench.asked == ["e2"]
    bench.clock.advance(9.1)
    asked = []
    for _ in range(2):
        await bench.ask()
        asked += bench.asked

    assert sorted(asked) == ["e1", "e2"]
    assert bench.alarm.told == [("limited", "e1")]


async def test_when_all_are_limited_it_waits_for_the_first_to_recover() -> None:
    bench = Bench(
        [status(429, {"code": "429"}, retry_after="20"), good], [status(429, {"code": "429"}, retry_after="3"), good]
    )

    assert body_of(await bench.ask()) == GOOD
    assert bench.asked == ["e1", "e2", "e2"]
    assert bench.clock.slept == pytest.approx([3.0])


async def test_past_max_wait_the_client_is_told_when_to_come_back() -> None:
    bench = Bench([status(429, {"code": "429"}, retry_after="40")], [status(429, {"code": "429"}, retry_after="50")])

    with pytest.raises(AllLimited) as told:
        await bench.ask()

    assert status_of(told.value) == 429
    assert told.value.retry_after_s == pytest.approx(40)
    assert bench.clock.slept == []


async def test_money_cools_every_endpoint_of_the_account_and_is_relayed_when_it_is_all_there_is() -> None:
    bench = Bench([status(429, {"code": "insufficient_quota", "message": "pay"})])

    answer = await bench.ask()

    assert isinstance(answer, WholeAnswer)
    assert answer.reply.status == 429
    assert answer.final_failure is not None
    assert answer.final_failure.kind is FailureKind.MONEY
    assert bench.alarm.told == [("fault", "e1")]


OVERLOADED = {"type": "service_unavailable_error", "code": "server_is_overloaded"}


@pytest.mark.parametrize("headers", [{}, {"retry_after": "90"}])
async def test_a_client_is_not_told_of_a_limit_where_the_provider_is_overloaded(headers: dict[str, str]) -> None:
    overloaded = status(503, OVERLOADED, **headers)
    bench = Bench([overloaded] * 9, retries=0, max_wait_s=0.0)

    for _ in range(4):  # the first is answered by the provider, the others while it rests
        with pytest.raises(UpstreamsFailed) as told:
            await bench.ask()

        assert (status_of(told.value), told.value.code) == (503, "upstream_overloaded")

    assert told.value.retry_after_s
    assert told.value.should_retry is None
    assert len(bench.upstream.replies) == 1


async def test_an_endpoint_that_is_overloaded_beside_one_that_is_broken_is_no_limit() -> None:
    bench = Bench([refused] * 9, [status(503, OVERLOADED, retry_after="90")], retries=0, max_wait_s=0.0)
    with pytest.raises(UpstreamsFailed):
        await bench.ask()
    with pytest.raises(UpstreamsFailed):
        await bench.ask()
    with pytest.raises(UpstreamsFailed) as told:
        await bench.ask()

    assert (status_of(told.value), told.value.code) == (503, "upstream_overloaded")


@pytest.mark.parametrize("last", [0, 1])
async def test_a_limit_among_overloads_is_told_as_a_limit(last: int) -> None:
    limited, overloaded = status(429, {"code": "429"}, retry_after="40"), status(503, OVERLOADED, retry_after="50")
    bench = Bench([limited], [overloaded], retries=1, max_wait_s=0.0, weights=[1, 5] if last == 0 else [5, 1])
    with pytest.raises(ProxyError):
        await bench.ask()
    with pytest.raises(AllLimited) as told:
        await bench.ask()

    assert status_of(told.value) == 429
    assert bench.asked == []


async def test_a_refused_key_is_never_relayed() -> None:
    bench = Bench([status(401, {"code": "invalid_api_key", "message": "Incorrect API key provided: sk-ab***wxyz"})])

    with pytest.raises(UpstreamsFailed) as told:
        await bench.ask()

    assert status_of(told.value) == 502
    assert told.value.code == "upstream_auth_failed"
    assert "e1" in str(told.value)
    assert "sk-ab" not in str(told.value)


async def test_model_not_found_is_relayed_only_when_all_endpoints_say_so() -> None:
    missing = status(404, {"code": "model_not_found"})

    everywhere = await Bench([missing], [missing]).ask()
    assert isinstance(everywhere, WholeAnswer)
    assert everywhere.reply.status == 404
    with pytest.raises(UpstreamsFailed):
        await Bench([status(500)], [missing], retries=1).ask()


async def test_a_request_over_one_endpoints_limit_is_not_sent_there_again() -> None:
    too_large = status(429, {"code": "rate_limit_exceeded", "message": "Request too large for gpt-4o"})
    bench = Bench([too_large], [too_large])

    answer = await bench.ask()

    assert isinstance(answer, WholeAnswer)
    assert answer.reply.status == 429
    assert bench.asked == ["e1", "e2"]
    assert bench.alarm.told == []


async def test_a_stream_passes_byte_for_byte_and_counts_as_well_done() -> None:
    bench = Bench([stream(ROLE, CONTENT[:20], CONTENT[20:], DONE)])

    assert await bench.text() == ROLE + CONTENT + DONE
    assert bench.nothing_is_left()
    assert bench.alarm.told == []


@pytest.mark.parametrize(
    "bad",
    [
        stream(b'data: {"error":{"message":"boom","type":"server_error"}}\n\n'),
        stream(ROLE, b'data: {"error":{"message":"boom","type":"server_error"}}\n\n'),
        stream(ROLE, Failure(FailureKind.RESET)),
        stream(ROLE),
        stream(),
        stream(b'{"choices":"none"}'),
        stream(b"<html>busy</html>"),
        stream(*[b"<html>" + b"no blank line " * 1000] * 20),
        stream(CONTENT + b'data: {"error":{"message":"boom","type":"server_error"}}\n\n'),
    ],
)
async def test_a_stream_that_fails_before_its_first_content_is_shown_goes_to_the_next_endpoint(
    bad: Callable[[], FakeReply],
) -> None:
    bench = Bench([bad], [stream(CONTENT, DONE)])

    assert await bench.text() == CONTENT + DONE
    assert bench.asked == ["e1", "e2"]
    assert bench.nothing_is_left()


@pytest.mark.parametrize(
    "cut",
    [
        stream(CONTENT, Failure(FailureKind.RESET)),
        stream(CONTENT, CONTENT[:10], Failure(FailureKind.RESET)),
        stream(CONTENT),
        stream(CONTENT, Failure(FailureKind.IDLE_TIMEOUT)),
    ],
)
async def test_a_stream_that_breaks_after_content_ends_with_an_error_event_and_no_done(
    cut: Callable[[], FakeReply],
) -> None:
    bench = Bench([cut], [stream(CONTENT, DONE)])

    text = await bench.text()

    assert text.startswith(CONTENT + b'data: {"error":')
    assert b"[DONE]" not in text
    assert bench.asked == ["e1"]
    assert bench.alarm.told == [("cooling", "e1")]
    assert bench.nothing_is_left()


async def test_the_providers_own_error_after_content_is_relayed_and_none_is_added() -> None:
    error = b'data: {"error":{"message":"boom","type":"server_error"}}\n\n'
    bench = Bench([stream(CONTENT, error)])

    assert await bench.text() == CONTENT + error
    assert bench.alarm.told == [("cooling", "e1")]


async def test_an_error_event_the_sdks_would_not_raise_on_is_followed_by_one_they_do() -> None:
    flat = b'event: error\ndata: {"type":"error","message":"boom","code":"server_error"}\n\n'
    bench = Bench([stream(CONTENT, flat)])

    text = await bench.text()

    assert text.startswith(CONTENT + flat + b'data: {"error":')
    assert b"[DONE]" not in text


async def test_a_client_error_inside_a_stream_is_relayed_verbatim() -> None:
    words = b'{"type":"invalid_request_error","code":"context_length_exceeded"}'
    error = b'event: error\ndata: {"type":"error","error":' + words + b"}\n\n"
    bench = Bench([stream(error)], [stream(CONTENT, DONE)])

    assert await bench.text() == error
    assert bench.asked == ["e1"]
    assert bench.alarm.told == []


async def test_a_first_event_of_any_size_is_still_an_event() -> None:
    large = CONTENT.replace(b"Hi", b"x" * 200_000)
    bench = Bench([stream(*(large[at : at + 9000] for at in range(0, len(large), 9000)), DONE)])

    assert await bench.text() == large + DONE
    assert bench.asked == ["e1"]


async def test_preamble_is_held_only_so_long() -> None:
    def late() -> None:
        bench.clock.advance(6)

    bench = Bench([stream(ROLE, late, ROLE, late, CONTENT, DONE)])

    assert await bench.text() == ROLE + ROLE + CONTENT + DONE


async def test_a_client_that_leaves_leaves_nothing_behind_and_hurts_nobody() -> None:
    started = asyncio.Event()

    class Hanging(FakeReply):
        async def receive(self) -> bytes:
            started.set()
            await asyncio.Event().wait()
            return b""

    bench = Bench([lambda: Hanging(200, [])])
    task = asyncio.ensure_future(bench.ask())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert bench.nothing_is_left()
    assert bench.alarm.told == []
    assert bench.trace.attempts[-1].outcome == "cancelled"  # who left, client or proxy, the request's outcome says


async def test_a_fault_of_the_proxys_is_not_said_to_be_the_clients_leaving() -> None:
    class Faulty(FakeReply):
        async def receive(self) -> bytes:
            raise ZeroDivisionError

    bench = Bench([lambda: Faulty(200, [])])

    with pytest.raises(ZeroDivisionError):
        await bench.ask()
    assert bench.nothing_is_left()
    assert bench.trace.attempts[-1].outcome == "proxy_error"


async def test_a_probe_whose_client_leaves_does_not_block_the_endpoint() -> None:
    bench = Bench([refused, stream(CONTENT, DONE), good], retries=0)
    with pytest.raises(ProxyError):
        await bench.ask()
    bench.clock.advance(61)
    answer = await bench.ask(stream=True)
    assert isinstance(answer, EventStreamAnswer)
    answer.close()

    assert body_of(await bench.ask()) == GOOD


async def test_waiting_for_a_limit_costs_no_retry_budget() -> None:
    limited = status(429, {"code": "429"}, retry_after="1")
    bench = Bench([*[limited] * 60, good])

    asked = [bench.dispatch(bench.group, bench.request(), RequestTrace()) for _ in range(60)]

    assert all(body_of(answer) == GOOD for answer in await asyncio.gather(*asked))


LIMITED_FOR_LONG = status(429, {"code": "429"}, retry_after="20")


async def test_an_endpoint_that_hiccupped_is_asked_again_before_a_limit_is_waited_for_that_takes_longer() -> None:
    bench = Bench([status(500), good], [LIMITED_FOR_LONG, good])
    began = bench.clock.now()

    assert body_of(await bench.ask()) == GOOD
    assert bench.asked == ["e1", "e2", "e1"]
    assert bench.clock.now() - began < 1


async def test_the_last_attempt_is_left_for_the_limit_that_passes() -> None:
    bench = Bench([status(500)] * 9, [LIMITED_FOR_LONG, good])
    began = bench.clock.now()

    assert body_of(await bench.ask()) == GOOD
    assert bench.asked == ["e1", "e2", "e1", "e2"]
    assert bench.clock.now() - began >= 20


async def test_a_limit_that_passes_sooner_than_it_would_be_tried_again_is_waited_for() -> None:
    bench = Bench([status(500), good], [status(429, {"code": "429"}, retry_after="0.3"), good])

    assert body_of(await bench.ask()) == GOOD
    assert bench.asked == ["e1", "e2", "e2"]


async def test_a_limited_endpoint_that_recovers_in_time_is_waited_for_rather_than_hammering_a_dead_one() -> None:
    bench = Bench([refused], [status(429, {"code": "429"}, retry_after="5"), good])

    assert body_of(await bench.ask()) == GOOD
    assert bench.asked == ["e1", "e2", "e2"]


async def test_while_a_limit_runs_too_long_a_dead_endpoint_does_not_make_it_an_outage() -> None:
    bench = Bench([refused], [status(429, {"code": "429"}, retry_after="200")])

    with pytest.raises(AllLimited) as told:
        await bench.ask()

    assert status_of(told.value) == 429


def answered(bench: Bench, lease: Lease, *, well: bool) -> None:
    if well:
        bench.picture.succeeded(lease)
    else:
        bench.picture.failed(lease, Failure(FailureKind.RESET))
    bench.picture.release(lease)


def picked(bench: Bench) -> Lease:
    lease = bench.picture.pick(bench.group, "", Demand(10), ())
    assert lease is not None
    return lease


async def test_three_requests_in_a_row_that_run_out_of_time_without_a_byte_cool_an_endpoint() -> None:
    bench = Bench([good], [good])
    for number in range(3):
        assert bench.alarm.told == [], f"after {number}"
        lease = bench.picture.pick(bench.group, "", Demand(10), ("e2",))
        assert lease is not None
        bench.clock.advance(10)
        bench.picture.failed(lease, Failure(FailureKind.DEADLINE))
        bench.picture.release(lease)

    assert bench.alarm.told == [("cooling", "e1")]


async def test_old_streams_do_not_keep_a_recovered_endpoint_from_its_traffic() -> None:
    bench = Bench([good])
    streams = [picked(bench) for _ in range(20)]
    for lease in streams:
        bench.picture.succeeded(lease)
    answered(bench, picked(bench), well=False)
    bench.clock.advance(61)
    probe = picked(bench)
    bench.picture.succeeded(probe)

    trial = picked(bench)
    assert bench.picture.pick(bench.group, "", Demand(10), ()) is None, "the ramp allows one at a time"
    bench.picture.succeeded(trial)

    assert picked(bench)
    assert picked(bench)


async def test_another_requests_departure_does_not_give_back_a_probes_lease() -> None:
    bench = Bench([good])
    answered(bench, picked(bench), well=False)
    bench.clock.advance(61)
    probe = picked(bench)
    other = bench.picture.pick_last_resort(bench.group, "", Demand(10), ())
    assert other is not None
    bench.picture.release(other)

    assert bench.picture.pick(bench.group, "", Demand(10), ()) is None
    bench.picture.release(probe)
    assert picked(bench)


async def test_an_unknown_endpoint_after_a_fault_of_its_account_does_not_spin() -> None:
    bench = Bench([good])
    old = picked(bench)
    bench.picture.failed(old, Failure(FailureKind.KEY))
    bench.picture.states["e1"].is_heard = False
    bench.clock.advance(301)

    async with asyncio.timeout(5):
        assert body_of(await bench.ask()) == GOOD


async def test_a_request_that_leaves_before_it_is_sent_is_no_attempt() -> None:
    bench = Bench([good])
    first = picked(bench)
    assert await bench.picture.pool.first_contact(first)
    second = asyncio.ensure_future(bench.ask())  # waits for what becomes of the first
    await settled()
    second.cancel()
    await asyncio.wait([second])
    tally = bench.picture.states["e1"].tally
    assert tally.attempts == 0

    bench.picture.release(first)
    assert body_of(await bench.ask()) == GOOD
    assert tally.attempts == 1


async def test_what_was_never_sent_to_an_endpoint_that_turned_out_dead_took_nothing_of_its_limit() -> None:
    group = ModelGroup("g", (Endpoint(id="e", model="m", provider="openai", bucket="b", rpm=10),))
    picture = Picture([group], FakeClock(), reserve=0.0)
    first = picture.pick(group, "", Demand(0), ())
    assert first is not None
    assert await picture.pool.first_contact(first)
    others = [picture.pick(group, "", Demand(0), ()) for _ in range(4)]
    contacts = [asyncio.ensure_future(picture.pool.first_contact(lease)) for lease in others if lease is not None]
    await settled()
    left = first.bucket.requests.level
    picture.failed(first, Failure(FailureKind.CONNECT))

    assert await asyncio.gather(*contacts) == [False] * 4
    assert first.bucket.requests.level == left + 4


@pytest.mark.parametrize("endpoints", [1, 2])
async def test_a_limit_that_passes_where_nobody_is_well_is_waited_for_and_no_longer(endpoints: int) -> None:
    """It waited until `max_wait` for the cooldown to end, and was a 429; without a limit it goes at once."""
    held = HeldClock()
    bench = Bench(*([good] for _ in range(endpoints)), clock=held)
    names = {endpoint.id for endpoint in bench.group.endpoints}
    for name in names:
        lease = bench.picture.pick(bench.group, "", Demand(10), names - {name})
        assert lease is not None
        bench.picture.failed(lease, Failure(FailureKind.RESET))
        bench.picture.failed(lease, Failure(FailureKind.RATE_LIMITED, retry_after_s=2.0))
        bench.picture.release(lease)
    asked = [asyncio.ensure_future(bench.ask()) for _ in range(endpoints)]
    await settled()
    await held.pass_time(1.9)
    assert not bench.asked

    await held.pass_time(0.2)
    await settled()

    assert [body_of(await answer) for answer in asked] == [GOOD] * endpoints


async def test_who_waits_goes_before_who_comes_back_from_an_endpoint_that_failed() -> None:
    async def never(seconds: float) -> None:
        await asyncio.Event().wait()

    def fails_when_the_other_is_free() -> Failure:
        bench.picture.replied(lease, Readings(Reading(60, 1, 59.0)))
        return Failure(FailureKind.RESET)

    bench = Bench([fails_when_the_other_is_free], [good])
    bench.clock.sleep = never  # type: ignore[method-assign]
    taken = bench.picture.pick(bench.group, "", Demand(10), {"e1"})
    assert taken is not None
    lease = taken
    bench.picture.replied(lease, Readings(Reading(60, 0, 60.0)))
    until = bench.clock.now() + 30
    comes = asyncio.ensure_future(bench.ask())
    waits = asyncio.ensure_future(
        bench.waiting.lease(bench.group, RouteQuery(Demand(10), "x"), frozenset({"e1"}), until)
    )
    for _ in range(10):
        await asyncio.sleep(0)

    assert bench.asked == ["e1"]
    assert waits.done()
    for task in (comes, waits):
        task.cancel()


async def hangs_for(bench: Bench, seconds: float) -> None:
    """A client that says how long it waits, leaves when that time is up, and never got a byte."""
    lease = bench.picture.pick(bench.group, "", Demand.of(b"{}", None), ())
    assert lease is not None
    bench.clock.advance(seconds)
    bench.picture.failed(lease, Failure(FailureKind.DEADLINE, "the client's own time-out"))
    bench.picture.release(lease)


async def test_an_endpoint_that_keeps_patient_clients_waiting_in_vain_hangs_and_cools() -> None:
    bench = Bench([good])
    for _ in range(3):
        assert bench.picture.state(bench.group.endpoints[0]).value == "closed"
        await hangs_for(bench, 30)

    assert bench.picture.state(bench.group.endpoints[0]).value == "cooling"


async def test_impatient_clients_say_nothing_of_an_endpoint_that_needs_longer() -> None:
    bench = Bench([good])
    for _ in range(20):
        await hangs_for(bench, 1)

    assert bench.picture.state(bench.group.endpoints[0]).value == "closed"


async def test_a_byte_in_between_shows_that_it_does_not_hang() -> None:
    bench = Bench([good])
    for _ in range(5):
        await hangs_for(bench, 30)
        await hangs_for(bench, 30)
        await bench.ask()

    assert bench.picture.state(bench.group.endpoints[0]).value == "closed"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_attempt_has_no_more_time_than_its_request_and_that_is_what_is_told(stream: bool) -> None:
    late = Failure(FailureKind.FIRST_BYTE_TIMEOUT, "no reply in time")
    bench = Bench([lambda: late], retries=0)
    endpoints = (structs.replace(bench.group.endpoints[0], request_timeout_s=60.0),)
    bench.group = structs.replace(bench.group, endpoints=endpoints)
    with pytest.raises(UpstreamsFailed):
        await bench.ask(stream=stream)

    assert bench.upstream.calls[0].first_byte_timeout_s == pytest.approx(60.0)
    assert bench.trace.attempts[-1].outcome == "deadline_exceeded (no time left for this request)"


async def test_a_stream_that_leaves_half_of_the_clients_time_to_another_endpoint_is_called_slow() -> None:
    late = Failure(FailureKind.FIRST_BYTE_TIMEOUT, "no reply in time")
    bench = Bench([lambda: late], [stream(CONTENT, DONE)])
    answer = await bench.ask(stream=True, patience_s=20.0)
    assert isinstance(answer, EventStreamAnswer)
    answer.close()

    assert bench.upstream.calls[0].first_byte_timeout_s == pytest.approx(10.0)
    assert bench.trace.attempts[0].outcome == "slow_for_client (nothing came within 10.0 s)"


async def test_the_last_attempt_leaves_no_time_to_another_endpoint() -> None:
    bench = Bench([lambda: Failure(FailureKind.FIRST_BYTE_TIMEOUT, "no reply in time")], [good], retries=0)

    with pytest.raises(UpstreamsFailed):
        await bench.ask(stream=True, patience_s=20.0)

    assert bench.upstream.calls[0].first_byte_timeout_s == pytest.approx(bench.group.endpoints[0].first_byte_timeout_s)
