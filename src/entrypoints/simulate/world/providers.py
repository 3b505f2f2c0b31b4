"""The providers of a scenario, as an adapter of the `Upstream` port: no socket, all in virtual time. The code of the
simulated provider counts limits, tells them in headers and refuses."""

from collections.abc import Mapping
from math import inf

from application.messages import Headers, UpstreamCall, header
from application.ports import UpstreamFailed
from domain.failure import Failure, FailureKind
from entrypoints.simulate.options import Trouble
from entrypoints.simulate.scenario import Plan, Scenario
from entrypoints.simulate.world.journal import Journal
from entrypoints.simulate.world.replies import SimulatedReply, SimulatedStream, whole
from entrypoints.virtual_time import VirtualClock
from simulator.limits import Limiter, Verdict, token_cost
from simulator.protocol.errors import context_too_long, openai_error
from simulator.protocol.limit_headers import limit_headers, limit_refusal, limiter_for
from simulator.protocol.reply import Reply, header_lines
from simulator.protocol.routes import find_route
from simulator.provisioned import CONTEXT_TOKENS

ENDPOINT = "x-simulated-endpoint"
"""The header of a call that says which endpoint it is for."""
OUTPUT = "x-simulated-output"
"""The header of a call that says how many tokens the answer is to have, and was asked for at most."""
WAY_S = 0.001
"""From the proxy to a provider and back: what a refusal takes."""
_WINDOWS = 6
"""In a minute, of Azure's limit of requests."""


class SimulatedProviders:
    """Answers the calls of all endpoints by their plans."""

    def __init__(self, scenario: Scenario, clock: VirtualClock, journal: Journal) -> None:
        self._plans = plans = scenario.plans
        self._streams = scenario.streams
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
        size = len(call.body) if isinstance(call.body, bytes) else 0
        if plan.provider.header_style == "ptu" and size > 4 * CONTEXT_TOKENS:
            await self._wait(WAY_S, call)
            return _simulated(context_too_long(size // 4, CONTEXT_TOKENS))
        ratio = plan.provider.output_token_ratio
        cost = token_cost(size, answered, ratio)
        verdict = self._limiters[plan.bucket].admit(cost, self._clock.now())
        self._journal.asked(name, cost, _left(verdict, plan), is_refused=verdict.refused_by is not None)
        if verdict.refused_by is not None:
            return await self._refused(verdict, call, plan)
        reply = await self._answered(name, plan, verdict, call, answered)
        takes_s = plan.latency.token_s * answered if self._streams else 0.0
        self._limiters[plan.bucket].correct(cost - size // 4 - ratio * answered, self._clock.now() + takes_s)
        return reply

    async def close(self) -> None:
        """See `Upstream`."""

    async def _answered(
        self, name: str, plan: Plan, verdict: Verdict, call: UpstreamCall, answered: int
    ) -> SimulatedReply:
        given = len(call.body) // 4 if isinstance(call.body, bytes) else 0
        limits = _pairs(limit_headers(verdict, plan.provider.header_style))
        first_s, rest_s = WAY_S + plan.latency.first_byte_s, plan.latency.token_s * answered
        if not self._streams:
            await self._wait(first_s + rest_s, call)
            self._journal.answered(name, given, answered)
            return whole(given, answered, limits)

        async def end() -> None:
            await self._clock.sleep(rest_s)
            self._journal.answered(name, given, answered)

        await self._wait(first_s, call)
        return SimulatedStream(given, answered, limits, end)

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


def _left(verdict: Verdict, plan: Plan) -> float:
    """The part of the scarcer limit that is left. A window of Azure's holds a sixth of the limit that it states."""
    left = 1.0
    if verdict.requests is not None:
        is_sixth = plan.provider.header_style == "azure" and verdict.requests.limit >= _WINDOWS
        left = verdict.requests.remaining / (verdict.requests.limit // (_WINDOWS if is_sixth else 1))
    if verdict.tokens is not None:
        left = min(left, verdict.tokens.remaining / verdict.tokens.limit)
    return max(0.0, left)


def trouble_at(plan: Plan, at_s: float) -> Trouble | None:
    """What is the matter so many seconds after the start; None = nothing."""
    for trouble in plan.troubles:
        if trouble.from_s <= at_s < trouble.to_s:
            return trouble
    return None


def _simulated(reply: Reply) -> SimulatedReply:
    headers = (("content-type", reply.content_type.decode()), *_pairs(reply.headers))
    return SimulatedReply(reply.status, headers, reply.body)


def _pairs(lines: bytes) -> Headers:
    """Header lines as the pairs that they stand for."""
    return tuple(
        (name.lower(), value.strip())
        for name, _, value in (line.partition(":") for line in lines.decode("latin-1").split("\r\n") if line)
    )
