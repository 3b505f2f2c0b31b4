"""All seeds of the parsers' fuzz still hold, and its loop finds what it is there for."""

from collections.abc import Hashable
from random import Random

import pytest

from adapters.upstreams.openai.lenient_json import decode
from tests.parsers.coverage import Coverage
from tests.parsers.loop import FREE_STEPS, Fuzzing
from tests.parsers.mutation import mutated
from tests.parsers.seeds import seeds
from tests.parsers.target import Target, by_lines, cut
from tests.parsers.targets import TARGETS
from tests.parsers.targets.json_texts import _any


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_was_found_once_holds(target: Target) -> None:
    inputs = seeds(target.name)

    assert inputs
    for data in (*inputs, *target.words):
        target.run(data)


def _magic(data: bytes) -> Hashable:
    """Wrong for one word in sixteen million, unless ways are followed."""
    right = 0
    for expected, byte in zip(b"wsx", data, strict=False):
        if expected != byte:
            break
        right += 1
    assert right < 3
    return right


def test_the_loop_goes_on_from_inputs_that_end_in_a_new_way() -> None:
    fuzzing = Fuzzing(Target("magic", _magic, longest_bytes=4), [b"abc"], 1)

    for _ in range(200):
        if fuzzing.findings:
            break
        fuzzing.try_some(100)

    (found,) = fuzzing.findings
    assert found.data == b"wsx"
    assert "right < 3" in found.told


def test_lines_of_the_product_are_counted_and_others_are_not() -> None:
    coverage = Coverage()

    coverage.of(lambda data: decode(_any, data), b"1")
    few = coverage.steps
    coverage.of(lambda data: sum(byte for byte in data), bytes(1000))

    assert 0 < few < 10
    assert coverage.steps == 0


def test_more_work_than_an_input_explains_is_a_finding() -> None:
    def run(data: bytes) -> Hashable:
        for _ in range(len(data) * FREE_STEPS):
            decode(_any, b"1")
        return None

    fuzzing = Fuzzing(Target("slow", run, longest_bytes=1), [b"", b"a"], 1)

    assert "TooMuchWork" in fuzzing.findings[0].place


def test_the_same_dice_make_the_same_inputs_and_none_is_too_long() -> None:
    one, two = (
        [mutated(dice, [b"abc", b"1,2"], [b"word"], 50) for dice in [Random(3)] for _ in range(500)] for _ in "ab"
    )

    assert one == two
    assert len(set(one)) > 300
    assert max(map(len, one)) <= 16 * 50


@pytest.mark.parametrize("data", [b"", b"a", b"a\r\n\r\nb\r\n\r\n", bytes(1000)])
def test_pieces_are_all_of_it_and_the_same_each_time(data: bytes) -> None:
    for pieces in (cut, by_lines):
        assert b"".join(pieces(data)) == data
        assert pieces(data) == pieces(data)
        assert all(pieces(data))
