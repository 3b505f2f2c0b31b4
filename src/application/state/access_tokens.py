"""Access tokens that expire: one source per scope keeps one in memory and renews it in the background.

On the path of a request the token is read from memory. Only where there is none does a request wait, a few seconds at
most, and then tries another endpoint. A token is renewed at about 80 % of its life, and when an endpoint answers it
with 401; one renewal runs at a time, whoever asks for it. While renewing fails, the old token serves to its end.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum

from msgspec import Struct

from application.ports import Clock, UpstreamFailed
from application.telemetry_ports import TokenAlarm
from domain.failure import Failure, FailureKind
from domain.secret import Secret

WAIT_S = 5.0  # how long requests wait for a token that is being fetched, counted from the beginning of the fetch
FETCH_S = 60.0  # then a fetch has failed: the command line tools among the credentials take 10 s each
YOUNG_S = 60.0  # a token refused so soon after it was asked for is not to blame: another would be refused too
LONGEST_REST_S = 60.0
_SHORTEST_REST_S = 10.0


class AccessToken(Struct, frozen=True):
    secret: Secret
    expires_unix: float


class TokenUnavailable(Exception):
    """No token could be had; `str(error)` says why in words that may be shown."""


FetchToken = Callable[[str], Awaitable[AccessToken]]  # a token newly made for a scope; raises `TokenUnavailable`


class _State(Enum):
    STARTING = "starting"
    READY = "ready"
    FAILING = "failing"  # it cannot be renewed, but the old one is still good
    MISSING = "missing"


class TokenSource:
    """The token of one scope. It is in no log, no message and no `repr`."""

    def __init__(
        self,
        scope: str,
        fetch: FetchToken,
        clock: Clock,
        draw: Callable[[], float],
        alarm: TokenAlarm,
        when_missing: Callable[[bool], None],
    ) -> None:
        """`when_missing` is called with True when there is no token any more, with False when there is one again."""
        self.scope = scope
        self._fetch = fetch
        self._clock = clock
        self._draw = draw
        self._alarm = alarm
        self._when_missing = when_missing
        self._state = _State.STARTING
        self._secret: Secret | None = None
        self._expires = float("-inf")  # by the monotonic clock
        self._failures = 0
        self._began = 0.0
        self._ended = float("-inf")
        self._due = float("-inf")  # when the next fetch should begin
        self._fetching: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None

    def serve(self, when_missing: Callable[[bool], None]) -> None:
        """The configuration was replaced: this is told from now on, and at once where there is no token."""
        self._when_missing = when_missing
        if self._state is _State.MISSING:
            when_missing(True)

    def start(self) -> None:
        """Begin to fetch and to renew, in the running loop; waits for nothing."""
        self._running = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """Renew no more in the background; whoever still needs a token gets one."""
        if self._running is not None:
            self._running.cancel()

    async def close(self) -> None:
        for task in (self._running, self._fetching):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    @property
    def current(self) -> Secret | None:
        """The token to send now; None = there is none that is still good."""
        return self._secret if self._clock.now() < self._expires else None

    async def token(self, patience_s: float) -> Secret:
        """The token, after a wait if it is just being fetched. Raises `UpstreamFailed` with NO_CREDENTIAL."""
        if self.current is None:
            if not self._is_fetching and self._clock.now() >= self._due:
                self._begin()
            await self._wait(patience_s)
        token = self.current
        if token is None:
            raise UpstreamFailed(Failure(FailureKind.NO_CREDENTIAL, "no Entra token for this endpoint"))
        return token

    async def other_than(self, refused: Secret, patience_s: float) -> Secret | None:
        """An endpoint answered 401 to `refused`: another token, renewed where that was not done just now. None = there
        is no other, and the refusal stands."""
        if self.current is None or self.current == refused:
            if not self._is_fetching and self._clock.now() - self._ended >= YOUNG_S:
                self._begin()
            await self._wait(patience_s)
        token = self.current
        return None if token == refused else token

    @property
    def _is_fetching(self) -> bool:
        return self._fetching is not None and not self._fetching.done()

    async def _run(self) -> None:
        while True:
            while (rest_s := self._due - self._clock.now()) > 0:
                await self._clock.sleep(rest_s)
            if not self._is_fetching:
                self._begin()
            if self._fetching is not None:
                await asyncio.wait([self._fetching])

    def _begin(self) -> None:
        self._began = self._clock.now()
        self._fetching = asyncio.ensure_future(self._renew())

    async def _wait(self, patience_s: float) -> None:
        """For the fetch that runs, if one does. Whoever is cancelled here leaves it to the others."""
        if self._fetching is None or self._fetching.done():
            return
        with suppress(TimeoutError), self._clock.timeout_at(min(self._began + WAIT_S, self._clock.now() + patience_s)):
            await asyncio.wait([self._fetching])
        if self._is_fetching and self.current is None and self._clock.now() >= self._began + WAIT_S:
            self._miss(f"nothing came within {WAIT_S:.0f} s")

    async def _renew(self) -> None:
        try:
            with self._clock.timeout_at(self._clock.now() + FETCH_S):
                got = await self._fetch(self.scope)
        except TimeoutError:
            self._fail(f"nothing came within {FETCH_S:.0f} s")
        except TokenUnavailable as error:
            self._fail(str(error))
        except Exception as error:
            # Renewing must go on whatever a library raises; its words might hold what is not to be shown.
            self._fail(type(error).__name__)
        else:
            self._take(got)

    def _take(self, got: AccessToken) -> None:
        now = self._clock.now()
        left_s = got.expires_unix - self._clock.unix()
        if left_s <= 0:
            self._fail("what came had expired already; is this machine's clock right?")
            return
        self._secret, self._expires = got.secret, now + left_s
        self._failures = 0
        self._ended = now
        # Replicas that were started together need not ask together for ever.
        life = 0.75 + 0.1 * self._draw()
        self._due = now + min(left_s, max(_SHORTEST_REST_S, life * left_s))
        before, self._state = self._state, _State.READY
        if before is not _State.READY:
            self._alarm.ready(self.scope, left_s)
        if before is _State.MISSING:
            self._when_missing(False)

    def _fail(self, reason: str) -> None:
        now = self._clock.now()
        self._ended = now
        rest_s = min(LONGEST_REST_S, 2.0 ** min(self._failures, 10)) * (0.5 + 0.5 * self._draw())
        self._failures += 1
        left_s = self._expires - now
        # The end of the old token is the last moment at which it is worth a try, whatever the backoff says.
        self._due = now + (min(rest_s, left_s) if left_s > 0 else rest_s)
        if left_s <= 0:
            self._miss(reason)
        elif self._state is not _State.FAILING:
            self._state = _State.FAILING
            self._alarm.failing(self.scope, reason, left_s)

    def _miss(self, reason: str) -> None:
        if self._state is not _State.MISSING:
            self._state = _State.MISSING
            self._alarm.missing(self.scope, reason)
            self._when_missing(True)
