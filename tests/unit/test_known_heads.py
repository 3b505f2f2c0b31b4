"""Heads that were read before are known again, by every byte that may decide anything; and cost a bounded memory."""

import gc
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.http.bodies.decode_request import Arrival
from adapters.http.server.request.known_heads import LONGEST_HEAD_BYTES, KnownHeads, spelling_of
from tests.unit.http_read import Read, get, post, sized
from tests.unit.random_requests import requests

GET = b"GET /v1/responses/resp_1 HTTP/1.1\r\nhost: here\r\nauthorization: Bearer sk-somebody\r\n\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: here\r\nContent-Length: %d\r\nx-key: 7\r\n\r\n%b"


def test_requests_that_differ_in_their_bodies_share_a_head() -> None:
    heads = KnownHeads()
    read = Read(POST % (5, b"first"), POST % (11, b"another one"), POST % (0, b""), heads=heads)

    assert [each.body for each in read.requests] == [b"first", b"another one", b""]
    assert len({id(each.head) for each in read.requests}) == 1
    assert [dict(each.scope["headers"])[b"content-length"] for each in read.requests] == [b"5", b"11", b"0"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (get(headers=b"host: a\r\n"), get(headers=b"host: b\r\n")),
        (get(b"/a"), get(b"/b")),
        (post(b"x-content-length: 1\r\n", b""), post(b"x-content-length: 2\r\n", b"")),
        (post(b"content-length: 1\r\nx: 1\r\n", b"a"), post(b"content-length: 1\r\nx: 2\r\n", b"a")),
        (post(b"x: content-length: 1\r\n", b""), post(b"x: content-length: 2\r\n", b"")),
    ],
)
def test_heads_that_differ_in_anything_else_are_two(one: bytes, other: bytes) -> None:
    read = Read(one, other, one, other, heads=KnownHeads())

    assert read.refusal is None
    first, second, third, fourth = read.requests
    assert first.head is third.head
    assert second.head is fourth.head
    assert first.head is not second.head
    assert first.told() != second.told()


@pytest.mark.parametrize("broken", [b"1\r\r\n\r\na", b"1\n\r\n\r\na", b"1 \r\r\n\r\na", b"1\r\n\r\r\n\r\na"])
def test_a_head_that_is_like_a_known_one_but_for_a_line_break_is_refused(broken: bytes) -> None:
    heads = KnownHeads()
    good = post(b"content-length: 1\r\n", b"a")
    assert Read(good, good, heads=heads).refusal is None

    read = Read(good.replace(b"1\r\n\r\na", broken), heads=heads)
    assert read.refusal is not None
    assert not read.requests


@pytest.mark.parametrize(
    "raw",
    [
        post(b"transfer-encoding: chunked\r\n", b"0\r\n\r\n"),
        get(headers=b"host: here\r\nconnection: close\r\n"),
        get(version=b"1.0"),
        get(headers=b"host: here\r\nconnection: upgrade\r\nupgrade: h2c\r\n"),
        post(b"content-length: 1\r\nexpect: 100-continue\r\n", b"a"),
        post(b"content-length:  1\r\n", b"a"),
        post(b"CONTENT-LENGTH: 1\r\n", b"a"),
        get(headers=b"host: here\r\nx: %b\r\n" % bytes(LONGEST_HEAD_BYTES).replace(b"\0", b"x")),
        get(headers=b"host : here\r\n"),
        post(b"content-length: 1\r\ncontent-length: 1\r\n", b"a"),
        post(b"content-length: 99999999999999999999\r\n", b"a"),
    ],
)
def test_what_decides_more_than_its_request_or_is_refused_is_not_remembered(raw: bytes) -> None:
    heads = KnownHeads()
    Read(raw, heads=heads)

    assert len(heads) == 0


def test_a_head_that_comes_in_pieces_is_the_parsers() -> None:
    heads = KnownHeads()
    raw = POST % (5, b"first")
    read = Read(raw[:30], raw[30:], raw, raw, heads=heads)

    assert [each.body for each in read.requests] == [b"first"] * 3
    assert len(heads) == 1


