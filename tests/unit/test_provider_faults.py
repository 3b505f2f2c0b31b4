"""Which request a fault rule hits."""

from typing import Any

import msgspec
import pytest

from simulator.faults.rules import Arrival, FaultPlan, Rule

EMPTY = {"kind": "empty"}


def plan(*rules: dict[str, Any], seed: int = 0) -> FaultPlan:
    return FaultPlan(msgspec.convert(list(rules), list[Rule]), seed)


def arrival(
    path: str = "/v1/chat/completions",
    model: str | None = "gpt-5-mini",
    *,
    stream: bool = False,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Arrival:
    return Arrival(path, model, stream, headers)


def hits(faults: FaultPlan, count: int, **of: Any) -> list[bool]:
    return [faults.choose(arrival(**of)) is not None for _ in range(count)]


def test_a_rule_without_match_hits_everything_for_ever() -> None:
    assert all(hits(plan({"action": EMPTY}), 5))


def test_skip_times_and_every_count_matching_requests_only() -> None:
    faults = plan({"match": {"model": "gpt-5-mini"}, "skip": 1, "every": 2, "times": 2, "action": EMPTY})

    faults.choose(arrival(model="other"))

    assert hits(faults, 8) == [False, False, True, False, True, False, False, False]
    assert (faults.consulted, faults.acted) == ([8], [2])


def test_the_first_rule_that_is_due_wins() -> None:
    faults = plan(
        {"times": 1, "action": {"kind": "status", "status": 500}},
        {"action": {"kind": "status", "status": 503}},
    )

    chosen = [faults.choose(arrival()) for _ in range(2)]

    assert [getattr(action, "status", None) for action in chosen] == [500, 503]


def test_probability_is_repeatable_and_about_right() -> None:
    rule = {"probability": 0.3, "action": EMPTY}

    first, second = hits(plan(rule, seed=7), 1000), hits(plan(rule, seed=7), 1000)

    assert first == second
    assert 200 < sum(first) < 400


@pytest.mark.parametrize(
    ("match", "of", "expected"),
    [
        ({"path": "responses"}, {"path": "/openai/responses?api-version=v"}, True),
        ({"path": "responses"}, {"path": "/v1/chat/completions"}, False),
        ({"stream": True}, {"stream": True}, True),
        ({"stream": True}, {"stream": False}, False),
        ({"header": ["X-Test", "a"]}, {"headers": ((b"x-test", b"a"),)}, True),
        ({"header": ["X-Test", "a"]}, {"headers": ((b"x-test", b"b"),)}, False),
        ({"path": "chat", "model": "other"}, {}, False),
    ],
)
def test_a_match_must_fit_in_every_part(match: dict[str, Any], of: dict[str, Any], *, expected: bool) -> None:
    assert hits(plan({"match": match, "action": EMPTY}), 1, **of) == [expected]


@pytest.mark.parametrize(
    "action", [{"kind": "no_done"}, {"kind": "stream_error"}, {"kind": "reset", "when": "mid_stream"}]
)
def test_faults_of_streams_pass_over_other_requests(action: dict[str, Any]) -> None:
    faults = plan({"action": action, "times": 1})

    assert hits(faults, 2, stream=False) == [False, False]
    assert hits(faults, 2, stream=True) == [True, False]


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        ({"action": {"kind": "explode"}}, "$.action.kind"),
        ({"action": {"kind": "status"}}, "`status` - at `$.action`"),
        ({"action": {"kind": "status", "status": 99}}, "$.action.status"),
        ({"action": EMPTY, "sometimes": 1}, "`sometimes`"),
        ({"action": EMPTY, "match": {"modell": "x"}}, "$.match"),
        ({"action": EMPTY, "probability": 2}, "$.probability"),
        ({"action": {"kind": "chop", "bytes": 0}}, "$.action"),
    ],
)
def test_a_mistake_in_a_rule_is_named_with_its_place(rule: dict[str, Any], place: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(rule, Rule)

    assert place in str(caught.value)
