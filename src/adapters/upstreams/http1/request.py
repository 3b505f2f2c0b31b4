"""The bytes of a request's head, and where they go."""

import re
from urllib.parse import urlsplit

from msgspec import Struct

from adapters.upstreams.http1.failures import BAD_URL
from application.messages import Headers, UpstreamCall
from application.ports import UpstreamFailed
from domain.bounded_memo import Remembered, lengths

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PORTS = {"http": 80, "https": 443}
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection"})
"""Headers that are this side's own affair; the caller's are not sent."""


class Origin(Struct, frozen=True):
    """Where connections go to."""

    is_tls: bool
    host: str
    """A name or an IP address, without brackets."""
    port: int

    @property
    def address(self) -> str:
        """`host:port`, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Target(Struct, frozen=True):
    """What one URL means."""

    origin: Origin
    line: str
    """The request line after the method, and `host`, for the origin itself."""
    proxy_line: str
    """The same for an HTTP proxy, which wants the whole URL."""


def target_of(url: str) -> Target:
    """What a URL means; what it asks for goes out as it stands, without the fragment.

    Raises `UpstreamFailed` with MISCONFIGURED, and ValueError for control characters.
    """
    return _targets[url]


def _target_of(url: str) -> Target:
    if _CONTROL.search(url):
        raise ValueError("the URL of an upstream call holds a control character")
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    end = min((i for i in map(rest.find, "/?#") if i >= 0), default=len(rest))
    path = rest[end:].partition("#")[0]
    if not path.startswith("/"):
        path = "/" + path
    try:
        parts = urlsplit(f"{scheme}://{rest[:end]}")
        host, port = parts.hostname or "", parts.port
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError:
        raise UpstreamFailed(BAD_URL) from None
    if scheme not in _PORTS or not host or port == 0 or " " in url:
        raise UpstreamFailed(BAD_URL)
    origin = Origin(scheme == "https", host, port or _PORTS[scheme])
    authority = f"[{host}]" if ":" in host else host
    if origin.port != _PORTS[scheme]:
        authority = f"{authority}:{port}"
    ending = f" HTTP/1.1\r\nhost: {authority}"
    return Target(origin, f" {path}{ending}", f" {scheme}://{authority}{path}{ending}")


_targets = Remembered(_target_of, most=256, longest=512)


def _is_framing(name: str) -> bool:
    return name.lower() in _FRAMING


_framing = Remembered(_is_framing, most=1024)


def _fields(headers: Headers) -> str:
    """As lines of a head, in their order. Raises ValueError if anything in them would end a line."""
    fields = [f"{name}: {value}\r\n" for name, value in headers if not _framing[name]]
    text = "".join(fields)
    _check(text, len(fields))
    return text


# Calls of one client to one endpoint have the same again and again.
_lines = Remembered(_fields, most=256, longest=4096, size=lengths)


def head_of(call: UpstreamCall, line: str, added: Headers = ()) -> bytes:
    """The head of a request: its headers in their order and encoding, `host`, and how its body is framed.

    `content-length: 0` only where RFC 9110 8.6 asks for it. Raises ValueError if anything in it would end a line.
    """
    start = f"{call.method}{line}\r\n"
    # The request line and `host` end in one line break each.
    _check(start, 2)
    fields = _lines[call.headers]
    if added:
        fields += _lines[added]
    body = call.body
    if isinstance(body, bytes):
        framing = f"content-length: {len(body)}\r\n" if body or call.method in _BODY_METHODS else ""
    elif isinstance(body, tuple):
        framing = f"content-length: {sum(map(len, body))}\r\n"
    elif body.length is None:
        framing = "transfer-encoding: chunked\r\n"
    else:
        framing = f"content-length: {body.length}\r\n"
    return f"{start}{fields}{framing}\r\n".encode("latin-1")


def _check(text: str, ends: int) -> None:
    if text.count("\n") != ends or text.count("\r") != ends or "\0" in text:
        raise ValueError("a header or the method of an upstream call holds a control character")
