"""What became of requests: errors are counted one by one, the sum of all is exact, labels are few whatever clients
say, and the last decisions are told in order."""

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from application.endpoints.endpoint_state import EndpointState
from application.observing.error_types import ERROR_TYPES, OTHER, error_type
from application.observing.recent import WINDOW_S, AttemptsOfEndpoint, Recent
from application.observing.request_counts import DECISIONS, MANY, SAMPLES, RequestCounts
from application.telemetry_ports import RequestRecord
from domain.endpoint import Endpoint
from domain.failure import FailureKind
from domain.health.cooldown import CooldownPolicy
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
    st.tuples(st.sampled_from(["gpt", "small", "whatever clients say"]), st.sampled_from(["chat", "embeddings"]),
              st.sampled_from([("ok", 200), ("rate_limit_exceeded", 429), ("upstream_timeout", 504)])),
    max_size=5 * SAMPLES,
)  # fmt: skip


@given(REQUESTS)
def test_the_sum_and_all_errors_are_exact(requests: list[tuple[str, str, tuple[str, int]]]) -> None:
    counts, clock = counting()
    for group, api, (outcome, status) in requests:
        observe(counts, clock, record(group=group, api=api, outcome=outcome, status=status))

    found = counts.counts()
    told = Counter({labels: times for labels, times in found.items() if labels.error_type})
    known = [("" if group.startswith("what") else group, api, outcome) for group, api, (outcome, _) in requests]
    assert sum(found.values()) == len(requests)
    assert sum(sum(part.total.counts) for part in counts.latencies().values()) == len(requests)
    for labels, times in told.items():
        assert times == sum(
            (group, api, error_type(outcome)) == (labels.group, labels.api, labels.error_type)
            for group, api, outcome in known
        )
    assert {labels.group for labels in found} <= {"gpt", "small", ""}


@given(st.lists(st.sampled_from(["gpt", "small"]), max_size=2 * SAMPLES - 1))
def test_while_few_come_how_they_divide_is_exact(groups: list[str]) -> None:
    counts, clock = counting()
    for group in groups:
        observe(counts, clock, record(group=group))

    assert Counter({labels.group: times for labels, times in counts.counts().items()}) == Counter(groups)


def test_what_is_folded_stands_for_as_many_as_there_were() -> None:
    counts, clock = counting()
    for _ in range(MANY):
        observe(counts, clock, record())

    assert counts.went_well == counts.ended == []
    assert list(counts.counts().values()) == [MANY]


def test_reading_twice_changes_nothing_and_what_was_read_is_a_copy() -> None:
    counts, clock = counting()
    observe(counts, clock, record())
    before = counts.latencies()
    observe(counts, clock, record(total_ms=7.0))

    assert sum(before["gpt", "chat"].total.counts) == 1
    assert counts.counts() == counts.counts()
    assert counts.decisions() == counts.decisions()


def test_pages_that_are_no_call_do_not_count_and_refusals_do() -> None:
    counts, clock = counting()
    observe(counts, clock, record(api="", group="", endpoint="", attempts=0))
    observe(counts, clock, record(api="", group="", endpoint="", attempts=0, status=401, outcome="invalid_api_key"))

    ((labels, times),) = counts.counts().items()
    assert (labels.status_class, labels.error_type, times) == ("4xx", "client_unauthorized", 1)
    assert counts.latencies() == {}
    assert [decision.record.outcome for decision in counts.decisions()] == ["invalid_api_key"]


def test_the_last_decisions_are_told_newest_first_with_their_time_good_and_bad_ones() -> None:
    counts, clock = counting()
    for number in range(3 * DECISIONS):
        clock.advance(1.0)
        bad = {"outcome": "upstream_error", "status": 502} if number % 5 == 0 else {}
        observe(counts, clock, record(request_id=f"req_{number}", **bad))
    clock.advance(500.0)

    decisions = counts.decisions()
    assert [decision.record.request_id for decision in decisions] == [f"req_{149 - n}" for n in range(DECISIONS)]
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


def test_what_is_recent_grows_old() -> None:
    counts, clock = counting()
    states = {"gpt/1": EndpointState(Endpoint("gpt/1", "m", "openai"), CooldownPolicy())}
    recent = Recent(counts, states, clock)
    observe(counts, clock, record())
    states["gpt/1"].attempts += 1
    states["gpt/1"].failures["server_error"] += 2
    before = recent()
    for _ in range(int(WINDOW_S)):
        clock.advance(1.0)
        recent.tick()
    counts.went_wrong(record(outcome="upstream_error", status=502))
    after = recent()

    assert before.traffic("gpt").requests == 1 and before.traffic("small").requests == 0
    assert before.traffic(None).total_ms is not None
    assert before.attempts_at("gpt/1", 1) == AttemptsOfEndpoint(1, 1.0, {"server_error": 2})
    assert (after.traffic(None).requests, after.traffic(None).errors) == (1, {"endpoint_error": 1})
    assert after.attempts_at("gpt/1", 0) == AttemptsOfEndpoint(0, 0.0, {})
