"""Identical requests under way share one upstream call (single flight).

A shared call belongs to no client: it runs by itself while anybody waits for it, so that the first client may leave
without hurting the others, and ends at once when the last one has left. A stream is kept from its start: later clients
begin there and go on live. A call stays for a moment after its answer was put into the cache, only for those whose look
into the cache had begun before, and gives them what the cache would.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

from application.answers import Answer, WholeAnswer
from application.caching.replay_buffer import MAX_HELD_BYTES, ByteBudget, ReplayBuffer
from application.caching.shared_stream import SharedStream
from application.errors import ProxyError
from application.held_bytes import HeldBytes, Holding
from application.messages import Headers, RequestTrace
from application.ports import Clock, Timer
from application.store_ports import CachedAnswer

LINGER_S = 0.25  # how long a good answer can still be joined: longer than a look into the cache may take

FINISH_S = 0.5
"""How long the end of a complete stream is waited for when nobody listens any more: SDKs leave at `[DONE]`, and what
they were sent is worth keeping."""

Ask = Callable[[RequestTrace], Awaitable[Answer]]
Judge = Callable[[Headers, tuple[bytes, ...], RequestTrace], Awaitable[CachedAnswer | None]]
"""What is to be kept; None = nothing."""

Store = Callable[[CachedAnswer], Awaitable[None]]  # keeps it
Spared = Callable[[RequestTrace, int], None]
"""Told at the end of a call of so many that were spared, as another one was for the same answer."""


class SingleFlight:
    def __init__(self, clock: Clock, held: HeldBytes, max_held_bytes: int = MAX_HELD_BYTES) -> None:
        self.clock = clock
        self.held = held
        self.budget = ByteBudget(held, max_held_bytes)
        self._calls: dict[object, SharedCall] = {}  # by what makes requests identical

    def under_way(self, identity: object, looked: float) -> "SharedCall | None":
        """The call that a request may join which looked into the cache at the time `looked`; None = there is none."""
        call = self._calls.get(identity)
        return call if call is not None and call.can_be_joined(looked) else None

    def begin(self, call: "SharedCall") -> None:
        """A new call: the next that asks the same may join it."""
        self._calls[call.identity] = call

    def forget(self, call: "SharedCall") -> None:
        if self._calls.get(call.identity) is call:
            del self._calls[call.identity]


class SharedCall:
    __slots__ = (
        "_ask", "_asked", "_asked_bytes", "_buffer", "_ending", "_entry", "_judge", "_judged", "_opened", "_over",
        "_served", "_single_flight", "_spared", "_store", "_task", "_whole", "identity", "kept_at", "received", "trace",
    )  # fmt: skip

    def __init__(
        self,
        single_flight: SingleFlight,
        identity: object,
        ask: Ask,
        judge: Judge,
        store: Store,
        received: float,
        asked_bytes: int,
        spared: Spared | None,
    ) -> None:
        """Begins at once. `received` is when its first request came, and `asked_bytes` what that holds. `spared` None =
        nobody asks."""
        self._single_flight = single_flight
        self.identity = identity
        self._ask = ask
        self._judge = judge
        self._store = store
        self._spared = spared
        self._served = 0
        """Requests that have its answer, or still wait for it: not those whose client left before its end."""
        self.received = received
        self._asked_bytes = asked_bytes
        self._asked = Holding(single_flight.held)
        self.trace = RequestTrace()
        self.kept_at = math.inf  # when the answer was put into the cache: a later look finds it there
        self._buffer = ReplayBuffer(single_flight.budget, single_flight.clock)
        self._whole: WholeAnswer | None = None
        self._over = False
        self._ending: Timer | None = None
        self._entry: CachedAnswer | None = None
        self._judged = asyncio.Event()
        self._opened = asyncio.Event()
        self._task = asyncio.ensure_future(self._run())
        single_flight.begin(self)

    @property
    def is_done(self) -> bool:
        return self._buffer.over

    def can_be_joined(self, looked: float) -> bool:
        """Is it held from its start, and not to be found by a look into the cache at that time?"""
        return self._buffer.kept and looked < self.kept_at

    async def join(self) -> Answer:
        """Wait for the answer; raises what the call raised. A stream begins at its start, whenever one joins."""
        subscriber = SharedStream(self._buffer, self.leave)
        self._buffer.readers.add(subscriber)
        self._served += 1
        subscriber.asked_bytes, self._asked_bytes = self._asked_bytes, 0
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        try:
            await self._opened.wait()
        except BaseException:
            subscriber.close()
            raise
        if self._buffer.source is not None:
            return subscriber
        subscriber.close()
        if self._whole is not None:
            return self._whole
        raise (self._buffer.error or ProxyError("The proxy lost this request.")).with_traceback(None)

    async def kept(self) -> CachedAnswer | None:
        """What is kept of the answer, once that is complete; None = it is not worth keeping."""
        await self._judged.wait()
        return self._entry

    def leave(self, subscriber: SharedStream) -> None:
        """A client wants no more of it. When it was the last one, the upstream call ends."""
        recording = self._buffer
        if subscriber not in recording.readers:
            return
        recording.readers.remove(subscriber)
        is_complete = recording.source is not None and recording.source.complete
        if not (recording.over or is_complete):
            self._served -= 1
        if recording.readers:
            self._asked.count(subscriber.asked_bytes)  # it is held on, and its client counts it no longer
            recording.advanced()
        elif recording.over:
            self._release()
        elif is_complete and recording.kept:
            clock = self._single_flight.clock
            self._ending = clock.call_at(clock.now() + FINISH_S, self._task.cancel)
        else:
            self._single_flight.forget(self)
            self._task.cancel()

    async def _run(self) -> None:
        good = None
        try:
            good = await self._make()
        except asyncio.CancelledError:
            self._buffer.error = ProxyError("The request was given up.")
        except Exception as error:  # those that wait are told, and say so
            self._buffer.error = error
        self._opened.set()
        self._buffer.finish()
        if self._spared is not None and self._served > 1:
            self._spared(self.trace, self._served - 1)
        self._asked.close()
        del self._ask  # which holds the request
        try:
            if good is not None:
                await self._keep(*good)
        finally:
            self._judged.set()
            self._single_flight.forget(self)
            self._over = True
            self._release()

    async def _make(self) -> tuple[Headers, tuple[bytes, ...]] | None:
        """The call itself. Headers and chunks of an answer that may be kept; None = it may not."""
        answer = await self._ask(self.trace)
        if isinstance(answer, WholeAnswer):
            self._whole = answer
            reply = answer.reply
            self._buffer.hold(len(reply.body))
            return (reply.headers, (reply.body,)) if reply.status == 200 and answer.final_failure is None else None
        self._buffer.source = answer
        try:
            self._opened.set()
            while not await answer.flow(self._buffer.append):
                await self._buffer.wait_for_the_slowest()
        except asyncio.CancelledError:
            if not answer.complete:
                raise
            self._task.uncancel()
        finally:
            answer.close()
        whole = self._buffer.kept and answer.status == 200 and answer.failure is None
        return (answer.headers, self._buffer.chunks) if whole else None

    async def _keep(self, headers: Headers, chunks: tuple[bytes, ...]) -> None:
        self._entry = await self._judge(headers, chunks, self.trace)
        self._judged.set()
        if self._entry is not None:
            await self._store(self._entry)
            self.kept_at = self._single_flight.clock.now()
            await self._single_flight.clock.sleep(LINGER_S)

    def _release(self) -> None:
        if self._over and not self._buffer.readers:
            self._buffer.release()
