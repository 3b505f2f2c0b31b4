"""Whose turn it is: nginx's smooth weighted round robin.

Each candidate earns its weight in credit, the richest is chosen and pays what all earned together. Weights 5, 1, 1
give a a b a c a a, not a a a a a b c, and N times the sum of the weights is divided exactly. (nginx,
`ngx_http_upstream_get_peer`; the algorithm is Evan Miller's, nginx 1.3.1.)
"""

import math
from collections.abc import Iterable, Sequence

from msgspec import Struct


class Selector(Struct, frozen=True, gc=False):
    """The credit of each endpoint of one group, in the order of the group. Nobody has any at the start."""

    credits: tuple[int, ...]

    @classmethod
    def fresh(cls, size: int) -> "Selector":
        return cls((0,) * size)

    def choose(self, weights: Sequence[int], candidates: Iterable[int]) -> tuple[int, "Selector"]:
        """The index of the one whose turn it is among `candidates`, and the selector after that turn.

        `weights` are for the whole group; `candidates` are the indices that can serve now, at least one. Only
        candidates earn and pay, so those that are out keep their credit, and the others share by their weights. A
        weight of 0 counts as 1: it gets here only when its whole tier is made of such.
        """
        balances = [*self.credits]
        earned = best = 0
        richest = -math.inf
        for index in candidates:
            weight = weights[index] or 1
            earned += weight
            balances[index] = credit = balances[index] + weight
            if credit > richest:
                best, richest = index, credit
        balances[best] -= earned
        return best, Selector(tuple(balances))
