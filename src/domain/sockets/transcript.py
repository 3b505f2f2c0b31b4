"""What was said on one socket, so that a turn can be asked of anybody: what it builds on is put before it.

A provider remembers a response that is not stored only for the socket that it was made on. Here each turn may go to
another account, so the chain is kept, as the bytes that came and went, and a turn that builds on it is sent whole.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct


class Node(Struct, frozen=True, eq=False):
    """One finished turn."""

    id: str
    """Of its response."""
    items: Sequence[bytes]
    """What went in and came out, each item of the conversation as it stood in JSON."""
    is_stored: bool
    """Does the provider that answered keep the response?"""
    parent: "Node | None" = None
    """What it built on; None = nothing that is remembered."""
    base: str = ""
    """The id that it built on where that is no remembered one: only the provider knows it; empty = it built on none."""

    @property
    def size(self) -> int:
        """Of its items, in bytes."""
        return sum(map(len, self.items))


class Expansion(Struct, frozen=True):
    """What is to be put before a turn's own items, and what it then still builds on."""

    items: Sequence[bytes]
    base: str
    """An id that only its keeper knows; empty = the turn is complete with the items."""


def expanded(node: Node, *, past_stored: bool = False) -> Expansion:
    """What a turn that builds on `node` has to bring along. A stored response need not be said again, unless
    `past_stored`: its keeper cannot be asked."""
    items: list[Sequence[bytes]] = []
    at: Node | None = node
    base = ""
    while at is not None and (past_stored or not at.is_stored):
        items.append(at.items)
        base = at.base
        at = at.parent
    if at is not None:
        base = at.id
    return Expansion([item for part in reversed(items) for item in part], base)


class Transcript(Struct, frozen=True):
    """The latest turn of each lane, with all that it builds on. A turn that no lane ends with is forgotten, unless
    another was built on it."""

    heads: Mapping[str, Node] = MappingProxyType({})
    """By lane."""
    lost: frozenset[str] = frozenset()
    """Ids of latest turns that were forgotten for want of room."""

    def find(self, response_id: str) -> Node | None:
        """The turn with that response; None = it is not remembered."""
        return next((node for node in self.heads.values() if node.id == response_id), None)

    def added(self, lane: str, node: Node) -> "Transcript":
        """With another turn in that lane."""
        return Transcript(MappingProxyType({**self.heads, lane: node}), self.lost)

    def forgotten(self) -> "Transcript":
        """With nothing but the ids of what was there. What is stored is its keeper's to know."""
        gone = {node.id for node in self.heads.values() if not node.is_stored}
        return Transcript(lost=self.lost | gone)

    @property
    def size(self) -> int:
        """Of all that is remembered, in bytes; what several lanes build on counts once."""
        seen: set[int] = set()
        total = 0
        for head in self.heads.values():
            node: Node | None = head
            while node is not None and id(node) not in seen:
                seen.add(id(node))
                total += node.size
                node = node.parent
        return total
