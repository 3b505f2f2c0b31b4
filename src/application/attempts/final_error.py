"""What a client is told when no endpoint answered: the best that can be said."""

from application.answers import WholeAnswer
from application.attempts.active_request import ActiveRequest
from application.endpoints.pool import EndpointPool
from application.errors import AllLimited, ProxyError, UpstreamsFailed, WasDeleted
from application.ports import Clock
from domain.failure import Failure, FailureKind, most_telling
from domain.rate_limit.throttle import MIN_DELAY_S


class FinalError:
    """Decides it by what the attempts came to, and by what the endpoints are now."""

    def __init__(self, pool: EndpointPool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    def __call__(self, active: ActiveRequest) -> WholeAnswer:
        """An upstream's own words; raises ours: `AllLimited`, `UpstreamsFailed`, `WasDeleted`."""
        state, gone = active.state, active.request.binding.gone
        if gone and not (state.failures and state.failures[-1].meaning.relayed):
            raise WasDeleted(gone)
        limited_s = self._pool.limited_s(active.group, active.query, state.out)
        if not state.failures:
            if limited_s is not None:
                raise self._no_room(active, limited_s)
            if self._clock.now() < state.deadline:
                raise _all_limited(active, MIN_DELAY_S)  # the wait for it ended as room came: next time it fits
            raise _failed(active, Failure(FailureKind.DEADLINE), spent=True)
        told = most_telling(state.failures)
        failure, reply = state.failures[told], active.replies[told]
        if failure.kind is FailureKind.STATE and state.elsewhere:
            self._check_all_were_asked(active)
        if failure.meaning.relayed and reply is not None:
            return WholeAnswer(reply, failure)
        if failure.kind is FailureKind.RATE_LIMITED:
            raise _all_limited(active, limited_s or MIN_DELAY_S)
        if limited_s is not None and failure.kind is not FailureKind.OVERLOADED:
            raise self._no_room(active, limited_s)
        raise _failed(active, failure, spent=not (state.is_refused or state.on_credit or active.is_spent))

    def _no_room(self, active: ActiveRequest, limited_s: float) -> ProxyError:
        """A client that is told of a limit slows down; where providers are overloaded that is not what is wrong."""
        if self._pool.is_overload(active.group, active.query, active.state.out):
            failure = Failure(FailureKind.OVERLOADED, f"rests for {limited_s:.1f} s", retry_after_s=limited_s)
            return _failed(active, failure, spent=False)
        return _all_limited(active, limited_s)

    def _check_all_were_asked(self, active: ActiveRequest) -> None:
        """Nothing is called unknown while an account that may know it was not asked. One that refuses its key keeps
        nothing for us."""
        barred = active.state.barred
        if all(e.id in barred or self._pool.refuses_key(e) for e in active.group.endpoints):
            return
        limited_s = self._pool.limited_s(active.group, active.query, barred)
        if limited_s is not None:
            raise AllLimited(active.group.name, limited_s, active.trace.attempts)
        failure = Failure(FailureKind.OVERLOADED, "an endpoint that may keep what this builds on could not be asked")
        raise _failed(active, failure, spent=False)


def _all_limited(active: ActiveRequest, retry_after_s: float) -> AllLimited:
    return AllLimited(active.group.name, retry_after_s, active.trace.attempts, is_pinned=bool(active.state.out))


def _failed(active: ActiveRequest, failure: Failure, *, spent: bool) -> UpstreamsFailed:
    return UpstreamsFailed(active.group.name, failure, active.trace.attempts, spent=spent)
