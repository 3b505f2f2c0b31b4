"""The reader of requests: what it reads, and what it refuses because it could be read in two ways."""

import pytest

from adapters.http.server.error_body import status_of
from adapters.http.server.request.refusals import MAX_HEAD_BYTES, MAX_HEADERS
from tests.unit.http_read import Read, get, post, sized


def test_a_request_becomes_a_scope() -> None:
    request = Read(get(b"/v1/mod%65ls?a=%62&c", headers=b"Host: Here\r\nX-Odd:  two words \t\r\nx-empty:\r\n")).only

    assert request.scope == {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "raw_path": b"/v1/mod%65ls",
        "path": "/v1/models",
        "query_string": b"a=%62&c",
        "headers": [(b"host", b"Here"), (b"x-odd", b"two words"), (b"x-empty", b"")],
        "state": {},
    }
    assert (request.is_complete, request.keeps, request.waits_for_100) == (True, True, False)


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"/a#b?c", b"/a", b"here"),
        (b"*", b"/*", b"here"),
        (b"http://there:80/a?b", b"/a", b"there:80"),
        (b"HTTPS://there", b"/", b"there"),
        (b"http://there?b", b"/", b"there"),
    ],
)
def test_any_form_of_target_becomes_a_path_and_a_named_host_counts(target: bytes, path: bytes, host: bytes) -> None:
    scope = Read(get(target)).only.scope

    assert scope["raw_path"] == path
    assert [value for name, value in scope["headers"] if name == b"host"] == [host]


@pytest.mark.parametrize("target", [b"ftp://there/a", b"http:///a", b"http://me@there/a", b"there:443", b"a"])
def test_other_targets_are_refused(target: bytes) -> None:
    refusal = Read(get(target)).refusal

    assert refusal is not None
    assert status_of(refusal) == 400


@pytest.mark.parametrize(
    ("version", "headers", "keeps"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"connection: close\r\n", False),
        (b"1.1", b"connection: x, Close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"connection: keep-alive\r\n", True),
    ],
)
def test_the_client_says_whether_another_request_follows(version: bytes, headers: bytes, keeps: bool) -> None:
    assert Read(get(version=version, headers=b"host: here\r\n" + headers)).only.keeps is keeps


