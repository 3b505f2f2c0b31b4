"""What stands before the body of a request: its head, and the target in the first line of that (RFC 9112, 3.2)."""

import re
from typing import Any
from urllib.parse import unquote

_AUTHORITY = re.compile(rb"https?://([^/?#@]+)(?=[/?#]|$)", re.IGNORECASE)

Target = tuple[bytes, str, bytes]
"""Path as it came, path decoded, query."""


class RequestHead:
    """A head that was read and found good. Requests whose heads differ in the length of the body alone share one."""

    __slots__ = (
        "by_name", "has_length", "headers", "http_version", "is_chunked", "is_http10", "judged", "keeps", "method",
        "path", "query_string", "raw_path", "told", "upgrades", "waits_for_100",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        http_version: str,
        raw_path: bytes,
        path: str,
        query_string: bytes,
        headers: list[tuple[bytes, bytes]],
        *,
        keeps: bool,
        has_length: bool = False,
    ) -> None:
        self.method = method
        self.http_version = http_version
        """`1.1` or `1.0`."""
        self.is_http10 = http_version == "1.0"
        self.raw_path = raw_path
        """As it came, without query."""
        self.path = path
        """The same, percent-decoded."""
        self.query_string = query_string
        """As it came, without `?`."""
        self.headers = headers
        """In lower case and in their order, without `content-length`, which is the request's own."""
        self.by_name = by_name = dict(headers)
        self.keeps = keeps
        """May another request follow on the connection?"""
        self.upgrades = False
        """Does it open a WebSocket, if it is let in? Then what follows are frames, and none of it is a request."""
        self.has_length = has_length
        """Does the client say how long its body is?"""
        self.is_chunked = b"transfer-encoding" in by_name
        self.waits_for_100 = not self.is_http10 and by_name.get(b"expect", b"").lower() == b"100-continue"
        """Does the client keep its body back until it is told to go on?"""
        self.judged: Any = None
        """What the application found out about it, once it was found good; None = nothing yet."""
        self.told: tuple[str, str] | None = None
        """What the application writes into the log of it; None = nothing yet."""

    def may_upgrade(self) -> bool:
        """Does it open a WebSocket (RFC 6455, 4.1)? Other upgrades are ignored. No other request follows it."""
        self.upgrades = (
            self.method == "GET"
            and not self.is_http10
            and self.by_name.get(b"upgrade", b"").strip().lower() == b"websocket"
        )
        self.keeps = self.keeps and not self.upgrades
        return self.upgrades


NO_HEAD = RequestHead("", "1.1", b"", "", b"", [], keeps=False)
"""Of what is no request."""


def target_of(url: bytes, headers: list[tuple[bytes, bytes]]) -> Target | None:
    """None = it is no path. What a whole URL names counts instead of the header `host`, which is replaced."""
    if not url.startswith(b"/") or b"#" in url:
        found = _origin_form(url, headers)
        if found is None:
            return None
        url = found
    path, _, query = url.partition(b"?")
    text = path.decode("latin-1")
    return path, unquote(text) if "%" in text else text, query


def _origin_form(url: bytes, headers: list[tuple[bytes, bytes]]) -> bytes | None:
    """A proxy may be asked with the whole URL, whose host then counts instead of the header (RFC 9112, 3.2.2)."""
    if url == b"*":
        return b"/*"
    named = _AUTHORITY.match(url)
    if named is not None:
        headers[:] = [pair for pair in headers if pair[0] != b"host"]
        headers.append((b"host", named[1]))
        url = url[named.end() :]
    elif not url.startswith(b"/"):
        return None
    path = url.partition(b"#")[0]
    return path if path.startswith(b"/") else b"/" + path
