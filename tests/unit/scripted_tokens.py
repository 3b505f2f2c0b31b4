"""Tokens that come by script, and a clock that passes in steps."""

import asyncio

from application.state.access_tokens import AccessToken
from domain.secret import Secret
from tests.fakes import HeldClock

SCOPE = "https://ai.azure.com/.default"
LIFE_S = 3600.0


class SteppedClock(HeldClock):
    """Its time passes in small steps, and with everything done that there is to do at each."""

    async def pass_time(self, seconds: float) -> None:
        began = self.time
        for step in range(1, 101):
            await super().pass_time(began + seconds * step / 100 - self.time)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class ScriptedTokens:
    """Gives `token-1`, `token-2`, ...; it can fail, hang, or give what it gave before."""

    def __init__(self, clock: SteppedClock) -> None:
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
