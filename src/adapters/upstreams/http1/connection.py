"""One connection: what was asked goes out, what comes back goes to its reply, and it is let go of at once.

It is used again only if its last reply came to a clean end: complete, meant to be followed by another, after the whole
request, and with not a byte behind it.
"""

import asyncio
import re
import socket
from collections.abc import Callable
from typing import Protocol, cast

from adapters.upstreams.http1 import failures
from adapters.upstreams.http1.framing import FRAMINGS, LENGTHS
from adapters.upstreams.http1.reply import Http1Reply
from adapters.upstreams.http1.reply_reader import AT_ONCE_BYTES, ReplyReader
from adapters.upstreams.http1.short_reads import ShortReads
from application.ports import READ_AHEAD_BYTES
from domain.failure import Failure

_ERROR = re.compile(rb"HTTP/1\.[01] [45][0-9]{2}[ \r]")

_NEVER = float("inf")


class Owner(Protocol):
    """The owner of a connection between two exchanges."""

    def released(self, connection: "Connection") -> None:
        """It can be used again."""

    def left(self, connection: "Connection") -> None:
        """It is lost or was cut."""


class Connection(asyncio.Protocol):
    """An HTTP/1.1 connection with one exchange at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, max_head_bytes: int) -> None:
        self.loop = loop
        self.owner: Owner | None = None  # None = nobody's yet (a proxy's tunnel), and left open after an exchange
        self.transport: asyncio.Transport | None = None
        self.opened = self.idle_since = loop.time()
        self.exchanges = 0
        self.is_sending = False  # is a request being sent that is not handed over completely?
        self.was_lost_unanswered = False  # did the other side end it before a byte of the current reply?
        self.writing_paused = False
        self.on_settled: Callable[[], None] | None = None  # called when the headers have come or never will
        self.on_writable: Callable[[], None] | None = None  # called when more can be written, or nothing any more
        self._max_head_bytes = max_head_bytes
        self._reader = ReplyReader(max_head_bytes)
        self._reply: Http1Reply | None = None
        self._reading_paused = False
        self._reads_short = False
        self._early = b""
        self._has_ended_early = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = _NEVER
        self._deadline = _NEVER

    # What the adapter does with it.

    @property
    def is_open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    @property
    def was_spoken_to(self) -> bool:
        """Has anything come before the first request?"""
        return bool(self._early)

    def start(self, idle_s: float, deadline: float, *, has_body: bool = True) -> Http1Reply:
        """A request goes out now; what comes from here on is its reply, and its headers are due at `deadline`."""
        self.exchanges += 1
        reply = self._reply = Http1Reply(self, idle_s)
        self._reader.begin(reply, has_body=has_body)
        if self._early or self.is_open:
            self.wait_until(deadline)
            if self._early:
                self._hear_early()
        else:
            self.was_lost_unanswered = True
            self.fail(failures.UNANSWERED)
        return reply

    def expect_head(self, deadline: float) -> None:
        """The headers are due at `deadline`, unless they have come; inf = the time stands still."""
        if self._reply is not None and self._reader.in_head:
            self.wait_until(deadline)

    def wait_until(self, deadline: float) -> None:
        """See `Line`. The timer is moved only where it would fire too late: mostly it need not be touched."""
        self._deadline = deadline
        if deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self.loop.call_at(deadline, self._look_at_clock)

    def _look_at_clock(self) -> None:
        self._timer, self._timer_at = None, _NEVER
        if self._deadline <= self.loop.time():
            self.fail(failures.SLOW_HEAD if self._reader.in_head else failures.SLOW_BODY)
        else:
            self.wait_until(self._deadline)

    def go_on(self) -> None:
        """See `Line`."""
        if self._reading_paused and self.transport is not None:
            self._reading_paused = False
            self.transport.resume_reading()

    def rest(self) -> None:
        """See `Line`."""
        self._pause()
        if not self._reads_short and self.transport is not None:
            self._reads_short = True
            self.transport.set_protocol(ShortReads(self))

    def fail(self, failure: Failure) -> None:
        """Cut, and tell whoever waits."""
        reply = self._reply
        self.abort()
        if reply is not None:
            reply.fail(failure)
        if self.on_settled is not None:
            self.on_settled()

    def abort(self) -> None:
        """Cut at once; the reply is not told."""
        self._reply = None
        self._leave()
        if self.transport is not None:
            self.transport.abort()
        else:
            self._reader.close()

    def _leave(self) -> None:
        self._deadline = self._timer_at = _NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        owner, self.owner = self.owner, None
        if owner is not None:
            owner.left(self)

    # What asyncio tells us.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self.on_writable is not None:
            self.on_writable()

    def eof_received(self) -> bool:
        if self._early:
            self._has_ended_early = True
            return True
        self._end(None)
        # The transport would first send what is left of the request, and a server that has gone reads no more.
        self.abort()
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        self._end(exc)
        self._leave()
        self.transport = None
        if self._early:
            self._has_ended_early = True
        else:
            self._reader.close()
        if self.on_writable is not None:
            self.on_writable()

    def _end(self, exc: BaseException | None) -> None:
        """Nothing more will come."""
        reply, reader = self._reply, self._reader
        if reply is None:
            return
        self.was_lost_unanswered = reader.in_head and not reader.overhead_bytes
        if exc is not None:
            self.fail(failures.lost(exc))
        elif reader.in_head:
            self.fail(failures.UNANSWERED if self.was_lost_unanswered else failures.CUT_IN_HEAD)
        elif reader.ends_with_connection():
            self._reply = None
            reply.complete()
            reply.wake()
        else:
            self.fail(failures.CUT_IN_BODY)

    def data_received(self, data: bytes) -> None:
        reply, reader = self._reply, self._reader
        if reply is None:
            self._hear_unasked(data)
            return
        if reader.is_between_chunks and (take := reply.take_framed) is not None and (length := len(data)) < LENGTHS:
            line, size = FRAMINGS[length]
            if take(data, line, size):
                self._deadline = self.loop.time() + reply.idle_s
                return
        if reader.in_head or len(data) > AT_ONCE_BYTES:
            self._notice(reply, reader.feed(data))
            if len(data) > READ_AHEAD_BYTES and reply.take is None and self._reply is reply:
                self._pause()  # the loop may have as much again at once; whoever wants more says so
        elif (failure := reader.read(data)) is not None or reader.is_whole:
            self._notice(reply, failure)
        elif not reply.waiting_bytes:  # whatever came is on its way to the client
            if self._deadline != _NEVER:
                self._deadline = self.loop.time() + reply.idle_s
        else:
            self._tell(reply)

    def _notice(self, reply: Http1Reply, failure: Failure | None) -> None:
        """The head may have come, or the end."""
        if failure is not None:
            self.fail(failure)
            return
        reader = self._reader
        if reader.in_head:
            return
        if reader.is_whole:
            self._reply = None
            reply.complete()
            self._let_go()
        self._tell(reply)
        if self.on_settled is not None:
            self.on_settled()

    def _tell(self, reply: Http1Reply) -> None:
        """There is something new for whoever waits, and nothing is waited for until they look at it."""
        self._deadline = _NEVER
        reply.wake()
        if reply.waiting_bytes > READ_AHEAD_BYTES and self._reply is reply:
            self._pause()

    def _pause(self) -> None:
        """More is waiting for the reader than is read ahead for it."""
        if not self._reading_paused and self.transport is not None:
            self._reading_paused = True
            self.transport.pause_reading()

    def _let_go(self) -> None:
        """The reply is complete."""
        reader, transport = self._reader, self.transport
        if self._reads_short and transport is not None:
            self._reads_short = False
            transport.set_protocol(self)
        if self.owner is None and not reader.is_followed:
            return
        is_clean = reader.is_kept and not reader.is_followed and not self.is_sending
        # A reply may come before the request is sent completely; the rest would precede the next one.
        if is_clean and self.owner is not None and transport is not None and not transport.get_write_buffer_size():
            self.owner.released(self)
        else:
            self.abort()

    # A server may say before it has seen a request that it has no time for one. Nothing else it says then is an answer.

    def _hear_unasked(self, data: bytes) -> None:
        self._early += data
        if self.exchanges or len(self._early) > self._max_head_bytes:
            self._early = b""
            self.abort()

    def _hear_early(self) -> None:
        early, self._early = self._early, b""
        if _ERROR.match(early) is None:
            self.fail(failures.SPOKE_FIRST)
            return
        self.is_sending = True  # nothing has been: if all of the reply is here, this is the last exchange
        self.data_received(early)
        self.is_sending = not self._reader.in_head
        if self._has_ended_early:
            self.eof_received()
