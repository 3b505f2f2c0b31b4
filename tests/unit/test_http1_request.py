"""What a URL means to the adapter of our own, and that nothing in a head can end a line."""

import pytest

from adapters.upstreams.http1.request import Origin, head_of, target_of
from application.messages import UpstreamCall
from application.ports import UpstreamFailed
from domain.failure import FailureKind


def call(method: str = "POST", headers: tuple[tuple[str, str], ...] = (), body: bytes = b"") -> UpstreamCall:
    return UpstreamCall(method, "http://h.test/v1", headers, body, 1, 1, 1)


@pytest.mark.parametrize(
    ("url", "origin", "line"),
    [
        ("http://h.test/v1", Origin(False, "h.test", 80), " /v1 HTTP/1.1\r\nhost: h.test"),
        ("https://h.test", Origin(True, "h.test", 443), " / HTTP/1.1\r\nhost: h.test"),
        ("https://h.test:443/?a", Origin(True, "h.test", 443), " /?a HTTP/1.1\r\nhost: h.test"),
        ("http://h.test:443?a=1#f", Origin(False, "h.test", 443), " /?a=1 HTTP/1.1\r\nhost: h.test:443"),
        ("HTTP://H.Test/A", Origin(False, "h.test", 80), " /A HTTP/1.1\r\nhost: h.test"),
        ("http://[::1]:8080/", Origin(False, "::1", 8080), " / HTTP/1.1\r\nhost: [::1]:8080"),
        ("http://user:secret@h.test/", Origin(False, "h.test", 80), " / HTTP/1.1\r\nhost: h.test"),
        ("http://b\xfccher.test/", Origin(False, "xn--bcher-kva.test", 80), " / HTTP/1.1\r\nhost: xn--bcher-kva.test"),
    ],
)
def test_a_url_is_an_origin_and_what_is_asked_of_it(url: str, origin: Origin, line: str) -> None:
    target = target_of(url)

    assert (target.origin, target.line) == (origin, line)


@pytest.mark.parametrize(
    "url",
    ["", "h.test", "ftp://h.test/", "http://", "http://:80/", "http://h.test:0/", "http://h test/", "http://[::1/"],
)
def test_a_url_that_cannot_be_used_is_a_mistake_in_the_configuration(url: str) -> None:
    with pytest.raises(UpstreamFailed) as failed:
        target_of(url)

    assert failed.value.failure.kind is FailureKind.MISCONFIGURED


@pytest.mark.parametrize("character", ["\r", "\n", "\r\n", "\0", "\t", "\x7f"])
@pytest.mark.parametrize("url", ["http://h.te{}st/", "http://h.test/a{}b", "http://h.test/?a{}", "{}http://h.test/"])
def test_no_url_with_a_control_character_is_used(url: str, character: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        target_of(url.format(character))


@pytest.mark.parametrize("character", ["\r", "\n", "\r\n", "\0", "\r\n\r\n"])
@pytest.mark.parametrize("place", ["method", "name", "value"])
def test_no_head_with_a_control_character_is_made(place: str, character: str) -> None:
    text = f"a{character}b"
    given = {
        "method": call(method=text),
        "name": call(headers=(("x-a", "1"), (text, "1"))),
        "value": call(headers=(("x-a", text), ("x-b", "1"))),
    }

    with pytest.raises(ValueError, match="control character"):
        head_of(given[place], target_of("http://h.test/").line)


def test_a_head_is_the_request_line_host_the_headers_and_the_length() -> None:
    line = target_of("http://h.test/v1").line

    assert head_of(call("GET"), line) == b"GET /v1 HTTP/1.1\r\nhost: h.test\r\n\r\n"
    assert head_of(call("POST", (("x-a", "caf\xe9"), ("Host", "evil")), b"{}"), line) == (
        b"POST /v1 HTTP/1.1\r\nhost: h.test\r\nx-a: caf\xe9\r\ncontent-length: 2\r\n\r\n"
    )
