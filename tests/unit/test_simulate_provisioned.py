"""Provisioned capacity in virtual time, through the real routing: at 130 % of its load it is used to the brim."""

import random
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from entrypoints.simulate.options import Latency, Limits, Spread, Tokens, limits
from entrypoints.simulate.run import Played, play
from entrypoints.simulate.scenario import scenario_of
from entrypoints.simulate.traffic import Mix, by_chance
from entrypoints.wiring.groups import model_groups
from tests.unit.simulated import settings_of

MINUTES = 15
TPM = 300_000
OFFERED = 1.3
TOKENS = Tokens(Spread(500, 1500), Spread(50, 350))
EACH = 1200.0


def run(
    folder: Path, seed: int, *, streams: bool = False, ptu: str = "capacity: provisioned", wait_s: int = 0
) -> Played:
    general = f"max_wait_for_tier: {wait_s}"
    settings = settings_of(folder, f"id: ptu, {ptu}", "id: payg, priority: 1", general=general)
    given: list[tuple[str | None, Limits]] = [("ptu", Limits(None, TPM, "ptu")), ("payg", Limits(None, None))]
    scenario = scenario_of(model_groups(settings), [], given, [(None, Latency(0.3, 0.02))], [], streams=streams)
    dice = random.Random(seed)
    rate = OFFERED * TPM / 60 / EACH
    arrivals = by_chance(rate, 60.0 * MINUTES, TOKENS, Mix(scenario.groups, dice), dice)
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
