"""All use of one Redis goes through here: bounded in time, in number, and not at all while it is away."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from adapters.stores.redis.clients import RedisClient, new_link
from adapters.stores.redis.deadline import Deadline
from adapters.stores.redis.errors import BUSY, SLOW_NAME, TIMEOUT, Effect, Trouble, trouble_of
from adapters.stores.redis.resolver import RedisResolver, Resolve, system_addresses
from adapters.stores.redis.settings import RedisSettings
from application.ports import Clock
from application.store_ports import StoreAlarm, StoreReport, StoreUnavailable
from domain.circuit_breaker import Access, BreakerPolicy, BreakerState, Draw

T = TypeVar("T")

_SLOT_S = 0.02
_FIRST_CONTACT_S = 0.3
_LOOKUP = 0.8  # of an operation's time; the rest is for connecting
_FORBIDDEN_S = 30.0
_PROBE_KEYS = 16  # in a cluster they are spread over its nodes
_PROBE_TTL_S = 60
_CLUSTER_IN_A_ROW = 10  # one dead node of three gives five failures in a row once in 240 operations


class RedisGate:
    """One Redis: its connections, its breaker, and the probing while that is open.

    An operation is one command or one script, made of the client it is given. It has `op_timeout_s` seconds, with
    connecting, and in a cluster twice that; a fifth more when the loop itself was held up. At most `pool_size` run at
    a time; others wait 20 ms for their turn.
    """

    def __init__(
        self,
        settings: RedisSettings,
        alarm: StoreAlarm,
        *,
        clock: Clock,
        draw: Draw = random.random,
        name: str = "redis",
        namespace: str = "llmproxy",
        op_timeout_s: float = 0.1,
        pool_size: int = 32,
        resolve: Resolve = system_addresses,
    ) -> None:
        """Connects to nothing yet and needs no running loop. `name` is what the alarm is told; `namespace` is what the
        probe's keys begin with; `resolve` is called in threads. Raises `OSError` when the CA bundle cannot be read."""
        self._names = RedisResolver(clock, _LOOKUP * op_timeout_s, resolve)
        self._link = new_link(settings, self._names, op_timeout_s=op_timeout_s, max_connections=pool_size + 1)
        self._client = self._link.client
        self._deadline_s = self._link.deadline_s
        self._alarm = alarm
        self._clock = clock
        self._draw = draw
        self._name = name
        self._probe_keys = [f"{namespace}:probe:{number}" for number in range(_PROBE_KEYS)]
        self._slots = asyncio.Semaphore(pool_size)
        self._policy = BreakerPolicy(in_a_row=_CLUSTER_IN_A_ROW) if settings.kind == "cluster" else BreakerPolicy()
        self._state = BreakerState()
        self._told = Access.ALL
        self._probes = 0
        self._watch: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._is_closed = False

    async def start(self) -> None:
        """Waits about 0.3 s at most for a first contact. Never raises: without one the gate is shut, and probes."""
        self._state = BreakerState(impaired_at=self._clock.now())
        await self._probe(_FIRST_CONTACT_S)

    async def close(self) -> None:
        """Ends the probing and closes the connections; operations that still run fail."""
        self._is_closed = True
        self._state = BreakerState(reason="closed", era=self._state.era + 1)
        for task in (self._watch, self._renewing):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
        with suppress(Exception):
            await self._link.close()

    async def read(self, operation: Callable[[RedisClient], Awaitable[T]]) -> T:
        """What an operation gives that changes nothing. Raises `StoreUnavailable`, and nothing else."""
        return await self._run(operation, write=False)

    async def write(self, operation: Callable[[RedisClient], Awaitable[T]]) -> T:
        """As `read`, for an operation that writes; refused at once while Redis takes only reads."""
        return await self._run(operation, write=True)

    def health(self) -> StoreReport:
        return StoreReport("redis", self._state.access.value, self._state.reason)

    async def _run(self, operation: Callable[[RedisClient], Awaitable[T]], *, write: bool) -> T:
        if not self._state.admits(write=write):
            raise StoreUnavailable(self._state.reason)
        if self._slots.locked():
            await self._wait_for_slot()
            if not self._state.admits(write=write):  # closed meanwhile
                self._slots.release()
                raise StoreUnavailable(self._state.reason)
        else:
            await self._slots.acquire()
        era = self._state.era
        deadline = Deadline(self._clock, self._deadline_s)
        try:
            async with deadline:
                result = await operation(self._client)
        except Exception as error:
            # Not chained: what the library says may hold keys.
            raise StoreUnavailable(self._judge(trouble_of(error), era, was_late=deadline.was_late)) from None
        finally:
            self._slots.release()
        if era == self._state.era:
            self._state = self._policy.after_success(self._state, self._clock.now())
        return result

    async def _wait_for_slot(self) -> None:
        era = self._state.era
        try:
            async with asyncio.timeout(_SLOT_S):
                await self._slots.acquire()
        except TimeoutError:
            if era == self._state.era:
                self._change(
                    self._policy.after_busy(self._state, self._clock.now(), "no answers, all connections busy")
                )
            raise StoreUnavailable(BUSY.reason) from None

    def _judge(self, trouble: Trouble, era: int, *, was_late: bool) -> str:
        if era != self._state.era:
            return trouble.reason
        state, now, reason = self._state, self._clock.now(), trouble.reason
        match trouble.effect:
            case Effect.FAILED if was_late and trouble in (TIMEOUT, SLOW_NAME):
                # The loop was held up, not Redis; or both, when that lasts and nothing succeeds.
                state = self._policy.after_busy(state, now, reason)
            case Effect.FAILED:
                state = self._policy.after_failure(state, now, reason)
            case Effect.CLOSED:
                state = self._policy.opened(state, now, reason)
            case Effect.FORBIDDEN:
                # A probe may well be allowed what this operation was not: it must not let it in again every second.
                state = self._policy.opened(state, now, reason, rest_s=_FORBIDDEN_S)
            case Effect.NO_WRITES | Effect.NOT_MASTER:
                state = self._policy.without_writes(state, now, reason)
            case Effect.BUSY:
                state = self._policy.after_busy(state, now, reason)
        if trouble.effect is Effect.NOT_MASTER:
            self._renew()
        self._change(state)
        return reason

    def _change(self, state: BreakerState) -> None:
        """From now on this is how it is: tells of it, and sees to it that it is probed for as long as needed."""
        self._state = state
        if state.access is self._told or self._is_closed:
            return
        self._told = state.access
        with suppress(Exception):  # an alarm that fails must not fail a request, nor end the probing
            match state.access:
                case Access.ALL:
                    self._alarm.recovered(self._name, self._clock.now() - state.impaired_at)
                case Access.READS:
                    self._alarm.read_only(self._name, state.reason)
                case Access.NONE:
                    self._alarm.lost(self._name, state.reason)
        if state.access is not Access.ALL and (self._watch is None or self._watch.done()):
            self._watch = asyncio.create_task(self._probe_until_recovered(), name=f"{self._name}-probe")

    async def _probe_until_recovered(self) -> None:
        # Idle connections may lead to a machine that is gone; each would cost an operation a timeout.
        await self._let_go()
        while self._state.access is not Access.ALL:
            await self._clock.sleep(self._policy.pause_s(self._state, self._draw))
            await self._probe(self._link.contact_s)

    async def _probe(self, timeout_s: float) -> None:
        """Asks whether it reads and whether it writes. Outside the slots: no request is to wait for it.

        Connecting may take longer than an operation may; what comes after must be as fast as an operation has to be, or
        a Redis that is too slow would be taken back and lost again every second.
        """
        key = self._probe_keys[self._probes % _PROBE_KEYS]
        self._probes += 1
        access, reason = Access.NONE, ""
        try:
            async with Deadline(self._clock, timeout_s):
                await self._client.get(key)
            async with Deadline(self._clock, self._deadline_s):
                await self._client.get(key)
            access = Access.READS
            async with Deadline(self._clock, self._deadline_s):
                await self._client.set(key, b"1", ex=_PROBE_TTL_S)
            access = Access.ALL
        except Exception as error:
            trouble = trouble_of(error)
            reason = trouble.reason
            if trouble.effect is Effect.NOT_MASTER:
                self._renew()
        if not self._is_closed:
            self._change(self._policy.after_probe(self._state, self._clock.now(), access, reason))

    def _renew(self) -> None:
        """Connections lead to the wrong server: let go of them, in the background."""
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._let_go(), name=f"{self._name}-renew")

    async def _let_go(self) -> None:
        self._names.forget()
        with suppress(Exception):
            await self._link.renew()
