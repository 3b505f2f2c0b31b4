"""What became of requests: all counts are exact, labels are few whatever clients say, and the last decisions are told
in order."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from application.observing.counted import Counted, Labels, Place
from application.observing.error_types import ERROR_TYPES, OTHER, error_type
from application.observing.latencies import Latencies
from application.observing.recent import WINDOW_S, AttemptsOfEndpoint, Recent, attempts_at, traffic
from application.observing.request_counts import DECISIONS, MANY, RequestCounts
from application.observing.tallies import EndpointTally, Tallies
from application.telemetry_ports import RequestRecord
from domain.failure import FailureKind
from tests.fakes import FakeClock

SOURCES = Path(__file__).parents[2] / "src"


def record(**changes: object) -> RequestRecord:
    made = RequestRecord(
        "req_1", "gpt", "chat", "gpt/1", 1, "gpt/1: ok", 200, "ok", False, "bypass", 100.0, 50.0, 0.2, 10, 20
    )
    return structs.replace(made, **changes)


def observe(counts: RequestCounts, clock: FakeClock, one: RequestRecord) -> None:
    """As the end of an exchange does."""
    if one.outcome != "ok":
        counts.went_wrong(one)
        return
    counts.went_well.append(one)
    counts.ended.append(clock.now())
    counts.tick()


def counting() -> tuple[RequestCounts, FakeClock]:
    clock = FakeClock()
    return RequestCounts(["gpt", "small"], clock), clock


REQUESTS = st.lists(
    st.builds(
        record,
        group=st.sampled_from(["gpt", "small", "whatever clients say"]),
        endpoint=st.sampled_from(["gpt/1", "gpt/2", ""]),
        api=st.sampled_from(["chat", "embeddings", ""]),
        outcome=st.sampled_from(["ok", "ok", "ok", "rate_limit_exceeded", "upstream_timeout", "something new"]),
        status=st.sampled_from([200, 429, 504]),
        cache=st.sampled_from(["hit", "miss", "bypass", "shared"]),
        stream=st.booleans(),
        attempts=st.integers(0, 4),
        overhead_ms=st.floats(0.0, 10.0),
        first_byte_ms=st.floats(0.0, 1e4),
        total_ms=st.floats(0.0, 1e6),
    ),
    max_size=200,
)  # fmt: skip


def naive(records: list[RequestRecord]) -> Counted:
    """One by one, as anybody would write it down."""
    made = Counted({}, {}, {}, {}, {}, {})
    for one in records:
        group = one.group if one.group in ("gpt", "small") else ""
        kind = error_type(one.outcome)
        if one.api or kind:
            labels = Labels(group, one.endpoint, one.api, f"{one.status // 100}xx", kind, one.cache)
            made.requests[labels] = made.requests.get(labels, 0) + 1
        if one.status == 429:
            made.limited[group] = made.limited.get(group, 0) + 1
        if one.attempts > 1:
            made.retries[group] = made.retries.get(group, 0) + one.attempts - 1
            if one.outcome == "ok":
                made.failovers[group] = made.failovers.get(group, 0) + 1
        if one.api:
            where = "cached" if one.cache in ("hit", "shared") else "stream" if one.stream else "whole"
            latencies = made.latencies.setdefault(Place(group, one.api, where), Latencies())
            latencies.overhead.add([one.overhead_ms])
            latencies.first_byte.add([one.first_byte_ms])
            latencies.total.add([one.total_ms])
    return made


@given(REQUESTS, st.integers(1, 100))
def test_every_count_is_what_counting_one_by_one_comes_to(records: list[RequestRecord], ask_every: int) -> None:
    counts, clock = counting()
    for number, one in enumerate(records):
        observe(counts, clock, one)
        if number % ask_every == 0:
            counts.counted()
    found, wanted = counts.counted(), naive(records)

    assert found.requests == wanted.requests
    assert (found.retries, found.failovers, found.limited) == (wanted.retries, wanted.failovers, wanted.limited)
    assert found.latencies.keys() == wanted.latencies.keys()
    for place, latencies in found.latencies.items():
        for name in ("overhead", "first_byte", "total"):
            one, other = getattr(latencies, name), getattr(wanted.latencies[place], name)
            assert one.counts == other.counts
            assert one.sum_ms == pytest.approx(other.sum_ms)
    assert counts.total == len(records)


def test_many_are_counted_at_a_tick_and_do_not_wait() -> None:
    counts, clock = counting()
    for _ in range(MANY):
        observe(counts, clock, record())

    assert counts.went_well == counts.ended == []
    assert list(counts.counted().requests.values()) == [MANY]


def test_a_group_that_comes_later_is_counted_by_its_name_and_what_was_counted_of_others_stays() -> None:
    counts, clock = counting()
    observe(counts, clock, record())
    counts.name_groups(["new"])
    observe(counts, clock, record(group="new"))

    assert {labels.group for labels in counts.counted().requests} == {"gpt", "new"}


def test_reading_twice_changes_nothing_and_what_was_read_is_a_copy() -> None:
    counts, clock = counting()
    observe(counts, clock, record())
    before = counts.counted().copy()
    observe(counts, clock, record(total_ms=7.0))

    assert sum(before.latencies[Place("gpt", "chat", "whole")].total.counts) == 1
    assert list(before.requests.values()) == [1]
    assert counts.counted() == counts.counted()
    assert counts.decisions() == counts.decisions()


def test_pages_that_are_no_call_do_not_count_and_refusals_do() -> None:
    counts, clock = counting()
    observe(counts, clock, record(api="", group="", endpoint="", attempts=0))
    observe(counts, clock, record(api="", group="", endpoint="", attempts=0, status=401, outcome="invalid_api_key"))

    ((labels, times),) = counts.counted().requests.items()
    assert (labels.status_class, labels.error_type, times) == ("4xx", "client_unauthorized", 1)
    assert counts.counted().latencies == {}
    assert [decision.outcome for decision in counts.decisions()] == ["invalid_api_key"]


def test_the_last_decisions_are_told_newest_first_with_their_time_good_and_bad_ones() -> None:
    counts, clock = counting()
    for number in range(3 * DECISIONS):
        clock.advance(1.0)
        bad = {"outcome": "upstream_error", "status": 502} if number % 5 == 0 else {}
        observe(counts, clock, record(request_id=f"req_{number}", **bad))
    clock.advance(500.0)

    decisions = counts.decisions()
    assert [decision.request_id for decision in decisions] == [f"req_{149 - n}" for n in range(DECISIONS)]
    assert decisions[0].unix - decisions[-1].unix == DECISIONS - 1


def test_a_group_that_a_client_invented_is_not_shown() -> None:
    counts, clock = counting()
    observe(counts, clock, record(group="my-secret-project"))

    assert counts.decisions()[0].group == ""


def test_every_outcome_that_the_sources_name_has_a_type() -> None:
    sources = [*(SOURCES / "adapters/http").rglob("*.py"), *(SOURCES / "application").rglob("*.py")]
    texts = "\n".join(path.read_text() for path in sources)
    codes = set(re.findall(r'\bcode(?:: str)? ?= ?"([a-z_]+)"', texts))
    codes |= set(re.findall(r'cls\(text, "([a-z_]+)"\)', texts)) | set(re.findall(r'outcome = "([a-z_]+)"', texts))
    codes |= set(re.findall(r'FailureKind\.[A-Z_]+: "([a-z_]+)"', texts))

    assert len(codes) > 30
    assert {code for code in codes if error_type(code) == OTHER} == set()
    assert {kind for kind in FailureKind if error_type(kind.value) == OTHER} == set()


def test_each_type_says_whose_fault_it_is() -> None:
    for kind in set(ERROR_TYPES.values()) - {""}:
        assert re.fullmatch(r"(client|policy|endpoint|proxy)_[a-z_]+", kind)
    assert error_type("something new") == OTHER


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        ("client_left", "client_cancelled"),
        ("rate_limited", "endpoint_rate_limited"),
        ("client_error", "client_invalid_request"),
        ("stream_broken", "endpoint_stream_broken"),
        ("proxy_out_of_memory", "proxy_out_of_memory"),
        ("ok", ""),
    ],
)
def test_what_is_whose_fault(outcome: str, kind: str) -> None:
    assert error_type(outcome) == kind


class Alone:
    """As `Workers`, of one."""

    def __init__(self, counts: RequestCounts, tallies: Tallies) -> None:
        self._counts = counts
        self._tallies = tallies
        self.published = 0

    def counted(self) -> Counted:
        return structs.replace(self._counts.counted(), endpoints=self._tallies.counted()).copy()

    def publish(self) -> None:
        self.published += 1


def test_what_is_recent_grows_old() -> None:
    counts, clock = counting()
    tallies = Tallies()
    tally = tallies.of("gpt/1", "gpt")
    workers = Alone(counts, tallies)
    recent = Recent(counts, workers, clock)
    observe(counts, clock, record())
    tally.attempts += 1
    tally.failures["server_error"] = 2
    before = recent.since(workers.counted())
    for _ in range(int(WINDOW_S)):
        clock.advance(1.0)
        recent.tick()
    counts.went_wrong(record(outcome="upstream_error", status=502))
    after = recent.since(workers.counted())

    assert traffic(before, "gpt").requests == 1 and traffic(before, "small").requests == 0
    assert traffic(before, None).total_ms is not None
    assert attempts_at(before.endpoints["gpt/1"], 1) == AttemptsOfEndpoint(1, 1.0, {"server_error": 2})
    assert (traffic(after, None).requests, traffic(after, None).errors) == (1, {"endpoint_error": 1})
    assert attempts_at(after.endpoints["gpt/1"], 0) == AttemptsOfEndpoint(0, 0.0, {})
    assert workers.published == WINDOW_S


@given(REQUESTS, REQUESTS)
def test_counts_add_up_over_workers_and_subtract_over_time(
    first: list[RequestRecord], second: list[RequestRecord]
) -> None:
    one, other = naive(first), naive(second)
    together = one + other

    assert sum(together.requests.values()) == sum(one.requests.values()) + sum(other.requests.values())
    assert {labels: n for labels, n in together.since(one).requests.items() if n} == other.requests
    for place, latencies in together.since(one).latencies.items():
        if place in other.latencies:
            assert latencies.total.counts == other.latencies[place].total.counts


@given(REQUESTS, REQUESTS)
def test_counting_goes_on_from_what_was_counted_before(first: list[RequestRecord], later: list[RequestRecord]) -> None:
    clock = FakeClock()
    before = naive(first)
    counts = RequestCounts(["gpt", "small"], clock, before.copy())
    for one in later:
        observe(counts, clock, one)
    found, wanted = counts.counted(), naive(first) + naive(later)

    assert (found.requests, found.retries, found.limited) == (wanted.requests, wanted.retries, wanted.limited)
    for place, latencies in wanted.latencies.items():
        assert found.latencies[place].total.counts == latencies.total.counts
    assert before == naive(first), "a copy is one"


def test_what_an_endpoint_counted_stays_when_it_is_configured_anew() -> None:
    tallies = Tallies({"gpt/1": EndpointTally("gpt", attempts=2, failures={"junk_reply": 1})})
    tallies.of("gpt/1", "other").attempts += 1
    copy = tallies.counted()["gpt/1"].copy()
    tallies.of("gpt/1", "other").attempts += 1
    tallies.of("gpt/1", "other").failures["junk_reply"] = 5

    assert copy == EndpointTally("other", attempts=3, failures={"junk_reply": 1})
