"""What a client is told when no endpoint answered: the best that can be said."""

from application.answers import WholeAnswer
from application.attempts.attempt import AttemptFailed
from application.attempts.retry_state import RetryState
from application.endpoints.pool import EndpointPool
from application.errors import AllLimited, ProxyError, UpstreamsFailed, WasDeleted
from application.messages import RequestTrace
from application.ports import Clock
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.rate_limit.throttle import MIN_DELAY_S

NOT_FOR_US = frozenset({401, 403, 405})
"""What an account says to a credential it does not know, or to an id that is none of its own."""


class FinalError:
    """Decides it by what the attempts came to, and by what the endpoints are now."""

    def __init__(self, pool: EndpointPool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    def __call__(self, group: ModelGroup, retry_state: RetryState, trace: RequestTrace) -> WholeAnswer:
        """An upstream's own words; raises ours: `AllLimited`, `UpstreamsFailed`, `WasDeleted`."""
        if retry_state.gone and not (retry_state.failures and retry_state.failures[-1].failure.meaning.relayed):
            raise WasDeleted(retry_state.gone)
        limited_s = self._pool.limited_s(group, retry_state.query, retry_state.out)
        if not retry_state.failures:
            if limited_s is not None:
                raise self._no_room(group, retry_state, trace, limited_s)
            if (
                self._clock.now() < retry_state.deadline
            ):  # the wait for a rate limit ended as room came: next time it fits
                raise AllLimited(group.name, MIN_DELAY_S, trace.attempts, is_pinned=bool(retry_state.out))
            raise UpstreamsFailed(group.name, Failure(FailureKind.DEADLINE), trace.attempts, spent=True)
        final = _most_telling(retry_state.failures)
        failure = final.failure
        if failure.kind is FailureKind.STATE and retry_state.elsewhere:
            self._check_all_were_asked(group, retry_state, trace)
        if failure.meaning.relayed and final.reply is not None:
            return WholeAnswer(final.reply, failure)
        if failure.kind is FailureKind.RATE_LIMITED:
            raise AllLimited(group.name, limited_s or MIN_DELAY_S, trace.attempts, is_pinned=bool(retry_state.out))
        if limited_s is not None and failure.kind is not FailureKind.OVERLOADED:
            raise self._no_room(group, retry_state, trace, limited_s)
        spent = not (retry_state.denied or retry_state.on_credit or retry_state.is_spent)
        raise UpstreamsFailed(group.name, failure, trace.attempts, spent=spent)

    def _no_room(self, group: ModelGroup, retry_state: RetryState, trace: RequestTrace, limited_s: float) -> ProxyError:
        """A client that is told of a limit slows down; where providers are overloaded that is not what is wrong."""
        if self._pool.is_overload(group, retry_state.query, retry_state.out):
            failure = Failure(FailureKind.OVERLOADED, f"rests for {limited_s:.1f} s", retry_after_s=limited_s)
            return UpstreamsFailed(group.name, failure, trace.attempts, spent=False)
        return AllLimited(group.name, limited_s, trace.attempts, is_pinned=bool(retry_state.out))

    def _check_all_were_asked(self, group: ModelGroup, retry_state: RetryState, trace: RequestTrace) -> None:
        """Nothing is called unknown while an account that may know it was not asked. One that refuses its key keeps
        nothing for us."""
        if all(e.id in retry_state.barred or self._pool.refuses_key(e) for e in group.endpoints):
            return
        limited_s = self._pool.limited_s(group, retry_state.query, retry_state.barred)
        if limited_s is not None:
            raise AllLimited(group.name, limited_s, trace.attempts)
        failure = Failure(FailureKind.OVERLOADED, "an endpoint that may keep what this builds on could not be asked")
        raise UpstreamsFailed(group.name, failure, trace.attempts, spent=False)


def _most_telling(failures: list[AttemptFailed]) -> AttemptFailed:
    """The failure the client is told of: the last, but one endpoint's own refusal speaks only for all when all refuse.

    A deployment that is missing on one endpoint says nothing to a client whose request another one just dropped. What a
    provider said that may be about the request says more than any sentence of ours.
    """
    last = failures[-1]
    asked = [failed for failed in failures if failed.failure.status not in NOT_FOR_US]
    if asked and all(failed.failure.kind is FailureKind.STATE for failed in asked):
        return asked[-1]  # an account that refuses the question is not the one that keeps the thing
    if last.failure.kind is FailureKind.CLIENT:
        return last
    unknown = [failed for failed in failures if failed.failure.kind is FailureKind.UNKNOWN and failed.reply is not None]
    if unknown:
        return unknown[-1]
    if not last.failure.meaning.next_endpoint:
        return last
    transient = [failed for failed in failures if not failed.failure.meaning.relayed]
    return transient[-1] if transient else last
