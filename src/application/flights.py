"""Identical requests under way share one upstream call (single flight).

A flight belongs to no client: it runs by itself while anybody waits for it, so that the first client may leave without
hurting the others, and ends at once when the last one has left. A stream is kept from its start: who comes later begins
there and goes on live. A flight stays for a moment after its answer was put into the cache, for those alone whose look
into the cache had begun before, and gives them what the cache would.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

from application.answers import Answer, StreamedAnswer, WholeAnswer
from application.errors import ProxyError
from application.messages import Headers, Trail
from application.ports import Clock
from application.store_ports import CachedAnswer
from domain.failure import Failure

MAX_RECORDING_BYTES = 8 * 1024 * 1024
"""A stream that grows longer is only passed on: nobody can join it any more, and it is not kept."""

MAX_HELD_BYTES = 64 * 1024 * 1024
"""What all flights together may hold; beyond it they are not recorded."""

WINDOW_BYTES = 64 * 1024
"""How far a stream that is not recorded may run ahead of its slowest client."""

LINGER_S = 0.25
"""How long a good answer can still be joined: longer than a look into the cache may take."""

Ask = Callable[[Trail], Awaitable[Answer]]
Judge = Callable[[Headers, tuple[bytes, ...]], Awaitable[CachedAnswer | None]]
"""Makes of an answer's headers and chunks what is to be kept of it; None = it is not worth keeping."""

Store = Callable[[CachedAnswer], Awaitable[None]]
"""Keeps it."""

FINISH_S = 0.5
"""How long the end of a complete stream is waited for when nobody listens any more: SDKs leave at `[DONE]`, and what
they were sent is worth keeping."""

STALL_S = 5.0
"""Who takes nothing for so long, while others wait for it, is left behind."""


class Flights:
    """The flights under way, by what makes requests identical."""

    def __init__(self, clock: Clock, max_held_bytes: int = MAX_HELD_BYTES) -> None:
        self.clock = clock
        self.held_bytes = 0
        self._max_held_bytes = max_held_bytes
        self._flights: dict[object, Flight] = {}

    def under_way(self, identity: object, looked: float) -> "Flight | None":
        """The flight that may be joined by who looks, or looked at the time `looked`, into the cache; None = none."""
        flight = self._flights.get(identity)
        return flight if flight is not None and looked < flight.kept_at else None

    def start(self, identity: object, ask: Ask, judge: Judge, store: Store, received: float) -> "Flight":
        """A new flight; `received` is when its first request came."""
        flight = Flight(self, identity, ask, judge, store, received)
        self._flights[identity] = flight
        return flight

    @property
    def full(self) -> bool:
        """Is there no memory left for recordings?"""
        return self.held_bytes >= self._max_held_bytes

    def part(self, flight: "Flight") -> None:
        """It cannot be joined any more."""
        if self._flights.get(flight.identity) is flight:
            del self._flights[flight.identity]


