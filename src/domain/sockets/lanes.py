"""In which order the turns of one socket run: one after the other in a lane, lanes beside one another.

The rules are OpenAI's for Responses over WebSocket (guide "WebSocket mode"): the default lane and up to 32 named ones,
16 turns at a time, the others wait in the order in which they came.
"""

import string
from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct, structs

DEFAULT_LANE = ""
MOST_NAMES = 32
"""Of named lanes, for the life of a socket."""
MOST_RUNNING = 16
MOST_WAITING = 64
"""Nobody documents how many a provider lets wait."""
LONGEST_NAME = 256

_LETTERS = frozenset(string.ascii_letters + string.digits + "_.-")


class LaneRefusal(StrEnum):
    """Why a turn is not taken; the value is the error code that a client is told."""

    INVALID_NAME = "invalid_stream_id"
    TOO_MANY_NAMES = "websocket_stream_limit_reached"
    QUEUE_FULL = "websocket_queue_full"


class Lanes(Struct, frozen=True):
    """What runs and what waits. Turns are known by their lane alone: those of one lane are in their order."""

    names: frozenset[str] = frozenset()
    """Every named lane there has been."""
    running: frozenset[str] = frozenset()
    waiting: Sequence[str] = ()
    """The lane of each turn that waits, in the order in which they came."""

    def offered(self, lane: str) -> "Lanes | LaneRefusal":
        """Another turn for that lane, which waits; or why it cannot."""
        names = self.names
        if lane != DEFAULT_LANE and lane not in names:
            if len(lane) > LONGEST_NAME or not _LETTERS.issuperset(lane):
                return LaneRefusal.INVALID_NAME
            if len(names) >= MOST_NAMES:
                return LaneRefusal.TOO_MANY_NAMES
            names |= {lane}
        if len(self.waiting) >= MOST_WAITING:
            return LaneRefusal.QUEUE_FULL
        return Lanes(names, self.running, (*self.waiting, lane))

    def started(self) -> "tuple[Lanes, str] | None":
        """The lane whose first turn is to run now, and what is then; None = none may."""
        if len(self.running) >= MOST_RUNNING:
            return None
        for at, lane in enumerate(self.waiting):
            if lane not in self.running:
                waiting = (*self.waiting[:at], *self.waiting[at + 1 :])
                return Lanes(self.names, self.running | {lane}, waiting), lane
        return None

    def ended(self, lane: str) -> "Lanes":
        """The turn that ran in that lane is over."""
        return structs.replace(self, running=self.running - {lane})

    @property
    def is_idle(self) -> bool:
        """Does nothing run, and nothing wait?"""
        return not self.running and not self.waiting
