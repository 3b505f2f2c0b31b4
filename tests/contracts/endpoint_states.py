"""What every `EndpointStateStore` does: subclass `EndpointStateStoreContract`, provide the fixtures."""

import asyncio
from collections.abc import Sequence
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.stores.report_codec import MAX_AHEAD_S, MAX_BEHIND_S, MAX_REPORT_BYTES
from application.store_ports import EndpointStateStore, HeardReport
from domain.health.cooldown_report import CooldownReport
from domain.rate_limit.limit_reading import LEAST_LIMIT, MAX_COUNT, MAX_RESET_S, Reading
from domain.rate_limit.limit_report import BucketReport, ReadingReport
from domain.rate_limit.throttle import MAX_DELAY_S
from domain.replica_moments import SKEW_S
from domain.replica_report import ReplicaReport
from tests.contracts.response_cache import EACH_EXAMPLE_IS_ITS_OWN, PassTime

_PAST = st.none() | st.floats(-MAX_BEHIND_S, SKEW_S)
_SPANS = st.floats(0, MAX_AHEAD_S)
_READINGS = st.builds(
    ReadingReport,
    reading=st.builds(
        Reading,
        limit=st.none() | st.floats(LEAST_LIMIT, MAX_COUNT),
        remaining=st.none() | st.floats(0, MAX_COUNT),
        reset_s=st.none() | st.floats(0, MAX_RESET_S),
    ),
    read_at=_PAST,
)
_NAMES = st.text(max_size=20)
REPORTS = st.builds(
    ReplicaReport,
    endpoints=st.dictionaries(
        _NAMES,
        st.builds(
            CooldownReport,
            opened_at=_PAST,
            open_until=st.none() | st.floats(-MAX_BEHIND_S, MAX_AHEAD_S),
            cooldown_s=_SPANS,
            closed_at=_PAST,
        ),
        max_size=3,
    ),
    buckets=st.dictionaries(
        _NAMES,
        st.builds(
            BucketReport,
            limited_until=st.none() | st.floats(-MAX_BEHIND_S, MAX_DELAY_S),
            unexplained=st.integers(0, 10**6),
            requests=_READINGS,
            tokens=_READINGS,
        ),
        max_size=3,
    ),
)
"""All that a replica could truly say."""


def cooling(until: float, endpoint: str = "a") -> ReplicaReport:
    """A report of one endpoint that began to cool just now."""
    return ReplicaReport(endpoints={endpoint: CooldownReport(opened_at=0.0, open_until=until, cooldown_s=until)})


def by_replica(heard: Sequence[HeardReport]) -> dict[str, ReplicaReport]:
    """The reports; each replica may be there only once."""
    found = {each.replica: each.report for each in heard}

    assert len(found) == len(heard)
    return found


def _bad_endpoint(**report: Any) -> ReplicaReport:
    return ReplicaReport({"bad": CooldownReport(**report), "good": CooldownReport(opened_at=-1.0)})


def _bad_bucket(**report: Any) -> ReplicaReport:
    return ReplicaReport(buckets={"bad": BucketReport(**report), "good": BucketReport(limited_until=1.0)})


def _bad_reading(read_at: float | None = None, **reading: Any) -> ReplicaReport:
    return _bad_bucket(tokens=ReadingReport(Reading(**reading), read_at))


