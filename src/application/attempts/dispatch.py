"""The only attempt loop: pick an endpoint, send, judge, and on failure the next one, until an answer or the deadline.

An endpoint that has failed in this request is passed over while there is another. Only when there is none left does the
loop wait, and begins again with all that may still do better. A retry that could not end before the deadline, or while
the client still waits, is not started, and what is sent to endpoints that failed already has to fit the group's retry
budget. An error of unknown cause is asked about at one other endpoint, no more.
"""

import asyncio
from collections import Counter
from math import inf

from msgspec import structs

from application.answers import Answer
from application.attempts.active_request import ActiveRequest
from application.attempts.attempt import SendAttempt
from application.attempts.final_error import FinalError
from application.attempts.opening import AttemptFailed
from application.attempts.tier_wait import TierWait
from application.endpoints.endpoint_state import Lease
from application.endpoints.pool import EndpointPool
from application.endpoints.waiting_queue import WaitingQueue
from application.messages import Api, ProxyRequest, RequestTrace
from application.ports import Clock, Draw
from application.state.owners import carries_items
from domain.failure import FailureKind
from domain.group import ModelGroup
from domain.retry import RetryBudget, first_sign_by


class Dispatch:
    """Gets one request answered by one of its group's endpoints."""

    def __init__(
        self,
        pool: EndpointPool,
        waiting: WaitingQueue,
        attempt: SendAttempt,
        clock: Clock,
        draw: Draw,
        max_wait_s: float,
    ) -> None:
        self._pool = pool
        self._waiting = waiting
        self._attempt = attempt.__call__  # an instance that is called takes a detour before Python 3.12
        self._final_error = FinalError(pool, clock)
        self._tier_wait = TierWait(pool, waiting)
        self._clock = clock
        self._draw = draw
        self._max_wait_s = max_wait_s
        self._budgets: dict[str, RetryBudget] = {}
        """Those of groups that have spent of theirs; all others' are full."""
        self._retrying: Counter[str] = Counter()

    async def __call__(self, group: ModelGroup, request: ProxyRequest, trace: RequestTrace) -> Answer:
        """The answer; raises `AllLimited` or `UpstreamsFailed` when there is none to be had."""
        now = self._clock.now()
        active = ActiveRequest.of(group, request, trace, now, self._max_wait_s)
        if group.name in self._budgets:
            self._budgets[group.name] = self._budgets[group.name].after_request(group.retry)
        try:
            while True:
                lease = self._pick(active, now)
                if lease is None or not lease.state.is_heard:
                    lease = await self._next(active, lease)
                sign_by = self._first_sign_by(active, lease) if request.stream or lease.state.silence.requests else inf
                lease.state.send()
                outcome = await self._attempt(lease, active.request, active.state.deadline, sign_by, trace)
                if not isinstance(outcome, AttemptFailed):
                    return outcome
                if not await self._goes_on(active, lease, outcome):
                    break
                now = self._clock.now()
        except _OutOfOptions:
            pass
        finally:
            if active.state.is_retrying:
                self._end_retry(active)
        return self._final_error(active)

    async def _goes_on(self, active: ActiveRequest, lease: Lease, failed: AttemptFailed) -> bool:
        """Note what an attempt came to: is another one worth it?"""
        request, failure, endpoint = active.request, failed.failure, lease.endpoint
        is_denied = failure.kind is FailureKind.STATE
        if is_denied and await self._recalls(active):
            return True
        if active.state.is_retrying:
            self._end_retry(active)
        active.state = active.state.after_failure(endpoint.id, failure)
        active.replies.append(failed.reply if failure.meaning.relayed else None)
        binding = request.binding
        if binding.gone:
            return False
        if is_denied and binding.ids:
            active.state = active.state.let_in()  # what was known of its keeper was wrong, or is no longer so
            active.request = structs.replace(request, binding=structs.replace(binding, is_denied=True))
        # Of what nobody is known to keep, an account that does not even take the question keeps nothing.
        builds_on = bool(binding.ids) or (is_denied and carries_items(request))
        if builds_on and (is_denied or (binding.pinned is None and failure.disowns)):
            siblings = [e.id for e in active.group.endpoints if e.account == endpoint.account]
            active.state = active.state.after_denial(siblings)
        elif is_denied or not failure.meaning.next_endpoint:
            return False  # also where it names nothing that another account could know
        return not active.is_spent and active.state.may_go_on(active.group.retry)

    async def _recalls(self, active: ActiveRequest) -> bool:
        """Azure is known to deny, for a moment, the response it has just made (dotnet/extensions#7704): its known
        owner is asked again before that is believed."""
        request, binding = active.request, active.request.binding
        if binding.pinned is None or binding.gone or request.api is not Api.RESPONSES:
            return False
        delay_s = active.state.recall_after_s(self._clock.now())
        active.state = active.state.after_recall()
        if delay_s is None:
            return False
        await self._clock.sleep(delay_s)
        return True

    def _first_sign_by(self, active: ActiveRequest, lease: Lease) -> float:
        """When a stream, or an attempt at an endpoint that let the last request wait in vain, must have come to
        something; inf = when the upstream says. It leaves half of the client's time to the next endpoint, if one could
        be asked: a provider that is silent so long is likely to be silent to the end. Any other whole reply is silent
        until it is generated, so it gets all the time."""
        group, state = active.group, active.state
        if not self._pool.has_another(group, lease, state.tried) or state.is_at_last(group.retry):
            return inf
        return first_sign_by(self._clock.now(), active.state.must_end_by)

    async def _next(self, active: ActiveRequest, lease: Lease | None) -> Lease:
        """A lease on the endpoint to try now, after a wait where one is due. `lease` is what `_pick` has found. Raises
        `_OutOfOptions`."""
        while True:
            if lease is None:
                lease = await self._pick_or_wait(active)
            if lease is not None and (lease.is_known or await self._pool.first_contact(lease)):
                return lease
            # However the loop got here, others get their turn before it goes on.
            await asyncio.sleep(0)
            lease = self._pick(active, self._clock.now())

    def _pick(self, active: ActiveRequest, now: float) -> Lease | None:
        """An endpoint that is well, has room and has not failed for this request. Raises `_OutOfOptions` when its time
        is up."""
        group, state = active.group, active.state
        if now >= (state.must_end_by if state.failures else state.deadline):
            raise _OutOfOptions
        # A request that waits already goes before one that comes.
        if state.failures:
            self._waiting.serve_noted()
        elif self._waiting.halls and self._waiting.waiting(group.name):
            return None
        if active.spill_at and self._tier_wait.barred(active, now) is not None:
            return None
        return self._pool.pick(group, active.query, state.standings, now)

    async def _pick_or_wait(self, active: ActiveRequest) -> Lease | None:
        """Wait for an earlier tier, or for a rate limit that passes in time; else ask an endpoint that failed or is
        not well, if the budget allows; else back off (None). Raises `_OutOfOptions`."""
        now = self._clock.now()
        try:
            if active.spill_at and (barred := self._tier_wait.barred(active, now)) is not None:
                return await self._tier_wait.lease(active, barred)
            if self._limit_passes(active, now):
                waited = await self._queue(active)
                if not waited.is_last_resort or active.state.is_search:
                    return waited
                self._pool.give_back(waited)  # that would be a retry
            if active.state.is_unexplained:
                raise _OutOfOptions
            if self._begin_retry(active) and not active.state.on_credit:
                lease = self._pick_again(active)
                if lease is not None:
                    return lease
            await self._back_off(active)
            return None
        finally:
            active.trace.upstream_s += self._clock.now() - now

    def _pick_again(self, active: ActiveRequest) -> Lease | None:
        group, query, passed_over = active.group, active.query, active.state.passed_over
        return self._pool.pick(group, query, passed_over, self._clock.now()) or self._pool.pick_last_resort(
            group, query, passed_over
        )

    def _limit_passes(self, active: ActiveRequest, now: float) -> bool:
        """Is there an endpoint that only its rate limit keeps away, and not for too long? Endpoints that failed are
        asked again first, if that is sooner and leaves an attempt for it."""
        group, state = active.group, active.state
        limited_s = self._pool.limited_s(group, active.query, state.tried)
        if limited_s is None:
            # Queued requests go first. A request tied to one account does not wait behind those for other accounts.
            return not (state.failures or state.out) and bool(self._waiting.waiting(group.name))
        if limited_s > state.tries_again_in_s(group.retry):
            return False
        return now + limited_s <= min(state.wait_until, state.patience_ends)

    async def _queue(self, active: ActiveRequest) -> Lease:
        state = active.state
        lease = await self._waiting.lease(active.group, active.query, frozenset(state.tried), state.wait_until)
        if lease is None:
            raise _OutOfOptions
        return lease

    async def _back_off(self, active: ActiveRequest) -> None:
        """Also when the budget said no: it may have recovered after the wait."""
        policy, state = active.group.retry, active.state
        if not state.may_back_off(policy):
            raise _OutOfOptions
        delay_s = policy.backoff_s(state.backoffs, self._draw())
        if self._clock.now() + delay_s >= state.must_end_by:
            raise _OutOfOptions
        active.state = state.after_backoff()
        await self._clock.sleep(delay_s)

    def _begin_retry(self, active: ActiveRequest) -> bool:
        """May this request load endpoints that are not known to be well? Its first attempt always may."""
        group, state = active.group, active.state
        if state.is_search or state.is_retrying:
            return True
        budget = self._budget(group)
        is_allowed = budget.allows(group.retry, self._retrying[group.name])
        active.state = state.after_asking(budget, is_allowed=is_allowed)
        if is_allowed:
            self._budgets[group.name] = budget.after_retry(group.retry)
            self._retrying[group.name] += 1
        return is_allowed

    def _end_retry(self, active: ActiveRequest) -> None:
        active.state = structs.replace(active.state, is_retrying=False)
        self._retrying[active.group.name] -= 1

    def _budget(self, group: ModelGroup) -> RetryBudget:
        return self._budgets.get(group.name) or group.retry.full_budget


class _OutOfOptions(Exception):
    """No endpoint may be asked, now or after any wait that is worth it."""
