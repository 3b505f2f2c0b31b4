"""Memory is given back after a crowd, and left alone while nothing has grown."""

from adapters.metrics.process_use import resident_bytes
from entrypoints.processes.memory_use import _SPARE_BYTES, trim_now_and_then


def trims(*resident: int) -> int:
    """How often it trims where so much is found, one look after the other."""
    found, count = list(resident), 0

    def trim() -> None:
        nonlocal count
        count += 1

    trim_now_and_then(trim, lambda: found.pop(0), lambda seconds: not found or seconds <= 0.0)
    return count


def test_what_has_not_grown_much_is_left_alone() -> None:
    assert trims(100, 100, 100 + _SPARE_BYTES - 1, 50) == 0


def test_what_a_crowd_has_left_is_given_back_once() -> None:
    assert trims(100, 100 + _SPARE_BYTES, 120, 120, 119 + _SPARE_BYTES) == 1
    assert trims(100, 100 + _SPARE_BYTES, 120, 120 + _SPARE_BYTES, 130) == 2


def test_what_was_freed_without_it_may_have_left_pieces() -> None:
    much = 100 * _SPARE_BYTES
    assert trims(100, much, much, 120, 110) == 2


def test_what_is_resident_is_counted_in_bytes() -> None:
    before = resident_bytes()
    held = bytearray(64 * 1024 * 1024)

    assert resident_bytes() - before > len(held) // 2
