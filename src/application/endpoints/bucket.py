"""One bucket now: what its provider still lets through, less what is on its way there.

The limits and the throttle are values of the domain, and what follows from a charge, a reading or a 429 is decided
there. What requests in flight hold is counted for people, and so that a reply is not taken for newer than it is.
"""

from msgspec import structs

from domain.failure import Failure, FailureKind
from domain.rate_limit.limit_reading import NO_READINGS, Readings, countings
from domain.rate_limit.limit_report import BucketReport, Charged
from domain.rate_limit.limit_state import LimitState
from domain.rate_limit.reservation import Ending, Reservation
from domain.rate_limit.room import NOBODY, Ahead, Room, fits_in_s, room_for, share_left
from domain.rate_limit.throttle import UNLIMITED, Throttle
from domain.rate_limit.token_estimate import UNTAUGHT, Demand, TokenEstimate, Usage

_ANSWERED = Ending.ANSWERED


class Bucket:
    """Alone writes its state."""

    __slots__ = ("_configured", "estimate", "requests", "reserved_requests", "reserved_tokens", "throttle", "tokens")

    is_leaky = False

    def __init__(self, provider: str, rpm: float | None, tpm: float | None, now: float, reserve: float = 0.0) -> None:
        """Nothing was heard of it; `rpm` and `tpm` are what the configuration knows, None = nothing. The fraction
        `reserve` of each limit, but at least 1, is kept untouched while another bucket has room."""
        self._configured = provider, rpm, tpm, reserve
        requests, tokens = countings(provider, reserve)
        self.requests = LimitState.of(requests, rpm, now)
        self.tokens = LimitState.of(tokens, tpm, now)
        self.throttle: Throttle = UNLIMITED
        self.estimate: TokenEstimate = UNTAUGHT
        """What was learned of the requests that it is charged for."""
        self.reserved_requests = 0.0
        self.reserved_tokens = 0.0

    def configure(self, provider: str, rpm: float | None, tpm: float | None, now: float, reserve: float) -> None:
        """The configuration now says this. Where it says something else than before its limits begin anew; a throttle
        that runs, and what was learned of requests, stay."""
        if self._configured == (provider, rpm, tpm, reserve):
            return
        self._configured = provider, rpm, tpm, reserve
        requests, tokens = countings(provider, reserve)
        self.requests = _begun_anew(self.requests, LimitState.of(requests, rpm, now))
        self.tokens = _begun_anew(self.tokens, LimitState.of(tokens, tpm, now))

    @property
    def is_unknown(self) -> bool:
        """Was nothing heard of it, and nothing sent?"""
        is_limited = self.requests.level is not None or self.tokens.level is not None or self.throttle.until > 0.0
        return not is_limited and not self.requests.charged

    @property
    def charged(self) -> Charged:
        """Everything ever charged to it."""
        return Charged(self.requests.charged, self.tokens.charged)

    def need(self, demand: Demand) -> float:
        """The tokens that a request is expected to take."""
        return self.estimate.tokens(demand)

    def room_for(self, need: float, now: float) -> Room:
        """How well a request of `need` tokens fits."""
        return room_for(self.requests, self.tokens, self.throttle, need, now)

    def share_left(self, need: float, now: float) -> float:
        """To choose among the scarce: the fraction of the limit that would be left."""
        return share_left(self.requests, self.tokens, need, now)

    def fits_in_s(self, need: float, now: float, ahead: Ahead = NOBODY) -> float:
        """Seconds until a request of `need` tokens fits, after those `ahead` of it, as far as is known; 0 = now."""
        return fits_in_s(self.requests, self.tokens, self.throttle, need, now, ahead)

    def fits_by_choice_in_s(self, need: float, now: float) -> float:
        """The same of a request that could go elsewhere, and only waits for this one because it is cheaper."""
        return self.fits_in_s(need, now)

    def turn_in_s(self, need: float, now: float, ahead: Ahead) -> float:
        """Seconds until such a request should have room after those `ahead` of it: does it wait at all?"""
        return self.fits_in_s(need, now, ahead)

    def is_overdrawn(self, now: float) -> bool:
        """Is more charged than there is room for? Then what was not sent yet should not be."""
        return (self.requests.room(now) or 0.0) < 0 or (self.tokens.room(now) or 0.0) < 0

    def is_overloaded(self, now: float) -> bool:
        """Does it rest because it said that it is overloaded, and not because somebody asked for too much?"""
        return self.throttle.overload and self.throttle.opens > now

    def charge(self, need: float, now: float) -> Reservation:
        """A request is sent that is expected to take `need` tokens: of which it can get no more than the limit, and is
        charged no more."""
        limit = self.tokens.terms.limit
        is_too_large = False
        if limit is not None and need > limit:
            is_too_large, need = True, limit
        before, tokens_before = self.requests, self.tokens
        self.requests = requests = before.charge(1.0, now)
        self.tokens = tokens = tokens_before.charge(need, now)
        if (requests.level is None and before.level is not None) or (
            tokens.level is None and tokens_before.level is not None
        ):
            self.throttle = self.throttle.in_batches(now)
        if self.throttle.batch:
            self.throttle = self.throttle.after_charge(now)
        others, others_tokens = self.reserved_requests, self.reserved_tokens
        self.reserved_requests = others + 1.0
        self.reserved_tokens = others_tokens + need
        return Reservation(need, requests.charged, tokens.charged, others, others_tokens, is_too_large)

    def read(self, readings: Readings, held: Reservation, sent: float, now: float) -> None:
        """The headers came of the reply to a request that was sent at `sent`."""
        if readings is not NO_READINGS:
            requests, tokens, others = readings.requests, readings.tokens, held.others
            self.requests = self.requests.after_reading(requests, sent, held.requests_mark, now, 1.0, others)
            others, need = held.others_tokens, held.tokens
            self.tokens = self.tokens.after_reading(tokens, sent, held.tokens_mark, now, need, others)
            if self.throttle.batch and (requests.remaining is not None or tokens.remaining is not None):
                self.throttle = self.throttle.after_reading(sent)

    def told(self, readings: Readings, now: float) -> None:
        """The provider says so now, of its own accord."""
        others, others_tokens = self.reserved_requests, self.reserved_tokens
        now_held = Reservation(0.0, self.requests.charged, self.tokens.charged, others, others_tokens)
        self.read(readings, now_held, now, now)

    def restore(self, readings: Readings, now: float) -> None:
        """The limits are as a status of the proxy showed them."""
        charged, tokens = self.charged, readings.tokens
        # As if one request had taken all that is missing: so much fits into a window.
        taken = max(1.0, (tokens.limit or 0.0) - (tokens.remaining or 0.0))
        self.read(readings, Reservation(taken, charged.requests, charged.tokens), now, now)

    def spend(self, usage: Usage, now: float) -> None:
        """Tokens were taken for which nothing was reserved."""
        self.tokens = self.tokens.charge(usage.prompt_tokens + usage.output_tokens, now)

    def succeeded(self, sent: float) -> None:
        """It answered a request that was sent at `sent`."""
        self.throttle = self.throttle.after_success(sent)

    def limited(self, failure: Failure, sent: float, now: float) -> tuple[float, bool]:
        """It answered 429, or with overload: (seconds until it may be asked again, is that new?)."""
        is_new = not self.throttle.wait_s(now)
        overload = failure.kind is FailureKind.OVERLOADED
        self.throttle = self.throttle.after_limit(failure.retry_after_s, sent, now, overload=overload)
        return self.throttle.wait_s(now), is_new

    def refused(self, failure: Failure, held: Reservation, sent: float, now: float) -> Reservation:  # noqa: ARG002
        """It answered so to a request that holds this: what the request holds from now on."""
        return held

    def spilled(self, held: Reservation, now: float) -> Reservation:  # noqa: ARG002
        """The provider had another deployment answer a request: what the request holds from now on."""
        return held

    def settle(self, held: Reservation, ending: Ending, now: float, usage: Usage | None = None) -> None:  # noqa: ARG002
        """A request is over; to be called once for each `charge`. `usage`: what its reply says that it took, which
        counts where that is charged and not what was expected; None = it does not say."""
        limit = self.tokens.terms.limit
        if ending is not _ANSWERED or (limit is not None and held.tokens > limit):
            unused = held.unused(ending, limit)
            if unused:
                self.tokens = self.tokens.refund(unused, held.tokens_mark, now)
            if ending is Ending.UNSENT:
                self.requests = self.requests.refund(1.0, held.requests_mark, now)
        self._release(held)

    def _release(self, held: Reservation) -> None:
        """It is no longer on its way."""
        self.reserved_requests = left = self.reserved_requests - 1.0
        # Sums of fractions need not come to exactly nothing.
        tokens = self.reserved_tokens - held.tokens
        self.reserved_tokens = tokens if tokens > 0.0 and left > 0.0 else 0.0

    def learn(self, demand: Demand, usage: Usage) -> None:
        """A reply said what its request took."""
        self.estimate = self.estimate.after_usage(demand, usage)

    def report(self) -> BucketReport:
        """What this replica was told by the provider itself."""
        throttle, requests, tokens = self.throttle, self.requests.terms.report(), self.tokens.terms.report()
        if not throttle.until or throttle.set_elsewhere:
            return BucketReport(requests=requests, tokens=tokens)
        return BucketReport(throttle.until, throttle.unexplained, requests, tokens)

    def take(self, report: BucketReport, charged: Charged, now: float) -> bool:
        """Another replica says so: does it change anything? `charged` is what this replica had charged when the other
        one's requests were sent that gave the readings."""
        before = self.throttle, self.requests, self.tokens
        if report.limited_until is not None:
            self.throttle = self.throttle.after_peer_report(report.limited_until, report.unexplained, now)
        told, others = report.requests, self.reserved_requests
        if told.read_at is not None:
            self.requests = self.requests.after_peer_report(told.reading, told.read_at, charged.requests, now, others)
        told = report.tokens
        if told.read_at is not None:
            self.tokens = self.tokens.after_peer_report(told.reading, told.read_at, charged.tokens, now)
        return self.throttle is not before[0] or self.requests is not before[1] or self.tokens is not before[2]


def _begun_anew(before: LimitState, state: LimitState) -> LimitState:
    """The state at a new beginning. What was charged before it is nothing that a later reading or refund is about."""
    return structs.replace(state, charged=before.charged, read_mark=before.charged)
