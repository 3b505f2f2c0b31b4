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
from application.attempts.final_error import NOT_FOR_US, LastWord
from application.attempts.retry_state import Progress
from application.endpoints.admission_queue import WaitingRoom
from application.endpoints.endpoint_state import Lease
from application.endpoints.pool import Draw, Routing
from application.messages import Api, ProxyRequest, Trail
from application.ports import Clock
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
        routing: Routing,
        waiting: WaitingRoom,
        attempt: SendAttempt,
        clock: Clock,
        draw: Draw,
        max_wait_s: float,
    ) -> None:
        self._routing = routing
        self._waiting = waiting
        self._attempt = attempt
        self._last_word = LastWord(routing, clock)
        self._clock = clock
        self._draw = draw
        self._max_wait_s = max_wait_s
        self._budgets: dict[str, RetryBudget] = {}
        self._retrying: Counter[str] = Counter()

    async def __call__(self, group: ModelGroup, request: ProxyRequest, trail: Trail) -> Answer:
        """The answer; raises `AllLimited` or `UpstreamsFailed` when there is none to be had."""
        deadline = request.received + group.request_timeout_s
        progress = Progress.of(group, request, deadline, self._clock.now() + self._max_wait_s)
        self._budgets[group.name] = self._budget(group).after_request(group.retry)
        try:
            while len(progress.failures) - progress.elsewhere < group.retry.max_attempts:
                found = self._pick(group, progress)
                lease = (
                    await self._next(group, progress, trail, found)
                    if found is None or not self._routing.is_known(found)
                    else found
                )
                deadlines = self._first_event_by(group, lease, request, progress)
                outcome = await self._attempt(lease, request, deadlines, trail)
                if not isinstance(outcome, AttemptFailed):
                    return outcome
                denied = outcome.failure.kind is FailureKind.STATE
                if denied and await self._recalls(request, progress):
                    continue
                progress.note(lease.endpoint.id, outcome)
                if progress.retrying:
                    self._end_retry(group, progress)
                if request.gone:
                    break
                if denied and request.bound:
                    progress.let_others_in()  # what was known of its keeper was wrong, or is no longer so
                    request = structs.replace(request, denied=True)
                if request.bound and (denied or _is_another_accounts(request, outcome.failure)):
                    progress.note_elsewhere(group, lease)
                elif denied or not outcome.failure.meaning.next_endpoint:
                    break  # also where it names nothing that another account could know
                if progress.is_spent or progress.unknown >= MAX_UNKNOWN:
                    break
        except _OutOfOptions:
            pass
        finally:
            if progress.retrying:
                self._end_retry(group, progress)
        return self._last_word(group, progress, trail)

    async def _recalls(self, request: ProxyRequest, progress: Progress) -> bool:
        """Azure is known to deny, for a moment, the response it has just made (dotnet/extensions#7704): who is known to
        keep it is asked again before that is believed."""
        may_be_wrong = request.pinned is not None and not request.gone and request.api is Api.RESPONSES
        if not may_be_wrong or progress.recalls >= len(RECALL_AFTER_S):
            return False
        delay_s = RECALL_AFTER_S[progress.recalls]
        progress.recalls += 1
        if self._clock.now() + delay_s >= progress.must_end_by:
            return False
        await self._clock.sleep(delay_s)
        return True

    def _first_event_by(self, group: ModelGroup, lease: Lease, request: ProxyRequest, progress: Progress) -> Deadlines:
        """When this attempt must have come to something. A stream leaves half of the client's time to the next
        endpoint, if there is one: a provider that is silent so long is likely to be silent to the end. A whole reply is
        silent until it is generated, so it gets all the time, unless the endpoint let the last request wait in vain."""
        doubtful = request.stream or self._routing.is_silent(lease)
        left_s = progress.must_end_by - self._clock.now()
        if left_s <= 0 or not doubtful or not self._routing.others(group, lease, progress.tried):
            return Deadlines(progress.deadline, progress.deadline)
        return Deadlines(progress.deadline, progress.must_end_by - left_s / 2)

    async def _next(self, group: ModelGroup, progress: Progress, trail: Trail, lease: Lease | None) -> Lease:
        """A lease on the endpoint to try now, after a wait where one is due. `lease` is what `_pick` has found. Raises
        `_OutOfOptions`."""
        while True:
            if lease is None:
                lease = await self._pick_or_wait(group, progress, trail)
            if lease is not None and (self._routing.is_known(lease) or await self._lives(lease)):
                return lease
            # However the loop got here, others get their turn before it goes on.
            await asyncio.sleep(0)
            lease = self._pick(group, progress)

    def _pick(self, group: ModelGroup, progress: Progress) -> Lease | None:
        """An endpoint that is well, has room and has not failed for this request. Raises `_OutOfOptions` when its time
        is up."""
        if self._clock.now() >= (progress.must_end_by if progress.failures else progress.deadline):
            raise _OutOfOptions
        # A request that waits already goes before one that comes.
        if progress.failures:
            self._waiting.serve_noted()
        elif self._waiting.waiting(group.name):
            return None
        return self._routing.pick(group, progress.client, progress.demand, progress.tried, progress.affinity)

    async def _pick_or_wait(self, group: ModelGroup, progress: Progress, trail: Trail) -> Lease | None:
        """Wait for a rate limit that passes in time; else ask who failed or is not well, if the budget allows; else
        back off (None). Raises `_OutOfOptions`."""
        now = self._clock.now()
        try:
            if self._limit_passes(group, progress, now):
                return await self._queue(group, progress)
            if progress.is_unexplained:
                raise _OutOfOptions
            if self._begin_retry(group, progress) and not progress.on_credit:
                lease = self._pick_again(group, progress)
                if lease is not None:
                    return lease
            await self._back_off(group, progress)
            return None
        finally:
            trail.upstream_s += self._clock.now() - now

    def _pick_again(self, group: ModelGroup, progress: Progress) -> Lease | None:
        client, demand = progress.client, progress.demand
        lease = self._routing.pick(group, client, demand, progress.passed_over, progress.affinity)
        return lease or self._routing.pick_last_resort(group, client, demand, progress.passed_over)

    async def _lives(self, lease: Lease) -> bool:
        try:
            lives = await self._routing.first_contact(lease)
        except asyncio.CancelledError:
            self._routing.release(lease)
            raise
        if not lives:
            self._routing.release(lease)
        return lives

    def _limit_passes(self, group: ModelGroup, progress: Progress, now: float) -> bool:
        """Is there an endpoint that only its rate limit keeps away, and not for too long?"""
        limited_s = self._routing.limited_s(group, progress.client, progress.demand, progress.tried)
        if limited_s is None:
            # Who comes later goes later; but for what one account keeps the others' queue is no matter.
            return not (progress.failures or progress.out) and bool(self._waiting.waiting(group.name))
        return now + limited_s <= min(progress.wait_until, progress.patience_ends)

    async def _queue(self, group: ModelGroup, progress: Progress) -> Lease:
        lease = await self._waiting.lease(
            group,
            progress.client,
            progress.demand,
            frozenset(progress.tried),
            progress.wait_until,
            progress.size,
            progress.affinity,
        )
        if lease is None:
            raise _OutOfOptions
        return lease

    async def _back_off(self, group: ModelGroup, progress: Progress) -> None:
        """Also when the budget said no: it may have recovered after the wait."""
        again = progress.tried - progress.barred
        if not again or progress.backoffs >= group.retry.num_retries:
            raise _OutOfOptions
        delay_s = group.retry.backoff_s(progress.backoffs, self._draw())
        if self._clock.now() + delay_s >= progress.must_end_by:
            raise _OutOfOptions
        progress.backoffs += 1
        progress.on_credit = False
        progress.passed_over = set(progress.barred)
        await self._clock.sleep(delay_s)

    def _begin_retry(self, group: ModelGroup, progress: Progress) -> bool:
        """May this request load endpoints that are not known to be well? Its first attempt always may."""
        if progress.is_search or progress.retrying:
            return True
        budget = self._budget(group)
        progress.denied = not budget.allows(group.retry, self._retrying[group.name])
        if progress.denied:
            return False
        progress.on_credit = budget.tokens < 1
        self._budgets[group.name] = budget.after_retry(group.retry)
        progress.retrying = True
        self._retrying[group.name] += 1
        return True

    def _end_retry(self, group: ModelGroup, progress: Progress) -> None:
        progress.retrying = False
        self._retrying[group.name] -= 1

    def _budget(self, group: ModelGroup) -> RetryBudget:
        return self._budgets.get(group.name) or group.retry.full_budget


def _is_another_accounts(request: ProxyRequest, failure: Failure) -> bool:
    """Does an account that is asked for what nobody is known to keep not even take the question? It has nothing of ours
    then: the credential or the id may be one of another account."""
    return request.pinned is None and failure.status in NOT_FOR_US


class _OutOfOptions(Exception):
    """No endpoint may be asked, now or after any wait that is worth it."""
