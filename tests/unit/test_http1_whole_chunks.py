"""Chunks that come whole are not parsed, and a reply is read as if they were."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.upstreams.http1.framing import FRAMINGS
from adapters.upstreams.http1.reply import Http1Reply
from tests.examples import examples
from tests.unit.reply_read import OK, NoLine, Read

HEAD = OK + b"transfer-encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"
PAYLOADS = st.sampled_from([b"x", b"data: words\n\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"\r\n", b"3\r\n", b"y" * 300])
"""Some of which look like chunks themselves."""
LINES = st.sampled_from([b"%x\r\n", b"%x\r\n", b"%X\r\n", b"0%x\r\n", b"%x;a=b\r\n"])


@st.composite
def parts(draw: st.DrawFn) -> list[bytes]:
    """A chunked reply, cut where one thing ends and another begins."""
    cut = [HEAD]
    for payloads in draw(st.lists(st.lists(PAYLOADS, min_size=1, max_size=4), max_size=6)):
        line = draw(LINES) % sum(map(len, payloads))
        cut += [line, *payloads, b"\r\n"]
    cut += draw(st.sampled_from([[LAST], [b"0\r\n", b"x-trailer: 1\r\n", b"\r\n"]]))
    return cut


def joined(cut: Iterable[bytes], with_next: Iterable[bool]) -> list[bytes]:
    """Some put together again, as reads may bring them."""
    reads = [b""]
    for part, is_with_next in zip(cut, with_next, strict=True):
        reads[-1] += part
        if not is_with_next:
            reads.append(b"")
    return [read for read in reads if read]


def whole_chunks(*payloads: bytes) -> list[bytes]:
    return [b"%x\r\n%b\r\n" % (len(payload), payload) for payload in payloads]


@settings(max_examples=examples(300))
@given(parts(), st.data())
def test_however_a_chunked_reply_is_cut_it_is_the_same(cut: list[bytes], data: st.DataObject) -> None:
    together = data.draw(st.lists(st.booleans(), min_size=len(cut), max_size=len(cut)))
    reads = joined(cut, together)
    whole, in_parts = Read(b"".join(cut)), Read(*reads)

    assert whole.is_clean
    assert in_parts.is_clean
    assert in_parts.body == whole.body


@settings(max_examples=examples(200))
@given(st.lists(PAYLOADS, min_size=1, max_size=5), st.binary(min_size=1, max_size=4), st.integers(0, 400))
def test_what_is_broken_between_whole_chunks_is_noticed_as_without_them(
    payloads: list[bytes], junk: bytes, at: int
) -> None:
    reads = [HEAD, *whole_chunks(*payloads), LAST]
    sent = b"".join(reads[1:])
    broken = sent[: at % len(sent)] + junk + sent[at % len(sent) :]
    ends = [sum(map(len, reads[1:number])) for number in range(2, len(reads) + 1)]
    in_parts = Read(HEAD, *(broken[start:end] for start, end in zip([0, *ends], [*ends, None], strict=True)))
    whole = Read(HEAD + broken)

    assert in_parts.is_clean == whole.is_clean
    assert (in_parts.failure is None) == (whole.failure is None)
    if whole.is_clean:
        assert in_parts.body == whole.body


def test_a_chunk_that_comes_whole_is_not_parsed() -> None:
    got = Read(HEAD, *whole_chunks(b"first"))
    del got.reader._parser

    for read in whole_chunks(b"a", b"b" * 15, b"c" * 16, b"d" * 255, b"e" * 256, b"f" * 2000):
        assert got.reader.feed(read) is None
    assert got.reply._pieces == [b"first", b"a", b"b" * 15, b"c" * 16, b"d" * 255, b"e" * 256, b"f" * 2000]


@pytest.mark.parametrize("begun", [b"a", b"5\r\nhel", b"5\r\nhello", b"5\r\nhello\r", b"5\r\nhello\r\n5", b"5\r\n"])
def test_within_a_chunk_nothing_is_one(begun: bytes) -> None:
    assert Read(HEAD, *whole_chunks(b"x"), b"5\r\nhello\r\n").reader.is_between_chunks
    assert not Read(HEAD, *whole_chunks(b"x"), begun).reader.is_between_chunks


def test_what_comes_beside_a_body_is_paid_for_before_chunks_pass_unparsed() -> None:
    got = Read(HEAD, b"1;%b\r\nx\r\n" % (b"e" * 100))

    assert not got.reader.is_between_chunks
    assert got.reader.feed(*whole_chunks(b"x" * 20)) is None
    assert got.reader.is_between_chunks


def test_a_reply_in_no_chunks_has_none_between_them() -> None:
    assert not Read(OK + b"content-length: 30\r\n\r\n", *whole_chunks(b"x")).reader.is_between_chunks
    assert not Read(OK + b"\r\n", *whole_chunks(b"x")).reader.is_between_chunks


def test_a_body_that_looks_like_a_chunk_is_none_after_a_reply_in_chunks() -> None:
    got = Read(HEAD, *whole_chunks(b"x", b"y"), LAST)
    next_one = Http1Reply(NoLine(), 1.0)
    got.reader.begin(next_one, has_body=True)
    (body,) = whole_chunks(b"hello")

    got.reader.feed(OK + b"content-length: 10\r\n\r\n")
    got.reader.feed(body)
    assert next_one._pieces == [body]
    assert got.reader.is_whole


def test_framings_are_found_by_the_length_of_the_whole_chunk() -> None:
    chunks = {len(chunk): (chunk, size) for size in range(1, 2048) for chunk in whole_chunks(b"x" * size)}

    for length, (line, size) in enumerate(FRAMINGS):
        if size:
            assert chunks[length] == (line + b"x" * size + b"\r\n", size)
        else:
            assert length not in chunks
            with pytest.raises(ValueError, match="invalid literal"):  # no chunk begins with it
                int(line, 16)