@pytest.mark.parametrize("blank", [b"\r\n\r\n", b"\n\r\n\r\n", b"\r\n\r\r\n\r\n"])
def test_blank_lines_are_no_request_whoever_asked_before(blank: bytes) -> None:
    """They would be answered as the request before them, with its credentials, and to whoever sends them next."""
    heads = KnownHeads()
    secret = get(headers=b"host: here\r\nauthorization: Bearer k\r\n")
    before = Read(secret[:10], secret[10:], blank, blank, heads=heads)

    assert len(before.requests) == 1
    assert len(heads) == 0
    assert Read(blank, heads=heads).requests == []


@pytest.mark.parametrize("begun", [b"X", b"POST /x HTTP/1.1\r\nx: ", b"POST /x HTTP/1.1\r\n"])
def test_a_head_that_is_known_is_none_inside_of_another_that_came_with_the_request_before(begun: bytes) -> None:
    """Else whatever stands in a header could become a request of its own, where front proxies cut between the two."""
    heads = KnownHeads()
    known, first = get(), post(b"content-length: 1\r\n", b"")
    Read(known, heads=heads)

    in_two = Read(first[:9], first[9:], b"a" + begun, known, heads=heads)

    assert in_two.told() == Read(first + b"a" + begun + known).told()


@given(st.lists(requests(), min_size=1, max_size=3), st.data())
def test_what_is_known_is_read_as_it_was_read_first(raws: list[bytes], data: st.DataObject) -> None:
    text = b"".join(raws)
    heads = KnownHeads()
    first = Read(text, heads=heads)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    assert Read(text, heads=heads).told() == first.told()
    assert Read(*[piece for piece in pieces if piece], heads=heads).told() == first.told()
    assert Read(*raws, heads=heads).told() == first.told()


@pytest.mark.parametrize("cut", [1, 4, 30, 50, len(GET) - 4, len(GET) - 1])
def test_the_rest_of_a_head_that_began_behind_another_request_is_no_head_of_its_own(cut: int) -> None:
    other = GET.replace(b"resp_1", b"resp_2")
    heads = KnownHeads()

    first = Read(other[:9], other[9:] + GET[:cut], GET[cut:], heads=heads)
    second = Read(GET[:9], GET[9:] + other[:cut], other[cut:], heads=heads)

    assert [request.scope["path"][-6:] for request in first.requests] == ["resp_2", "resp_1"]
    assert [request.scope["path"][-6:] for request in second.requests] == ["resp_1", "resp_2"]


@pytest.mark.parametrize("cut", [1, 30, len(GET) - 2])
@pytest.mark.parametrize("blank", [b"\r\n", b"\r\n\r\n", b"\r\n\r\n\r\n", b"\n\n"])
def test_empty_lines_are_never_another_clients_request(blank: bytes, cut: int) -> None:
    heads = KnownHeads()
    Read(GET[:cut], GET[cut:], blank, blank, heads=heads)

    assert Read(blank, blank, heads=heads).requests == []
    assert len(Read(blank, GET, heads=heads).requests) == 1


def test_heads_that_come_once_do_not_drive_out_those_that_come_again() -> None:
    heads = KnownHeads(100_000)
    first = Read(sized(b"a"), heads=heads).only.head
    for number in range(1000):
        Read(post(b"traceparent: %d\r\ncontent-length: 1\r\n" % number, b"a"), heads=heads)
        if number % 5 == 0:
            assert Read(sized(b"a"), heads=heads).only.head is first

    assert len(heads) < 50


@pytest.mark.parametrize(
    "headers", [b"", b"x-%d: y\r\n" * 10, b"".join(b"%c%c: \r\n" % (97 + n // 26, 97 + n % 26) for n in range(200))]
)
def test_all_of_them_take_no_more_than_is_allowed(headers: bytes) -> None:
    heads = KnownHeads(300_000)
    tracemalloc.start()
    try:
        for number in range(700):
            fields = headers % tuple(range(10)) if b"%d" in headers else headers
            read = Read(
                post(b"authorization: Bearer %d\r\n%bcontent-length: 1\r\n" % (number, fields), b"a"), heads=heads
            )
            head = read.only.head
            head.judged = Arrival.of("POST", "", head.headers, head.by_name, keep_credentials=True)
        del read, head
        gc.collect()  # readers and what they hand requests to hold on to each other
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(heads) < 700
    assert taken < 400_000


def test_no_spelling_is_longer_than_is_remembered() -> None:
    assert spelling_of(get(headers=b"x: %b\r\n" % (b"y" * LONGEST_HEAD_BYTES))) is None
