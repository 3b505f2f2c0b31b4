"""One connection of a client: requests come in, are answered one after the other, and it is closed in order.

Nothing here sets a timer for each request: a connection says until when it may stay as it is, and the server looks at
all of them once a second.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Any, cast

from adapters.half_close import half_close
from adapters.http.server.asgi import addresses_of
from adapters.http.server.client import Guest
from adapters.http.server.cycle import RequestCycle
from adapters.http.server.cycle_loop import CycleLoop
from adapters.http.server.flow_control import Inflow, Outflow, is_enough, is_long, waiting_bytes
from adapters.http.server.host import ServerContext
from adapters.http.server.limits import FAREWELL_S, HEAD_S, IDLE_S, LINGER_BYTES, LINGER_S, NEVER, WRITE_AHEAD_BYTES
from adapters.http.server.request.head import NO_HEAD, RequestHead
from adapters.http.server.request.reader import RequestReader
from adapters.http.server.request.refusals import SLOW_HEAD
from adapters.http.server.switching import Switching
from adapters.unread import has_unread
from application.errors import InvalidRequest
from application.held_bytes import COUNTED_BYTES


class Connection(asyncio.Protocol):
    """`RequestSink` for its reader, `ClientTransport` for its cycles. asyncio closes it when its client stops."""

    def __init__(self, host: "ServerContext[Connection]") -> None:
        self.loop = host.loop
        self.idle_since = self.loop.time()
        """When it was opened, or began to send a head, or had its last reply."""
        self.deadline = self.idle_since + HEAD_S
        """When it is to be closed unless something happens; inf = not before the application is done."""
        self._host = host
        self.transport: asyncio.Transport | None = None
        self.can_write = True
        """Does the client take what is written?"""
        self.addresses: dict[str, Any] = {}
        """What an ASGI scope says of it."""
        self._reader: RequestReader | None = None
        self.cycle: RequestCycle | None = None
        self._loop = CycleLoop(self, host)
        self._queue: deque[RequestCycle] = deque()
        self._inflow = Inflow(LINGER_BYTES, host.held)
        self._outflow = Outflow(host.loop, host.held)
        self._is_closing = False
        self._rest_of: RequestCycle | None = None
        self._unsent = 0
        self._switching: Switching | None = None
        """None = the client has not asked for another protocol."""

    # What asyncio tells us.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = self._inflow.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=WRITE_AHEAD_BYTES)
        self.addresses = addresses_of(transport)
        self._reader = RequestReader(self, self._host.heads)
        self._host.opened(self)

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        if self._is_closing or reader is None:
            (self._inflow.discard if self._switching is None else self._switching.keep)(data)
            return
        was_idle = reader.in_head and not reader.overhead_bytes
        refusal = reader.feed(data)
        if self._rest_of is not None:
            self._linger(self._rest_of, data, is_lost=refusal is not None)
        elif refusal is not None:
            self._refuse(refusal)
        elif (cycle := self.cycle) is not None:
            if cycle.bytes_waiting > COUNTED_BYTES or self._queue or reader.rest:
                self._inflow.weigh(cycle, self._queue, len(reader.rest))
        elif was_idle and reader.in_head:
            self.idle_since = self.loop.time()
            self.deadline = self.idle_since + HEAD_S
        elif reader.overhead_bytes > COUNTED_BYTES and reader.in_head:
            self._host.stalls(self)
            self._inflow.count(reader.overhead_bytes)
        if (cycle := self.cycle) is not None and self._loop.is_free:
            self._loop.answer(cycle)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        self._is_closing = True
        self.transport = self._inflow.transport = self._rest_of = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        cycle, self.cycle = self.cycle, None
        self._queue.clear()
        self._inflow.count(0)
        self._host.moves(self)
        if cycle is not None:
            cycle.disconnect()
        self._loop.wake()
        del self._loop  # which holds on to this connection
        self._wake_writer()
        self._host.left(self)

    def pause_writing(self) -> None:
        if self.transport is not None:
            self.can_write = False
            self._host.stalls(self)
            self._outflow.pause(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        if self.cycle is not None:
            self.deadline = NEVER
        self._host.moves(self)
        self._wake_writer()

    def _wake_writer(self) -> None:
        self.can_write = True
        self._outflow.resume()

    # What the server tells us.

    def expire(self) -> None:
        """The deadline has come. A client that still takes what was sent has another `IDLE_S` for it."""
        reader, transport = self._reader, self.transport
        if transport is None:
            return
        unsent = transport.get_write_buffer_size()
        if unsent and unsent != self._unsent:
            self._unsent = unsent
            self.deadline = self.loop.time() + IDLE_S
        elif self._is_idle and reader is not None and reader.overhead_bytes:
            self._refuse(SLOW_HEAD)
        else:
            self.give_way()

    @property
    def can_give_way(self) -> bool:
        """Is nothing owed to the client: no reply, and nothing of one that is on its way?"""
        return self.cycle is None and (self.transport is None or not self.transport.get_write_buffer_size())

    def let_go(self) -> int:
        """What it holds that only its client can take, or complete, counts no longer: it is to give way. How much."""
        size = self._outflow.holding.held_bytes or (self._inflow.holding.held_bytes if self.cycle is None else 0)
        if size:
            self._inflow.count(0)
            self._outflow.count(0)
        return size

    def give_way(self) -> None:
        """Make room for another connection, or for what others hold."""
        self._is_closing = True
        if self.cycle is not None:
            self.cycle.stop_chunks()
        if self.transport is not None:
            self.transport.abort()

    def shutdown(self) -> None:
        """The server stops: close after the current reply, if that can still say so."""
        if self.cycle is not None:
            self.cycle.ask_to_be_last()
        elif not self._is_idle and self.transport is not None and not self.transport.get_write_buffer_size():
            self.deadline = min(self.deadline, self.loop.time() + FAREWELL_S)

    def close_if_idle(self, since: float) -> None:
        """Close, unless there was or is anything to do after that moment: what is not read would reset it."""
        if self._is_idle and self.idle_since <= since and not (self.transport and has_unread(self.transport)):
            self._close()

    # What the reader tells us.

    def has_room(self) -> bool:
        """See `RequestSink`."""
        if self._rest_of is not None:
            return not self._rest_of.is_complete
        return not is_long(self._queue) and not self._is_closing

    def arrived(self, head: RequestHead, length: int | None, body: bytes | None = None) -> RequestCycle:
        """See `RequestSink`."""
        cycle = RequestCycle(self, head, length, body, head.keeps and not self._host.is_draining)
        if self._rest_of is None and not self._is_closing:
            if self.cycle is None:
                self._begin(cycle)
            else:
                self._queue.append(cycle)
            if head.upgrades:
                self._is_closing, self._switching = True, Switching(self._inflow)
        return cycle

    def _begin(self, cycle: RequestCycle) -> None:
        self.cycle = cycle
        # Before this one is answered, the client has to take enough of what was sent before.
        self.deadline = NEVER if self.can_write else self.loop.time() + IDLE_S

    # What a cycle tells us.

    def write(self, data: bytes) -> None:
        """See `ClientTransport`."""
        transport = self.transport
        if transport is not None and not transport.is_closing():  # else it would complain of each write
            transport.write(data)

    def drain(self) -> Awaitable[None] | None:
        """See `ClientTransport`."""
        return self._outflow.drain(self.transport)

    def body_taken(self) -> None:
        """See `ClientTransport`."""
        if not self._inflow.is_quiet and self._reader is not None:
            self._read_on(self._reader)

    def _read_on(self, reader: RequestReader) -> None:
        """Some of what was read was taken, or thrown away."""
        cycle, inflow = self.cycle, self._inflow
        inflow.count(waiting_bytes(cycle, self._queue) + len(reader.rest))
        if inflow.is_open or (cycle is not None and is_enough(cycle, self._queue)):
            return
        refusal = reader.go_on()
        if refusal is not None:
            self._refuse(refusal)
        elif not reader.rest and (self.cycle is None or not is_enough(self.cycle, self._queue)):
            inflow.resume()

    def finished(self, cycle: RequestCycle) -> None:
        """See `ClientTransport`."""
        self.cycle = None
        if not cycle.keeps:
            self._close(cycle)
            return
        if self._queue:
            self._begin(self._queue.popleft())
        else:
            self.idle_since = now = self.loop.time()
            self.deadline = now + IDLE_S
        if not self._inflow.is_quiet:
            self.body_taken()

    def switch(self, guest: Guest) -> None:
        """See `ClientTransport`."""
        transport, reader, switching = self.transport, self._reader, self._switching
        if transport is not None and reader is not None and switching is not None:
            self.transport = self.cycle = self._reader = self._switching = None
            self._wake_writer()
            self._host.moves(self)
            self._host.switched(self, guest)
            switching.hand_over(transport, reader.close(), guest)

    def abort(self) -> None:
        """See `ClientTransport`."""
        self.cycle = None
        self.give_way()

    def crashed(self, error: Exception) -> None:
        """See `ClientTransport`."""
        self._host.crashed(error)

    # How it ends.

    def _refuse(self, error: InvalidRequest) -> None:
        """What came last is no request. Those before it are answered, and nothing more is read."""
        if self.cycle is not None:
            last = self._queue[-1] if self._queue else self.cycle
            last.keeps = False
            self._is_closing = True
            if not last.is_complete:
                last.broken(error)
            return
        cycle = RequestCycle(self, NO_HEAD, 0, None, keeps=False)
        cycle.refuse(error)
        self._host.refused(error, (self.addresses["client"] or ("",))[0])

    @property
    def _is_idle(self) -> bool:
        """Could a request come now?"""
        return self.cycle is None and not self._is_closing and self._rest_of is None

    def _close(self, cycle: RequestCycle | None = None) -> None:
        """Nothing is answered any more. `cycle`: the last one; what is left of it, or is no request, is thrown away."""
        self._queue.clear()
        self._inflow.count(0)
        if (transport := self.transport) is None:
            return
        if cycle is None or (cycle.is_complete and not self._is_closing):
            self._is_closing, self.deadline = True, self.loop.time() + IDLE_S
            transport.close()
            return
        self.idle_since = self.loop.time()
        self.deadline = self.idle_since + LINGER_S
        self._inflow.resume()
        if self._is_closing or cycle.is_cut_short or cycle.waits_for_100:
            self._is_closing = True
            half_close(transport)
        else:
            self._rest_of = cycle

    def _linger(self, cycle: RequestCycle, data: bytes, *, is_lost: bool) -> None:
        self._inflow.discard(data)
        if self.transport is not None and (is_lost or cycle.is_complete):
            self._is_closing = True  # more may follow, and is thrown away as well
            half_close(self.transport)
