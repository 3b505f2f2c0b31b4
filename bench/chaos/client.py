"""A client that behaves as the OpenAI SDKs do, notes what it saw of each try, and checks every word."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping

from bench.chaos.faults import SITES
from bench.chaos.history import History
from bench.chaos.judge import REFUSED, TIMEOUT, Sight
from bench.chaos.questions import CUT, STATUS, Question, judged
from bench.servers.front import REPLICA_HEADER
from bench.wire import PATIENCE_S, Answer, Client, Cut, head_of

_TRIES = 3
"""The SDKs' `max_retries` is 2."""
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0
_SHOWN = 300
_NOTHING = Answer(0, {}, b"", ended=False)


class SdkClient:
    """Tells `note` of every try."""

    def __init__(
        self,
        client: Client,
        replicas: Mapping[str, str],
        history: History,
        note: Callable[[Sight, Answer], None],
        rng: random.Random,
    ) -> None:
        """`replicas`: their names by the address that nginx says."""
        self.client = client
        self._replicas = replicas
        self._history = history
        self._note = note
        self._rng = rng
        self._asked = 0

    async def ask(self, question: Question) -> Answer | None:
        """The last reply, whatever it is; None = there was none. Tries again what the SDKs would try again, and never a
        stream that has begun."""
        self._asked += 1
        number = self._asked
        for tries in range(1, _TRIES + 1):
            sight, reply = await self._try(question, number)
            self._note(sight, reply)
            if tries == _TRIES or not _is_retried(sight, reply):
                return reply if reply.status else None
            await asyncio.sleep(self._pause_s(reply, tries))
        raise AssertionError

    async def ask_slowly(self, question: Question, pause_s: float, receive_buffer_bytes: int) -> None:
        """Once, over a connection of its own, from which nothing is read for a while."""
        self._asked += 1
        self._note(*await self._noted(question, self._asked, self._slowly(question, pause_s, receive_buffer_bytes)))

    async def _slowly(self, question: Question, pause_s: float, receive_buffer_bytes: int) -> Answer:
        call = await self.client.open(receive_buffer_bytes=receive_buffer_bytes)
        try:
            async with asyncio.timeout(PATIENCE_S):
                call.send(head_of("POST", question.path, question.headers, len(question.body)) + question.body)
                await asyncio.sleep(pause_s)
                return await call.answer()
        finally:
            call.leave()

    async def _try(self, question: Question, number: int) -> tuple[Sight, Answer]:
        asking = self.client.ask("POST", question.path, question.headers, question.body)
        return await self._noted(question, number, asking)

    async def _noted(self, question: Question, number: int, asking: Awaitable[Answer]) -> tuple[Sight, Answer]:
        since_s, reply = self._history.now(), _NOTHING
        try:
            reply = await asking
            seen = judged(question, reply)
        except TimeoutError:
            seen = TIMEOUT
        except Cut:
            seen = CUT
        except OSError:
            seen = REFUSED
        return self._sight(question, number, since_s, seen, reply), reply

    def _sight(self, question: Question, number: int, since_s: float, seen: str, reply: Answer) -> Sight:
        endpoint = reply.headers.get("x-llmproxy-endpoint", "")
        address = reply.headers.get(REPLICA_HEADER, "").rpartition(", ")[2]
        return Sight(
            number, question.kind, question.owner, since_s, self._history.now(), seen, reply.status, _code(reply),
            next((site for site in SITES if site in endpoint), ""), self._replicas.get(address, ""),
            reply.body[-_SHOWN:].decode("utf-8", "replace"),
        )  # fmt: skip

    def _pause_s(self, reply: Answer, tries: int) -> float:
        told = reply.headers.get("retry-after-ms", ""), reply.headers.get("retry-after", "")
        asked_s = float(told[0]) / 1000 if told[0] else float(told[1] or 0)
        if 0 < asked_s <= 60:
            return asked_s
        return min(_PAUSE_S * 2.0 ** (tries - 1), _LONGEST_PAUSE_S) * (1 - 0.25 * self._rng.random())


def _is_retried(sight: Sight, reply: Answer) -> bool:
    if sight.seen in (REFUSED, TIMEOUT) or (sight.seen == CUT and reply.status == 0):
        return True
    if sight.seen != STATUS:
        return False
    should = reply.headers.get("x-should-retry")
    if should is not None:
        return should == "true"
    return reply.status in (408, 409, 429) or reply.status >= 500


def _code(reply: Answer) -> str:
    if reply.status in (0, 200):
        return ""
    try:
        return str(json.loads(reply.body)["error"]["code"])
    except (ValueError, LookupError, TypeError):
        return "no error of ours"
