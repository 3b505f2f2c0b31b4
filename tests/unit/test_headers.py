"""What passes in each direction, and what stops here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.http.headers import by_name, forwarded, relayed, sendable
from application.errors import InvalidRequest

SPLIT_OFF = ["connection", "keep-alive", "te", "upgrade", "host", "cookie", "content-length", "transfer-encoding"]
SECRET = ["authorization", "api-key", "proxy-authorization", "set-cookie"]
PASSING = ["x-custom", "openai-beta", "accept", "user-agent", "x-ratelimit-remaining-tokens"]
FOREIGN = ["x-forwarded-for", "sec-fetch-mode", "alt-svc", "x-llmproxy-endpoint"]
NAMES = st.sampled_from([*SPLIT_OFF, *SECRET, *PASSING, *FOREIGN])
HEADERS = st.lists(st.tuples(NAMES, st.sampled_from(["a", "close", "x-custom, te", "ü"])), max_size=12)


@given(HEADERS)
def test_filtering_twice_is_filtering_once(headers: list[tuple[str, str]]) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    once, _ = forwarded(raw)
    twice, none = forwarded([(name.encode(), value.encode("latin-1")) for name, value in once])
    back = relayed(tuple(headers))

    assert (twice, none) == (once, ())
    assert relayed(tuple((n, v) for n, _, v in (field.partition(": ") for field in back))) == back


@given(HEADERS)
def test_credentials_cookies_and_the_connections_own_never_go_on(headers: list[tuple[str, str]]) -> None:
    onward, credentials = forwarded([(name.encode(), value.encode("latin-1")) for name, value in headers])

    names = {name for name, _ in onward}
    assert not names & {
        "authorization",
        "api-key",
        "cookie",
        "host",
        "connection",
        "transfer-encoding",
        "content-length",
    }
    assert {name for name, _ in credentials} <= {"authorization", "api-key"}


def test_end_to_end_headers_pass_in_order_repeated_ones_too() -> None:
    onward, _ = forwarded([(b"x-a", b"1"), (b"OPENAI-BETA".lower(), b"x=1"), (b"x-a", b"2"), (b"user-agent", b"\xfc")])

    assert onward == (("x-a", "1"), ("openai-beta", "x=1"), ("x-a", "2"), ("user-agent", "ü"))


@pytest.mark.parametrize(
    "name",
    [
        *(b"cf-connecting-ip", b"cf-connecting-ipv6", b"cf-ray", b"cf-visitor", b"cf-ipcountry", b"cf-warp-tag-id"),
        *(b"cf-access-jwt-assertion", b"cdn-loop", b"true-client-ip", b"fastly-client-ip", b"x-original-forwarded-for"),
        *(b"x-client-ip", b"x-cluster-client-ip", b"x-envoy-external-address"),
    ],
)
def test_what_a_cdn_in_front_of_the_proxy_adds_stops_here(name: bytes) -> None:
    """A provider behind Cloudflare answers 403 (error 1000) to what says that it has been through Cloudflare."""
    assert forwarded([(b"x-a", b"1"), (name, b"1")]) == ((("x-a", "1"),), ())


@pytest.mark.parametrize("name", [b"cf-aig-cache-ttl", b"cf-aig-metadata", b"x-client-request-id", b"x-ms-client-ip"])
def test_what_is_for_the_endpoint_passes(name: bytes) -> None:
    assert forwarded([(name, b"1")]) == (((name.decode(), "1"),), ())


def test_headers_named_by_connection_stop_in_both_directions() -> None:
    onward, _ = forwarded([(b"connection", b"close, X-Secret"), (b"x-secret", b"1"), (b"x-open", b"2")])
    back = relayed((("connection", "x-secret"), ("x-secret", "1"), ("x-open", "2")))

    assert onward == (("x-open", "2"),)
    assert back == ["x-open: 2"]


def test_a_reply_keeps_its_limits_and_ids_and_loses_cookies_and_framing() -> None:
    kept = relayed(
        (
            ("x-ratelimit-remaining-requests", "9"),
            ("x-request-id", "r"),
            ("set-cookie", "__cf_bm=1"),
            ("content-length", "5"),
            ("alt-svc", 'h3=":443"'),
            ("access-control-allow-origin", "*"),
        )
    )

    assert kept == ["x-ratelimit-remaining-requests: 9", "x-request-id: r"]


@pytest.mark.parametrize("name", [b"host", b"origin", b"authorization", b"content-type", b"content-length"])
def test_what_decides_who_may_do_what_may_not_stand_twice(name: bytes) -> None:
    with pytest.raises(InvalidRequest, match="twice"):
        by_name([(name, b"a"), (b"x-a", b"1"), (b"x-a", b"2"), (name, b"b")])


def test_a_header_that_cannot_be_sent_does_not_cost_the_reply() -> None:
    fields = relayed((("x-a", "a\x7fb"), ("x-b", "a\x01b"), ("x-c", "a\tb"), ("x-d", "\u0100"), ("x-e", "\xe9")))

    assert sendable(fields) == ["x-c: a\tb", "x-e: \xe9"]
