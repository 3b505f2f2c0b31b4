"""Headers of either side, and the paths of requests. Each input is lines of `name: value`, as they came."""

import math
from collections.abc import Hashable
from contextlib import suppress
from string import ascii_letters, digits

from websockets.utils import accept_key

from adapters.http.access.guards import Guard, NotAllowed, check_upgrade, is_json
from adapters.http.bodies.content_codings import content_codings
from adapters.http.bodies.decode_request import Arrival, cache_control, patience_s
from adapters.http.bodies.multipart_model import boundary_of
from adapters.http.headers import by_name, forwarded, relayed, sendable
from adapters.http.paths.routes import find_route, is_other, other_route
from adapters.upstreams.openai.errors.error_fields import ErrorFields
from adapters.upstreams.openai.errors.retry_delay import delay_in_text_s, retry_delay_s
from adapters.upstreams.openai.errors.retry_moments import MONTH_S
from adapters.upstreams.openai.rate_limit_headers import readings
from adapters.upstreams.stored_things.references import query_references
from adapters.websocket.handshake import BadHandshake, Opening, accept
from application.errors import InvalidRequest
from tests.parsers.target import Target, led

_NOW = 1.8e9
_OF_NAMES = b"!#$%&'*+-.^_`|~" + (digits + ascii_letters).encode()
_CONTROLS = bytes({*range(32), 127} - {9})
_GUARD = Guard("127.0.0.1", ["proxy.example"], ["https://*.example", "app://x", "http://localhost:*"])


def _pairs(data: bytes) -> list[tuple[bytes, bytes]]:
    """As llhttp hands them over: names of letters, in lower case, and values without controls."""
    found = []
    for line in data.split(b"\n"):
        name, _, value = line.partition(b":")
        if name and not name.translate(None, _OF_NAMES):
            found.append((name.lower(), value.translate(None, _CONTROLS).strip(b" \t")))
    return found


def _texts(data: bytes) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in _pairs(data))


def _limits(data: bytes) -> Hashable:
    said = _texts(data)
    found = readings(said)
    for reading in (found.requests, found.tokens):
        assert reading.is_possible
        assert all(each is None or each >= 0 for each in (reading.limit, reading.remaining, reading.reset_s))
    headers = dict(said)
    delay = retry_delay_s(headers, ErrorFields(message=headers.get("message", "")), _NOW)
    text = delay_in_text_s(data.decode("utf-8", "replace"))
    for seconds in (delay, text):
        assert seconds is None or (math.isfinite(seconds) and 0 <= seconds <= MONTH_S)
    known = tuple(each is None for each in (found.requests.limit, found.requests.reset_s, found.tokens.remaining))
    return known, delay is None, text is None


def _heads(data: bytes) -> Hashable:
    """Headers of a client, on their way to an endpoint, and of a reply, on their way back."""
    pairs = _pairs(data)
    onward, credentials = forwarded(pairs)
    again = forwarded([(name.encode("latin-1"), value.encode("latin-1")) for name, value in onward])
    assert again == (onward, ()), "filtered once more"
    fields = sendable(relayed(_texts(data)))
    assert all(field.partition(":")[0] not in ("set-cookie", "transfer-encoding", "content-length") for field in fields)
    ends: list[Hashable] = [len(credentials), min(2, len(onward)), min(2, len(fields))]
    try:
        headers = by_name(pairs)
    except InvalidRequest:
        return "twice", *ends
    with suppress(NotAllowed):
        _GUARD.check(headers)
        ends.append("let in")
    with suppress(InvalidRequest):
        check_upgrade(headers)
        ends.append(content_codings(headers))
    patience = patience_s(headers)
    assert patience is None or 0 < patience < 1e9
    control = cache_control(pairs)
    assert control.max_age_s is None or control.max_age_s >= 0
    arrival = Arrival.of("GET", "", pairs, headers, keep_credentials=True)
    boundary = boundary_of(headers.get(b"content-type", b""))
    assert boundary is None or 0 < len(boundary) <= 70
    return *ends, is_json(headers), patience is None, control.max_age_s is None, boundary is None, arrival.session == ""


