"""Which headers pass, in either direction.

End-to-end headers go through as they came. What belongs to one connection (RFC 9110, 7.6.1), to the client's login with
the proxy, or to the provider's own web site stops here.
"""

import re
from collections.abc import Sequence
from urllib.parse import quote

from application.errors import InvalidRequest
from application.messages import KEY_HEADERS, Headers
from domain.bounded_memo import Remembered

_PLAIN_TEXT = bytes(range(0x20, 0x7F))

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What no header value may hold (RFC 9110, 5.5): the server would refuse to send the whole reply."""

RawHeaders = Sequence[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"expect",
    }
)
CREDENTIALS = frozenset(name.encode() for name in KEY_HEADERS) | {b"openai-organization", b"openai-project"}
_DECISIVE = CREDENTIALS | {b"host", b"origin", b"content-type", b"content-length", b"content-encoding", b"expect"}
_NOT_FORWARDED = (
    _HOP_BY_HOP
    | CREDENTIALS
    | {
        b"host",
        b"content-length",
        b"accept-encoding",
        b"cookie",
        b"forwarded",
        b"via",
        b"origin",
        b"referer",
        b"x-real-ip",
    }
)
_NOT_FORWARDED_PREFIXES = (b"x-forwarded-", b"sec-", b"x-llmproxy-")
_NOT_RELAYED = (
    frozenset(name.decode() for name in _HOP_BY_HOP)
    | {
        "content-length",
        "set-cookie",
        "alt-svc",
        "strict-transport-security",
        "x-sendfile",
        "x-lighttpd-send-file",
    }
    | KEY_HEADERS
)
"""Also what web servers in front of the proxy would obey (a file of theirs is sent instead), and echoes of keys."""
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
        text, is_credential = _forwarded_names[name]
        if is_credential:
            credentials.append((text, value.decode("latin-1")))
        elif text and name not in listed:
            onward.append((text, value.decode("latin-1")))
    return tuple(onward), tuple(credentials)


def _listed(headers: RawHeaders) -> frozenset[bytes]:
    """What `connection` names, and so belongs to the connection."""
    if b"connection" not in dict(headers):
        return frozenset()
    connection = [value for name, value in headers if name == b"connection"]
    return frozenset(part.strip().lower() for part in b",".join(connection).split(b","))


def _forwarded_name(name: bytes) -> tuple[str, bool]:
    """As it goes to the endpoint, and whether it is a credential; empty = it does not."""
    if name in CREDENTIALS:
        return name.decode("latin-1"), True
    if name in _NOT_FORWARDED or name.startswith(_NOT_FORWARDED_PREFIXES):
        return "", False
    return name.decode("latin-1"), False


_forwarded_names = Remembered(_forwarded_name, most=1024)


def relayed(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The upstream's headers, as far as they are the client's business and can be sent at all."""
    # Nearly all values are printable, which costs less to see than that none of their letters is forbidden.
    sent = [
        (raw_name, value.encode("latin-1"))
        for name, value in headers
        if (raw_name := _relayed_names[name]) and (value.isprintable() or not _CONTROL.search(value))
    ]
    once = dict(headers)
    if len(once) == len(headers) and once.get("connection", "") in _LIST_NOTHING:
        return sent
    connection = [value for name, value in headers if name == "connection"]
    listed = {part.strip().lower().encode("latin-1") for part in ",".join(connection).split(",")}
    return [pair for pair in sent if pair[0] not in listed]


def relayed_fields(headers: Headers) -> list[str] | None:
    """The same as `name: value`, whether all of it can be sent or not; None = some of it belongs to the connection."""
    once = dict(headers)
    connection = once.get("connection")
    if connection is not None and (connection not in _LIST_NOTHING or len(once) < len(headers)):
        return None
    return [prefix + value for name, value in headers if (prefix := _prefixes[name])]


def fields_of(headers: RawHeaders) -> list[str]:
    """As `name: value`."""
    return [f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in headers]


def _prefix(name: str) -> str:
    """What stands before the value; empty = it does not go to the client."""
    return f"{name}: " if _relayed_name(name) else ""


_prefixes = Remembered(_prefix, most=1024)


def _relayed_name(name: str) -> bytes:
    """As it goes to the client; empty = it does not."""
    if name in _NOT_RELAYED or name.startswith(_NOT_RELAYED_PREFIXES):
        return b""
    return name.encode("latin-1")


_relayed_names = Remembered(_relayed_name, most=1024)


def announced(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The length of a body that does not come, as of an answer to HEAD; empty = it is not said."""
    return [(b"content-length", value.encode()) for name, value in headers if name == "content-length"][:1]


def _header_text(text: str) -> str:
    """Header values are ASCII; other letters of a group's name are percent-encoded."""
    return quote(text, safe=_PLAIN_TEXT)


HEADER_TEXTS = Remembered(_header_text, most=512, longest=256)
"""Texts of the proxy's own as the values of headers."""
