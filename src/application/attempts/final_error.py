"""What a client is told when no endpoint answered: the best that can be said."""

from application.answers import WholeAnswer
from application.attempts.attempt import AttemptFailed
from application.attempts.retry_state import Progress
from application.endpoints.pool import Routing
from application.errors import AllLimited, ProxyError, UpstreamsFailed, WasDeleted
from application.messages import Trail
from application.ports import Clock
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.rate_limit.throttle import MIN_DELAY_S

NOT_FOR_US = frozenset({401, 403, 405})
"""What an account says to a credential it does not know, or to an id that is none of its own."""


class LastWord:
    """Decides it by what the attempts came to, and by what the endpoints are now."""

    def __init__(self, routing: Routing, clock: Clock) -> None:
        self._routing = routing
        self._clock = clock

    def __call__(self, group: ModelGroup, progress: Progress, trail: Trail) -> WholeAnswer:
        """An upstream's own words; raises ours: `AllLimited`, `UpstreamsFailed`, `WasDeleted`."""
        if progress.gone and not (progress.failures and progress.failures[-1].failure.meaning.relayed):
            raise WasDeleted(progress.gone)
        limited_s = self._routing.limited_s(group, progress.client, progress.demand, progress.out)
        if not progress.failures:
            if limited_s is not None:
                raise self._no_room(group, progress, trail, limited_s)
            if self._clock.now() < progress.deadline:  # the wait for a rate limit ended as room came: next time it fits
                raise AllLimited(group.name, MIN_DELAY_S, trail.attempts, is_pinned=bool(progress.out))
            raise UpstreamsFailed(group.name, Failure(FailureKind.DEADLINE), trail.attempts, spent=True)
        final = _most_telling(progress.failures)
        failure = final.failure
        if failure.kind is FailureKind.STATE and progress.elsewhere:
            self._check_all_were_asked(group, progress, trail)
        if failure.meaning.relayed and final.reply is not None:
            return WholeAnswer(final.reply, failure)
        if failure.kind is FailureKind.RATE_LIMITED:
            raise AllLimited(group.name, limited_s or MIN_DELAY_S, trail.attempts, is_pinned=bool(progress.out))
        if limited_s is not None and failure.kind is not FailureKind.OVERLOADED:
            raise self._no_room(group, progress, trail, limited_s)
        spent = not (progress.denied or progress.on_credit or progress.is_spent)
        raise UpstreamsFailed(group.name, failure, trail.attempts, spent=spent)

    def _no_room(self, group: ModelGroup, progress: Progress, trail: Trail, limited_s: float) -> ProxyError:
        """A client that is told of a limit slows down; where providers are overloaded that is not what is wrong."""
        if self._routing.is_overload(group, progress.client, progress.demand, progress.out):
            failure = Failure(FailureKind.OVERLOADED, f"rests for {limited_s:.1f} s", retry_after_s=limited_s)
            return UpstreamsFailed(group.name, failure, trail.attempts, spent=False)
        return AllLimited(group.name, limited_s, trail.attempts, is_pinned=bool(progress.out))

    def _check_all_were_asked(self, group: ModelGroup, progress: Progress, trail: Trail) -> None:
        """Nothing is called unknown while an account that may know it was not asked. One that refuses its key keeps
        nothing for us."""
        if all(e.id in progress.barred or self._routing.refuses_key(e) for e in group.endpoints):
            return
        limited_s = self._routing.limited_s(group, progress.client, progress.demand, progress.barred)
        if limited_s is not None:
            raise AllLimited(group.name, limited_s, trail.attempts)
        failure = Failure(FailureKind.OVERLOADED, "an endpoint that may keep what this builds on could not be asked")
        raise UpstreamsFailed(group.name, failure, trail.attempts, spent=False)


def _most_telling(failures: list[AttemptFailed]) -> AttemptFailed:
    """The failure the client is told of: the last, but one endpoint's own refusal speaks only for all when all refuse.

    A deployment that is missing on one endpoint says nothing to a client whose request another one just dropped. What a
    provider said that may be about the request says more than any sentence of ours.
    """
    last = failures[-1]
    asked = [failed for failed in failures if failed.failure.status not in NOT_FOR_US]
    if asked and all(failed.failure.kind is FailureKind.STATE for failed in asked):
        return asked[-1]  # who may not even be asked is not who keeps it
    if last.failure.kind is FailureKind.CLIENT:
        return last
    unknown = [failed for failed in failures if failed.failure.kind is FailureKind.UNKNOWN and failed.reply is not None]
    if unknown:
        return unknown[-1]
    if not last.failure.meaning.next_endpoint:
        return last
    transient = [failed for failed in failures if not failed.failure.meaning.relayed]
    return transient[-1] if transient else last
