"""The traffic: what kinds of clients there are, how many of each, and when they come."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bench.chaos.client import SdkClient
from bench.chaos.questions import CHAT, WHOLE, Question, chat, embed, judged, read, respond, site_of
from bench.wire import Cut, head_of

_POPULAR = 30
_MOST_AT_ONCE = 500
_SLOW_READ_BYTES = 4096
_PATIENCE_S = 60.0

Ask = Callable[["Traffic"], Awaitable[None]]


class Traffic:
    """All clients together; arrivals are spread evenly in time, whatever became of those before them."""

    def __init__(self, sdk: SdkClient, seed: int) -> None:
        self.sdk = sdk
        self.rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.arrivals = 0
        self.left = 0
        """Clients that went away before their answer was complete: nothing is judged of it."""
        self.skipped = 0
        self.latest_s = 0.0
        """By how much an arrival came late at worst."""
        self._serial = itertools.count(1)

    async def run(self, rate: float, seconds: float) -> None:
        """So many a second; returns when all have ended."""
        running: set[asyncio.Task[None]] = set()
        began = time.monotonic()
        kinds, weights = list(MIX), list(MIX.values())
        for number in range(int(rate * seconds)):
            pause_s = began + number / rate - time.monotonic()
            await asyncio.sleep(max(0.0, pause_s))
            self.latest_s = max(self.latest_s, -pause_s)
            if len(running) >= _MOST_AT_ONCE:
                self.skipped += 1
                continue
            self.arrivals += 1
            task = asyncio.ensure_future(self.rng.choices(kinds, weights)[0](self))
            running.add(task)
            task.add_done_callback(running.discard)
        if running:
            await asyncio.gather(*running)

    def text(self) -> str:
        """Never the same twice."""
        return f"new {next(self._serial)} " + "and why? " * self.rng.choice((1, 10, 400))

    def popular(self) -> str:
        return f"popular {int(_POPULAR * self.rng.random() ** 2)}"


def _asks(make: Callable[[Traffic], Question]) -> Ask:
    async def ask(traffic: Traffic) -> None:
        await traffic.sdk.ask(make(traffic))

    return ask


def _chat(kind: str, **more: Any) -> Ask:
    return _asks(lambda traffic: chat(kind, traffic.text(), **more))


def _cached(kind: str, **more: Any) -> Ask:
    return _asks(lambda traffic: chat(kind, f"{traffic.popular()} {kind}", temperature=0, **more))


async def _dialogue(traffic: Traffic) -> None:
    """A stored response, and one that goes on from it, which only the same account can."""
    question = respond("stored response", traffic.text())
    reply = await traffic.sdk.ask(question)
    if reply is None or judged(question, reply) != WHOLE:
        return
    said = read(question, reply.body)
    stream = traffic.rng.random() < 0.5
    more: dict[str, Any] = {"previous_response_id": said.id, "stream": stream}
    await traffic.sdk.ask(respond("follow-up", traffic.text(), site_of(said.text), **more))


async def _leaves(traffic: Traffic) -> None:
    """Goes away: before the headers, in the middle of a stream, or of its own request."""
    traffic.left += 1
    group = traffic.rng.choice(("chat", "long"))
    question = chat("leaves", traffic.text(), group, stream=True, temperature=traffic.rng.choice((0, 1)))
    call = await traffic.sdk.client.open(receive_buffer_bytes=_SLOW_READ_BYTES)
    try:
        phase = traffic.rng.randrange(3)
        body = question.body[: len(question.body) // 2] if phase == 0 else question.body
        call.send(head_of("POST", CHAT, question.headers, len(question.body)) + body)
        if phase < 2:
            await asyncio.sleep(traffic.rng.choice((0, 0.02, 0.2)))
            return
        async with asyncio.timeout(_PATIENCE_S):
            await call.head()
            for _ in range(traffic.rng.randrange(1, 5)):
                await call.piece(300)
    except (Cut, OSError):
        pass  # a fault was faster
    finally:
        call.leave()


async def _reads_slowly(traffic: Traffic) -> None:
    """Takes a long stream, of some 700 kB, bit by bit, and must get every word of it."""
    question = chat("slow reader", traffic.text(), "long", stream=True)
    await traffic.sdk.ask_slowly(question, traffic.rng.choice((0.5, 1.0)), _SLOW_READ_BYTES)


MIX: Mapping[Ask, int] = {
    _chat("chat"): 20,
    _chat("chat stream", stream=True): 26,
    _cached("cached"): 10,
    _cached("cached stream", stream=True): 8,
    _asks(lambda traffic: embed("embedding", traffic.text())): 6,
    _asks(lambda traffic: embed("cached embedding", traffic.popular())): 4,
    _asks(lambda traffic: respond("response", traffic.text(), store=False)): 5,
    _asks(lambda traffic: respond("response stream", traffic.text(), store=False, stream=True)): 6,
    _dialogue: 8,
    _leaves: 5,
    _reads_slowly: 2,
}
"""Of a hundred arrivals; a dialogue is two requests."""
