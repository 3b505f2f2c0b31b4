"""What a dispatch is tried on: endpoints, an upstream that answers by script, and a clock that stands still."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence

from adapters.upstreams.openai.dialect import OpenAIDialect
from adapters.upstreams.openai.target import openai_target
from application.answers import Answer, WholeAnswer
from application.attempts.attempt import SendAttempt
from application.attempts.dispatch import Dispatch
from application.attempts.event_stream_answer import EventStreamAnswer
from application.endpoints.waiting_queue import WaitingQueue
from application.held_bytes import HeldBytes
from application.messages import Api, ProxyRequest, RequestTrace
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.health.cooldown import CooldownPolicy
from domain.retry import RetryPolicy
from domain.secret import Secret
from tests.fakes import FakeClock, FakeReply, RecordingAlarm, ScriptedUpstream
from tests.flows import next_piece
from tests.picture import Picture

GOOD = b'{"choices":[{"message":{"content":"Hi"}}]}'
CONTENT = b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
ROLE = b'data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
DONE = b"data: [DONE]\n\n"
Script = Sequence[Callable[[], FakeReply | Failure]]


def good() -> FakeReply:
    return FakeReply(200, [GOOD])


def refused() -> Failure:
    return Failure(FailureKind.CONNECT, "connection refused")


def status(code: int, error: dict[str, object] | None = None, **headers: str) -> Callable[[], FakeReply]:
    body = json.dumps({"error": error or {"message": "m", "type": "server_error"}}).encode()
    return lambda: FakeReply(code, [body], tuple((k.replace("_", "-"), v) for k, v in headers.items()))


def stream(*pieces: bytes | Failure | Callable[[], None]) -> Callable[[], FakeReply]:
    return lambda: FakeReply(200, pieces)


class Bench:
    """A group over scripted upstreams `e1`, `e2`, ..., with a clock that only moves when slept."""

    def __init__(
        self,
        *scripts: Script,
        weights: Sequence[int] | None = None,
        retries: int = 3,
        max_wait_s: float = 30.0,
        fails: int = 1,
        key: str = "k",
        priorities: Sequence[int] | None = None,
        max_wait_for_tier_s: float = 0.0,
        clock: FakeClock | None = None,
    ) -> None:
        weights = weights or [1] * len(scripts)
        endpoints = tuple(
            Endpoint(id=f"e{i}", model="m", provider="openai", weight=w, bucket=f"b{i}", account=f"a{i}", priority=p)
            for i, (w, p) in enumerate(zip(weights, priorities or [0] * len(scripts), strict=True), 1)
        )
        self.group = ModelGroup(
            "g",
            endpoints,
            CooldownPolicy(allowed_fails=fails),
            RetryPolicy(num_retries=retries),
            max_wait_for_tier_s=max_wait_for_tier_s,
        )
        self.clock = clock or FakeClock()
        self.alarm = RecordingAlarm()
        self.upstream = ScriptedUpstream({f"http://e{i}/": script for i, script in enumerate(scripts, 1)})
        targets = {e.id: openai_target(f"http://{e.id}/v1", Secret(key)) for e in endpoints}
        draw = lambda: 0.5  # noqa: E731
        self.picture = Picture([self.group], self.clock, self.alarm)
        self.waiting = WaitingQueue(self.picture.pool, self.picture.signal, self.clock)
        attempt = SendAttempt(
            self.picture.pool,
            self.picture.health,
            self.upstream,
            OpenAIDialect(targets),
            self.clock,
            5.0,
            self._learn,
            HeldBytes(),
        )
        self.dispatch = Dispatch(self.picture.pool, self.waiting, attempt, self.clock, draw, max_wait_s)
        self.trace = RequestTrace()
        self.learned: list[tuple[str, bytes]] = []

    def _learn(self, endpoint: Endpoint, request: ProxyRequest, text: bytes) -> None:
        self.learned.append((endpoint.id, text))

    def request(self, *, stream: bool = False, patience_s: float | None = None) -> ProxyRequest:
        body = json.dumps({"model": "m", "stream": stream}).encode()
        return ProxyRequest(
            Api.CHAT,
            "/chat/completions",
            "",
            (),
            (),
            body,
            "g",
            "m",
            stream,
            "req",
            self.clock.now(),
            patience_s=patience_s,
        )

    async def ask(self, *, stream: bool = False, patience_s: float | None = None) -> Answer:
        self.trace = RequestTrace()
        return await self.dispatch(self.group, self.request(stream=stream, patience_s=patience_s), self.trace)

    async def text(self) -> bytes:
        answer = await self.ask(stream=True)
        assert isinstance(answer, EventStreamAnswer)
        try:
            return b"".join([piece async for piece in pieces(answer)])
        finally:
            answer.close()
            await settled()  # the end of the body may still come

    @property
    def asked(self) -> list[str]:
        return [attempt.endpoint for attempt in self.trace.attempts]

    def nothing_is_left(self) -> bool:
        statuses = self.picture.states.values()
        return all(s.in_flight == 0 for s in statuses) and all(reply.closed for reply in self.upstream.replies)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def pieces(answer: EventStreamAnswer) -> AsyncIterator[bytes]:
    while piece := await next_piece(answer):
        yield piece


def body_of(answer: Answer) -> bytes:
    assert isinstance(answer, WholeAnswer)
    return answer.reply.body
