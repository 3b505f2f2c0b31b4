"""How well a request fits into what its bucket's limits still let through.

A bucket is what shares one rate limit: host, key and model. It has a limit state for requests and one for tokens.
"""

from enum import IntEnum

from msgspec import Struct

from domain.rate_limit.limit_state import LimitState
from domain.rate_limit.throttle import Throttle

TOKEN_MARGIN = 1.05  # a guess is taken for a little short where it decides whether a request fits

SOFT_WAIT_S = 2.0
"""An estimate that says "not yet" is waited for only this long: it is an estimate, and headers may mislead."""


class Room(IntEnum):
    """How well a request fits, worst first."""

    NONE = 0  # used up, or a 429 clock runs, or another 429 may be coming: asking would only cost one
    SCARCE = 1  # it may or may not fit: to be asked only when no other endpoint has room
    AMPLE = 2


class Ahead(Struct, frozen=True, gc=False):
    """What waits already for the same room."""

    requests: float = 0.0
    tokens: float = 0.0  # that they take together, by their length
    output: float = 0.0  # of these, what their answers take

    def part(self, of_all: float) -> "Ahead":
        """So much of it, from 0 to 1."""
        return Ahead(self.requests * of_all, self.tokens * of_all, self.output * of_all)


NOBODY = Ahead()

_NONE, _AMPLE = Room.NONE, Room.AMPLE


def room_for(requests: LimitState, tokens: LimitState, throttle: Throttle, need: float, now: float) -> Room:
    """How well a request of `need` tokens fits."""
    if now < throttle.opens:
        return _NONE
    need *= TOKEN_MARGIN
    # Mostly there is plenty, and there is no less now than at the last charge or reading.
    if (requests.level is None or requests.level - 1.0 >= requests.terms.plenty) and (
        tokens.level is None or tokens.level - need >= tokens.terms.plenty
    ):
        return _AMPLE
    return min(_room(requests, 1.0, now), _room(tokens, need, now))


def share_left(requests: LimitState, tokens: LimitState, need: float, now: float) -> float:
    """The fraction of the scarcer limit that would be left: the larger, the better the choice. 1 = unknown."""
    return min(_share_left(requests, 1.0, now), _share_left(tokens, need, now))


def fits_in_s(
    requests: LimitState, tokens: LimitState, throttle: Throttle, need: float, now: float, ahead: Ahead = NOBODY
) -> float:
    """Seconds until a request of `need` tokens fits, after those `ahead` of it, as far as is known; 0 = now."""
    tokens_s = tokens.fits_in_s(need * TOKEN_MARGIN, now, ahead.tokens)
    return max(throttle.opens_in_s(now), requests.fits_in_s(1.0, now, ahead.requests), tokens_s)


def _room(state: LimitState, amount: float, now: float) -> Room:
    level, limit, kept = state.room(now), state.terms.limit, state.terms.kept
    amount = state.terms.meter.asked(amount)
    if level is None or _is_ample(state, amount, now):
        return _AMPLE
    need = amount if limit is None else min(amount, limit - kept)
    if level >= max(need, 1.0) or state.probe_in_s(now) <= 0.0:
        return Room.SCARCE
    return Room.SCARCE if level >= 1.0 and state.refills_in_s(need, now) > SOFT_WAIT_S else _NONE


def _is_ample(state: LimitState, amount: float, now: float) -> bool:
    room, whole = state.sure_room(now), state.whole_window()
    kept, window, meter = state.terms.kept, state.terms.window, state.terms.meter
    if room is None or whole is None:
        return room is None or room - amount >= kept
    if window is not None:
        kept = meter.kept(whole)
        if not meter.is_exact and window.may_slide(meter):
            # A guess is worth little where a window holds a few requests: there must be room for two of them.
            amount *= 2.0
    # What is larger than the whole limit can only be tried, and best when nothing else has taken from it.
    return room - min(amount, whole - kept) >= kept


def _share_left(state: LimitState, amount: float, now: float) -> float:
    level, limit = state.room(now), state.terms.limit
    return 1.0 if level is None or not limit else (level - amount) / limit
