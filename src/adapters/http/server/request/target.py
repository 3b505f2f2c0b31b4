"""What a request is for: the target in its first line (RFC 9112, 3.2)."""

import re
from urllib.parse import unquote

_AUTHORITY = re.compile(rb"https?://([^/?#@]+)(?=[/?#]|$)", re.IGNORECASE)

Target = tuple[bytes, str, bytes]
"""Path as it came, path decoded, query."""


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
