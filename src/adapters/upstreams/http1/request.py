"""The bytes of a request's head, and where they go."""

import re
from urllib.parse import urlsplit

from msgspec import Struct

from adapters.upstreams.http1.failures import BAD_URL
from application.messages import Headers, UpstreamCall
from application.ports import UpstreamFailed
from domain.bounded_memo import Remembered, lengths, remembered

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PORTS = {"http": 80, "https": 443}
BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})  # those whose empty body has a length (RFC 9110 section 8.6)
FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection"})  # this side's own; never relayed


class Origin(Struct, frozen=True):
    """Where connections go to."""

    is_tls: bool
    host: str  # a name or an IP address, without brackets
    port: int

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Target(Struct, frozen=True):
    origin: Origin
    line: str  # the request line after the method, and `host`, for the origin itself
    proxy_line: str  # the same for an HTTP proxy, which wants the whole URL


@remembered(most=256, longest=512)
def target_of(url: str) -> Target:
    """What a URL means; what it asks for goes out as it stands, without the fragment. Raises `UpstreamFailed` with
    MISCONFIGURED, and ValueError for control characters."""
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


_framing: Remembered[str, bool] = Remembered(lambda name: name.lower() in FRAMING, most=1024)


def _beginning(asked: tuple[str, Headers, Headers]) -> bytes:
    """Method, target and `host`, then headers in their order. Raises ValueError if anything would end a line early."""
    line, headers, added = asked
    fields = [f"{name}: {value}\r\n" for name, value in headers + added if not _framing[name]]
    text = f"{line}\r\n{''.join(fields)}"
    ends = len(fields) + 2  # the request line and `host` end in one line break each
    if text.count("\n") != ends or text.count("\r") != ends or "\0" in text:
        raise ValueError("a header or the method of an upstream call holds a control character")
    return text.encode("latin-1")


# Calls of one client to one endpoint begin the same again and again.
_beginnings = Remembered(_beginning, most=256, longest=4096, size=lengths)


def head_of(call: UpstreamCall, line: str, added: Headers = ()) -> bytes:
    """The head of a request: its headers in their order and encoding, `host`, and how its body is framed.
    `content-length: 0` only where RFC 9110 8.6 asks for it. Raises ValueError if anything in it would end a line."""
    beginning = _beginnings[f"{call.method}{line}", call.headers, added]
    body = call.body
    if isinstance(body, bytes):
        if not body and call.method not in BODY_METHODS:
            return beginning + b"\r\n"
        length: int | None = len(body)
    else:
        length = sum(map(len, body)) if isinstance(body, tuple) else body.length
    if length is None:
        return beginning + b"transfer-encoding: chunked\r\n\r\n"
    return beginning + b"content-length: %d\r\n\r\n" % length
