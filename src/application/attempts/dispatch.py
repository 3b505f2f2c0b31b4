"""The only attempt loop: pick an endpoint, send, judge, and on failure the next one, until an answer or the deadline.

An endpoint that has failed in this request is passed over while there is another. Only when there is none left does the
loop wait, and begins again with all that may still do better. A retry that could not end before the deadline, or while
the client still waits, is not started, and what is sent to endpoints that failed already has to fit the group's retry
budget. An error of unknown cause is asked about at one other endpoint, no more.
"""

import asyncio
from collections import Counter

from msgspec import structs

from application.answers import Answer
from application.attempts.attempt import AttemptFailed, Deadlines, SendAttempt
from application.attempts.final_error import NOT_FOR_US, FinalError
from application.attempts.retry_state import RetryState
from application.endpoints.admission_queue import AdmissionQueue
from application.endpoints.endpoint_state import Lease
from application.endpoints.pool import EndpointPool
from application.messages import Api, ProxyRequest, RequestTrace
from application.ports import Clock, Draw
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.retry import RetryBudget

RECALL_AFTER_S = (0.25, 0.75)
"""After so long the account that keeps a response, and says that it does not, is asked again."""

MAX_UNKNOWN = 2
"""Errors of unknown cause that one request may meet: what two endpoints say is most likely the request's."""


