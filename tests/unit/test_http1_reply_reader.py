"""The reader of replies never takes for whole and clean what a second, stricter parser (h11) does not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.upstreams.http1.reply import Http1Reply
from domain.failure import FailureKind
from tests.contracts.reply_scripts import Played, broken, good
from tests.contracts.upstream_status_lines import HINTS, OTHERS, WHOLE
from tests.examples import examples
from tests.unit.read_by_h11 import reply_by_h11
from tests.unit.reply_read import OK, NoLine, Read


@settings(max_examples=examples(120))
@given(good())
def test_a_good_reply_is_read_as_h11_reads_it(played: Played) -> None:
    got = Read(*played.pieces, has_body=played.method != "HEAD")

    assert got.failure is None
    if got.is_clean:
        assert reply_by_h11(played.method, b"".join(played.pieces)) == (got.reply.status, got.body)


@settings(max_examples=examples(240))
@given(broken())
def test_no_connection_is_used_again_after_anything_but_one_clean_reply(played: Played) -> None:
    got = Read(*played.pieces, has_body=played.method != "HEAD")

    if got.is_clean:
        assert reply_by_h11(played.method, b"".join(played.pieces)) == (got.reply.status, got.body)


@settings(max_examples=examples(80))
@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=5), st.booleans())
def test_random_bytes_are_no_reply(pieces: list[bytes], has_body: bool) -> None:
    got = Read(*pieces, has_body=has_body)

    assert not got.is_clean or reply_by_h11("POST" if has_body else "HEAD", b"".join(pieces))


@settings(max_examples=examples(80))
@given(good(), st.lists(st.integers(0, 2000), max_size=6))
def test_where_a_reply_is_cut_makes_no_difference(played: Played, cuts: list[int]) -> None:
    sent, has_body = b"".join(played.pieces), played.method != "HEAD"
    whole, cut = Read(sent, has_body=has_body), Read(*played.pieces, has_body=has_body)

    assert (whole.reply.status, whole.reply.headers, whole.body) == (cut.reply.status, cut.reply.headers, cut.body)
    assert whole.is_clean == cut.is_clean


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(OK + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", id="length and chunked"),
        pytest.param(OK + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n", id="chunked and length"),
        pytest.param(OK + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd", id="two lengths"),
        pytest.param(
            OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", id="chunked twice"
        ),
        pytest.param(OK + b"content-length: 3, 4\r\n\r\nabcd", id="a list of lengths"),
        pytest.param(OK + b"content-length: +3\r\n\r\nabc", id="length with a sign"),
        pytest.param(OK + b"content-length: 0x3\r\n\r\nabc", id="length in hexadecimal"),
        pytest.param(OK + b"content-length:\r\n\r\n", id="no length"),
        pytest.param(OK + b"content-length: 99999999999999999999\r\n\r\n", id="length beyond 64 bits"),
        pytest.param(OK + b"x-a: 1\r\n  2\r\ncontent-length: 0\r\n\r\n", id="folded header"),
        pytest.param(OK + b"x-a: 1\r\n\tcontent-length: 5\r\n\r\n", id="folded length"),
        pytest.param(OK + b"x-a: 1\ncontent-length: 0\r\n\r\n", id="header that ends in a line feed"),
        pytest.param(b"HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n", id="status line that ends in a line feed"),
        pytest.param(OK + b"content-length: 0\r\n\n", id="headers that end in a line feed"),
        pytest.param(OK + b"x-a: 1\rcontent-length: 0\r\n\r\n", id="carriage return in a header"),
        pytest.param(OK + b"x-a: 1\0\r\ncontent-length: 0\r\n\r\n", id="NUL in a header"),
        pytest.param(OK + b"content-length : 0\r\n\r\n", id="space before the colon"),
        pytest.param(OK + b": 0\r\n\r\n", id="header without name"),
        pytest.param(OK + b"transfer-encoding: gzip\r\n\r\n", id="another coding"),
        pytest.param(OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="another coding besides"),
        pytest.param(OK + b"transfer-encoding: xchunked\r\n\r\n", id="nearly chunked"),
        pytest.param(OK + b"transfer-encoding: chunked\r\n\r\n1\na\n0\n\n", id="chunks that end in a line feed"),
        pytest.param(OK + b"transfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", id="chunk longer than its size"),
        pytest.param(OK + b"transfer-encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n", id="negative chunk"),
        pytest.param(OK + b"transfer-encoding: chunked\r\n\r\n1ffffffffffffffff\r\na\r\n", id="chunk beyond 64 bits"),
        pytest.param(b"HTTP/1.1 099 Low\r\ncontent-length: 0\r\n\r\n", id="status below 100"),
        pytest.param(b"HTTP/1.1 1000 High\r\ncontent-length: 0\r\n\r\n", id="status above 999"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", id="switched protocols"),
        pytest.param(b"HTTP/1.1 103 Hints\r\ncontent-length: 3\r\n\r\nabc" + OK + b"\r\n", id="interim with a body"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(sent: bytes) -> None:
    got = Read(sent)

    assert got.failure is not None
    assert got.failure.kind is FailureKind.JUNK


@pytest.mark.parametrize("before", [b"", HINTS, HINTS * 2])
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_other_status_lines_are_refused_wherever_they_stand_and_however_they_are_cut(before: bytes, step: int) -> None:
    for line in (*OTHERS, b"\r\nHTTP/1.1 200 OK", b"\nHTTP/1.1 200 OK", b"\r\n\r\nHTTP/1.1 200 OK"):
        sent = before + line + WHOLE
        got = Read(*(sent[at : at + step] for at in range(0, len(sent), step)))

        assert got.failure is not None, line
        assert (got.failure.kind, got.reply.status) == (FailureKind.JUNK, 0), line


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_no_more_of_a_status_line_is_kept_than_tells_what_it_is(step: int) -> None:
    got = Read(*[b"HTTP/1.1 "[at : at + step] for at in range(0, 9, step)])

    assert (got.failure, got.reader._begun, got.reader.overhead_bytes) == (None, b"HTTP/1.1 ", 9)


@pytest.mark.parametrize("body", [b"ok", b"a\r\n", b"\r\n", b"\n\n\n", b""])
@pytest.mark.parametrize("rest", [b"", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"x", b"\0", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_any_byte_after_a_reply_with_a_length_is_seen(body: bytes, rest: bytes) -> None:
    got = Read(OK + b"content-length: %d\r\n\r\n" % len(body) + body + rest)

    assert (got.failure, got.body) == (None, body)
    assert got.is_clean == (rest == b"")


@pytest.mark.parametrize("rest", [b"", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"x", b"0\r\n\r\n"])
@pytest.mark.parametrize("trailers", [b"", b"x-a: 1\r\n"])
def test_any_byte_after_a_chunked_reply_is_seen(trailers: bytes, rest: bytes) -> None:
    got = Read(OK + b"transfer-encoding: chunked\r\n\r\n2\r\n\r\n\r\n0\r\n" + trailers + b"\r\n" + rest)

    assert (got.failure, got.body) == (None, b"\r\n")
    assert got.is_clean == (rest == b"")


def test_trailers_mean_nothing() -> None:
    got = Read(OK + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n" + b"x-trailer: 1\r\n" * 300 + b"\r\n")

    assert got.is_clean
    assert (got.body, got.reply.headers) == (b"ok", (("transfer-encoding", "chunked"),))


@pytest.mark.parametrize("rest", [b"", b"abc", b"a", b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_any_byte_after_a_reply_to_head_is_seen(rest: bytes) -> None:
    got = Read(OK + b"content-length: 3\r\n\r\n" + rest, has_body=False)

    assert (got.failure, got.body) == (None, b"")
    assert got.is_clean == (rest == b"")


def test_the_reader_is_as_good_as_new_after_each_reply() -> None:
    got = Read(OK + b"content-length: 3\r\n\r\n", has_body=False)
    for body, sent in [(b"a", OK + b"content-length: 1\r\n\r\na"), (b"", b"HTTP/1.1 304 Not Modified\r\n\r\n")] * 2:
        reply = Http1Reply(NoLine(), 1.0)
        got.reader.begin(reply, has_body=True)

        assert got.reader.feed(sent) is None
        assert got.reader.is_whole
        assert b"".join(reply._pieces) == body


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([b"HTTP/1.1 103 Hints\r\nlink: </a>\r\n\r\n"] * 2000, id="interim replies"),
        pytest.param([OK + b"x-a: "] + [b"x" * 1000] * 70, id="one header"),
        pytest.param([OK + b"x-a: " + b"x" * 70_000 + b"\r\ncontent-length: 0\r\n\r\n"], id="one header at once"),
        pytest.param([OK + b"x-a: 1\r\n" * 257 + b"content-length: 0\r\n\r\n"], id="257 headers"),
        pytest.param([OK + b"transfer-encoding: chunked\r\n\r\n0\r\nx-a: "] + [b"x" * 1000] * 70, id="one trailer"),
        pytest.param([OK + b"transfer-encoding: chunked\r\n\r\n0\r\n"] + [b"x-a: 1\r\n"] * 9000, id="trailers"),
        pytest.param([OK + b"transfer-encoding: chunked\r\n\r\n1;"] + [b"x" * 1000] * 70, id="chunk extension"),
    ],
)
def test_headers_and_what_is_like_them_are_bounded(sent: list[bytes]) -> None:
    got = Read(*sent)

    assert got.failure is not None
    assert got.failure.reason == "headers too large"
