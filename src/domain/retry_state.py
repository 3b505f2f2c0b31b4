"""What one request has tried, and what it may still try.

Every endpoint that is not simply there to be asked has one standing, and a higher one is never lowered but by a backoff
or by the news that the thing a request builds on may be kept elsewhere.
"""

from collections.abc import Collection, Iterable, Mapping
from enum import IntEnum
from math import inf

from msgspec import Struct
from msgspec.structs import replace

from domain.failure import HICCUPS, Blame, Effect, Failure
from domain.retry import RECALL_AFTER_S, RetryBudget, RetryPolicy

MAX_UNKNOWN = 2  # errors of unknown cause a request may meet: what two endpoints say is the request's


class Standing(IntEnum):
    """What is known of an endpoint, for one request; none = it was not asked, or only its limit kept it away."""

    FAILED = 1  # it failed, and may be asked again, as there was a backoff since
    PASSED_OVER = 2  # it failed since the last backoff
    BARRED = 3  # it cannot do better for this request
    OUT = 4  # the request is none of its business: it builds on what another account keeps


class RetryState(Struct, frozen=True, gc=False):
    """Where one request stands in its attempts. Times are seconds of one monotonic clock."""

    deadline: float  # when the proxy's own time for the request is up
    patience_ends: float
    """When the client is expected to leave: nothing is begun that could only come to something later, and nothing is
    answered because of it. inf = nobody knows."""
    wait_until: float  # until when a rate limit is waited for
    standings: Mapping[str, Standing] = {}  # by endpoint id
    failures: tuple[Failure, ...] = ()  # what each attempt came to, but for those that were made again
    elsewhere: int = 0  # how many of them only showed that what the request builds on is not kept there
    recalls: int = 0  # how often its own account was asked again for it
    backoffs: int = 0
    is_retrying: bool = False  # has the budget allowed the next attempt?
    on_credit: bool = False  # allowed though nothing is saved up? Then it waits first, lest failures multiply
    is_refused: bool = False  # has the budget refused the last one that was asked for?

    @property
    def must_end_by(self) -> float:
        """When an attempt must have come to something to be of use to anybody."""
        return min(self.deadline, self.patience_ends)

    @property
    def tried(self) -> Collection[str]:
        """Ids of endpoints that failed for this request, other than by a rate limit, and of those that are out."""
        return self.standings

    @property
    def passed_over(self) -> Collection[str]:
        """Ids of those that are not to be asked before the next backoff."""
        return self._at_least(Standing.PASSED_OVER)

    @property
    def barred(self) -> Collection[str]:
        """Ids of those that are not to be asked at all."""
        return self._at_least(Standing.BARRED)

    @property
    def out(self) -> Collection[str]:
        """Ids of those whose business the request is not."""
        return self._at_least(Standing.OUT)

    @property
    def unknown(self) -> int:
        return sum(failure.meaning.blame is Blame.UNKNOWN for failure in self.failures)

    @property
    def is_unexplained(self) -> bool:
        """Have only errors of unknown cause come? They may be the request's: only endpoints that are well get it."""
        return 0 < self.unknown == len(self.failures)

    @property
    def is_search(self) -> bool:
        """Has it, so far, only been found out where it cannot be answered, if anything? To go on is no retry then."""
        return self.elsewhere == len(self.failures)

    def may_go_on(self, policy: RetryPolicy) -> bool:
        return len(self.failures) - self.elsewhere < policy.max_attempts and self.unknown < MAX_UNKNOWN

    def is_at_last(self, policy: RetryPolicy) -> bool:
        """Is the attempt that begins now the last one, unless it shows no more than where the request belongs?"""
        return len(self.failures) - self.elsewhere + 1 >= policy.max_attempts

    def may_back_off(self, policy: RetryPolicy) -> bool:
        """Is there an endpoint that may do better after a wait?"""
        return self.backoffs < policy.num_retries and any(s < Standing.BARRED for s in self.standings.values())

    def tries_again_in_s(self, policy: RetryPolicy) -> float:
        """Seconds until an endpoint whose failure may be a passing one is asked again, at most; inf = there is none, or
        no attempt would be left for another then."""
        is_passing = any(failure.kind in HICCUPS for failure in self.failures)
        spares_one = len(self.failures) - self.elsewhere + 2 <= policy.max_attempts
        return policy.backoff_s(self.backoffs, 1.0) if is_passing and spares_one and self.may_back_off(policy) else inf

    def recall_after_s(self, now: float) -> float | None:
        """Seconds until the account that denies what it keeps is asked again; None = it is believed."""
        if self.recalls >= len(RECALL_AFTER_S) or now + RECALL_AFTER_S[self.recalls] >= self.must_end_by:
            return None
        return RECALL_AFTER_S[self.recalls]

    def without(self, ids: Iterable[str]) -> "RetryState":
        return replace(self, standings={**self.standings, **dict.fromkeys(ids, Standing.OUT)})

    def after_failure(self, endpoint: str, failure: Failure) -> "RetryState":
        """An attempt failed. A limit keeps its endpoint away by its own clock, and only as long as that runs."""
        meaning = failure.meaning
        standing = Standing.PASSED_OVER if meaning.same_endpoint else Standing.BARRED
        noted = self if meaning.effect is Effect.CLOCK else self._raised((endpoint,), standing)
        return replace(noted, failures=(*self.failures, failure), is_retrying=False)

    def after_denial(self, siblings: Iterable[str]) -> "RetryState":
        """What the request builds on is not kept by the account of these endpoints: the last attempt found that out."""
        return replace(self._raised(siblings, Standing.BARRED), elsewhere=self.elsewhere + 1)

    def after_asking(self, budget: RetryBudget, *, is_allowed: bool) -> "RetryState":
        """The group's budget, as it was, has said whether endpoints may be loaded that are not known to be well."""
        on_credit = is_allowed and budget.tokens < 1
        return replace(self, is_refused=not is_allowed, is_retrying=is_allowed, on_credit=on_credit)

    def after_recall(self) -> "RetryState":
        return replace(self, recalls=self.recalls + 1)

    def after_backoff(self) -> "RetryState":
        """It has waited: what failed may be asked again, unless it cannot do better."""
        failed = {name: s if s >= Standing.BARRED else Standing.FAILED for name, s in self.standings.items()}
        return replace(self, standings=failed, backoffs=self.backoffs + 1, on_credit=False)

    def let_in(self) -> "RetryState":
        """Other accounts may know what its keeper denies: they may be asked after all."""
        return replace(self, standings={name: s for name, s in self.standings.items() if s is not Standing.OUT})

    def _raised(self, ids: Iterable[str], standing: Standing) -> "RetryState":
        standings = dict(self.standings)
        for name in ids:
            standings[name] = max(standings.get(name, standing), standing)
        return replace(self, standings=standings)

    def _at_least(self, standing: Standing) -> Collection[str]:
        return {name for name, its in self.standings.items() if its >= standing} if self.standings else ()
