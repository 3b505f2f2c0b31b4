"""Which headers pass, in either direction.

End-to-end headers go through as they came. What belongs to one connection (RFC 9110, 7.6.1), to the client's login with
the proxy, or to the provider's own web site stops here.
"""

import re
from collections.abc import Sequence
from urllib.parse import quote

from application.errors import InvalidRequest
from application.messages import KEY_HEADERS, Headers
from domain.bounded_memo import Remembered, lengths, remembered

_PLAIN_TEXT = bytes(range(0x20, 0x7F))
_UNSENDABLE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")

RawHeaders = Sequence[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset({
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te", b"trailer",
    b"transfer-encoding", b"upgrade", b"expect",
})  # fmt: skip
CREDENTIALS = frozenset(name.encode() for name in KEY_HEADERS) | {b"openai-organization", b"openai-project"}
_DECISIVE = CREDENTIALS | {b"host", b"origin", b"content-type", b"content-length", b"content-encoding", b"expect"}
_NOT_FORWARDED = _HOP_BY_HOP | CREDENTIALS | {
    b"host", b"content-length", b"accept-encoding", b"cookie", b"forwarded", b"via", b"origin", b"referer",
    b"x-real-ip", b"true-client-ip", b"x-client-ip", b"x-cluster-client-ip", b"x-original-forwarded-for",
    b"x-envoy-external-address", b"fastly-client-ip", b"cdn-loop",
}  # fmt: skip
_NOT_FORWARDED_PREFIXES = (b"x-forwarded-", b"sec-", b"x-llmproxy-", b"cf-")
"""Also what a CDN in front of the proxy adds: it names the client, and a provider behind Cloudflare refuses a request
that has been through Cloudflare before (403, error 1000; cloudflare-docs, "Error 1000")."""
_OF_GATEWAYS = b"cf-aig-"
"""What a client tells Cloudflare's AI Gateway, which is an endpoint."""
_NOT_RELAYED = KEY_HEADERS | {name.decode() for name in _HOP_BY_HOP} | {
    "content-length", "set-cookie", "alt-svc", "strict-transport-security", "x-sendfile", "x-lighttpd-send-file",
}  # fmt: skip
"""Also what web servers in front of the proxy would obey (a file of theirs is sent instead), and echoes of keys."""
_TRACE_CONTEXT = frozenset({b"traceparent", b"tracestate", b"baggage"})
_LIST_NOTHING = ("", "keep-alive", "close")
_NOT_RELAYED_PREFIXES = ("access-control-", "x-llmproxy-", "x-accel-")


def by_name(headers: RawHeaders) -> dict[bytes, bytes]:
    """The headers that decide who may do what, by name; raises `InvalidRequest` where one of them stands twice.

    Of two values, one would be checked here and the other believed elsewhere.
    """
    found = dict(headers)
    if len(found) < len(headers):
        seen: set[bytes] = set()
        for name, _ in headers:
            if name in _DECISIVE and name in seen:
                raise InvalidRequest(f"The header '{name.decode('latin-1')}' stands twice.", code="repeated_header")
            seen.add(name)
    return found


def forwarded(headers: RawHeaders) -> tuple[Headers, Headers]:
    """The client's headers as (those for any endpoint, its credentials)."""
    onward: list[tuple[str, str]] = []
    credentials: list[tuple[str, str]] = []
    listed = _listed(headers)
    for name, value in headers:
        text, is_credential = _forwarded_name(name)
        if is_credential:
            credentials.append((text, value.decode("latin-1")))
        elif text and name not in listed:
            onward.append((text, value.decode("latin-1")))
    return tuple(onward), tuple(credentials)


def without_trace_context(headers: RawHeaders) -> RawHeaders:
    """Those that say nothing of the client's own traces (W3C Trace Context and Baggage)."""
    return [pair for pair in headers if pair[0] not in _TRACE_CONTEXT]


def _listed(headers: RawHeaders) -> frozenset[bytes]:
    """What `connection` names, and so belongs to the connection."""
    if b"connection" not in dict(headers):
        return frozenset()
    connection = [value for name, value in headers if name == b"connection"]
    return frozenset(part.strip().lower() for part in b",".join(connection).split(b","))


@remembered(most=1024)
def _forwarded_name(name: bytes) -> tuple[str, bool]:
    """As it goes to the endpoint, and whether it is a credential; empty = it does not."""
    if name in CREDENTIALS:
        return name.decode("latin-1"), True
    if name in _NOT_FORWARDED:
        return "", False
    if name.startswith(_NOT_FORWARDED_PREFIXES) and not name.startswith(_OF_GATEWAYS):
        return "", False
    return name.decode("latin-1"), False


def relayed(headers: Headers) -> list[str]:
    """The upstream's headers, as far as they are the client's business, as `name: value`; whether they can be sent or
    not, see `sendable`."""
    prefixes = _prefixes
    fields: list[str] = []
    for name, value in headers:
        prefix = prefixes[name]
        if prefix:
            fields.append(prefix + value)
        elif name == "connection" and value not in _LIST_NOTHING:
            connection = [value for name, value in headers if name == "connection"]
            listed = {part.strip().lower() for part in ",".join(connection).split(",")} | {"connection"}
            return relayed(tuple(pair for pair in headers if pair[0] not in listed))
    return fields


RELAYED_AGAIN = Remembered(relayed, most=256, longest=2048, size=lengths)
"""As `relayed`, of answers from the cache: theirs are the same each time."""


def sendable(fields: Sequence[str]) -> list[str]:
    """Those that hold nothing that no header may hold (RFC 9110, 5.5): the server would refuse to send all of them."""
    return [field for field in fields if not _UNSENDABLE.search(field)]


def _prefix(name: str) -> str:
    """What stands before the value; empty = it does not go to the client."""
    return "" if name in _NOT_RELAYED or name.startswith(_NOT_RELAYED_PREFIXES) else f"{name}: "


_prefixes = Remembered(_prefix, most=1024)


def announced(headers: Headers) -> list[str]:
    """The length of a body that does not come, as of an answer to HEAD; empty = it is not said."""
    return [f"content-length: {value}" for name, value in headers if name == "content-length"][:1]


HEADER_TEXTS: Remembered[str, str] = Remembered(lambda text: quote(text, safe=_PLAIN_TEXT), most=512, longest=256)
"""Texts of the proxy's own as the values of headers, which are ASCII: other letters of a group's name are
percent-encoded."""
