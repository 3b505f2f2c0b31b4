"""Provisioned capacity in virtual time, through the real routing: at 130 % of its load it is used to the brim."""

import random
from argparse import ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec import structs

from entrypoints.simulate.options import Latency, Limits, Spread, Tokens, limits
from entrypoints.simulate.run import Played, play
from entrypoints.simulate.scenario import scenario_of
from entrypoints.simulate.traffic import Arrival, Mix, by_chance
from entrypoints.wiring.groups import model_groups
from simulator.limits import token_cost
from tests.unit.simulated import settings_of

MINUTES = 15
TPM = 300_000
OFFERED = 1.3
TOKENS = Tokens(Spread(500, 1500), Spread(50, 350))
MIXED = (Tokens(Spread(50, 2000), Spread(16, 900)),)
IN_TURN = (Tokens(Spread(1500, 2500), Spread(16, 40)), Tokens(Spread(100, 300), Spread(200, 500)))
"""For three minutes long prompts and short answers, then the other way round."""


def run(
    folder: Path,
    seed: int,
    *,
    streams: bool = False,
    ptu: str = "capacity: provisioned",
    wait_s: int = 0,
    ratio: float = 1.0,
    kinds: Sequence[Tokens] = (TOKENS,),
) -> Played:
    """`ratio`: an output token counts for so many input tokens at the provider."""
    general = f"max_wait_for_tier: {wait_s}"
    settings = settings_of(folder, f"id: ptu, {ptu}", "id: payg, priority: 1", general=general)
    given: list[tuple[str | None, Limits]] = [("ptu", Limits(None, TPM, "ptu", ratio)), ("payg", Limits(None, None))]
    scenario = scenario_of(model_groups(settings), [], given, [(None, Latency(0.3, 0.02))], [], streams=streams)
    dice = random.Random(seed)
    arrivals: list[Arrival] = []
    for part in range(0, MINUTES, 3):
        tokens = kinds[part // 3 % len(kinds)]
        each = (tokens.given.least + tokens.given.most + ratio * (tokens.answered.least + tokens.answered.most)) / 2
        some = by_chance(OFFERED * TPM / 60 / each, 180.0, tokens, Mix(scenario.groups, dice), dice)
        arrivals += [structs.replace(arrival, at_s=arrival.at_s + 60.0 * part) for arrival in some]
    return play(settings, scenario, arrivals, 60.0 * MINUTES, seed)


def after_the_first_minute(played: Played) -> tuple[float, float]:
    """The part of the capacity that was used, and the part of its requests that was refused."""
    books = played.journal.books["ptu"]
    later = range(1, MINUTES)
    used = sum(books.charged_tokens[minute] for minute in later) / (TPM * len(later))
    bins_a_minute = 120 // MINUTES
    refused = sum(books.refused[bins_a_minute:120])
    return used, refused / (refused + sum(books.let_in_requests[minute] for minute in later))


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_at_130_percent_97_are_used_and_one_in_a_hundred_is_refused_at_most(
    tmp_path: Path, seed: int, streams: bool
) -> None:
    played = run(tmp_path, seed, streams=streams)

    used, refused = after_the_first_minute(played)
    assert used >= 0.97
    assert refused <= 0.01
    assert played.outcomes.answered == played.outcomes.requests, "every client was answered"


@pytest.mark.parametrize(("kinds", "streams", "wait_s"), [(MIXED, False, 0), (MIXED, True, 2), (IN_TURN, False, 0)])
def test_the_same_where_an_output_token_counts_for_four_input_tokens_and_requests_differ(
    tmp_path: Path, kinds: Sequence[Tokens], streams: bool, wait_s: int
) -> None:
    ptu = "capacity: provisioned, output_token_ratio: 4"
    played = run(tmp_path, 1, streams=streams, ptu=ptu, wait_s=wait_s, ratio=4.0, kinds=kinds)

    used, refused = after_the_first_minute(played)
    assert used >= 0.97
    assert refused <= 0.01
    assert played.outcomes.answered == played.outcomes.requests, "every client was answered"


def test_without_its_ratio_the_work_that_changes_is_not_understood(tmp_path: Path) -> None:
    played = run(tmp_path, 1, ratio=4.0, kinds=IN_TURN)

    used, refused = after_the_first_minute(played)
    assert used < 0.85 and refused > 0.01


@pytest.mark.parametrize(("wait_s", "streams"), [(1, False), (2, True), (5, False)])
def test_requests_that_wait_for_it_leave_the_margin_below_the_brim_alone(
    tmp_path: Path, wait_s: int, streams: bool
) -> None:
    played = run(tmp_path, 1, streams=streams, wait_s=wait_s)

    used, refused = after_the_first_minute(played)
    assert used >= 0.97
    assert refused <= 0.01
    assert played.outcomes.answered == played.outcomes.requests, "every client was answered"
    waits_s = played.outcomes.waits_s
    assert len(waits_s) > 1000, "many waited"
    in_vain = sum(waited_s >= wait_s for waited_s in waits_s)
    assert in_vain <= len(waits_s) / 1000, "nearly all of them got their turn in time"


def test_what_the_configuration_knows_spares_the_learning(tmp_path: Path) -> None:
    played = run(tmp_path, 3, ptu=f"capacity: provisioned, tpm: {TPM}")

    used, refused = after_the_first_minute(played)
    assert used >= 0.97 and refused <= 0.01
    assert sum(played.journal.books["ptu"].refused[: 120 // MINUTES]) <= 5


def test_an_endpoint_with_provisioned_capacity_has_a_provisioned_deployment(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, f"id: ptu, capacity: provisioned, tpm: {TPM}", "id: payg, tpm: 1000")

    plans = scenario_of(model_groups(settings), []).plans

    assert plans["ptu"].provider.header_style == "ptu"
    assert plans["payg"].provider.header_style == "openai"


def test_it_counts_output_tokens_as_the_option_says_or_else_as_the_configuration_does(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "id: ptu, capacity: provisioned, output_token_ratio: 8", "id: payg")

    def ratios(*given: str) -> list[float]:
        plans = scenario_of(model_groups(settings), [], [limits(text) for text in given]).plans
        return [plans[name].provider.output_token_ratio for name in ("ptu", "payg")]

    assert ratios("ptu=none/300000:ptu") == [8.0, 1.0]
    assert ratios("none/300000:ptu:4") == [4.0, 4.0]
    assert ratios("600/300000:openai") == [1.0, 1.0]


def test_a_prompt_that_is_too_long_for_it_is_refused_as_azure_does(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "id: ptu, capacity: provisioned")
    scenario = scenario_of(model_groups(settings), [], [("ptu", Limits(None, 10_000_000, "ptu"))])
    dice = random.Random(1)
    long = Tokens(Spread(130_000, 130_000), Spread(10, 10))

    played = play(settings, scenario, by_chance(0.1, 60.0, long, Mix(scenario.groups, dice), dice), 60.0, 1)

    assert played.outcomes.requests["gpt"] > 0
    assert played.outcomes.answered["gpt"] == 0
    assert not played.journal.cooldowns


def test_the_option_asks_for_tokens_alone() -> None:
    assert limits("east=none/300000:ptu") == ("east", Limits(None, 300_000, "ptu"))
    for wrong in ("east=60/300000:ptu", "east=none/none:ptu"):
        with pytest.raises(ArgumentTypeError, match=r"none/300000:ptu"):
            limits(wrong)


def test_the_option_says_how_output_tokens_count() -> None:
    assert limits("none/300000:ptu:4") == (None, Limits(None, 300_000, "ptu", 4.0))
    assert limits("ptu:4=none/300000:ptu:2.5") == ("ptu:4", Limits(None, 300_000, "ptu", 2.5))
    for wrong in ("none/300000:ptu:0.5", "none/300000:ptu:101", "600/300000:azure:4"):
        with pytest.raises(ArgumentTypeError, match=r"from 1 to 100, such as east=none/300000:ptu:4"):
            limits(wrong)


def test_a_request_is_charged_its_prompt_and_its_weighted_output() -> None:
    assert token_cost(4 * 1000, 200) == 1200
    assert token_cost(4 * 1000, 200, 4.0) == 1800
    assert token_cost(4 * 1000, None, 2.5) == 1040