class Dispatch:
    """Gets one request answered by one of its group's endpoints."""

    def __init__(
        self,
        pool: EndpointPool,
        waiting: AdmissionQueue,
        attempt: SendAttempt,
        clock: Clock,
        draw: Draw,
        max_wait_s: float,
    ) -> None:
        self._pool = pool
        self._waiting = waiting
        self._attempt = attempt
        self._last_word = FinalError(pool, clock)
        self._clock = clock
        self._draw = draw
        self._max_wait_s = max_wait_s
        self._budgets: dict[str, RetryBudget] = {}
        self._retrying: Counter[str] = Counter()

    async def __call__(self, group: ModelGroup, request: ProxyRequest, trace: RequestTrace) -> Answer:
        """The answer; raises `AllLimited` or `UpstreamsFailed` when there is none to be had."""
        deadline = request.received + group.request_timeout_s
        retry_state = RetryState.of(group, request, deadline, self._clock.now() + self._max_wait_s)
        self._budgets[group.name] = self._budget(group).after_request(group.retry)
        try:
            while len(retry_state.failures) - retry_state.elsewhere < group.retry.max_attempts:
                found = self._pick(group, retry_state)
                lease = (
                    await self._next(group, retry_state, trace, found) if found is None or not found.is_known else found
                )
                deadlines = self._first_event_by(group, lease, request, retry_state)
                outcome = await self._attempt(lease, request, deadlines, trace)
                if not isinstance(outcome, AttemptFailed):
                    return outcome
                denied = outcome.failure.kind is FailureKind.STATE
                if denied and await self._recalls(request, retry_state):
                    continue
                retry_state.note(lease.endpoint.id, outcome)
                if retry_state.retrying:
                    self._end_retry(group, retry_state)
                if request.gone:
                    break
                if denied and request.bound:
                    retry_state.let_others_in()  # what was known of its keeper was wrong, or is no longer so
                    request = structs.replace(request, denied=True)
                if request.bound and (denied or _is_another_accounts(request, outcome.failure)):
                    retry_state.note_elsewhere(group, lease)
                elif denied or not outcome.failure.meaning.next_endpoint:
                    break  # also where it names nothing that another account could know
                if retry_state.is_spent or retry_state.unknown >= MAX_UNKNOWN:
                    break
        except _OutOfOptions:
            pass
        finally:
            if retry_state.retrying:
                self._end_retry(group, retry_state)
        return self._last_word(group, retry_state, trace)

    async def _recalls(self, request: ProxyRequest, retry_state: RetryState) -> bool:
        """Azure is known to deny, for a moment, the response it has just made (dotnet/extensions#7704): its known
        owner is asked again before that is believed."""
        may_be_wrong = request.pinned is not None and not request.gone and request.api is Api.RESPONSES
        if not may_be_wrong or retry_state.recalls >= len(RECALL_AFTER_S):
            return False
        delay_s = RECALL_AFTER_S[retry_state.recalls]
        retry_state.recalls += 1
        if self._clock.now() + delay_s >= retry_state.must_end_by:
            return False
        await self._clock.sleep(delay_s)
        return True

    def _first_event_by(
        self, group: ModelGroup, lease: Lease, request: ProxyRequest, retry_state: RetryState
    ) -> Deadlines:
        """When this attempt must have come to something. A stream leaves half of the client's time to the next
        endpoint, if there is one: a provider that is silent so long is likely to be silent to the end. A whole reply is
        silent until it is generated, so it gets all the time, unless the endpoint let the last request wait in vain."""
        doubtful = request.stream or lease.is_doubtful
        left_s = retry_state.must_end_by - self._clock.now()
        if left_s <= 0 or not doubtful or not self._pool.has_another(group, lease, retry_state.tried):
            return Deadlines(retry_state.deadline, retry_state.deadline)
        return Deadlines(retry_state.deadline, retry_state.must_end_by - left_s / 2)

    async def _next(
        self, group: ModelGroup, retry_state: RetryState, trace: RequestTrace, lease: Lease | None
    ) -> Lease:
        """A lease on the endpoint to try now, after a wait where one is due. `lease` is what `_pick` has found. Raises
        `_OutOfOptions`."""
        while True:
            if lease is None:
                lease = await self._pick_or_wait(group, retry_state, trace)
            if lease is not None and (lease.is_known or await self._pool.first_contact(lease)):
                return lease
            # However the loop got here, others get their turn before it goes on.
            await asyncio.sleep(0)
            lease = self._pick(group, retry_state)

    def _pick(self, group: ModelGroup, retry_state: RetryState) -> Lease | None:
        """An endpoint that is well, has room and has not failed for this request. Raises `_OutOfOptions` when its time
        is up."""
        if self._clock.now() >= (retry_state.must_end_by if retry_state.failures else retry_state.deadline):
            raise _OutOfOptions
        # A request that waits already goes before one that comes.
        if retry_state.failures:
            self._waiting.serve_noted()
        elif self._waiting.waiting(group.name):
            return None
        return self._pool.pick(group, retry_state.query, retry_state.tried)

    async def _pick_or_wait(self, group: ModelGroup, retry_state: RetryState, trace: RequestTrace) -> Lease | None:
        """Wait for a rate limit that passes in time; else ask an endpoint that failed or is not well, if the budget
        allows; else back off (None). Raises `_OutOfOptions`."""
        now = self._clock.now()
        try:
            if self._limit_passes(group, retry_state, now):
                return await self._queue(group, retry_state)
            if retry_state.is_unexplained:
                raise _OutOfOptions
            if self._begin_retry(group, retry_state) and not retry_state.on_credit:
                lease = self._pick_again(group, retry_state)
                if lease is not None:
                    return lease
            await self._back_off(group, retry_state)
            return None
        finally:
            trace.upstream_s += self._clock.now() - now

    def _pick_again(self, group: ModelGroup, retry_state: RetryState) -> Lease | None:
        lease = self._pool.pick(group, retry_state.query, retry_state.passed_over)
        return lease or self._pool.pick_last_resort(group, retry_state.query, retry_state.passed_over)

    def _limit_passes(self, group: ModelGroup, retry_state: RetryState, now: float) -> bool:
        """Is there an endpoint that only its rate limit keeps away, and not for too long?"""
        limited_s = self._pool.limited_s(group, retry_state.query, retry_state.tried)
        if limited_s is None:
            # Queued requests go first. A request tied to one account does not wait behind those for other accounts.
            return not (retry_state.failures or retry_state.out) and bool(self._waiting.waiting(group.name))
        return now + limited_s <= min(retry_state.wait_until, retry_state.patience_ends)

    async def _queue(self, group: ModelGroup, retry_state: RetryState) -> Lease:
        barred = frozenset(retry_state.tried)
        lease = await self._waiting.lease(group, retry_state.query, barred, retry_state.wait_until)
        if lease is None:
            raise _OutOfOptions
        return lease

    async def _back_off(self, group: ModelGroup, retry_state: RetryState) -> None:
        """Also when the budget said no: it may have recovered after the wait."""
        again = retry_state.tried - retry_state.barred
        if not again or retry_state.backoffs >= group.retry.num_retries:
            raise _OutOfOptions
        delay_s = group.retry.backoff_s(retry_state.backoffs, self._draw())
        if self._clock.now() + delay_s >= retry_state.must_end_by:
            raise _OutOfOptions
        retry_state.backoffs += 1
        retry_state.on_credit = False
        retry_state.passed_over = set(retry_state.barred)
        await self._clock.sleep(delay_s)

    def _begin_retry(self, group: ModelGroup, retry_state: RetryState) -> bool:
        """May this request load endpoints that are not known to be well? Its first attempt always may."""
        if retry_state.is_search or retry_state.retrying:
            return True
        budget = self._budget(group)
        retry_state.denied = not budget.allows(group.retry, self._retrying[group.name])
        if retry_state.denied:
            return False
        retry_state.on_credit = budget.tokens < 1
        self._budgets[group.name] = budget.after_retry(group.retry)
        retry_state.retrying = True
        self._retrying[group.name] += 1
        return True

    def _end_retry(self, group: ModelGroup, retry_state: RetryState) -> None:
        retry_state.retrying = False
        self._retrying[group.name] -= 1

    def _budget(self, group: ModelGroup) -> RetryBudget:
        return self._budgets.get(group.name) or group.retry.full_budget


def _is_another_accounts(request: ProxyRequest, failure: Failure) -> bool:
    """Does an account that is asked for what nobody is known to keep not even take the question? It has nothing of ours
    then: the credential or the id may be one of another account."""
    return request.pinned is None and failure.status in NOT_FOR_US


class _OutOfOptions(Exception):
    """No endpoint may be asked, now or after any wait that is worth it."""
