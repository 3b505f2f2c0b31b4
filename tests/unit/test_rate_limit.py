"""The ledger: readings, reservations, refill, and what counts as room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from application.endpoints.bucket import Bucket
from domain.rate_limit.limit_reading import AZURE_REQUEST_SLICE_S, Counting, Reading, Readings, Refill
from domain.rate_limit.limit_report import NO_LIMIT, BucketReport, Charged, ReadingReport
from domain.rate_limit.limit_state import ECHO_S, LimitState
from domain.rate_limit.limit_terms import LimitTerms
from domain.rate_limit.reservation import Ending, Reservation
from domain.rate_limit.room import Room
from domain.rate_limit.throttle import MAX_DELAY_S
from domain.rate_limit.token_estimate import Demand, TokenEstimate, Usage
from tests.bucket_steps import charged, heard, limited, replied, settled, succeeded

NEED = 10.0


def bucket(
    provider: str = "openai", rpm: float | None = None, tpm: float | None = None, reserve: float = 0.02
) -> Bucket:
    return Bucket(provider, rpm, tpm, 0.0, reserve)


def said(bucket: Bucket, requests: Reading = Reading(), tokens: Reading = Reading(), now: float = 0.0) -> Bucket:  # noqa: B008
    """A request is sent at `now`, and its reply says so at once."""
    marks = bucket.charge(NEED, now)
    bucket.read(Readings(requests, tokens), marks, now, now)
    return settled(bucket, marks, Ending.ANSWERED, now)


def test_a_bucket_nothing_is_known_of_has_room() -> None:
    assert bucket().room_for(NEED, 0) is Room.AMPLE
    assert bucket().fits_in_s(NEED, 0) == 0


def test_room_is_what_a_reply_said_less_what_was_sent_since() -> None:
    known = said(bucket(), Reading(100, 50, 30.0))
    for _ in range(20):
        known.charge(NEED, 0.0)

    assert known.requests.room(0.0) == 30


def test_a_reply_to_an_older_request_counts_what_was_sent_after_it() -> None:
    first, old = charged(bucket(), NEED, 0.0)
    for _ in range(5):
        first.charge(NEED, 0.1)

    read = replied(first, Readings(Reading(100, 99, 0.6)), old, 0.0, 0.1)

    assert read.requests.room(0.1) == pytest.approx(100 - 5, abs=1)


def test_a_reading_of_an_older_request_does_not_replace_a_newer_one() -> None:
    state, old = charged(bucket(), NEED, 0.0)
    new = state.charge(NEED, 1.0)
    state.read(Readings(Reading(100, 40, 36.0)), new, 1.0, 2.0)

    assert replied(state, Readings(Reading(100, 90, 6.0)), old, 0.0, 3.0).requests == state.requests


def test_openai_refills_without_pause_and_is_full_at_the_reset() -> None:
    known = said(bucket(), Reading(60, 30, 30.0))

    assert known.requests.room(10.0) == pytest.approx(40)
    assert known.requests.room(30.0) == pytest.approx(60)
    assert known.requests.room(1e6) == 60


def test_a_daily_limit_refills_as_slowly_as_its_reset_says() -> None:
    known = said(bucket(), Reading(200, 0, 86_400.0))

    assert known.requests.room(432.0) == pytest.approx(1)
    assert known.fits_in_s(NEED, 0.0) == pytest.approx(432)


def test_azure_gives_all_back_at_the_end_of_its_window_and_nothing_before() -> None:
    known = said(bucket("azure"), Reading(120, 0, 7.0), Reading(1000, 100, 45.0))

    assert (known.requests.room(6.9), known.tokens.room(44.9)) == (0, 100)
    assert (known.requests.room(7.0), known.tokens.room(45.0)) == (20, 1000)
    assert known.fits_in_s(NEED, 2.0) == pytest.approx(5)


def test_azure_that_only_says_what_remains_is_known_for_one_window_and_unknown_after() -> None:
    known = said(bucket("azure"), Reading(remaining=0))

    assert known.requests.room(AZURE_REQUEST_SLICE_S - 0.1) == 0
    assert known.requests.room(AZURE_REQUEST_SLICE_S) is None
    assert known.room_for(NEED, AZURE_REQUEST_SLICE_S) is Room.AMPLE


@pytest.mark.parametrize("provider", ["openai", "azure"])
@pytest.mark.parametrize("reading", [Reading(remaining=0), Reading(remaining=3), Reading(remaining=0, reset_s=5.0)])
@pytest.mark.parametrize("dimension", ["requests", "tokens"])
def test_a_reading_without_a_limit_keeps_nobody_away_for_long(provider: str, reading: Reading, dimension: str) -> None:
    known = said(bucket(provider), **{dimension: reading})
    for _ in range(6):
        marks = known.charge(NEED, 0.0)
        known.settle(marks, Ending.ANSWERED, 0.0)

    assert known.fits_in_s(NEED, 0.0) <= 10
    assert known.room_for(NEED, 10.0) is Room.AMPLE


def test_absent_and_negative_values_are_unknown_and_never_zero() -> None:
    assert said(bucket("azure"), Reading(), Reading()).room_for(NEED, 0) is Room.AMPLE


@pytest.mark.parametrize(
    ("remaining", "room"), [(0, Room.NONE), (1, Room.SCARCE), (2, Room.SCARCE), (3, Room.AMPLE), (100, Room.AMPLE)]
)
def test_the_reserve_is_kept_while_others_have_room(remaining: float, room: Room) -> None:
    assert said(bucket(), Reading(100, remaining, 60.0)).room_for(NEED, 0.0) is room


def test_too_few_tokens_are_waited_for_shortly_and_asked_for_after_all_if_it_would_take_long() -> None:
    soon = said(bucket(), tokens=Reading(6000, 5, 59.9))
    late = said(bucket("azure"), tokens=Reading(6000, 5, 50.0))

    assert soon.room_for(NEED, 0.0) is Room.NONE
    assert 0 < soon.fits_in_s(NEED, 0.0) < 0.1
    assert late.room_for(NEED, 0.0) is Room.SCARCE, "an estimate does not park an endpoint for a minute"


def test_what_goes_ahead_of_a_request_takes_its_part_of_the_refill_however_much_it_is() -> None:
    state = said(bucket(), tokens=Reading(600, 0, 60.0)).tokens

    assert state.fits_in_s(20.0, 0.0) == pytest.approx(2.0)
    assert state.fits_in_s(20.0, 0.0, ahead=30.0) == pytest.approx(5.0)
    assert state.refills_in_s(9000.0, 0.0, ahead=30.0) == pytest.approx(63.0), "larger than the limit, after the others"


def test_what_goes_ahead_of_a_request_counts_where_its_own_size_does_not() -> None:
    terms = LimitTerms(Counting(Refill.LEAKY), limit=100.0, rate=10.0)
    state = LimitState(-9.0, 0.0, 0.0, 0.0, terms)

    assert state.refills_in_s(500.0, 0.0) == pytest.approx(1.0)
    assert state.refills_in_s(500.0, 0.0, ahead=40.0) == pytest.approx(5.0)


def test_a_request_larger_than_the_limit_may_be_tried_when_all_room_is_there() -> None:
    known = said(bucket(), tokens=Reading(1000, 1000, 0.0))

    assert known.room_for(5000.0, 0.0) is Room.AMPLE


def test_what_never_reached_the_provider_is_given_back_once() -> None:
    known = said(bucket(), Reading(100, 50, 30.0))
    sent, marks = charged(known, NEED, 0.0)

    assert settled(sent, marks, Ending.UNSENT, 0.0).requests.room(0.0) == 50
    assert settled(sent, marks, Ending.ANSWERED, 0.0).requests.room(0.0) == 49


def test_what_a_later_reading_has_counted_is_not_given_back() -> None:
    state, lost = charged(said(bucket(), Reading(100, 50, 30.0)), NEED, 0.0)
    marks = state.charge(NEED, 0.1)
    state.read(Readings(Reading(100, 48, 31.2)), marks, 0.1, 0.1)

    assert settled(state, lost, Ending.UNSENT, 0.1).requests.room(0.1) == 48


@given(st.permutations(range(12)), st.integers(1, 12), st.data())
def test_requests_that_overtake_each_other_do_not_make_room_in_a_window(
    order: list[int], limit: int, data: st.DataObject
) -> None:
    """The provider counts in the order of `order`; replies come in that order, too, each before its room is used."""
    known = said(bucket("azure", reserve=0.0), Reading(limit * 6, limit - 1, 10.0))
    sent: list[Reservation] = []

    def send_what_fits() -> None:
        nonlocal known
        while known.room_for(NEED, 0.1) is not Room.NONE and len(sent) < len(order):
            marks = known.charge(NEED, 0.1 + len(sent) / 1000)
            sent.append(marks)

    send_what_fits()
    for counted, index in enumerate([i for i in order if i < len(sent)], start=1):
        reading = Reading(limit * 6, limit - 1 - counted, float(data.draw(st.integers(9, 10))))
        known.read(Readings(reading), sent[index], 0.1 + index / 1000, 0.2)
        send_what_fits()

    assert len(sent) <= limit - 1


@given(st.permutations(range(12)), st.integers(2, 12))
def test_requests_that_overtake_each_other_make_no_room_where_it_refills_either(order: list[int], limit: int) -> None:
    """All within a moment, in which nothing comes back."""
    known = said(bucket(reserve=0.0), Reading(limit, limit - 1, 60.0 / limit))
    sent: list[Reservation] = []

    def send_what_fits() -> None:
        nonlocal known
        while known.room_for(NEED, 0.001) is not Room.NONE and len(sent) < len(order):
            marks = known.charge(NEED, 0.0005 + len(sent) / 100_000)
            sent.append(marks)

    send_what_fits()
    for counted, index in enumerate([i for i in order if i < len(sent)], start=1):
        left = limit - 1 - counted
        reading = Reading(limit, left, (limit - left) * 60.0 / limit)
        known.read(Readings(reading), sent[index], 0.0005 + index / 100_000, 0.001)
        send_what_fits()

    assert len(sent) <= limit - 1


def test_what_cannot_be_explained_by_what_is_in_flight_is_believed() -> None:
    state, marks = charged(said(bucket(), Reading(60, 0, 60.0)), NEED, 1.0)
    state.read(Readings(Reading(60, 50, 10.0)), marks, 1.0, 1.0)

    assert state.requests.room(1.0) == pytest.approx(50)


def test_what_never_reached_the_provider_comes_back_in_a_window_too() -> None:
    state, lost = charged(said(bucket("azure"), Reading(600, 50, 10.0)), NEED, 0.0)
    marks = state.charge(NEED, 0.1)
    state.read(Readings(Reading(600, 49, 10.0)), marks, 0.1, 0.1)

    assert state.requests.room(0.1) == 48
    assert settled(state, lost, Ending.UNSENT, 0.1).requests.room(0.1) == 49


def test_a_new_window_is_believed_whatever_was_left_of_the_old_one() -> None:
    state, marks = charged(said(bucket("azure"), Reading(600, 0, 1.0)), NEED, 0.6)
    state.read(Readings(Reading(600, 99, 10.0)), marks, 0.6, 0.6)

    assert state.requests.room(0.6) == 99


def test_configured_limits_are_counted_where_no_header_comes() -> None:
    known = bucket(rpm=60, tpm=600)
    for _ in range(60):
        assert known.room_for(1.0, 0.0) is not Room.NONE
        known.charge(1.0, 0.0)

    assert known.room_for(1.0, 0.0) is Room.NONE
    assert known.room_for(1.0, 1.0) is Room.SCARCE


def test_the_429_clock_overrules_what_headers_say_is_left() -> None:
    known = limited(said(bucket("azure"), Reading(50, 45, 10.0)), 3.0, 0.0)

    assert known.room_for(NEED, 2.9) is Room.NONE
    assert known.fits_in_s(NEED, 0.0) == 3.0
    assert known.room_for(NEED, 3.0) is not Room.NONE


def test_estimates_start_at_four_bytes_a_token_and_learn_from_usage() -> None:
    estimate, demand = TokenEstimate(), Demand(text_bytes=400)
    assert estimate.tokens(Demand(400, max_output_tokens=50)) == 150
    for _ in range(100):
        estimate = estimate.after_usage(demand, Usage(prompt_tokens=200, output_tokens=300))

    assert estimate.tokens(demand) == pytest.approx(500, rel=0.01)


def test_attachments_are_counted_and_not_measured() -> None:
    body = b'{"messages":[{"image_url":{"url":"data:image/png;base64,' + b"A" * 100_000 + b'"}}]}'

    demand = Demand.of(body, None)

    assert demand.attachments == 1
    assert demand.text_bytes < 100
    assert TokenEstimate().after_usage(demand, Usage(50_000, 16)).tokens_per_byte == 0.25


@given(st.binary(max_size=300))
def test_no_body_has_less_than_no_text(body: bytes) -> None:
    assert 0 <= Demand.of(body, None).text_bytes <= len(body)


def test_the_newest_reading_and_the_429_clock_are_told_as_they_came() -> None:
    reading = Reading(100, 50, 30.0)
    known = limited(said(said(bucket(), reading, now=1.0), Reading(limit=100), now=2.0), None, 3.0)

    assert bucket().report() == NO_LIMIT
    assert known.report() == BucketReport(4.0, 1, ReadingReport(reading, 1.0))


def test_a_reading_from_elsewhere_is_taken_less_what_was_sent_from_here_since() -> None:
    known = bucket("azure")
    for _ in range(3):
        marks = known.charge(NEED, 1.0)
    taken = heard(known, BucketReport(requests=ReadingReport(Reading(10, 10, 5.0), 1.0)), 2.0, Charged(1.0, 10.0))

    assert taken.requests.room(2.0) == 8
    assert taken.reserved_requests == 3
    assert settled(taken, marks, Ending.UNSENT, 2.0).requests.room(2.0) == 9, "what it could not count comes back"


def test_a_reading_from_elsewhere_refills_from_when_it_was_read() -> None:
    taken = heard(bucket(), BucketReport(requests=ReadingReport(Reading(60, 30, 30.0), -10.0)), 10.0)

    assert taken.requests.room(10.0) == pytest.approx(50)


def test_only_a_newer_reading_replaces_one_of_our_own_and_no_echo_does() -> None:
    known = said(bucket(), Reading(100, 50, 30.0), now=10.0)
    late, older = known.report().shifted(ECHO_S), known.report().shifted(-1.0)

    assert heard(known, known.report(), 11.0) is known
    assert heard(known, late, 11.0) is known
    assert heard(known, older, 11.0) is known
    assert heard(known, BucketReport(requests=ReadingReport(Reading(100, 7, 55.0), 10.5)), 11.0).requests.level < 10


def test_what_was_heard_of_a_bucket_is_not_told_on_until_it_is_found_out_here() -> None:
    report = BucketReport(
        20.0, 1, ReadingReport(Reading(100, 50, 30.0), 10.0), ReadingReport(Reading(100, 50, 30.0), 10.0)
    )
    taken = heard(bucket(), report, 11.0)
    own = Reading(100, 49, 30.0)

    assert taken.report() == NO_LIMIT
    assert succeeded(taken).report() == NO_LIMIT
    assert limited(taken, 1.0, 12.0).report() == NO_LIMIT, "the clock that was heard of runs on"
    assert limited(taken, 30.0, 12.0).report() == BucketReport(42.0, 1)
    assert said(taken, own, now=12.0).report() == BucketReport(requests=ReadingReport(own, 12.0))


def test_the_later_429_clock_counts_and_goes_on_doubling() -> None:
    known = limited(bucket(), 5.0, 0.0)
    later = heard(known, BucketReport(9.0, 3), 1.0)

    assert heard(known, BucketReport(4.0, 3), 1.0) is known
    assert heard(known, known.report().shifted(ECHO_S), 1.0) is known
    assert later.fits_in_s(NEED, 1.0) == 8.0
    assert heard(later, BucketReport(9.0, 3), 1.0) is later
    assert limited(later, None, 10.0).fits_in_s(NEED, 10.0) == 8.0


def test_a_429_clock_that_ended_or_would_never_end() -> None:
    known = bucket()

    assert heard(known, BucketReport(9.0), 10.0) is known
    assert heard(known, BucketReport(1e9), 10.0).fits_in_s(NEED, 10.0) == MAX_DELAY_S


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    "report",
    [
        ReadingReport(Reading(100, NAN, 5.0), 1.0),
        ReadingReport(Reading(100, -1.0, 5.0), 1.0),
        ReadingReport(Reading(INFINITY, 1.0, 5.0), 1.0),
        ReadingReport(Reading(100, 1.0, NAN), 1.0),
        ReadingReport(Reading(100, 1.0, 5.0), NAN),
        ReadingReport(Reading(100, 1.0, 5.0), INFINITY),
        ReadingReport(Reading(100, 1.0, 5.0), 3.0),
        ReadingReport(Reading(100, 1.0, 5.0)),
        ReadingReport(Reading(limit=100), 1.0),
    ],
)
def test_a_reading_from_elsewhere_that_cannot_be_true_changes_nothing(report: ReadingReport) -> None:
    known = bucket()

    assert heard(known, BucketReport(NAN, 0, report, report), 2.0) is known


COUNTS = st.one_of(st.none(), st.floats(0, 1e9))
READINGS = st.builds(Readings, st.builds(Reading, COUNTS, COUNTS, COUNTS), st.builds(Reading, COUNTS, COUNTS, COUNTS))


@given(READINGS, st.sampled_from(["openai", "azure"]), st.floats(0, 1e6), st.floats(0, 1e6))
def test_no_reading_makes_an_endpoint_wait_for_ever(
    readings: Readings, provider: str, sent: float, later: float
) -> None:
    state, marks = charged(bucket(provider), NEED, sent)
    state = replied(state, readings, marks, sent, sent)
    wait_s = state.fits_in_s(NEED, sent)

    assert wait_s >= 0
    assert state.room_for(NEED, sent + later) in Room


class AnyTraffic(RuleBasedStateMachine):
    """A real provider limit, and a ledger that only sees headers, in any order of sending, answering and failing."""

    LIMIT = 20.0

    @initialize(provider=st.sampled_from(["openai", "azure"]))
    def begin(self, provider: str) -> None:
        self.state = bucket(provider, reserve=0.0)
        self.azure = provider == "azure"
        self.now = 0.0
        self.level = self.LIMIT
        self.window_end = AZURE_REQUEST_SLICE_S
        self.running: list[tuple[Reservation, float, Reading]] = []

    def _refill(self) -> None:
        if not self.azure:
            return
        while self.now >= self.window_end:
            self.level, self.window_end = self.LIMIT, self.window_end + AZURE_REQUEST_SLICE_S

    @rule(seconds=st.floats(0, 15))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        if not self.azure:
            self.level = min(self.LIMIT, self.level + seconds * self.LIMIT / 60)
        self._refill()

    @rule()
    def a_request_is_sent_if_there_is_room(self) -> None:
        known = self.state.requests.level is not None
        if self.state.room_for(NEED, self.now) is Room.NONE:
            return
        marks = self.state.charge(NEED, self.now)
        if known:
            assert self.level >= 1 - 1e-6, "the ledger saw room where the provider had none"
        self.level = max(0.0, self.level - 1)
        reset_s = self.window_end - self.now if self.azure else (self.LIMIT - self.level) * 60 / self.LIMIT
        limit = self.LIMIT * 6 if self.azure else self.LIMIT
        self.running.append((marks, self.now, Reading(limit, self.level, reset_s)))

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 50), answers=st.booleans())
    def a_request_ends(self, which: int, answers: bool) -> None:
        marks, sent, reading = self.running.pop(which % len(self.running))
        if answers:
            self.state.read(Readings(requests=reading), marks, sent, self.now)
        self.state.settle(marks, Ending.ANSWERED, self.now)

    @rule()
    def another_replica_sends_and_tells(self) -> None:
        self.time_passes(2 * ECHO_S)
        self.level = max(0.0, self.level - 1)
        reset_s = self.window_end - self.now if self.azure else (self.LIMIT - self.level) * 60 / self.LIMIT
        limit = self.LIMIT * 6 if self.azure else self.LIMIT
        report = BucketReport(requests=ReadingReport(Reading(limit, self.level, reset_s), self.now))
        # All that was sent from here so far is in the reading.
        marks = Charged(self.state.requests.charged, self.state.tokens.charged)
        self.state.take(report, marks, self.now)

        assert self.state.requests.terms.read_at == self.now

    @rule(delay=st.one_of(st.none(), st.floats(-10, 1e6)))
    def it_says_429(self, delay: float | None) -> None:
        self.state = limited(self.state, delay, self.now)

    @invariant()
    def reservations_are_never_negative_and_zero_when_idle(self) -> None:
        assert self.state.reserved_requests == len(self.running)
        assert self.state.reserved_tokens == pytest.approx(10.0 * len(self.running))

    @invariant()
    def no_clock_runs_longer_than_five_minutes(self) -> None:
        assert self.state.throttle.wait_s(self.now) <= MAX_DELAY_S + 1e-6


TestAnyTraffic = AnyTraffic.TestCase


def test_a_gauge_without_refill_of_its_own_takes_the_windows() -> None:
    gauge = LimitState.of(Counting(Refill.WINDOW, 10.0), None, 0.0)

    assert gauge.room(0.0) is None
    assert gauge.fits_in_s(1.0, 0.0) == 0.0
