"""The well-behaved client: asks steadily for its own group, whole answers and streams, and says what it got."""

import asyncio
import json
import time

from bench.load.distribution import percentile
from bench.servers.payloads import TOKEN_EVENT
from bench.wire import Client, Cut

_TRIES = 3
"""As the OpenAI SDKs do, for a connection that closes under a request: `max_retries` is 2."""


class Asked:
    """What became of the requests of one phase."""

    def __init__(self) -> None:
        self.asked = 0
        self.answered = 0
        self.tried_again = 0
        self.problems: dict[str, int] = {}
        self.latencies_ms: list[float] = []
        """From when a request was due to the end of its answer."""

    def percentile(self, percent: float) -> float:
        """In ms; 0 = nothing was answered."""
        return percentile(sorted(self.latencies_ms), percent) if self.latencies_ms else 0.0


class Neighbour:
    """One application beside the attackers."""

    def __init__(self, port: int, group: str) -> None:
        self._client = Client(port)
        self._bodies = [
            json.dumps({"model": group, "stream": stream, "messages": [{"role": "user", "content": "Hello"}]}).encode()
            for stream in (False, True)
        ]

    async def ask(self, rate: float, seconds: float) -> Asked:
        """So many requests a second, each when it is due, whatever became of those before; returns when all have
        ended."""
        seen = Asked()
        began = time.monotonic()
        running = set()
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            running.add(asyncio.create_task(self._one(seen, due, number)))
        await asyncio.gather(*running)
        return seen

    async def _one(self, seen: Asked, due: float, number: int) -> None:
        seen.asked += 1
        body = self._bodies[number % 2]
        problem = ""
        for attempt in range(_TRIES):
            seen.tried_again += attempt > 0
            try:
                headers = {"content-type": "application/json"}
                answer = await self._client.ask("POST", "/v1/chat/completions", headers, body)
            except (OSError, Cut, TimeoutError) as error:
                problem = type(error).__name__
                continue
            whole = (
                TOKEN_EVENT in answer.body and b"[DONE]" in answer.body if number % 2 else b"The quick" in answer.body
            )
            problem = "" if answer.status == 200 and answer.ended and whole else f"status {answer.status}"
            break
        if problem:
            seen.problems[problem] = seen.problems.get(problem, 0) + 1
            return
        seen.answered += 1
        seen.latencies_ms.append((time.monotonic() - due) * 1000)
