"""Cases: what is sent on one connection, made of the seed and a number alone."""

import random
from itertools import pairwise
from typing import NamedTuple

from bench.fuzz.drafts import COUNT, OWN, draft_of, token_of
from bench.fuzz.mutations import BYTES, DRAFTS


class Case(NamedTuple):
    """One connection: mutated requests, and a good one that asks for the end of the connection."""

    number: int
    token: bytes
    sent: bytes
    cuts: tuple[int, ...]
    """Where what is sent is cut into pieces."""
    requests: int
    """How many were mutated."""
    mutations: tuple[str, ...]

    @property
    def pieces(self) -> list[bytes]:
        edges = [0, *self.cuts, len(self.sent)]
        return [self.sent[start:end] for start, end in pairwise(edges) if start < end]


def case_of(seed: int, number: int) -> Case:
    """The case with that number."""
    rng = random.Random(f"{seed}:{number}")  # noqa: S311 - to be repeated
    token = token_of(seed, number)
    told: list[str] = []
    sent = b""
    requests = rng.choice((1, 1, 1, 1, 1, 1, 2, 3))
    for _ in range(requests):
        draft = draft_of(rng.randrange(rng.choice((OWN, OWN, COUNT))), token)
        for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
            change = rng.choice(DRAFTS)
            change(rng, draft)
            told.append(change.__name__)
        written = draft.written(rng)
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
            damage = rng.choice(BYTES)
            written = damage(rng, written or b"x")
            told.append(damage.__name__)
        sent += written
    sent += b"GET /v1/models/next-%b HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n" % token
    cuts = tuple(sorted(rng.randrange(len(sent)) for _ in range(rng.choice((0, 0, 0, 1, 3)))))
    return Case(number, token, sent, cuts, requests, tuple(told))