def _handshakes(data: bytes) -> Hashable:
    """Of WebSockets, either side."""
    said = _texts(data)
    ends: list[Hashable] = []
    opening = Opening(["realtime", "b"])
    try:
        ends.append(accept(said, ["realtime"]).subprotocol)
    except BadHandshake:
        ends.append("refused")
    key = dict(opening.fields)["sec-websocket-key"]
    try:
        ends.append(opening.check(101, [(name, accept_key(key) if value == "KEY" else value) for name, value in said]))
    except BadHandshake:
        ends.append("no answer")
    return tuple(ends)


def _paths(data: bytes) -> Hashable:
    variant, data = led(data)
    method = ("GET", "POST", "DELETE", "PATCH")[variant % 4]
    path, _, query = data.decode("latin-1").partition("?")
    query_references(query)
    try:
        return find_route(method, path).api, is_other(path)
    except InvalidRequest as refusal:
        with suppress(InvalidRequest):
            other_route(path)
        return refusal.code, is_other(path)


TARGETS = (
    Target(
        "limits",
        _limits,
        (
            b"x-ratelimit-limit-requests: 60\nx-ratelimit-remaining-requests: 0\nx-ratelimit-reset-requests: 6m0s\n",
            b"x-ratelimit-limit-tokens: 150000\nx-ratelimit-remaining-tokens: -1\nx-ratelimit-reset-tokens: 86400\n",
            b"x-ratelimit-limit-project-tokens: 5\nx-ratelimit-remaining-tokens_usage_based: 7\n", b"retry-after: 5\n",
            b"x-rate-limit-reset-tokens: 20ms\n", b"retry-after: Wed, 21 Oct 2026 07:28:00 GMT\n",
            b"retry-after-ms: 1500\n",
            b"message: Please try again in 1m30.5s.\n", b"message: retry after 60 seconds\n", b"1800000100",
            b"2027-01-15T08:01:00Z",
            b"1800000100000", b"\xc2\xb5s", b"days", b"h", b"ns", b"GMT", b"inf", b"nan", b"\xd9\xa3",
        ),
    ),
    Target(
        "headers",
        _heads,
        (
            b"host: localhost:4000\n", b"host: [::1]\n", b"host: proxy.example\n", b"origin: https://a.example:443\n",
            b"origin: null\n", b"connection: x-a, close\n", b"x-a: b\n", b"authorization: Bearer k\n", b"api-key: k\n",
            b"content-type: multipart/form-data; boundary=\"xx\"\n", b"content-type: application/json; charset=x\n",
            b"content-encoding: gzip, br\n", b"cache-control: no-cache, max-age=\"3\"\n", b"session_id: s\n",
            b"x-stainless-read-timeout: 60\n", b"upgrade: websocket\n", b"set-cookie: a=b\n",
            b"forwarded: for=1.2.3.4\n",
            b"x-forwarded-for: 1\n", b"cookie: a\n", b"openai-organization: o\n", b"content-length: 3\n",
            b"expect: 100-continue\n",
        ),
    ),
    Target(
        "handshakes",
        _handshakes,
        (
            b"upgrade: websocket\nconnection: Upgrade\nsec-websocket-version: 13\n",
            b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\n",
            b"sec-websocket-protocol: realtime, b\n", b"sec-websocket-extensions: permessage-deflate; x=\"y\"\n",
            b"sec-websocket-accept: KEY\n", b"sec-websocket-version: 8, 13\n", b"connection: keep-alive\n",
        ),
    ),
    Target(
        "paths",
        _paths,
        (
            b"\x01/v1/chat/completions", b"/openai/deployments/d%20x/", b"chat/completions", b"/v1/responses/resp_1",
            b"/input_items",
            b"/v1/files/file-1/content", b"%2e%2e", b"..", b"//", b"%ff", b"/v1", b"/models", b"/completions",
            b"/embeddings",
            b"?api-version=1", b"&file_id=file-0123456789abcdefgh", b"/azure", b"/batches", b"/conversations", b"\\",
            b"%2F",
        ),
    ),
)  # fmt: skip
