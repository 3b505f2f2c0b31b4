"""Bodies without their codings: as the libraries' own whole decompression has them, in bounded steps, or refused."""

import asyncio
import gzip
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Mapping, Sequence
from itertools import product

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.http.bodies import decompress_body as module
from adapters.http.bodies.content_codings import content_codings, without_coding
from adapters.http.bodies.decompress_body import FREE_BYTES, MOST_EXPANSION, STEP_BYTES, decompressed
from adapters.http.error_headers import Refusal
from adapters.http.server.error_body import status_of
from application.errors import InvalidRequest
from application.held_bytes import HeldBytes, Holding, TooMuchHeld

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_BYTES = 2 * 1024 * 1024
MADE: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}
PAIRS = [(first, second) for first, second in product(MADE, MADE)]


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def coded(body: bytes, *codings: str) -> bytes:
    for coding in codings:
        body = MADE[coding](body)
    return body


def plain(body: bytes, *codings: str, holding: Holding | None = None, max_bytes: int = MAX_BYTES) -> bytes:
    return asyncio.run(decompressed(body, codings, max_bytes, holding or Holding(HeldBytes())))


def refusal(body: bytes, *codings: str, **options: int) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        plain(body, *codings, **options)  # type: ignore[arg-type]
    return refused.value


def names(value: bytes) -> Sequence[str]:
    return content_codings({b"content-encoding": value})


@given(st.sampled_from(sorted(MADE)), st.binary(max_size=5_000), st.integers(1, 60))
def test_what_one_coding_made_comes_back(coding: str, body: bytes, times: int) -> None:
    assert plain(coded(body * times, coding), coding) == body * times


@given(st.sampled_from(PAIRS), st.binary(max_size=2_000), st.integers(1, 100))
def test_two_codings_are_taken_off_last_first(pair: tuple[str, str], body: bytes, times: int) -> None:
    assert plain(coded(body * times, *pair), *pair) == body * times


@given(st.sampled_from(sorted(MADE)), st.binary(min_size=1, max_size=2_000), st.data())
def test_a_body_that_is_cut_is_refused_wherever_it_is_cut(coding: str, body: bytes, data: st.DataObject) -> None:
    whole = coded(body, coding)
    at = data.draw(st.integers(1, len(whole) - 1))

    assert (refusal(whole[:at], coding).code, status_of(refusal(whole[:at], coding))) == ("broken_encoding", 400)


