"""A reply on its way: at the latency and pace of the settings, no faster than the client reads.

Works by callbacks rather than a task: a thousand paced streams wake up thousands of times a second.
"""

import asyncio
import time
from collections.abc import Iterator
from itertools import chain, islice

from simulator.protocol.reply import (
    CHUNKED_FRAMING,
    CLOSES,
    KEEP_ALIVE,
    LAST_CHUNK,
    Reply,
    chunk,
    head,
    length_framing,
)
from simulator.records import Record, Records
from simulator.wire.connection import Connection

_WRITE_BYTES = 64 * 1024


class Exchange:
    """A request and what is sent for it. Ends exactly once, and its record with it."""

    def __init__(
        self,
        connection: Connection,
        records: Records,
        record: Record | None,
        *,
        outcome: str,
        keep_alive: bool,
    ) -> None:
        """`record` is None for requests that are not recorded; `outcome` is what a full delivery counts as."""
        self.connection = connection
        self.keep_alive = keep_alive
        self._records = records
        self._record = record
        self._outcome = outcome

    def answered(self, reply: Reply) -> None:
        """Headers are being sent."""
        if self._record is not None:
            self._records.answered(self._record, reply.status, limited=reply.limited)

    def end(self, outcome: str | None = None) -> None:
        """Nothing more is sent; the connection is free for the next request."""
        self.connection.release()
        if self._record is not None:
            self._records.end(self._record, outcome or self._outcome, time.time())
            self._record = None


class Delivery(Exchange):
    """Delivers a whole reply, or a stream until its end."""

    def __init__(
        self,
        connection: Connection,
        records: Records,
        record: Record | None,
        reply: Reply,
        *,
        outcome: str,
        keep_alive: bool,
        latency_s: float = 0.0,
        tokens_per_second: float | None = None,
    ) -> None:
        super().__init__(connection, records, record, outcome=outcome, keep_alive=keep_alive)
        self._reply = reply
        self._latency_s = latency_s
        self._rate = tokens_per_second
        self._timer: asyncio.TimerHandle | None = None
        self._frames: Iterator[bytes] = iter(())
        self._sent = 0
        self._began_s = 0.0
        self._is_waiting = False

    def start(self) -> None:
        if self._latency_s > 0:
            self._timer = asyncio.get_running_loop().call_later(self._latency_s, self._begin)
        else:
            self._begin()

    def resume(self) -> None:
        """The client reads again: go on where we stopped."""
        if self._is_waiting:
            self._is_waiting = False
            self._continue()

    def abandon(self, outcome: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._frames = iter(())
        self.end(outcome)

    def _begin(self) -> None:
        self._timer = None
        reply = self._reply
        self.answered(reply)
        connection_line = KEEP_ALIVE if self.keep_alive else CLOSES
        if reply.events is None:
            self.connection.write(head(reply, length_framing(len(reply.body)), connection_line) + reply.body)
            self._finish()
            return
        opening = head(reply, CHUNKED_FRAMING, connection_line) + b"".join(map(chunk, reply.events.opening))
        if self._rate is None:
            self._frames = chain(reply.events.tokens, reply.events.closing)
            self._pump(opening)
        else:
            self.connection.write(opening)
            self._frames = reply.events.tokens
            self._began_s = asyncio.get_running_loop().time()
            self._schedule()

    def _continue(self) -> None:
        if self._rate is None:
            self._pump(b"")
        else:
            self._tick()

    def _pump(self, first: bytes) -> None:
        """Everything at once, in large writes, as long as the client keeps reading."""
        waiting = bytearray(first)
        for frame in self._frames:
            waiting += chunk(frame)
            if len(waiting) >= _WRITE_BYTES:
                self.connection.write(bytes(waiting))
                waiting.clear()
                if self.connection.is_paused:
                    self._is_waiting = True
                    return
        self.connection.write(bytes(waiting + LAST_CHUNK))
        self._finish()

    def _schedule(self) -> None:
        # Against the beginning, not the previous event: lateness does not add up.
        when_s = self._began_s + (self._sent + 1) / (self._rate or 1.0)
        self._timer = asyncio.get_running_loop().call_at(when_s, self._tick)

    def _tick(self) -> None:
        """The tokens that are due by now; at least one, for timers may fire a little early."""
        self._timer = None
        if self.connection.is_paused:
            self._is_waiting = True
            return
        elapsed_s = asyncio.get_running_loop().time() - self._began_s
        due = max(1, int(elapsed_s * (self._rate or 1.0)) - self._sent)
        frames = list(islice(self._frames, due))
        self._sent += len(frames)
        if len(frames) < due:
            closing = self._reply.events.closing if self._reply.events is not None else []
            self.connection.write(b"".join(map(chunk, [*frames, *closing])) + LAST_CHUNK)
            self._finish()
            return
        self.connection.write(b"".join(map(chunk, frames)))
        self._schedule()

    def _finish(self) -> None:
        self.end()
        if not self.keep_alive:
            self.connection.close()
