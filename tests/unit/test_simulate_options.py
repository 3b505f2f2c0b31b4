"""The options of `llmproxy simulate`: what they mean, and what is said to those that mean nothing."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.endpoint import Endpoint
from domain.group import ModelGroup
from entrypoints.simulate import options
from entrypoints.simulate.options import Latency, Limits, Spread, Tokens, Trouble
from entrypoints.simulate.scenario import ScenarioError, scenario_of


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("1h", 3600), ("250ms", 0.25), ("0", 0)]
)
def test_a_time_has_a_unit_or_is_in_seconds(text: str, seconds: float) -> None:
    assert options.duration(text) == seconds


def test_limits_are_of_one_endpoint_or_of_all() -> None:
    assert options.limits("600/90000") == (None, Limits(600, 90000))
    assert options.limits("gpt/1=600/none:azure") == ("gpt/1", Limits(600, None, "azure"))
    assert options.limits("a=b=none/5:none") == ("a=b", Limits(None, 5, "none"))


@given(st.none() | st.integers(1, 10**9), st.none() | st.integers(1, 10**9), st.sampled_from(["", ":openai"]))
def test_any_limits_read_back(rpm: int | None, tpm: int | None, style: str) -> None:
    text = f"east={rpm or 'none'}/{tpm or 'none'}{style}"

    assert options.limits(text) == ("east", Limits(rpm, tpm, "openai" if style else None))


def test_a_latency_is_in_milliseconds() -> None:
    assert options.latency("300+20") == (None, Latency(0.3, 0.02))
    assert options.latency("east=0+1.5") == ("east", Latency(0.0, 0.0015))


def test_an_outage_has_an_endpoint_a_time_and_a_kind() -> None:
    assert options.outage("east@10m..15m") == Trouble("east", 600, 900, "connect")
    assert options.outage("a@b@0..30s:timeout") == Trouble("a@b", 0, 30, "timeout")
    assert options.outage("gpt:4/1@1h..2h:503") == Trouble("gpt:4/1", 3600, 7200, "503")


def test_a_storm_may_say_how_long_to_wait() -> None:
    assert options.storm("east@10..20") == Trouble("east", 10, 20, "429")
    assert options.storm("east@10..20:5s") == Trouble("east", 10, 20, "429", 5.0)


def test_tokens_are_fixed_or_between_two_numbers() -> None:
    assert options.tokens("1000,200") == Tokens(Spread(1000, 1000), Spread(200, 200))
    assert options.tokens("500-2000,1-400") == Tokens(Spread(500, 2000), Spread(1, 400))


def test_a_share_follows_a_name_that_may_hold_a_colon() -> None:
    assert options.share("gpt-5") == ("gpt-5", 1.0)
    assert options.share("gpt-5:3") == ("gpt-5", 3.0)
    assert options.share("ft:gpt-5:acme") == ("ft:gpt-5:acme", 1.0)
    assert options.share("ft:gpt-5:acme:0.5") == ("ft:gpt-5:acme", 0.5)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (options.duration, "ten"),
        (options.duration, "-1"),
        (options.duration, "nan"),
        (options.duration, ""),
        (options.limits, "600"),
        (options.limits, "east=0/5"),
        (options.limits, "600/9:aws"),
        (options.limits, "-600/9"),
        (options.latency, "300"),
        (options.latency, "300ms+20ms"),
        (options.outage, "east"),
        (options.outage, "@1..2"),
        (options.outage, "east@1"),
        (options.outage, "east@2..1"),
        (options.outage, "east@1..1"),
        (options.outage, "east@1..2:500"),
        (options.storm, "east@1..2:soon"),
        (options.tokens, "5"),
        (options.tokens, "5,"),
        (options.tokens, "0,5"),
        (options.tokens, "5-4,1"),
        (options.tokens, "1,2,3"),
        (options.tokens, "1,99999999"),
        (options.share, "gpt:0"),
        (options.positive, "0"),
        (options.positive, "nan"),
        (options.positive, "inf"),
        (options.positive, "some"),
    ],
)
def test_what_means_nothing_is_told_with_what_is_valid(read: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="valid: ") as told:
        read(text)

    assert text.rpartition(":")[2].rpartition("@")[2].partition("..")[0] in str(told.value)


EAST = Endpoint("east", "m", "openai", 3, bucket="one", rpm=60)
WEST = Endpoint("west", "m", "azure", 1, bucket="two")
TWIN = Endpoint("twin", "m", "openai", 1, bucket="one")
GROUPS = (ModelGroup("gpt", (EAST, WEST, TWIN)), ModelGroup("other", (Endpoint("far", "m", "openai", bucket="far"),)))


def test_limits_are_those_of_the_file_in_the_style_of_the_provider() -> None:
    plans = scenario_of(GROUPS, []).plans

    assert [(name, plan.provider.rpm, plan.provider.tpm, plan.is_told) for name, plan in plans.items()] == [
        ("east", 60, None, False),
        ("west", None, None, False),
        ("twin", 60, None, False),
    ]
    assert plans["west"].provider.header_style == "azure" and plans["east"].provider.header_style == "openai"


def test_options_for_one_win_over_those_for_all_whatever_their_order() -> None:
    told = [("west", Limits(10, None, "none")), (None, Limits(None, 5000))]
    plans = scenario_of(GROUPS, [], told, [("west", Latency(1, 0)), (None, Latency(2, 0))]).plans

    assert (plans["west"].provider.rpm, plans["west"].provider.header_style) == (10, "none")
    assert (plans["east"].provider.rpm, plans["east"].provider.tpm) == (None, 5000)
    assert (plans["west"].latency.first_byte_s, plans["east"].latency.first_byte_s) == (1, 2)


def test_endpoints_that_share_a_bucket_share_what_is_said_of_one() -> None:
    plans = scenario_of(GROUPS, [], [("twin", Limits(7, None))]).plans

    assert plans["east"].provider.rpm == plans["twin"].provider.rpm == 7
    assert plans["east"].bucket == plans["twin"].bucket != plans["west"].bucket


def test_shares_of_groups_are_parts_of_one() -> None:
    scenario = scenario_of(GROUPS, [("gpt", 3.0), ("other", 1.0)])

    assert [(group.name, part) for group, part in scenario.groups] == [("gpt", 0.75), ("other", 0.25)]
    assert set(scenario.plans) == {"east", "west", "twin", "far"}


def test_unknown_names_are_told_with_those_that_there_are() -> None:
    with pytest.raises(ScenarioError, match=r"--model: 'nix' is no model group.*valid: gpt, other"):
        scenario_of(GROUPS, [("nix", 1.0)])
    with pytest.raises(ScenarioError, match=r"--limits: 'far' is no endpoint.*valid: east, west, twin"):
        scenario_of(GROUPS, [], [("far", Limits(1, 1))])
    with pytest.raises(ScenarioError, match=r"--outage or --429: 'x' is no endpoint"):
        scenario_of(GROUPS, [], troubles=[Trouble("x", 0, 1, "429")])
