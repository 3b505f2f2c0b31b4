"""The providers of a scenario, as an adapter of the `Upstream` port: no socket, all in virtual time. The code of the
simulated provider counts limits, tells them in headers and refuses."""

from collections.abc import Mapping
from math import inf

import msgspec
from msgspec import Struct

from application.flow import Take
from application.messages import Headers, UpstreamCall, header
from application.ports import UpstreamFailed
from domain.failure import Failure, FailureKind
from entrypoints.simulate.journal import Journal
from entrypoints.simulate.options import Trouble
from entrypoints.simulate.scenario import Plan
from entrypoints.simulate.virtual_time import VirtualClock
from simulator.limits import Limiter, Verdict, token_cost
from simulator.protocol.errors import openai_error
from simulator.protocol.limit_headers import limit_headers, limit_refusal, limiter_for
from simulator.protocol.reply import Reply, header_lines
from simulator.protocol.routes import find_route

ENDPOINT = "x-simulated-endpoint"
"""The header of a call that says which endpoint it is for."""
OUTPUT = "x-simulated-output"
"""The header of a call that says how many tokens the answer is to have, and was asked for at most."""
WAY_S = 0.001
"""From the proxy to a provider and back: what a refusal takes."""
_JSON: Headers = (("content-type", "application/json"),)


class SimulatedReply:
    """A reply that has come whole."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    def whole_now(self) -> bytes | None:
        """See `UpstreamReply`."""
        body, self._body = self._body, b""
        return body

    async def receive(self) -> bytes:
        """See `UpstreamReply`."""
        return self.whole_now() or b""

    async def flow(self, take: Take) -> bool:
        """See `UpstreamReply`."""
        body = self.whole_now()
        return not body or take(body)

    def close(self) -> None:
        """See `UpstreamReply`."""


class SimulatedProviders:
    """Answers the calls of all endpoints by their plans."""

    def __init__(self, plans: Mapping[str, Plan], clock: VirtualClock, journal: Journal) -> None:
        self._plans = plans
        self._clock = clock
        self._journal = journal
        self._limiters = limiters_of(plans)

    async def send(self, call: UpstreamCall) -> SimulatedReply:
        """See `Upstream`."""
        name, answered = header(call.headers, ENDPOINT) or "", int(header(call.headers, OUTPUT) or 1)
        plan = self._plans[name]
        trouble = trouble_at(plan, self._clock.passed_s())
        if trouble is not None:
            return await self._troubled(trouble, call, name)
        cost = token_cost(len(call.body) if isinstance(call.body, bytes) else 0, answered)
        verdict = self._limiters[plan.bucket].admit(cost, self._clock.now())
        self._journal.asked(name, cost, verdict)
        if verdict.refused_by is not None:
            return await self._refused(verdict, call, plan)
        given = len(call.body) // 4 if isinstance(call.body, bytes) else 0
        await self._wait(WAY_S + plan.latency.first_byte_s + plan.latency.token_s * answered, call)
        self._journal.answered(name, given, answered)
        headers = _JSON + _pairs(limit_headers(verdict, plan.provider.header_style))
        return SimulatedReply(200, headers, _answer(plan.provider.name, given, answered))

    async def close(self) -> None:
        """See `Upstream`."""

    async def _wait(self, seconds: float, call: UpstreamCall) -> None:
        """Until the first byte, which may come too late for the caller."""
        limit_s = call.first_byte_timeout_s
        await self._clock.sleep(min(seconds, limit_s))
        if seconds > limit_s:
            raise UpstreamFailed(Failure(FailureKind.FIRST_BYTE_TIMEOUT, f"no answer within {limit_s:g} s"))

    async def _refused(self, verdict: Verdict, call: UpstreamCall, plan: Plan) -> SimulatedReply:
        await self._wait(WAY_S, call)
        path = "/" + call.url.partition("://")[2].partition("/")[2]
        return _simulated(limit_refusal(verdict, plan.provider.name, find_route(call.method, path), plan.provider))

    async def _troubled(self, trouble: Trouble, call: UpstreamCall, name: str) -> SimulatedReply:
        if trouble.kind == "timeout":
            await self._wait(inf, call)
        await self._wait(WAY_S, call)
        if trouble.kind == "connect":
            raise UpstreamFailed(Failure(FailureKind.CONNECT, "connection refused"))
        if trouble.kind == "503":
            return SimulatedReply(503, (), b"")
        self._journal.stormed(name)
        after = {} if trouble.retry_after_s is None else {"retry-after": f"{trouble.retry_after_s:g}"}
        return _simulated(
            openai_error(429, "Too Many Requests", kind="rate_limit_error", headers=header_lines(after), limited=True)
        )


def limiters_of(plans: Mapping[str, Plan]) -> dict[str, Limiter]:
    """A fresh limiter for each bucket."""
    return {plan.bucket: limiter_for(plan.provider) for plan in plans.values()}


def trouble_at(plan: Plan, at_s: float) -> Trouble | None:
    """What is the matter so many seconds after the start; None = nothing."""
    for trouble in plan.troubles:
        if trouble.from_s <= at_s < trouble.to_s:
            return trouble
    return None


class _Message(Struct, frozen=True):
    content: str = "simulated"
    role: str = "assistant"


class _Choice(Struct, frozen=True):
    message: _Message = _Message()
    index: int = 0
    finish_reason: str = "stop"


class _Usage(Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class _Completion(Struct, frozen=True):
    model: str
    usage: _Usage
    choices: tuple[_Choice, ...] = (_Choice(),)
    id: str = "chatcmpl-simulated"
    object: str = "chat.completion"
    created: int = 0


_encode = msgspec.json.Encoder().encode


def _answer(model: str, given: int, answered: int) -> bytes:
    return _encode(_Completion(model, _Usage(given, answered, given + answered)))


def _simulated(reply: Reply) -> SimulatedReply:
    headers = (("content-type", reply.content_type.decode()), *_pairs(reply.headers))
    return SimulatedReply(reply.status, headers, reply.body)


def _pairs(lines: bytes) -> Headers:
    """Header lines as the pairs that they stand for."""
    return tuple(
        (name.lower(), value.strip())
        for name, _, value in (line.partition(":") for line in lines.decode("latin-1").split("\r\n") if line)
    )
