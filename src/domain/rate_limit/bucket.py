"""What one bucket's provider still lets through, less what is on its way there.

A bucket is what shares one rate limit: host, key and model. It has a limit state for requests and one for tokens, and
the throttle of its last 429.
"""

import math
from enum import Enum, IntEnum

from msgspec import Struct, structs

from domain.rate_limit.limit_reading import PER_MINUTE_S, Counting, Reading, Refill
from domain.rate_limit.limit_report import NO_READING, BucketReport, ReadingReport
from domain.rate_limit.limit_state import LimitState
from domain.rate_limit.throttle import UNLIMITED, Throttle

AZURE_REQUEST_SLICE_S = 10.0
TOKEN_MARGIN = 1.05
"""A guess is taken for a little short where it decides whether a request fits."""

SOFT_WAIT_S = 2.0
"""An estimate that says "not yet" is waited for only this long: it is an estimate, and headers may mislead."""


class Readings(Struct, frozen=True, gc=False):
    """What one reply says about its bucket."""

    requests: Reading = Reading()
    tokens: Reading = Reading()


NO_READINGS = Readings()
"""Of a reply that says nothing."""


class Room(IntEnum):
    """How well a request fits, worst first."""

    NONE = 0
    """Used up, or a 429 clock runs: asking would only cost a 429."""
    SCARCE = 1
    """It may or may not fit: to be asked only when no other endpoint has room."""
    AMPLE = 2


_NONE, _AMPLE = Room.NONE, Room.AMPLE


class Ending(Enum):
    """How a request ended for its bucket."""

    ANSWERED = "answered"
    LEFT = "left"
    """Nobody waited for what became of it, or nothing did: a request larger than the limit is taken to be refused."""
    REFUSED = "refused"
    """The provider would not answer it. That took no tokens; it counts as a request all the same (OpenAI rate-limits
    guide: unsuccessful requests contribute to the limit)."""
    UNSENT = "unsent"
    """The provider never saw it, it cost nothing."""


_ANSWERED = Ending.ANSWERED


class Reservation(Struct, frozen=True, gc=False):
    """What one request was charged, and where that stands in the books."""

    tokens: float
    """What it is expected to take."""
    requests_mark: float
    tokens_mark: float
    others: float = 0.0
    """How many requests were on their way when it was sent: it may overtake so many ..."""
    others_tokens: float = 0.0
    """... that take so much."""
    is_too_large: bool = False
    """Is it expected to take more than the whole limit? Then `tokens` is the limit."""


class Charged(Struct, frozen=True):
    """What a bucket had been charged in all up to some moment, or for each limit up to one of its own."""

    requests: float = 0.0
    tokens: float = 0.0