@pytest.mark.parametrize(("version", "waits"), [(b"1.1", True), (b"1.0", False)])
def test_only_a_client_of_http_1_1_waits_for_100(version: bytes, waits: bool) -> None:
    head = b"POST / HTTP/%b\r\nhost: here\r\nexpect: 100-Continue\r\ncontent-length: 2\r\n\r\n" % version

    assert Read(head).only.waits_for_100 is waits


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 1_000_000])
@pytest.mark.parametrize("cut", [1, 100, 70_000])
def test_a_body_of_known_length_is_that_long_and_the_next_request_follows(size: int, cut: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    first = sized(body[:size])
    sent = first + get(b"/next")

    read = Read(sent[:cut], sent[cut : cut + 1], sent[cut + 1 :])

    assert read.refusal is None
    one, two = read.requests
    assert (one.body, one.is_complete) == (body[:size], True)
    assert (two.scope["raw_path"], two.is_complete) == (b"/next", True)


def test_a_chunked_body_is_put_together_and_its_trailers_are_nobodys() -> None:
    sent = post(b"Transfer-Encoding: Chunked\r\n", b"2;x=y\r\nab\r\n01\r\nc\r\n0\r\nx-late: 1\r\n\r\n") + get(b"/next")

    one, two = Read(sent).requests

    assert (one.body, one.is_complete) == (b"abc", True)
    assert two.scope["headers"] == [(b"host", b"here")]


@pytest.mark.parametrize("upgrade", [b"websocket", b"h2c"])  # a WebSocket is opened with GET
@pytest.mark.parametrize(
    ("framing", "body"),
    [(b"", b""), (b"content-length: 3\r\n", b"abc"), (b"transfer-encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n")],
)
def test_an_upgrade_is_a_request_like_any_other(upgrade: bytes, framing: bytes, body: bytes) -> None:
    asked = post(b"connection: upgrade\r\nupgrade: %b\r\n%b" % (upgrade, framing), body)

    read = Read(asked + get(b"/next"))

    assert read.refusal is None
    assert [each.scope["raw_path"] for each in read.requests] == [b"/v1/files", b"/next"]
    assert read.requests[0].body == (b"abc" if body else b"")
    assert all(each.is_complete for each in read.requests)


OPENING = b"host: here\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n"


@pytest.mark.parametrize("behind", [b"", b"\x81\x02hi", get(b"/next"), b"x" * 5_000])
@pytest.mark.parametrize("before", [b"", get(b"/first"), post(b"content-length: 3000\r\n", b"a" * 3_000)])
@pytest.mark.parametrize("step", [1, 7, 1_000_000])
def test_what_follows_the_opening_of_a_websocket_is_no_request(before: bytes, behind: bytes, step: int) -> None:
    sent = before + get(headers=OPENING) + behind
    read = Read(*[sent[at : at + step] for at in range(0, len(sent), step)])
    opening = read.requests[-1]

    assert read.refusal is None
    assert len(read.requests) == (2 if before else 1)
    assert read.behind == behind
    assert (opening.head.upgrades, opening.head.keeps, opening.is_complete, opening.body) == (True, False, True, b"")


@pytest.mark.parametrize("framing", [b"content-length: 3\r\n", b"transfer-encoding: chunked\r\n"])
def test_the_opening_of_a_websocket_has_no_body(framing: bytes) -> None:
    refusal = Read(get(headers=OPENING + framing) + b"abc").refusal

    assert refusal is not None
    assert (refusal.code, status_of(refusal)) == ("malformed_request", 400)
    assert Read(get(headers=OPENING + b"content-length: 0\r\n")).requests[0].head.upgrades


def test_http_1_0_and_other_methods_open_no_websocket() -> None:
    for asked in (get(headers=OPENING).replace(b"HTTP/1.1", b"HTTP/1.0"), post(OPENING, b"")):
        read = Read(asked)
        assert [each.head.upgrades for each in read.requests] == [False]


def test_upgrades_without_end_are_as_many_requests() -> None:
    asked = get(headers=b"host: here\r\nconnection: upgrade\r\nupgrade: h2c\r\n")

    read = Read(asked * 3_000)

    assert read.refusal is None
    assert len(read.requests) == 3_000


REFUSED = {
    "both framings": post(b"content-length: 3\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n"),
    "both framings, the other way": post(b"transfer-encoding: chunked\r\ncontent-length: 3\r\n", b"0\r\n\r\n"),
    "two lengths": post(b"content-length: 3\r\ncontent-length: 4\r\n", b"abcd"),
    "the same length twice": post(b"content-length: 3\r\ncontent-length: 3\r\n", b"abc"),
    "a list of lengths": post(b"content-length: 3, 3\r\n", b"abc"),
    "a signed length": post(b"content-length: +3\r\n", b"abc"),
    "a negative length": post(b"content-length: -3\r\n", b"abc"),
    "a hexadecimal length": post(b"content-length: 0x3\r\n", b"abc"),
    "no length": post(b"content-length: \r\n", b"abc"),
    "a length beyond all numbers": post(b"content-length: 99999999999999999999\r\n", b"abc"),
    "another coding": post(b"transfer-encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    "chunked twice": post(b"transfer-encoding: chunked, chunked\r\n", b"0\r\n\r\n"),
    "chunked in two headers": post(b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n"),
    "not chunked after all": post(b"transfer-encoding: identity\r\n", b""),
    "almost chunked": post(b"transfer-encoding: xchunked\r\n", b"0\r\n\r\n"),
    "chunked by HTTP/1.0": b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk of no size": post(b"transfer-encoding: chunked\r\n", b"\r\nabc\r\n0\r\n\r\n"),
    "a chunk of a signed size": post(b"transfer-encoding: chunked\r\n", b"+3\r\nabc\r\n0\r\n\r\n"),
    "a chunk longer than it says": post(b"transfer-encoding: chunked\r\n", b"2\r\nabc\r\n0\r\n\r\n"),
    "a chunk beyond all numbers": post(b"transfer-encoding: chunked\r\n", b"fffffffffffffffff\r\nabc"),
    "a bare line feed": b"GET / HTTP/1.1\nhost: here\n\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\nhost: here\rx: y\r\n\r\n",
    "a folded header": get(headers=b"host: here\r\nx: a\r\n b\r\n"),
    "a space before the colon": get(headers=b"host : here\r\n"),
    "a header without a name": get(headers=b": here\r\n"),
    "a header without a colon": get(headers=b"host here\r\n"),
    "a NUL in a value": get(headers=b"host: here\r\nx: a\0b\r\n"),
    "a space in a name": get(headers=b"host: here\r\nx y: a\r\n"),
    "another version": get(version=b"2.0"),
    "no version": b"GET /\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no method": b"/ HTTP/1.1\r\nhost: here\r\n\r\n",
    "a space in the target": get(b"/a b"),
}


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("step", [1, 10_000])
def test_what_could_be_read_in_two_ways_is_not_read_in_any(sent: bytes, step: int) -> None:
    pieces = [sent[at : at + step] for at in range(0, len(sent), step)]

    read = Read(*pieces, get(b"/smuggled"))

    assert read.refusal is not None
    assert status_of(read.refusal) in {400, 505}
    assert not any(each.is_complete for each in read.requests)


FLOODS = {
    "a target": b"GET /" + b"a" * MAX_HEAD_BYTES,
    "one header": b"GET / HTTP/1.1\r\nx: " + b"a" * MAX_HEAD_BYTES,
    "headers": b"GET / HTTP/1.1\r\n" + b"x: abcdefgh\r\n" * (MAX_HEAD_BYTES // 4),
    "trailers": post(b"transfer-encoding: chunked\r\n", b"0\r\n" + b"x: abcdefgh\r\n" * (MAX_HEAD_BYTES // 4)),
    "a chunk's extension": post(b"transfer-encoding: chunked\r\n", b"1;" + b"x" * 3 * MAX_HEAD_BYTES),
    "line breaks": b"\r\n" * MAX_HEAD_BYTES,
}


@pytest.mark.parametrize("sent", FLOODS.values(), ids=FLOODS.keys())
@pytest.mark.parametrize("step", [1000, MAX_HEAD_BYTES])
def test_what_never_ends_is_refused_while_it_comes(sent: bytes, step: int) -> None:
    read = Read(*(sent[at : at + step] for at in range(0, len(sent), step)))

    assert read.refusal is not None
    assert status_of(read.refusal) in {400, 431}
    assert sum(len(value) for each in read.requests for _, value in each.scope["headers"]) < 100


@pytest.mark.parametrize(("count", "is_refused"), [(MAX_HEADERS, False), (MAX_HEADERS + 1, True)])
def test_so_many_headers_and_no_more(count: int, is_refused: bool) -> None:
    refusal = Read(get(headers=b"x: y\r\n" * count)).refusal

    assert (refusal is not None) is is_refused
    assert refusal is None or status_of(refusal) == 431


def test_headers_up_to_the_limit_pass_with_a_large_body_in_the_same_piece() -> None:
    head = b"x: " + b"a" * (MAX_HEAD_BYTES - 200) + b"\r\ncontent-length: 300000\r\n"

    assert Read(post(head, bytes(300_000))).only.is_complete


def test_many_small_requests_in_a_row_are_no_large_head() -> None:
    assert len(Read(get() * 10_000).requests) == 10_000


def test_an_empty_line_before_a_request_is_skipped() -> None:
    assert Read(b"\r\n" + get()).only.is_complete


def test_after_it_was_closed_nothing_holds_on_to_it() -> None:
    read = Read(sized(b"abc")[:-1])

    read.reader.close()

    assert not read.only.is_complete
