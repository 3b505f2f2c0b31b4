"""The head of a reply: how its body ends, and what is never sent."""

import re

import pytest

from adapters.http.server.reply_head import (
    CHUNKED,
    CLOSE,
    LENGTH,
    NONE,
    Framing,
    UnsendableHead,
    reply_head,
    whole_head,
)

SIZED = ((b"content-length", b"3"),)


@pytest.mark.parametrize(
    ("status", "headers", "is_head", "is_http10", "framing", "length"),
    [
        (200, SIZED, False, False, LENGTH, 3),
        (200, SIZED, False, True, LENGTH, 3),
        (200, (), False, False, CHUNKED, 0),
        (200, (), False, True, CLOSE, 0),
        (200, SIZED, True, False, NONE, 0),
        (200, (), True, False, NONE, 0),
        (204, (), False, False, NONE, 0),
        (304, SIZED, False, False, NONE, 0),
        (599, SIZED, False, False, LENGTH, 3),
    ],
)
def test_how_the_body_ends(
    status: int,
    headers: tuple[tuple[bytes, bytes], ...],
    is_head: bool,
    is_http10: bool,
    framing: Framing,
    length: int,
) -> None:
    head = reply_head(status, headers, is_head=is_head, is_http10=is_http10, keeps=True)

    assert (head.framing, head.length) == (framing, length)
    assert (b"\r\ntransfer-encoding: chunked\r\n" in head.raw) is (framing is CHUNKED)
    assert (b"\r\nconnection: close\r\n" in head.raw) is (framing is CLOSE)
    assert head.raw.startswith(b"HTTP/1.1 %d " % status)


def test_it_is_sent_with_its_headers_in_their_order_and_a_date() -> None:
    headers = ((b"b", b"2"), (b"a", "é".encode()), (b"b", b""), *SIZED)

    raw = reply_head(404, headers, is_head=False, is_http10=False, keeps=True).raw

    date = rb"date: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"
    start = "HTTP/1.1 404 Not Found\r\nb: 2\r\na: é\r\nb: \r\ncontent-length: 3\r\n".encode()
    assert re.fullmatch(re.escape(start) + date + rb"\r\n\r\n", raw)


def test_a_date_that_is_there_stays_the_only_one() -> None:
    raw = reply_head(200, ((b"date", b"then"), *SIZED), is_head=False, is_http10=False, keeps=True).raw

    assert raw.lower().count(b"date:") == 1


@pytest.mark.parametrize(
    ("is_http10", "keeps", "said"),
    [(False, True, None), (False, False, b"close"), (True, True, b"keep-alive"), (True, False, b"close")],
)
def test_it_says_whether_the_connection_stays(is_http10: bool, keeps: bool, said: bytes | None) -> None:
    raw = reply_head(200, SIZED, is_head=False, is_http10=is_http10, keeps=keeps).raw

    assert re.findall(rb"\r\nconnection: (.*)\r\n", raw) == ([] if said is None else [said])


@pytest.mark.parametrize("bad", [b"a\r\nx: y", b"a\nb", b"a\rb", b"a\0b", b"\r\n"])
@pytest.mark.parametrize("in_name", [True, False])
def test_what_would_be_another_header_or_reply_is_not_sent(bad: bytes, in_name: bool) -> None:
    pair = (bad, b"a") if in_name else (b"a", bad)

    with pytest.raises(UnsendableHead):
        reply_head(200, (pair, *SIZED), is_head=False, is_http10=False, keeps=True)


@pytest.mark.parametrize("length", [b"", b"-1", b"+1", b"0x1", b"1, 1", b" 1"])
def test_a_length_that_is_no_number_is_not_sent(length: bytes) -> None:
    with pytest.raises(UnsendableHead):
        reply_head(200, ((b"content-length", length),), is_head=False, is_http10=False, keeps=True)


@pytest.mark.parametrize("status", [0, 100, 199, 1000, -200])
def test_a_status_that_no_reply_ends_with_is_not_sent(status: int) -> None:
    with pytest.raises(UnsendableHead):
        reply_head(status, SIZED, is_head=False, is_http10=False, keeps=True)


@pytest.mark.parametrize("is_http10", [True, False])
@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("status", [200, 404, 599, 799])
@pytest.mark.parametrize("dated", [(), (("date", "then"),)])
def test_the_head_of_a_whole_reply_says_what_any_other_does(
    is_http10: bool, keeps: bool, status: int, dated: tuple[tuple[str, str], ...]
) -> None:
    fields = (("x-a", "caf\xe9\t1"), *dated, ("content-length", "3"))
    pairs = tuple((name.encode(), value.encode("latin-1")) for name, value in fields)
    texts = [f"{name}: {value}" for name, value in fields]

    whole = whole_head(status, texts, is_http10=is_http10, keeps=keeps)
    other = reply_head(status, pairs, is_head=False, is_http10=is_http10, keeps=keeps).raw
    assert whole.endswith(b"\r\n\r\n")
    assert sorted(whole.split(b"\r\n")) == sorted(other.split(b"\r\n"))


@pytest.mark.parametrize("bad", [chr(code) for code in (*range(0x20), 0x7F) if code != 0x09] + ["\u0100"])
def test_what_no_header_may_hold_is_not_sent(bad: str) -> None:
    with pytest.raises(ValueError):
        whole_head(200, [f"x: a{bad}b", "content-length: 0"], is_http10=False, keeps=True)


@pytest.mark.parametrize("status", [0, 100, 199, 1000])
def test_a_whole_reply_has_the_status_of_one(status: int) -> None:
    with pytest.raises(UnsendableHead):
        whole_head(status, ["content-length: 0"], is_http10=False, keeps=True)
