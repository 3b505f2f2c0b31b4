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
    framing_of,
    reply_head,
)

SIZED = ("content-length: 3",)


@pytest.mark.parametrize(
    ("status", "fields", "is_head", "is_http10", "framing", "length"),
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
    status: int, fields: tuple[str, ...], is_head: bool, is_http10: bool, framing: Framing, length: int
) -> None:
    assert framing_of(status, fields, is_head=is_head, is_http10=is_http10) == (framing, length)


def test_it_is_sent_with_its_headers_in_their_order_and_a_date() -> None:
    raw = reply_head(404, ("b: 2", "a: \xe9\t1", "b: ", *SIZED), is_http10=False, keeps=True)

    date = rb"date: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"
    start = b"HTTP/1.1 404 Not Found\r\nb: 2\r\na: \xe9\t1\r\nb: \r\ncontent-length: 3\r\n"
    assert re.fullmatch(re.escape(start) + date + rb"\r\n\r\n", raw)


def test_a_date_that_is_there_stays_the_only_one() -> None:
    raw = reply_head(200, ("date: then", *SIZED), is_http10=False, keeps=True)

    assert raw.lower().count(b"date:") == 1


@pytest.mark.parametrize(
    ("is_http10", "keeps", "said"),
    [(False, True, None), (False, False, b"close"), (True, True, b"keep-alive"), (True, False, b"close")],
)
def test_it_says_whether_the_connection_stays(is_http10: bool, keeps: bool, said: bytes | None) -> None:
    raw = reply_head(200, SIZED, is_http10=is_http10, keeps=keeps)

    assert re.findall(rb"\r\nconnection: (.*)\r\n", raw) == ([] if said is None else [said])


@pytest.mark.parametrize(
    "bad", ["a\r\nx: y", "\r\n", *(chr(code) for code in (*range(0x20), 0x7F) if code != 0x09), "\u0100"]
)
@pytest.mark.parametrize("in_name", [True, False])
def test_what_no_header_may_hold_is_not_sent(bad: str, in_name: bool) -> None:
    field = f"x{bad}: a" if in_name else f"x: a{bad}b"

    with pytest.raises(ValueError):
        reply_head(200, (field, *SIZED), is_http10=False, keeps=True)


def test_quotes_and_backslashes_are_sent_as_they_are() -> None:
    raw = reply_head(200, ('etag: W/"a\\b"', *SIZED), is_http10=False, keeps=True)

    assert b'\r\netag: W/"a\\b"\r\n' in raw


@pytest.mark.parametrize("length", ["", "-1", "+1", "0x1", "1, 1", " 1", "\xb2"])
def test_a_length_that_is_no_number_is_not_sent(length: str) -> None:
    with pytest.raises(UnsendableHead):
        framing_of(200, (f"content-length: {length}",), is_head=False, is_http10=False)


@pytest.mark.parametrize("status", [0, 100, 199, 1000, -200])
def test_a_status_that_no_reply_ends_with_is_not_sent(status: int) -> None:
    with pytest.raises(UnsendableHead):
        reply_head(status, SIZED, is_http10=False, keeps=True)
