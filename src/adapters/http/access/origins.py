"""Which web pages may call the proxy: origins, alone or as patterns.

An origin is what browsers and what is built of them say a page came from (RFC 6454): `https://app.example:8443`,
`app://obsidian.md`, `chrome-extension://ID`, or `null` for one that has none. Patterns: `*` for all,
`chrome-extension://*` for all of a scheme, `http://localhost:*` for all ports, `https://*.example` for all names below.
"""

import re
from collections.abc import Iterable

from domain.bounded_memo import Remembered

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_ANY_HOST = r"[^/]*"
_ANY_PORT = r"(?::[0-9]+)?"
_ANY_NAMES = r"[^/:]+\."


class Origins:
    def __init__(self, allowed: Iterable[str]) -> None:
        origins = {normalised(origin) for origin in allowed}
        self._exact = frozenset(origin for origin in origins if "*" not in origin)
        self._patterns = tuple(_pattern(origin) for origin in origins - self._exact)
        self._allowed = Remembered(self._allows, most=64)

    def __bool__(self) -> bool:
        return bool(self._exact or self._patterns)

    def allows(self, raw_origin: bytes) -> bool:
        """`raw_origin`: the header as it came."""
        return self._allowed[raw_origin]

    def _allows(self, raw_origin: bytes) -> bool:
        origin = normalised(raw_origin.decode("latin-1"))
        return origin in self._exact or any(pattern.fullmatch(origin) for pattern in self._patterns)


def normalised(origin: str) -> str:
    """In lower case, and without the port that the scheme has anyway: `https://a.example:443` is `https://a.example`."""
    origin = origin.lower()
    return origin.removesuffix(_DEFAULT_PORTS.get(origin.partition("://")[0], "\n"))


def _pattern(origin: str) -> re.Pattern[str]:
    if origin == "*":
        return re.compile(r".+", re.DOTALL)
    scheme, _, rest = origin.partition("://")
    if rest == "*":
        return re.compile(f"{re.escape(scheme)}://{_ANY_HOST}")
    names = _ANY_NAMES if rest.startswith("*.") else ""
    rest = rest.removeprefix("*.")
    port = _ANY_PORT if rest.endswith(":*") else ""
    return re.compile(f"{re.escape(scheme)}://{names}{re.escape(rest.removesuffix(':*'))}{port}")
