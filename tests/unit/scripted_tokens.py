"""Tokens that come by script, and a clock that stands."""

import asyncio

from application.state.access_tokens import AccessToken
from domain.secret import Secret

SCOPE = "https://ai.azure.com/.default"
LIFE_S = 3600.0


class StandingClock:
    """Time that passes only when it is told to; who sleeps wakes when it has."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self.time

    def unix(self) -> float:
        return 1_800_000_000.0 + self.time

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.time + seconds, future))
        await future

    async def advance(self, seconds: float) -> None:
        """In small steps, and with everything done that there is to do at each."""
        began = self.time
        for step in range(1, 101):
            self.time = began + seconds * step / 100
            for until, future in tuple(self._sleepers):
                if until <= self.time + 1e-6 and not future.done():
                    future.set_result(None)
            await settle()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class ScriptedTokens:
    """Gives `token-1`, `token-2`, ...; it can fail, hang, or give what it gave before."""

    def __init__(self, clock: StandingClock) -> None:
        self._clock = clock
        self.life_s = LIFE_S
        self.fails: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.repeats = False
        self.asked: list[float] = []
        self.given = 0

    async def __call__(self, scope: str) -> AccessToken:
        assert scope == SCOPE
        self.asked.append(self._clock.now())
        await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        if not (self.repeats and self.given):
            self.given += 1
        return AccessToken(Secret(f"token-{self.given}"), self._clock.unix() + self.life_s)


class RecordingTokenAlarm:
    """Remembers what it was told, and that it was told no token."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.reasons: list[str] = []

    def ready(self, scope: str, left_s: float) -> None:
        self.told.append("ready")

    def failing(self, scope: str, reason: str, left_s: float) -> None:
        self.told.append("failing")
        self.reasons.append(reason)

    def missing(self, scope: str, reason: str) -> None:
        self.told.append("missing")
        self.reasons.append(reason)
