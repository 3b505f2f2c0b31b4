"""The bench of what tiers save: its bound is one, and its model of sharing by weights keeps to limits."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cost import __main__ as command
from bench.cost.lines import Line, lines_of
from bench.cost.market import LIST, discounted
from bench.cost.optimum import Counting, Demand, Limit, Pool, least_cost, most_let_in
from bench.cost.play import at_list_price, repeating
from bench.cost.report import BEGIN, END, CostReport, as_markdown, judged, write_into
from domain.endpoint import Endpoint
from domain.group import ModelGroup
from entrypoints.simulate.traffic import Arrival
from simulator.limits import Limiter, continuous_limiter, windowed_limiter

GROUP = ModelGroup("g", (Endpoint("e", "m", "openai", 1, "b", "a"),))
REQUESTS = st.lists(st.tuples(st.floats(0, 40), st.integers(1, 120), st.floats(0.1, 5)), min_size=1, max_size=40)
"""Of each: the seconds since the one before, its tokens, and what one of them saves."""


def demands_of(requests: Sequence[tuple[float, int, float]]) -> list[Demand]:
    at_s, found = 0.0, []
    for number, (gap_s, tokens, saving) in enumerate(requests):
        at_s += gap_s if number else 0.0
        found.append(Demand(at_s, tokens, (0.0, tokens * saving)))
    return found


def some_cost(demands: Sequence[Demand], limiters: Sequence[Limiter], dice: random.Random) -> float:
    """Of a routing that leaves to chance what it tries to have cheap: all endpoints are first tried in turn."""
    total = 0.0
    for number, demand in enumerate(demands):
        tried = [number] if number < len(limiters) else [i for i in range(len(limiters)) if dice.random() < 0.7]
        is_cheap = any(limiters[i].admit(demand.tokens, demand.at_s).refused_by is None for i in tried)
        total += demand.costs[0 if is_cheap else 1]
    return total


@pytest.mark.parametrize("counting", ["bucket", "windows"])
@given(requests=REQUESTS, seed=st.integers(0, 100), count=st.integers(1, 3))
def test_no_routing_costs_less_than_the_bound(
    counting: Counting, requests: list[tuple[float, int, float]], seed: int, count: int
) -> None:
    demands = demands_of(requests)
    make = continuous_limiter if counting == "bucket" else windowed_limiter
    opens_s = [demands[min(i, len(demands) - 1)].at_s for i in range(count)]
    pool = Pool(tuple(Limit(120, at_s) for at_s in opens_s), counting)
    cost = some_cost(demands, [make(None, 120) for _ in range(count)], random.Random(seed))

    assert least_cost(demands, [pool], 0.0) <= cost + 1e-6
    assert least_cost(demands, [pool], 30.0) <= least_cost(demands, [pool], 0.0) + 1e-6


@pytest.mark.parametrize(
    ("counting", "wait_s", "let_in"),
    [
        ("bucket", 0.0, 60 + 1 + 29),  # all, what one second brings, and thirty
        ("bucket", 5.0, 60 + 6 + 29 - 5 + 5),
        ("windows", 0.0, 60),
        ("windows", 31.0, 120),
    ],
)
def test_what_limits_let_in(counting: Counting, wait_s: float, let_in: float) -> None:
    demands = [Demand(at_s, 100, (0.0, 1.0)) for at_s in (0.0, 1.0, 30.0)]

    assert most_let_in(demands, Pool((Limit(60),), counting), wait_s) == pytest.approx(let_in)


def test_the_bound_takes_the_requests_first_whose_tokens_save_the_most() -> None:
    demands = [Demand(0.0, 60, (0.0, 60.0)), Demand(0.0, 60, (0.0, 180.0))]

    assert least_cost(demands, [Pool((Limit(60),), "windows")], 0.0) == pytest.approx(60.0)


def arrivals_of(count: int, gap_s: float = 1.0) -> list[Arrival]:
    return [Arrival(number * gap_s, GROUP, 1600 + 200 * (number % 5), 400) for number in range(count)]


def test_a_stated_part_of_the_requests_repeats_earlier_ones() -> None:
    told = repeating(arrivals_of(2000), 0.2, seed=1)
    repeats = [each for each in told if each.repeats is not None]

    assert len(repeats) == pytest.approx(400, abs=60)
    for each in repeats:
        assert each.repeats is not None
        first = told[each.repeats]
        assert first.repeats is None
        assert (first.given_tokens, first.answered_tokens) == (each.given_tokens, each.answered_tokens)
        assert first.at_s < each.at_s


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    """Of traffic that is nearly twice what the discounted endpoints let in, for 100 seconds."""
    return list(lines_of("some", arrivals_of(500, gap_s=0.2)))


def test_tiers_come_close_to_the_optimum_and_no_client_sees_an_error(lines: list[Line]) -> None:
    ours = [line for line in lines if line.way.startswith(("tiers", "provisioned"))]

    assert len(ours) == 12
    for line in ours:
        assert line.optimum is not None
        assert line.optimum.cost <= line.outcome.cost <= line.optimum.cost * 1.05
        assert line.outcome.first_tier_tokens <= line.optimum.first_tier_tokens * 1.0001
        assert line.outcome.client_errors == 0
        assert line.outcome.wait_p99_s <= line.tier_wait_s
    assert judged(lines) == []


def test_a_cache_saves_what_repeats_would_have_cost_at_any_endpoint(lines: list[Line]) -> None:
    plain, cached = (line for line in lines if line.way == "all to the dearest")

    assert plain.saved == pytest.approx(0.0)
    assert cached.saved == pytest.approx(20.0, abs=3.0)
    assert cached.outcome.client_errors == 0


def test_the_tables_stand_between_their_markers(lines: list[Line], tmp_path: Path) -> None:
    page = tmp_path / "cost.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    report = CostReport(command="some command", measured="2026-01-02T03:04:05", commit="abc", lines=lines)
    write_into(page, report)

    text = page.read_text(encoding="utf-8")
    assert text == f"before\n{as_markdown(report)}\nafter\n"
    assert "`some command`, 2026-01-02, commit abc." in text
    assert text.count("| all to the dearest |") == 2


def test_a_trace_that_is_not_there_is_said_to_be_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--traces", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "AzureLLMInferenceTrace_conv.csv is not there" in told
    assert "github.com/Azure/AzurePublicDataset" in told


def test_the_list_price_is_that_of_the_dearest() -> None:
    assert at_list_price([Arrival(0.0, GROUP, 1_000_000, 1_000_000)]) == pytest.approx(12.5)
    assert LIST.cost(10, 10) == pytest.approx(2 * discounted("azure")[0].cost(10, 10))
