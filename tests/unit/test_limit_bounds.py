"""No number from outside shuts a bucket: charges, levels, waits and what is learned stay within bounds, whatever is
asked for and whatever providers and other replicas say."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from adapters.stores.report_codec import decode_report, encode_report
from adapters.upstreams.openai.rate_limit_headers import readings
from application.endpoints.bucket import Bucket
from application.endpoints.endpoint_state import Lease
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.rate_limit.limit_reading import Reading, Readings
from domain.rate_limit.limit_report import BucketReport, Charged, ReadingReport
from domain.rate_limit.limit_state import LimitState
from domain.rate_limit.reservation import Ending
from domain.rate_limit.room import Room
from domain.rate_limit.token_estimate import Demand, TokenEstimate, Usage
from domain.replica_report import ReplicaReport
from domain.routing.route_query import RouteQuery
from tests.bucket_steps import charged, heard, limited, replied, settled
from tests.fakes import FakeClock
from tests.picture import Picture

MINUTE_S = 60.0
DAY_S = 86_400.0
LONGEST_CLOCK_S = 300.0
MOST_TOKENS = 1e8
MOST_OUTPUT = 1e6
SMALL = Demand(text_bytes=40, max_output_tokens=50)

COUNTS = [0.0, 0.5, 1.0, 60.0, 30_000.0, 1e12, 1e15, 1e18, 1e300, -1.0, -1e18, math.inf, -math.inf, math.nan]
SECONDS = [0.0, 1e-300, 1e-9, 1.0, 60.0, DAY_S, 1e9, 1e18, 1e300, -1.0, -1e18, math.inf, -math.inf, math.nan]
ASKED = st.sampled_from([None, 0, 50, 30_000, 128_000, 10**12, 10**18, 2**63 - 1])
READING = st.builds(
    Reading,
    limit=st.none() | st.sampled_from(COUNTS),
    remaining=st.none() | st.sampled_from(COUNTS),
    reset_s=st.none() | st.sampled_from(SECONDS),
    is_bare=st.booleans(),
)
WORDS = "0 1 60 29999 30000 0.5 1e12 1e18 -1 -1e18 nan inf 1s 1ns 1d 6m0s 24h0m0s 86400 999999h 0s 20ms"
HEADER = st.none() | st.sampled_from([*WORDS.split(" "), "9" * 40, "9" * 400])
HEADERS = st.fixed_dictionaries(
    {f"x-ratelimit-{what}-{of}": HEADER for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")}
)
USAGE = st.builds(Usage, *[st.sampled_from([0, 1, 10, 10**6, 10**9, 10**12, 10**18, 10**400, -1, -(10**18)])] * 2)
REPORTS = st.builds(
    BucketReport,
    limited_until=st.none() | st.sampled_from(SECONDS),
    unexplained=st.sampled_from([0, 1, 10**9, 10**18, -1]),
    requests=st.builds(ReadingReport, READING, st.none() | st.sampled_from(SECONDS)),
    tokens=st.builds(ReadingReport, READING, st.none() | st.sampled_from(SECONDS)),
)


def check_gauge(gauge: LimitState, now: float) -> None:
    room, limit = gauge.room(now), gauge.terms.limit
    assert math.isfinite(gauge.charged)
    if room is not None:
        assert math.isfinite(room)
        assert limit is None or -limit <= room <= limit
        assert limit is not None or room >= -1e12


class AnyHostility(RuleBasedStateMachine):
    """Requests of any size come and end in any way, replies and other replicas say anything, time passes."""

    @initialize(
        provider=st.sampled_from(["openai", "azure"]),
        rpm=st.sampled_from([None, 1, 60]),
        tpm=st.sampled_from([None, 1, 30_000]),
    )
    def begin(self, provider: str, rpm: int | None, tpm: int | None) -> None:
        self.clock = FakeClock()
        self.endpoint = Endpoint(
            id="e", model="m", provider=provider, bucket="b", account="a", identity="i", rpm=rpm, tpm=tpm
        )
        self.group = ModelGroup("g", (self.endpoint,))
        self.picture = Picture([self.group], self.clock)
        self.running: list[Lease] = []
        self.longest_s = MINUTE_S
        """The longest that anybody may be kept away, by what the provider itself said."""

    def bucket(self) -> Bucket:
        return self.picture.ledger.seen(self.endpoint, "")

    @rule(seconds=st.sampled_from([0.0, 0.001, 1.0, 59.0, 61.0, 1e5]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(asked=ASKED, text_bytes=st.sampled_from([1, 40, 10**6, 10**9, 10**12]))
    def a_request_comes(self, asked: int | None, text_bytes: int) -> None:
        before = self.bucket().tokens
        lease = self.picture.pick(self.group, "", Demand(text_bytes, max_output_tokens=asked), ())
        if lease is None:
            return
        self.running.append(lease)
        charged, limit = self.bucket().tokens.charged - before.charged, before.terms.limit
        assert 0 <= charged <= min(MOST_TOKENS, limit or MOST_TOKENS) + 0.1

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 9), headers=HEADERS)
    def a_reply_says(self, which: int, headers: dict[str, str | None]) -> None:
        lease = self.running[which % len(self.running)]
        said = readings(tuple((name, text) for name, text in headers.items() if text is not None))
        self.picture.replied(lease, said)
        for reading in (said.requests, said.tokens):
            if reading.remaining is not None and reading.remaining < 1:
                self.longest_s = max(self.longest_s, reading.reset_s or 0.0)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 9), usage=USAGE)
    def its_body_says(self, which: int, usage: Usage) -> None:
        self.picture.release(self.running.pop(which % len(self.running)), usage)

    @precondition(lambda self: self.running)
    @rule(
        which=st.integers(0, 9),
        failure=st.sampled_from(
            [
                None,
                Failure(FailureKind.CLIENT, is_error_reply=True),
                Failure(FailureKind.OVER_LIMIT, is_error_reply=True),
                Failure(FailureKind.CONNECT),
                Failure(FailureKind.RATE_LIMITED, is_error_reply=True),
                Failure(FailureKind.RATE_LIMITED, is_error_reply=True, retry_after_s=1e18),
            ]
        ),
        answers=st.booleans(),
    )
    def a_request_ends(self, which: int, failure: Failure | None, answers: bool) -> None:
        lease = self.running.pop(which % len(self.running))
        if failure is not None:
            self.picture.failed(lease, failure)
            if failure.kind in (FailureKind.RATE_LIMITED, FailureKind.OVER_LIMIT):
                self.longest_s = max(self.longest_s, LONGEST_CLOCK_S)
        elif answers:
            self.picture.succeeded(lease)
        self.picture.release(lease)  # who neither answered nor failed: its client left
        self.clock.advance(0.001)

    @rule(report=REPORTS)
    def another_replica_says(self, report: BucketReport) -> None:
        packed = encode_report(ReplicaReport({}, {"b": report}))
        read = None if packed is None else decode_report(packed)
        if read is not None:
            self.picture.replicas.take(read.shifted(self.clock.now()), self.clock.now())
            if read.buckets and report.limited_until is not None:
                self.longest_s = max(self.longest_s, LONGEST_CLOCK_S)

    @invariant()
    def everything_is_within_bounds(self) -> None:
        bucket, now = self.bucket(), self.clock.now()
        check_gauge(bucket.requests, now)
        check_gauge(bucket.tokens, now)
        assert bucket.reserved_requests == len(self.running)
        assert 0 <= bucket.reserved_tokens <= MOST_TOKENS * len(self.running)
        assert self.picture.pool.fits_in_s(self.endpoint, RouteQuery(SMALL)) <= self.longest_s
        estimate = bucket.estimate
        assert 0 <= estimate.output_tokens <= MOST_OUTPUT
        assert 0.25 <= estimate.tokens_per_byte <= 1

    @invariant()
    def nobody_is_kept_away_for_longer_than_the_provider_said(self) -> None:
        later = self.clock.now() + self.longest_s + 0.001
        assert self.picture.room(self.endpoint, SMALL, later) is not Room.NONE


TestAnyHostility = AnyHostility.TestCase
TestAnyHostility.settings = settings(max_examples=40, stateful_step_count=30)


@given(st.lists(st.tuples(READING, st.sampled_from(SECONDS), st.sampled_from([0.0, 1.0, 100.0])), max_size=6))
def test_whatever_other_replicas_read_no_level_leaves_its_bounds(heard: list[tuple[Reading, float, float]]) -> None:
    for provider in ("openai", "azure"):
        bucket, now = Bucket(provider, None, None, 0.0), 0.0
        for reading, read_at, later_s in heard:
            report = BucketReport(requests=ReadingReport(reading, read_at), tokens=ReadingReport(reading, read_at))
            bucket.take(report, Charged(), now)
            bucket.charge(1e8, now)
            now += later_s
            check_gauge(bucket.requests, now)
            check_gauge(bucket.tokens, now)
            assert bucket.fits_in_s(50.0, now) <= MINUTE_S


@pytest.mark.parametrize("until", [1e18, math.inf, math.nan, -math.inf, -1e18])
def test_a_clock_from_elsewhere_runs_no_longer_than_one_of_our_own(until: float) -> None:
    bucket = heard(Bucket("openai", None, None, 0.0), BucketReport(until, 10**18), 0.0)

    assert bucket.fits_in_s(1.0, 0.0) <= LONGEST_CLOCK_S
    assert bucket.throttle.unexplained <= 16


IMPOSSIBLE: list[dict[str, Any]] = [
    {"limited_until": 3600.0},
    {"limited_until": math.nan},
    {"requests": ReadingReport(Reading(100, 0, 30.0), 3600.0)},
    {"requests": ReadingReport(Reading(0, 0, 30.0), -1.0)},
    {"requests": ReadingReport(Reading(0.5, 0, 30.0), -1.0)},
    {"tokens": ReadingReport(Reading(100, -1, 30.0), -1.0)},
    {"tokens": ReadingReport(Reading(1e18, 1e18, 30.0), -1.0)},
    {"tokens": ReadingReport(Reading(100, 0, 1e6), -1.0)},
    {"tokens": ReadingReport(Reading(100, math.nan, 1.0), -1.0)},
    {"tokens": ReadingReport(Reading(math.inf, 1, 1.0), -1.0)},
]


@pytest.mark.parametrize("told", IMPOSSIBLE)
def test_a_report_that_cannot_be_true_is_not_read(told: dict[str, Any]) -> None:
    packed = encode_report(ReplicaReport({}, {"bad": BucketReport(**told), "good": BucketReport(5.0, 1)}))
    report = decode_report(packed or b"")

    assert report is not None
    assert list(report.buckets) == ["good"]


def known(tokens: Reading, provider: str = "openai") -> Bucket:
    bucket, marks = charged(Bucket(provider, None, None, 0.0), 100.0, 0.0)
    bucket.read(Readings(Reading(600, 599, 0.1), tokens), marks, 0.0, 0.0)
    return settled(bucket, marks, Ending.ANSWERED, 0.0)


FULL = Reading(30_000, 29_900, 0.2)


@pytest.mark.parametrize("need", [1e12, 128_000.0, 30_001.0])
def test_a_charge_is_no_larger_than_its_limit_and_a_refusal_gives_it_back(need: float) -> None:
    before = known(FULL)
    sent, marks = charged(before, need, 0.0)

    assert sent.tokens.room(0.0) == -100
    assert marks.tokens == 30_000
    assert settled(sent, marks, Ending.ANSWERED, 0.0).tokens.room(0.0) == -100, "it was answered"
    assert settled(sent, marks, Ending.LEFT, 0.0).tokens.room(0.0) == 29_900, "its client left"
    refused = settled(sent, marks, Ending.REFUSED, 0.0)
    assert refused.tokens.room(0.0) == 29_900
    assert refused.requests.room(0.0) == before.requests.room(0.0) - 1, "it was a request all the same"  # type: ignore[operator]


@pytest.mark.parametrize("ending", Ending)
def test_what_was_charged_before_the_limit_was_known_is_no_more_than_it_in_the_end(ending: Ending) -> None:
    bucket, small = charged(Bucket("openai", None, None, 0.0), 100.0, 0.0)
    huge = bucket.charge(1e8, 0.0)
    bucket.read(Readings(tokens=FULL), small, 0.0, 0.0)
    assert bucket.tokens.room(0.0) == -30_000

    bucket.settle(huge, ending, 0.0)

    assert bucket.tokens.room(0.0) == (-100 if ending is Ending.ANSWERED else 29_900)


def test_a_debt_below_the_floor_does_not_make_room_of_what_is_given_back() -> None:
    """A burst of 500 at a limit of 100, all but the first of which are not sent after all."""
    bucket, first = charged(Bucket("openai", None, None, 0.0), 1.0, 0.0)
    lost = []
    for _ in range(499):
        marks = bucket.charge(1.0, 0.0)
        lost.append(marks)
    bucket.read(Readings(Reading(100, 99, 0.6)), first, 0.0, 0.0)
    assert bucket.requests.room(0.0) == -100

    for marks in lost[:450]:
        bucket.settle(marks, Ending.UNSENT, 0.0)

    assert bucket.requests.room(0.0) == 99 - 49


def test_a_limit_that_shrinks_takes_the_level_with_it() -> None:
    bucket, marks = charged(known(Reading(1e12, 1e12, 0.0)), 100.0, 1.0)

    assert replied(bucket, Readings(tokens=Reading(limit=1000)), marks, 1.0, 1.0).tokens.room(1.0) == 1000


@pytest.mark.parametrize("provider", ["openai", "azure"])
def test_a_bucket_that_would_be_shut_for_longer_than_its_window_is_probed_by_one(provider: str) -> None:
    bucket = known(Reading(30_000, 29_900, DAY_S), provider)
    bucket.charge(30_000, 0.0)
    assert bucket.room_for(50.0, 59.0) is Room.NONE
    assert bucket.fits_in_s(50.0, 0.0) == MINUTE_S

    assert bucket.room_for(50.0, 61.0) is Room.SCARCE
    probed, _ = charged(bucket, 50.0, 61.0)

    assert probed.room_for(50.0, 61.0) is Room.NONE, "one is enough to find out"
    assert probed.room_for(50.0, 120.0) is Room.NONE
    assert probed.room_for(50.0, 122.0) is Room.SCARCE


def test_a_provider_that_says_itself_that_nothing_is_left_is_believed_until_its_reset() -> None:
    bucket = known(Reading(30_000, 0, 3600.0, is_bare=True), "azure")

    assert bucket.room_for(50.0, 3599.0) is Room.NONE
    assert bucket.room_for(50.0, 3602.0) is not Room.NONE


@pytest.mark.parametrize("usage", [Usage(10**18, 10), Usage(10, 10**18), Usage(10**400, 10**400), Usage(10, 10**6 + 1)])
def test_a_usage_that_cannot_be_meant_teaches_nothing(usage: Usage) -> None:
    assert TokenEstimate().after_usage(SMALL, usage) == TokenEstimate()


@given(st.lists(USAGE, max_size=40), ASKED, st.integers(0, 10**12))
def test_whatever_replies_say_the_guess_stays_within_bounds(
    usages: list[Usage], asked: int | None, text_bytes: int
) -> None:
    estimate, demand = TokenEstimate(), Demand(text_bytes, 0, asked)
    for usage in usages:
        estimate = estimate.after_usage(demand, usage)

    assert 0 <= estimate.tokens(demand) <= MOST_TOKENS
    assert 0 <= estimate.output_tokens <= MOST_OUTPUT
    assert 0.25 <= estimate.tokens_per_byte <= 1


def test_headers_that_are_long_are_not_kept() -> None:
    long = "1" * 60_000
    said = readings((("x-ratelimit-limit-tokens", long), ("x-ratelimit-reset-tokens", long)))

    assert said.tokens.is_empty


def test_what_a_replica_tells_is_read_by_the_others() -> None:
    bucket = limited(known(FULL), 1e9, 1.0)
    packed = encode_report(ReplicaReport({}, {"b": bucket.report().shifted(-1.0)}))

    assert decode_report(packed or b"") == ReplicaReport({}, {"b": bucket.report().shifted(-1.0)})
    assert msgspec.msgpack.decode((packed or b"")[1:])["buckets"]["b"]["limited_until"] == LONGEST_CLOCK_S