class Bucket(Struct, frozen=True, gc=False):
    """The state of one bucket."""

    requests: LimitState
    tokens: LimitState
    throttle: Throttle = UNLIMITED

    @classmethod
    def fresh(cls, provider: str, rpm: float | None, tpm: float | None, now: float, reserve: float = 0.0) -> "Bucket":
        """A bucket nothing was heard of; `rpm` and `tpm` are what the configuration knows, None = nothing. The
        fraction `reserve` of each limit, but at least 1, is kept untouched while another bucket has room."""
        azure = provider == "azure"
        refill = Refill.WINDOW if azure else Refill.CONTINUOUS
        slice_s = AZURE_REQUEST_SLICE_S if azure else PER_MINUTE_S
        requests = Counting(refill, slice_s, is_exact=True, reserve=reserve)
        return cls(LimitState.of(requests, rpm, now), LimitState.of(Counting(refill, reserve=reserve), tpm, now))

    @property
    def is_unknown(self) -> bool:
        """Was nothing heard of it, and nothing sent?"""
        requests = self.requests
        return requests.level is None and self.tokens.level is None and not requests.charged and not self.throttle.until

    def room_for(self, need: float, now: float) -> Room:
        """How well a request of `need` tokens fits."""
        if now < self.throttle.until:
            return _NONE
        requests, tokens = self.requests, self.tokens
        need *= TOKEN_MARGIN
        # Mostly there is plenty, and there is no less now than at the last charge or reading.
        if (requests.level is None or requests.level - 1.0 >= requests.terms.plenty) and (
            tokens.level is None or tokens.level - need >= tokens.terms.plenty
        ):
            return _AMPLE
        return min(_room(requests, 1.0, now), _room(tokens, need, now))

    def is_overdrawn(self, now: float) -> bool:
        """Is more charged than there was room for?"""
        return (self.requests.room(now) or 0.0) < 0 or (self.tokens.room(now) or 0.0) < 0

    def share_left(self, need: float, now: float) -> float:
        """The fraction of the scarcer limit that would be left: the larger, the better the choice. 1 = unknown."""
        return min(_share_left(self.requests, 1.0, now), _share_left(self.tokens, need, now))

    def fits_in_s(self, need: float, now: float) -> float:
        """Seconds until a request of `need` tokens fits, as far as is known; 0 = now."""
        waits = (self.requests.fits_in_s(1.0, now), self.tokens.fits_in_s(need * TOKEN_MARGIN, now))
        return max(self.throttle.wait_s(now), *waits)

    def reserve(
        self, need: float, now: float, others: float = 0.0, others_tokens: float = 0.0
    ) -> tuple["Bucket", Reservation]:
        """A request is sent that is expected to take `need` tokens: of which it can get no more than the limit, and is
        charged no more. `others` are on their way, and take `others_tokens`."""
        limit = self.tokens.terms.limit
        is_too_large = limit is not None and need > limit
        if limit is not None and is_too_large:
            need = limit
        requests, tokens = self.requests.charge(1.0, now), self.tokens.charge(need, now)
        reservation = Reservation(need, requests.charged, tokens.charged, others, others_tokens, is_too_large)
        return Bucket(requests, tokens, self.throttle), reservation

    def settle(self, held: Reservation, ending: Ending, now: float) -> "Bucket":
        """The request is over, to be called once; the very same object where nothing of its charge is given back."""
        limit, unused = self.tokens.terms.limit, held.tokens
        if limit is None or unused <= limit:
            if ending is _ANSWERED or (ending is Ending.LEFT and not held.is_too_large):
                return self
        elif ending is _ANSWERED:
            unused -= limit  # more was charged, as the limit was not known yet
        requests, tokens = self.requests, self.tokens.refund(unused, held.tokens_mark, now)
        if ending is Ending.UNSENT:
            requests = requests.refund(1.0, held.requests_mark, now)
        return Bucket(requests, tokens, self.throttle)

    def after_reading(self, readings: Readings, held: Reservation, sent: float, now: float) -> "Bucket":
        """The headers of the reply to a request that was sent at `sent`."""
        if readings is NO_READINGS:
            return self
        return Bucket(
            self.requests.after_reading(readings.requests, sent, held.requests_mark, now, 1.0, held.others),
            self.tokens.after_reading(readings.tokens, sent, held.tokens_mark, now, held.tokens, held.others_tokens),
            self.throttle,
        )

    def report(self) -> BucketReport:
        """What this replica was told by the provider itself."""
        throttle, requests, tokens = self.throttle, _told(self.requests), _told(self.tokens)
        if not throttle.until or throttle.set_elsewhere:
            return BucketReport(requests=requests, tokens=tokens)
        return BucketReport(throttle.until, throttle.unexplained, requests, tokens)

    def after_report(self, report: BucketReport, charged: Charged, now: float, others: float = 0.0) -> "Bucket":
        """Another replica says so; the very same object where that changes nothing. `charged` is what this replica had
        charged when the other one's requests were sent that gave the readings; `others` are on their way from here."""
        throttle, requests, tokens = self.throttle, self.requests, self.tokens
        if report.limited_until is not None:
            throttle = throttle.after_peer_report(report.limited_until, report.unexplained, now)
        if report.requests.read_at is not None:
            reading, read_at = report.requests.reading, report.requests.read_at
            requests = requests.after_peer_report(reading, read_at, charged.requests, now, others)
        if report.tokens.read_at is not None:
            tokens = tokens.after_peer_report(report.tokens.reading, report.tokens.read_at, charged.tokens, now)
        if throttle is self.throttle and requests is self.requests and tokens is self.tokens:
            return self
        return Bucket(requests, tokens, throttle)

    def after_limit(self, delay_s: float | None, sent: float, now: float, *, overload: bool = False) -> "Bucket":
        """A 429, or an overload; `delay_s` None = it named no delay."""
        return structs.replace(self, throttle=self.throttle.after_limit(delay_s, sent, now, overload=overload))

    def after_success(self) -> "Bucket":
        """The bucket answered; the very same object where that changes nothing."""
        throttle = self.throttle
        return structs.replace(self, throttle=throttle.after_success()) if throttle.unexplained else self


def _told(gauge: LimitState) -> ReadingReport:
    terms = gauge.terms
    if terms.is_from_peer or terms.read_at == -math.inf:
        return NO_READING
    return ReadingReport(terms.reading, terms.read_at)


def _room(gauge: LimitState, amount: float, now: float) -> Room:
    level, limit, kept = gauge.room(now), gauge.terms.limit, gauge.terms.kept
    if level is None or _is_ample(gauge, amount, now):
        return _AMPLE
    need = amount if limit is None else min(amount, limit - kept)
    if level >= max(need, 1.0) or gauge.probe_in_s(now) <= 0.0:
        return Room.SCARCE
    return Room.SCARCE if level >= 1.0 and gauge.refills_in_s(need, now) > SOFT_WAIT_S else _NONE


def _is_ample(gauge: LimitState, amount: float, now: float) -> bool:
    room, whole = gauge.sure_room(now), gauge.whole_window()
    kept, window, meter = gauge.terms.kept, gauge.terms.window, gauge.terms.meter
    if room is None or whole is None:
        return room is None or room - amount >= kept
    if window is not None:
        kept = meter.kept(whole)
        if not meter.is_exact and window.may_slide(meter):
            # A guess is worth little where a window holds a few requests: there must be room for two of them.
            amount *= 2.0
    # What is larger than the whole limit can only be tried, and best when nothing else has taken from it.
    return room - min(amount, whole - kept) >= kept


def _share_left(gauge: LimitState, amount: float, now: float) -> float:
    level, limit = gauge.room(now), gauge.terms.limit
    return 1.0 if level is None or not limit else (level - amount) / limit
