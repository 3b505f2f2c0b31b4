"""Which endpoint has a prompt in its cache: weighted rendezvous hashing, by the logarithmic method.

Every endpoint draws a number from the key and its own name, and the highest score, -weight / ln(number), owns the key.
An endpoint that comes or goes moves only the keys it wins or had; a key whose owner is out goes to its second choice,
which is another one for each key. Nothing is remembered, so all replicas agree without telling each other. (Thaler &
Ravishankar, "A Name-Based Mapping Scheme for Rendezvous", 1996; the weights: Schindelhauer & Schomaker, "Weighted
Distributed Hash Tables", SPAA 2005, in the form that Resch gave it, "New Hashing Algorithms for Data Storage", 2015.)
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import Enum

from msgspec import Struct

DRAW_BITS = 64
_EXACT_BITS = 52  # with half a step added, a float still tells every number of so many bits from 0 and from 1


class Affinity(Enum):
    """What binds a request to an endpoint beyond its weight."""

    NONE = "none"
    PROMPT_CACHE_KEY = "prompt_cache_key"  # requests with one key share an endpoint, and its prompt cache


class Rendezvous(Struct, frozen=True):
    """Where keys belong in one group."""

    names: tuple[str, ...]  # of each endpoint in the group's order: the same on all replicas, none twice

    @classmethod
    def of(cls, names: Iterable[str]) -> "Rendezvous":
        """The same name again (one endpoint listed twice) is made another, so that it draws for itself."""
        seen: Counter[str] = Counter()
        unique = []
        for name in names:
            seen[name] += 1
            unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
        return cls(tuple(unique))

    def order(self, key: str, weights: Sequence[int], candidates: Iterable[int]) -> list[int]:
        """`candidates` (indices), the most preferred for `key` first; those of weight 0 come after all others.

        `weights` are for the whole group. Over many keys each is first in proportion to its weight; those of weight 0
        are alike among themselves. The order of some is that of all, with the others left out.
        """
        # What comes after the key cannot be taken for a part of it: its length stands before it.
        shared = hashlib.blake2b(digest_size=DRAW_BITS // 8, person=b"llmproxy-prompt")
        shared.update(f"{len(key)}:{key}".encode(errors="surrogatepass"))

        def rank(index: int) -> tuple[bool, float, str]:
            own = shared.copy()
            own.update(self.names[index].encode())
            weight = weights[index]
            return weight == 0, -score(int.from_bytes(own.digest(), "big"), weight or 1), self.names[index]

        return sorted(candidates, key=rank)


def score(draw: int, weight: int) -> float:
    """How strongly a key is drawn to an endpoint: above 0. `draw` is any number of `DRAW_BITS` bits, 0 included."""
    number = ((draw >> (DRAW_BITS - _EXACT_BITS)) + 0.5) / 2**_EXACT_BITS
    return -weight / math.log(number)
