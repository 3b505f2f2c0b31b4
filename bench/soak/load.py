"""The load: arrivals at a fixed rate, whatever becomes of those before them, and a count of every outcome."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from bench.soak.checks import Unexpected
from bench.soak.mix import FILLING, MIX, Kind
from bench.soak.questions import Dice
from bench.wire import Client, Cut

MOST_AT_ONCE = 2000
_SHOWN = 20


class Outcomes(NamedTuple):
    """What clients saw: by kind and outcome, and the first of what nothing explains."""

    seen: Counter[tuple[str, str]]
    unexpected: list[str]

    @property
    def arrivals(self) -> int:
        return sum(self.seen.values())


class Load:
    """Sends while `run()` runs. Arrivals are spread evenly in time and drawn from the mix."""

    def __init__(self, client: Client, rate: float, mix: Mapping[Kind, int] = MIX, seed: int = 1) -> None:
        self._client = client
        self._rate = rate
        self._kinds = list(mix)
        self._weights = list(mix.values())
        self._dice = Dice(seed)
        self._choose = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._running: set[asyncio.Task[None]] = set()
        self.outcomes = Outcomes(Counter(), [])
        self.failures = 0
        """Outcomes that must not be, also those beyond the first that are kept."""
        self.skipped = 0
        """Arrivals that were left out because too many before them were still under way."""
        self.latest_s = 0.0
        """By how much an arrival came late at worst."""

    @property
    def in_flight(self) -> int:
        return len(self._running)

    async def run(self, seconds: float) -> None:
        """Keep arriving for so long. What is under way then goes on; see `settle`."""
        began = time.monotonic()
        for number in range(int(seconds * self._rate)):
            pause = began + number / self._rate - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            self.latest_s = max(self.latest_s, -pause)
            if len(self._running) >= MOST_AT_ONCE:
                self.skipped += 1
                continue
            kind = self._choose.choices(self._kinds, self._weights)[0]
            task = asyncio.create_task(self._one(kind))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def fill(self) -> None:
        """What comes before anything else, one after another."""
        for kind, count in FILLING.items():
            for _ in range(count):
                await self._one(kind)

    async def settle(self) -> None:
        """Wait for what is under way, and let go of all connections."""
        if self._running:
            await asyncio.wait(self._running)
        self._client.close()

    async def _one(self, kind: Kind) -> None:
        try:
            outcome = await kind(self._client, self._dice)
        except (Unexpected, Cut, TimeoutError, OSError) as error:
            self.failures += 1
            outcome = f"unexpected: {type(error).__name__}"
            if len(self.outcomes.unexpected) < _SHOWN:
                self.outcomes.unexpected.append(f"{kind.__name__}: {type(error).__name__}: {error}")
        self.outcomes.seen[kind.__name__, outcome] += 1