@pytest.mark.parametrize("coding", MADE)
def test_a_body_of_many_steps_comes_back(coding: str) -> None:
    body = bytes(range(256)) * (12 * STEP_BYTES // 256) + b"end"

    assert plain(coded(body, coding), coding) == body


def test_deflate_may_lack_its_frame() -> None:
    assert plain(raw_deflate(b"some text" * 100), "deflate") == b"some text" * 100


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_several_members_are_one_body_and_too_many_are_refused(coding: str) -> None:
    assert plain(coded(b"one,", coding) + coded(b"", coding) + coded(b"two", coding), coding) == b"one,two"
    assert "1000 parts" in str(refusal(coded(b"", coding) * 1001, coding))


def test_gzip_may_be_padded_with_zeros() -> None:
    assert plain(gzip.compress(b"a") + bytes(700) + gzip.compress(b"b") + bytes(100_000), "gzip") == b"ab"


@pytest.mark.parametrize("coding", MADE)
def test_bytes_behind_the_end_are_refused(coding: str) -> None:
    assert refusal(coded(b"text", coding) + b"junk", coding).code == "broken_encoding"


@pytest.mark.parametrize("coding", MADE)
def test_what_is_no_such_coding_is_refused_and_not_shown(coding: str) -> None:
    refused = refusal(b'{"model": "canary"}', coding)

    assert refused.code == "broken_encoding"
    assert "canary" not in str(refused)


def test_a_zstd_frame_that_wants_a_larger_window_than_8_mib_is_refused() -> None:
    options = {zstd.CompressionParameter.window_log: 24, zstd.CompressionParameter.compression_level: 1}
    packer = zstd.ZstdCompressor(options=options)  # the size is not announced, so the window is
    assert "8 MiB" in str(refusal(packer.compress(b"text") + packer.flush(), "zstd"))


@pytest.mark.parametrize("coding", MADE)
def test_what_becomes_larger_than_a_body_may_be_is_refused(coding: str) -> None:
    noise = b"".join(zlib.crc32(b"%d" % number).to_bytes(4, "big") for number in range(30_000))
    refused = refusal(coded(noise, coding), coding, max_bytes=100_000)

    assert (refused.code, status_of(refused)) == ("request_too_large", 413)


@pytest.mark.parametrize("codings", [*((coding,) for coding in MADE), *PAIRS], ids="+".join)
def test_a_bomb_costs_no_more_than_a_body_may(codings: tuple[str, ...]) -> None:
    bomb = coded(b"0" * (8 * MAX_BYTES), *codings)
    held = HeldBytes()
    tracemalloc.start()
    try:
        refused = refusal_held(bomb, codings, held)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert refused.code == "request_too_large"
    assert most < 1.25 * MAX_BYTES
    assert held.held_bytes == 0


def refusal_held(body: bytes, codings: Sequence[str], held: HeldBytes) -> InvalidRequest:
    with Holding(held) as holding, pytest.raises(InvalidRequest) as refused:
        plain(body, *codings, holding=holding)
    return refused.value


def test_zeros_beyond_any_honest_ratio_are_refused_and_a_text_that_repeats_is_not() -> None:
    assert MOST_EXPANSION > 100
    assert plain(coded(b"0" * FREE_BYTES, "zstd"), "zstd") == b"0" * FREE_BYTES
    assert "200 times" in str(refusal(coded(b"0" * (FREE_BYTES + STEP_BYTES), "zstd"), "zstd"))


def test_a_body_is_held_as_what_it_became_and_what_does_not_fit_is_refused() -> None:
    body = bytes(range(256)) * 1024
    held = HeldBytes(1_000_000)
    holding = Holding(held)
    assert plain(gzip.compress(body), "gzip", holding=holding) == body
    assert held.held_bytes == len(body)
    with pytest.raises(TooMuchHeld):
        plain(gzip.compress(body * 8), "gzip", holding=holding)


def test_others_have_their_turn_between_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = []

    async def both() -> bytes:
        async def other() -> None:
            while True:
                turns.append(len(turns))
                await asyncio.sleep(0)

        beside = asyncio.create_task(other())
        try:
            return await decompressed(gzip.compress(bytes(8 * STEP_BYTES)), ("gzip",), MAX_BYTES, Holding(HeldBytes()))
        finally:
            beside.cancel()

    monkeypatch.setattr(module, "MOST_EXPANSION", 10_000)
    assert asyncio.run(both()) == bytes(8 * STEP_BYTES)
    assert len(turns) >= 7


def test_no_body_needs_no_end() -> None:
    assert plain(b"", "gzip") == b""


def test_names_of_codings() -> None:
    assert content_codings({}) == ()
    assert names(b"identity") == names(b"") == names(b" , ") == ()
    assert names(b"GZIP") == names(b"x-gzip, identity") == ("gzip",)
    assert names(b"gzip , zstd") == ("gzip", "zstd")
    for value in (b"compress", b"gzip, br, zstd", b"gzip;q=1", b"dcz", b"gzip zstd", b"\xff"):
        with pytest.raises(Refusal) as refused:
            names(value)
        assert (status_of(refused.value), refused.value.fields) == (415, ("accept-encoding: zstd, gzip, br, deflate",))


def test_headers_of_the_coded_body_end_with_its_coding() -> None:
    headers = (("content-encoding", "gzip"), ("content-md5", "x"), ("content-type", "application/json"))
    assert without_coding(headers) == headers[2:]
