"""What counts only together with what was seen before, and what is beside an endpoint's purpose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.failure import NEVER_SENT, Effect, Failure, FailureKind
from domain.health.evidence import (
    HANGS,
    NO_SILENCE,
    SILENCE_S,
    SILENT_REQUESTS,
    TRUST_IN_PLACE_S,
    TRUST_S,
    is_of_one_use,
)

WAITS = st.lists(st.floats(0, 100), max_size=12)


@given(WAITS)
def test_as_many_long_silences_in_a_row_as_decide_are_a_hang_and_short_ones_are_none(waits: list[float]) -> None:
    silence = NO_SILENCE
    for number, waited_s in enumerate(waits, start=1):
        silence = silence.after_timeout(waited_s)

        assert silence.requests == number
        assert silence.is_hang == (sum(wait >= SILENCE_S for wait in waits[:number]) >= SILENT_REQUESTS)


def test_a_hang_counts_against_the_endpoint() -> None:
    assert HANGS.effect(is_beside=False) is Effect.COUNT


@given(
    st.dictionaries(st.sampled_from("abc"), st.floats(0, 1000)),
    st.sampled_from("abcd"),
    st.floats(0, 5000),
    st.sampled_from([FailureKind.AUTH, FailureKind.MISCONFIGURED, FailureKind.NOT_FOUND]),
)
def test_a_refusal_is_of_one_use_while_another_went_well_lately_or_within_the_hour_where_nothing_is_there(
    well_at: dict[str, float], refused: str, later_s: float, kind: FailureKind
) -> None:
    now = 1000 + later_s
    others = [at for use, at in well_at.items() if use != refused]
    trust_s = TRUST_IN_PLACE_S if kind is FailureKind.NOT_FOUND else TRUST_S
    is_trusted = any(now - at < trust_s for at in others)

    assert is_of_one_use(well_at, refused, now, kind) == is_trusted


@pytest.mark.parametrize("kind", FailureKind)
def test_beside_its_purpose_only_a_connection_that_cannot_be_made_counts(kind: FailureKind) -> None:
    failure = Failure(kind)
    effect, beside = failure.effect(is_beside=False), failure.effect(is_beside=True)

    assert effect is failure.meaning.effect
    assert beside in (effect, Effect.NONE)
    assert (beside is Effect.COUNT) == (effect is Effect.COUNT and kind in NEVER_SENT)
    assert beside not in (Effect.FAULT, Effect.SUSPECT)
    if effect in (Effect.CLOCK, Effect.ACCOUNT_FAULT):
        assert beside is effect, "a limit and a bill are the whole account's"
