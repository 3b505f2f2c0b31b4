"""What stands in the shared hash is read as a report or as nothing; whatever it is, reading it never fails."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.stores.report_codec import VERSION, decode_report, encode_report
from domain.health.cooldown_report import CooldownReport
from domain.replica_report import ReplicaReport

REPORT = ReplicaReport({"e": CooldownReport(-1.0, 59.0, 60.0)}, {})
DEEP = 100_000


def test_a_report_comes_back_as_it_was() -> None:
    packed = encode_report(REPORT)

    assert packed is not None
    assert decode_report(packed) == REPORT


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1x"])
@pytest.mark.parametrize("place", [b"\x81\xa1x", b"\x81\xa9endpoints\x81\xa1x", b""])
def test_one_that_is_nested_deep_is_none(place: bytes, opening: bytes) -> None:
    assert decode_report(bytes([VERSION]) + place + opening * DEEP + b"\xc0") is None


@given(st.binary(max_size=200))
def test_bytes_are_a_report_or_none(packed: bytes) -> None:
    decoded = decode_report(bytes([VERSION]) + packed)

    assert decoded is None or isinstance(decoded, ReplicaReport)


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_damaged_report_is_a_report_or_none(place: int, byte: int) -> None:
    packed = bytearray(encode_report(REPORT) or b"")
    packed[place % len(packed)] = byte
    decoded = decode_report(bytes(packed))

    assert decoded is None or isinstance(decoded, ReplicaReport)
