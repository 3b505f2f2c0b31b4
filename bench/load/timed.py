"""Events of many streams at once, each timed: what all kinds of streams have in common."""

import asyncio
import time
from array import array
from typing import cast


class Watch:
    """What all streams have in common: whether this is the steady time, and what was seen."""

    def __init__(self, streams: int) -> None:
        self.streams = streams
        self.began = 0
        self.ended = 0
        self.complete = 0
        self.steady = False
        self.gaps_ms = array("d")
        self.problems: dict[str, int] = {}
        self.all_ended = asyncio.Event()

    def stream_began(self) -> None:
        self.began += 1
        if self.began == self.streams:
            self.steady = True
            print("steady", flush=True)

    def stream_ended(self, problem: str | None) -> None:
        if self.steady and self.began == self.streams:
            self.steady = False
            print("ending", flush=True)
        self.ended += 1
        if problem is None:
            self.complete += 1
        else:
            self.problems[problem] = self.problems.get(problem, 0) + 1
        if self.ended == self.streams:
            self.all_ended.set()


class Timed(asyncio.Protocol):
    """One stream on a connection of its own. A kind of stream says what has come, and when it is over."""

    def __init__(self, watch: Watch, request: bytes, events: int) -> None:
        """`events`: so many must come; 0 = they are not counted."""
        self._watch = watch
        self._request = request
        self._events = events
        self._transport: asyncio.Transport | None = None
        self._last = 0.0
        self._seen = 0
        self._over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        self._end("cut off")

    def _came(self, events: int) -> None:
        """So many events, together."""
        now = time.perf_counter()
        if self._seen == 0:
            self._watch.stream_began()
        elif self._watch.steady:
            self._watch.gaps_ms.append((now - self._last) * 1000)
            self._watch.gaps_ms.extend([0.0] * (events - 1))
        self._last = now
        self._seen += events

    def _end_well(self) -> None:
        """It says that it is complete: is it?"""
        if self._events and self._seen != self._events:
            self._end("events missing" if self._seen < self._events else "too many events")
        else:
            self._end(None)

    def _end(self, problem: str | None) -> None:
        if self._over:
            return
        self._over = True
        self._watch.stream_ended(problem)
        if self._transport is not None:
            self._transport.close()