class EndpointStateStoreContract:
    """The contract. Fixtures: `states`, which keeps reports for at least a minute, and `pass_time`, which lets so many
    seconds go by for it."""

    some_s = 30.0
    """A time that `pass_time` can let pass, and that is shorter than reports are kept."""

    async def test_nothing_is_heard_where_nobody_put_anything_down(self, states: EndpointStateStore) -> None:
        assert list(await states.others("me")) == []

    @given(report=REPORTS)
    @settings(max_examples=100, deadline=None, suppress_health_check=EACH_EXAMPLE_IS_ITS_OWN)
    async def test_others_hear_what_was_put_down_to_the_last_bit(
        self, states: EndpointStateStore, report: ReplicaReport
    ) -> None:
        await states.put("me", report)

        assert by_replica(await states.others("you"))["me"] == report

    async def test_nobody_hears_himself(self, states: EndpointStateStore) -> None:
        await states.put("me", cooling(1.0))
        await states.put("you", cooling(2.0))

        assert by_replica(await states.others("me")) == {"you": cooling(2.0)}
        assert by_replica(await states.others("you")) == {"me": cooling(1.0)}
        assert by_replica(await states.others("third")) == {"me": cooling(1.0), "you": cooling(2.0)}

    async def test_newer_report_replaces_the_older_whole(self, states: EndpointStateStore) -> None:
        await states.put("me", cooling(1.0, "a"))
        await states.put("me", cooling(2.0, "b"))

        assert by_replica(await states.others("you")) == {"me": cooling(2.0, "b")}

    async def test_age_grows_while_the_report_stays_as_it_was(
        self, states: EndpointStateStore, pass_time: PassTime
    ) -> None:
        await states.put("me", cooling(60.0))
        (young,) = await states.others("you")
        await pass_time(self.some_s)

        (old,) = await states.others("you")

        assert young.age_s >= 0
        assert old.age_s >= young.age_s + self.some_s
        assert old.report == young.report == cooling(60.0)

    async def test_report_put_down_anew_is_young_again(self, states: EndpointStateStore, pass_time: PassTime) -> None:
        await states.put("me", cooling(60.0))
        await states.put("third", cooling(60.0))
        await pass_time(self.some_s)
        await states.put("me", cooling(60.0))

        age_s = {each.replica: each.age_s for each in await states.others("you")}

        assert age_s["me"] <= age_s["third"] - self.some_s

    @pytest.mark.parametrize(
        "report",
        [
            _bad_endpoint(open_until=nan),
            _bad_endpoint(open_until=inf),
            _bad_endpoint(open_until=MAX_AHEAD_S * 1.01),
            _bad_endpoint(opened_at=-inf),
            _bad_endpoint(closed_at=nan),
            _bad_endpoint(cooldown_s=-1.0),
            _bad_endpoint(cooldown_s=inf),
            _bad_bucket(limited_until=inf),
            _bad_bucket(unexplained=-1),
            _bad_bucket(unexplained=10**18),
            _bad_reading(remaining=nan),
            _bad_reading(limit=inf),
            _bad_reading(reset_s=-1.0),
            _bad_reading(reset_s=inf),
            _bad_reading(read_at=nan),
        ],
    )
    async def test_a_report_that_cannot_be_true_is_left_out_and_what_stands_beside_it_is_heard(
        self, states: EndpointStateStore, report: ReplicaReport
    ) -> None:
        await states.put("me", report)

        (heard,) = await states.others("you")

        assert [*heard.report.endpoints, *heard.report.buckets] == ["good"]

    @pytest.mark.parametrize(
        "report",
        [cooling(1.0, "x" * MAX_REPORT_BYTES), cooling(1.0, "\ud800"), _bad_bucket(unexplained=10**30)],
        ids=["too-large", "not-unicode", "too-many"],
    )
    async def test_report_that_cannot_be_written_changes_nothing(
        self, states: EndpointStateStore, report: ReplicaReport
    ) -> None:
        await states.put("me", cooling(1.0))

        await states.put("me", report)

        assert by_replica(await states.others("you")) == {"me": cooling(1.0)}

    async def test_report_as_large_as_can_be_is_heard(self, states: EndpointStateStore) -> None:
        report = cooling(1.0, "x" * (MAX_REPORT_BYTES - 200))

        await states.put("me", report)

        assert by_replica(await states.others("you")) == {"me": report}

    async def test_many_at_once_each_hear_all_others(self, states: EndpointStateStore) -> None:
        names = [f"replica-{number}" for number in range(20)]

        await asyncio.gather(*(states.put(name, cooling(float(turn))) for name in names for turn in range(3)))
        heard = await asyncio.gather(*(states.others(name) for name in names))

        for name, reports in zip(names, heard, strict=True):
            assert set(by_replica(reports)) == set(names) - {name}
