"""Arrivals: by chance from a seed, or from a trace."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.endpoint import Endpoint
from domain.group import ModelGroup
from entrypoints.simulate.options import tokens
from entrypoints.simulate.scenario import ScenarioError
from entrypoints.simulate.traffic import Arrival, Mix, by_chance, of_trace

GPT, OTHER = (ModelGroup(name, (Endpoint(name, "m", "openai"),)) for name in ("gpt", "other"))
TRACE = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.4799600,3180,8
2023-11-16 18:17:13.9799600,0,0
"""


def mix(*parts: tuple[ModelGroup, float], seed: int = 1) -> Mix:
    return Mix(parts or ((GPT, 1.0),), random.Random(seed))


def chance(seed: int, rate: float = 10.0, length_s: float = 600.0, of: str = "5-9,2") -> list[Arrival]:
    dice = random.Random(seed)
    return list(by_chance(rate, length_s, tokens(of), Mix(((GPT, 1.0),), dice), dice))


def write(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text, encoding="utf-8")
    return path


@given(st.integers(0, 1000), st.floats(0.01, 50))
def test_arrivals_come_one_after_the_other_within_their_time(seed: int, rate: float) -> None:
    arrivals = chance(seed, rate, 30.0)

    times = [arrival.at_s for arrival in arrivals]
    assert times == sorted(set(times)) and all(0 < at_s < 30 for at_s in times)
    assert all(5 <= arrival.given_tokens <= 9 and arrival.answered_tokens == 2 for arrival in arrivals)


def test_about_as_many_come_as_the_rate_says() -> None:
    assert 5700 < len(chance(1)) < 6300  # four standard deviations


def test_the_same_seed_gives_the_same_and_another_seed_others() -> None:
    assert chance(1) == chance(1) != chance(2)


def test_groups_come_by_their_parts() -> None:
    of = mix((GPT, 0.75), (OTHER, 0.25))

    names = [of.next().name for _ in range(4000)]

    assert 2850 < names.count("gpt") < 3150


def test_a_trace_begins_with_its_first_request(tmp_path: Path) -> None:
    arrivals = of_trace(write(tmp_path, TRACE), 1.0, None, mix())

    assert [arrival.at_s for arrival in arrivals] == pytest.approx([0, 0.5, 10])
    assert [(a.given_tokens, a.answered_tokens) for a in arrivals] == [(4808, 10), (3180, 8), (1, 1)]


def test_a_trace_can_be_played_faster_and_in_part(tmp_path: Path) -> None:
    path = write(tmp_path, TRACE)

    assert [a.at_s for a in of_trace(path, 10.0, None, mix())] == pytest.approx([0, 0.05, 1])
    assert len(of_trace(path, 1.0, 10.0, mix())) == 2
    assert len(of_trace(path, 10.0, 10.0, mix())) == 3


def test_a_trace_may_be_unordered_in_seconds_and_have_more_columns(tmp_path: Path) -> None:
    text = "\ufeffid,GeneratedTokens,TIMESTAMP,ContextTokens\na,1,12.5,10\nb,2,2.5,20\nc,3,2.5,20\n"

    arrivals = of_trace(write(tmp_path, text), 1.0, None, mix())

    assert [arrival.answered_tokens for arrival in arrivals] == [2, 3, 1]
    times = [arrival.at_s for arrival in arrivals]
    assert times == pytest.approx([0, 0, 10], abs=1e-5) and times[0] < times[1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no column TIMESTAMP"),
        ("TIMESTAMP,ContextTokens\n1,2\n", "has no column GeneratedTokens; valid: TIMESTAMP,"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "has no requests"),
        (TRACE + "yesterday,1,2\n", "line 5 of .* cannot be read; valid: a line such as 2023"),
        (TRACE + "nan,1,2\n", "line 5 of .* cannot be read"),
        (TRACE + "1,2\n", "line 5 of .* cannot be read"),
        (TRACE + "1,2,many\n", "line 5 of .* cannot be read"),
    ],
)
def test_what_is_no_trace_is_told_with_what_one_looks_like(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        of_trace(write(tmp_path, text), 1.0, None, mix())


@given(st.binary(max_size=200))
def test_no_file_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, rubbish: bytes) -> None:
    path = tmp_path_factory.mktemp("trace") / "trace.csv"
    path.write_bytes(TRACE.encode() + rubbish)

    try:
        of_trace(path, 1.0, None, mix())
    except ScenarioError:
        return
