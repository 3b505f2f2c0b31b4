"""Which requests may be answered from the cache, under which key, and for how long.

A request may be cached when asking again would be expected to give the same answer and when nothing but the answer
comes of it (see `domain.caching.cacheability`). Two requests share an entry only if their whole bodies mean the same.
"""

import hashlib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from domain.caching.cacheability import is_cacheable, may_be_cacheable

KEY_VERSION = b"llmproxy-cache-1"
TTL_JITTER = 0.05  # entries made together do not end together


class CacheState(StrEnum):
    BYPASS = "bypass"  # it may not be cached
    MISS = "miss"
    REFRESH = "refresh"  # the client wanted a new answer; the old entry is replaced
    HIT = "hit"
    SHARED = "shared"  # an identical request was under way; this is its answer


class CacheControl(Struct, frozen=True):
    """What the client's `Cache-Control` asks for (RFC 9111, 5.2.1)."""

    no_cache: bool = False
    no_store: bool = False
    max_age_s: float | None = None  # None = an answer of any age will do


class CacheKey(Struct, frozen=True):
    """Where an entry is kept, and what proves that it belongs there."""

    name: str  # a digest; says nothing about the request to somebody who sees the store
    seal: bytes  # known only to a holder of the request: an entry that is not signed with it was not made for it


class CachePolicy(Struct, frozen=True):
    ttl_s: float = 604_800.0
    scope_is_global: bool = False  # do clients with different credentials share answers?
    absent_is_cacheable: bool = False  # what a request without a temperature is taken for; the API's default is 1

    def may_allow(self, api: str, temperature: object, store: object) -> bool:
        """Could `allows` say yes, as far as these fields tell? None = the body has none."""
        return may_be_cacheable(api, temperature, store, self.absent_is_cacheable)

    def allows(self, api: str, fields: Mapping[str, Any]) -> bool:
        return is_cacheable(api, fields, absent_is_zero=self.absent_is_cacheable)

    def key(self, api: str, group: str, client: str, parts: Iterable[str], content: bytes) -> CacheKey:
        """The key of a request. `client` is a digest of its credential; `parts` are what else of it a provider's answer
        may depend on; `content` is the same for all bodies that ask for the same, and for no others."""
        digest = hashlib.sha256(KEY_VERSION)
        scope = "global" if self.scope_is_global else f"client {client}"
        for part in (api, group, scope, *parts):
            text = part.encode()
            digest.update(b"%d:%b" % (len(text), text))
        digest.update(content)
        seal = digest.digest()
        return CacheKey(hashlib.sha256(b"name:" + seal).hexdigest(), seal)

    def lifetime_s(self, draw: float) -> float:
        """How long a new entry lives; `draw` in [0, 1) sets the jitter."""
        return self.ttl_s * (1 + TTL_JITTER * (2 * draw - 1))
