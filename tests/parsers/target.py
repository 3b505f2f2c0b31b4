"""What is fuzzed: one parser, and what must hold of it for any bytes."""

import itertools
import zlib
from collections.abc import Callable, Coroutine, Hashable, Sequence
from random import Random
from typing import Any, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Target(Struct, frozen=True):
    """A parser by its name, which is that of its seeds too."""

    name: str
    run: Callable[[bytes], Hashable]
    """Gives the bytes to the parser and raises where something does not hold. Returns what became of them, roughly:
    bytes that end in a new way are worth going on from."""
    words: Sequence[bytes] = ()
    """What inputs of this parser are made of."""
    longest_bytes: int = 4096
    """Of what is tried, but for a few inputs that are sixteen times as long."""
    steps_a_byte: int = 200
    """Lines of Python that each byte may cost at most, beside a fixed number."""


def cut(data: bytes) -> list[bytes]:
    """In pieces: the same ones whenever it is asked for. Short data are mostly cut byte by byte."""
    dice = Random(zlib.crc32(data))
    if len(data) <= 400 and dice.random() < 0.5:
        return [data[at : at + 1] for at in range(len(data))]
    edges = sorted({0, len(data), *(dice.randrange(len(data) + 1) for _ in range(dice.randrange(8)))})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def by_lines(data: bytes) -> list[bytes]:
    """In pieces that end where blank lines do, as who asks for one thing after the other sends them; half of them are
    put together with what begins the next."""
    dice = Random(zlib.crc32(data))
    parts = data.split(b"\r\n\r\n")
    pieces = [part + b"\r\n\r\n" for part in parts[:-1]] + [parts[-1]]
    for at in range(len(pieces) - 1):
        if dice.random() < 0.5 and pieces[at + 1]:
            shared = dice.randrange(len(pieces[at + 1]))
            pieces[at], pieces[at + 1] = pieces[at] + pieces[at + 1][:shared], pieces[at + 1][shared:]
    return [piece for piece in pieces if piece]


def led(data: bytes) -> tuple[int, bytes]:
    """The first byte, which picks a variant, and the rest."""
    return (data[0], data[1:]) if data else (0, b"")


def finished(work: Coroutine[Any, Any, T]) -> T:
    """What it comes to. It waits for nothing but its next turn, so it needs no loop, which would cost more than it."""
    try:
        while True:
            work.send(None)
    except StopIteration as end:
        found: T = end.value
        return found