class Flight:
    """One upstream call, and everything that has come of it."""

    __slots__ = (
        "_ask", "_chunks", "_dropped", "_ending", "_entry", "_flights", "_grown", "_held", "_judge", "_judged",
        "_opened", "_over", "_recording", "_seats", "_store", "_stream", "_taken", "_task", "_whole", "error",
        "identity", "kept_at", "landed", "received", "trail",
    )  # fmt: skip

    def __init__(
        self, flights: Flights, identity: object, ask: Ask, judge: Judge, store: Store, received: float
    ) -> None:
        self._flights = flights
        self.identity = identity
        self._ask = ask
        self._judge = judge
        self._store = store
        self.received = received
        self.trail = Trail()
        self.error: Exception | None = None
        """Why there is no answer, or why it broke off for a fault of our own."""
        self.landed = False
        """Has all come that will?"""
        self.kept_at = math.inf
        """When the answer was put into the cache: who looks later finds it there."""
        self._whole: WholeAnswer | None = None
        self._stream: StreamedAnswer | None = None
        self._chunks: list[bytes] = []
        self._dropped = 0
        self._held = 0
        self._recording = True
        self._over = False
        self._seats: set[SharedStream] = set()
        self._ending: asyncio.TimerHandle | None = None
        self._entry: CachedAnswer | None = None
        self._judged = asyncio.Event()
        self._opened = asyncio.Event()
        self._grown = asyncio.Event()
        self._taken = asyncio.Event()
        self._task = asyncio.ensure_future(self._run())

    async def board(self) -> Answer:
        """Wait for the answer; raises what the call raised. A stream begins at its start, whenever one boards."""
        seat = SharedStream(self)
        self._seats.add(seat)
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        try:
            await self._opened.wait()
        except BaseException:
            seat.close()
            raise
        if self._stream is not None:
            return seat
        seat.close()
        if self._whole is not None:
            return self._whole
        raise (self.error or ProxyError("The proxy lost this request.")).with_traceback(None)

    async def kept(self) -> CachedAnswer | None:
        """What is kept of the answer, once it has landed; None = it is not worth keeping."""
        await self._judged.wait()
        return self._entry

    @property
    def stream(self) -> StreamedAnswer:
        """The upstream's stream; only after a stream has opened."""
        if self._stream is None:
            raise RuntimeError("the flight has no stream")
        return self._stream

    async def chunk(self, index: int) -> bytes:
        """The piece of that number, as soon as it is there; b"" = there is none, the stream is over."""
        while index >= self.end:
            if self.error is not None:
                raise self.error.with_traceback(None)
            if self.landed:
                return b""
            await self._grown.wait()
        return self._chunks[index - self._dropped]

    @property
    def end(self) -> int:
        """How many pieces have come."""
        return self._dropped + len(self._chunks)

    def advanced(self) -> None:
        """A client has taken a piece: what all have taken need not be held, unless it is recorded."""
        if self._recording:
            return
        gone = min((seat.position for seat in self._seats), default=self._dropped) - self._dropped
        if gone > 0:
            self._hold(-sum(map(len, self._chunks[:gone])))
            del self._chunks[:gone]
            self._dropped += gone
            self._taken.set()

    def leave(self, seat: "SharedStream") -> None:
        """A client wants no more of it. When it was the last one, the upstream call ends."""
        if seat not in self._seats:
            return
        self._seats.remove(seat)
        if self._seats:
            self.advanced()
        elif self.landed:
            self._release()
        elif self._stream is not None and self._stream.complete and self._recording:
            self._ending = asyncio.get_running_loop().call_later(FINISH_S, self._task.cancel)
        else:
            self._flights.part(self)
            self._task.cancel()

    async def _run(self) -> None:
        good = None
        try:
            good = await self._fly()
        except asyncio.CancelledError:
            self.error = ProxyError("The request was given up.")
        except Exception as error:  # whoever waits gets to hear it, and says so
            self.error = error
        self._land()
        try:
            if good is not None:
                await self._keep(*good)
        finally:
            self._judged.set()
            self._flights.part(self)
            self._over = True
            self._release()

    async def _fly(self) -> tuple[Headers, tuple[bytes, ...]] | None:
        """The call itself. Headers and chunks of an answer that may be kept; None = it may not."""
        answer = await self._ask(self.trail)
        if isinstance(answer, WholeAnswer):
            self._whole = answer
            reply = answer.reply
            self._hold(len(reply.body))
            return (reply.headers, (reply.body,)) if reply.status == 200 and answer.final_failure is None else None
        self._stream = answer
        try:
            await self._record(answer)
        except asyncio.CancelledError:
            if not answer.complete:
                raise
            self._task.uncancel()
        finally:
            answer.close()
        whole = self._recording and answer.status == 200 and answer.failure is None
        return (answer.headers, tuple(self._chunks)) if whole else None

    async def _keep(self, headers: Headers, chunks: tuple[bytes, ...]) -> None:
        self._entry = await self._judge(headers, chunks)
        self._judged.set()
        if self._entry is not None:
            await self._store(self._entry)
            self.kept_at = self._flights.clock.now()
            await self._flights.clock.sleep(LINGER_S)

    async def _record(self, stream: StreamedAnswer) -> None:
        self._opened.set()
        while chunk := await stream.next():
            self._chunks.append(chunk)
            self._hold(len(chunk))
            self._wake()
            if self._recording and (self._held > MAX_RECORDING_BYTES or self._flights.full):
                self._recording = False
                self._flights.part(self)
                self.advanced()
            while not self._recording and self._held > WINDOW_BYTES:
                await self._wait_for_the_slowest()

    async def _wait_for_the_slowest(self) -> None:
        """Until something more was taken. Who takes nothing any more must not keep the others waiting."""
        self._taken.clear()
        try:
            async with asyncio.timeout(STALL_S):
                await self._taken.wait()
        except TimeoutError:
            slowest = min((seat.position for seat in self._seats), default=0)
            behind = [seat for seat in self._seats if seat.position == slowest]
            if len(behind) < len(self._seats):
                for seat in behind:
                    seat.leave_behind()

    def _land(self) -> None:
        self.landed = True
        self._opened.set()
        self._wake()

    def _wake(self) -> None:
        """Everybody who waits for the next piece. A new event for the next one: who is slow must not miss it."""
        self._grown.set()
        self._grown = asyncio.Event()

    def _release(self) -> None:
        """What was held, once nobody can want it any more."""
        if self._over and not self._seats:
            self._hold(-self._held)

    def _hold(self, size: int) -> None:
        self._held += size
        self._flights.held_bytes += size


class TooSlow(ProxyError):
    """The client took nothing of a stream that others share."""

    code = "client_too_slow"

    def __init__(self) -> None:
        super().__init__("The stream goes on without this client, which took nothing of it for some seconds.")


class SharedStream:
    """One client's seat on a flight. See `application.answers.StreamedAnswer`."""

    __slots__ = ("_flight", "_left_behind", "_over", "position")

    def __init__(self, flight: Flight) -> None:
        self._flight = flight
        self._left_behind = False
        self._over = False
        self.position = 0
        """How many pieces this client has taken."""

    @property
    def status(self) -> int:
        """The upstream's."""
        return self._flight.stream.status

    @property
    def headers(self) -> Headers:
        """The upstream's."""
        return self._flight.stream.headers

    @property
    def failure(self) -> Failure | None:
        """The upstream's."""
        return self._flight.stream.failure

    @property
    def complete(self) -> bool:
        """Has the upstream's terminal event come, and this client all there is?"""
        return self._flight.stream.complete and self.position >= self._flight.end

    async def next(self) -> bytes:
        """The next events, b"" = the stream is over. Raises `TooSlow` for a client that was left behind."""
        if self._left_behind:
            raise TooSlow
        if self._over:
            return b""
        chunk = await self._flight.chunk(self.position)
        if chunk:
            self.position += 1
            self._flight.advanced()
        return chunk

    def error_frame(self, message: str, code: str) -> bytes:
        """An event that tells this client why its stream ends here; the others' goes on."""
        self._over = True
        return self._flight.stream.error_frame(message, code)

    def leave_behind(self) -> None:
        """The others go on without this client."""
        self._left_behind = True
        self._flight.leave(self)

    def close(self) -> None:
        """Leave."""
        self._over = True
        self._flight.leave(self)
