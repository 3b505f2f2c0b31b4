"""The proxy's own keys and their holders. Keys are kept and compared as digests: what is found by the digest of a text
that somebody sent says nothing, by the time it took, of any key."""

import hashlib
from collections.abc import Iterable
from urllib.parse import unquote_plus

from msgspec import Struct

Keys = Iterable[str | tuple[str, str]]  # the text of each key, or its name and its text


class KeyHolder(Struct, frozen=True):
    """The holder of one of the keys."""

    name: str  # empty = the key has none
    tenant: str  # what its things are kept under: by its name, else by a digest that no key can be worked out from


NOBODY = KeyHolder("", "")


class KeyHolders:
    """The holders of all keys; false = there are none."""

    def __init__(self, keys: Keys = ()) -> None:
        self._holders = dict(_held(key) for key in keys)

    def __bool__(self) -> bool:
        return bool(self._holders)

    def of(self, headers: dict[bytes, bytes]) -> KeyHolder | None:
        """The holder of the key in these headers, by lower-case name; None = there is no known key."""
        find = self._holders.get
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if token and scheme.lower() == b"bearer" and (holder := find(_digest(token.strip()))) is not None:
            return holder
        key = headers.get(b"api-key", b"")
        return find(_digest(key)) if key else None

    def without_keys(self, query: str) -> str:
        """The query without what holds one of the keys, under whatever name: no provider may see it."""
        if not self._holders or not query:
            return query
        return "&".join(part for part in query.split("&") if not self._holds_key(part))

    def _holds_key(self, part: str) -> bool:
        """As a name or as a value; some divide by semicolons."""
        halves = (half for piece in {part, *part.split(";")} for half in piece.split("=", 1))
        return any(self._is_key(unquote_plus(half)) for half in halves)

    def _is_key(self, text: str) -> bool:
        bare = text.strip()
        scheme, _, token = bare.partition(" ")
        return any(
            _digest(value.encode("utf-8", "surrogatepass")) in self._holders
            for value in (bare, token.strip() if scheme.lower() == "bearer" else "")
        )


def _held(key: str | tuple[str, str]) -> tuple[bytes, KeyHolder]:
    """The digest of a key, and its holder."""
    name, text = ("", key) if isinstance(key, str) else key
    digest = hashlib.blake2b(text.encode(), digest_size=16, person=b"llmproxy-tenant")
    tenant = f"name {name}" if name else f"key {digest.hexdigest()}"
    return _digest(text.encode()), KeyHolder(name, tenant)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
