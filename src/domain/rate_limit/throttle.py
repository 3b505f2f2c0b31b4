"""When a bucket that said 429 may be asked again.

A 429 is not a failure: it says when to come back. Times are monotonic seconds.
"""

from msgspec import Struct

from domain.rate_limit.limit_state import ECHO_S

MIN_DELAY_S = 0.25
MAX_DELAY_S = 300.0
DEFAULT_CAP_S = 60.0
MAX_UNEXPLAINED = 16  # more of them in a row make the assumed delay no longer


class Throttle(Struct, frozen=True, gc=False):
    """The 429 clock of one bucket (host, key and model). `UNLIMITED` has never run."""

    until: float = 0.0  # no request before this; 0 = never limited
    set_at: float = 0.0
    unexplained: int = 0  # 429s in a row that named no delay: the assumed one doubles with each
    set_elsewhere: bool = False  # Did another replica get the 429 that set it? Then it is not ours to tell.
    overload: bool = False  # was it set by an overload, which is no limit of the client's?

    def wait_s(self, now: float) -> float:
        """Seconds until the bucket may be asked again; 0 = now."""
        return max(0.0, self.until - now)

    def after_limit(self, delay_s: float | None, started: float, now: float, *, overload: bool = False) -> "Throttle":
        """A request sent at `started` was told to wait `delay_s` seconds (None = it was not told how long).

        Given delays are clamped to 0.25..300 s: Azure is known to say 86400 on a per-minute limit. Without one it is
        1 s, doubling to 60 s, but replies to requests that were in flight together count as one.
        """
        unexplained = self.unexplained
        if delay_s is None:
            if not unexplained or started >= self.set_at:
                unexplained += 1
            delay_s = min(DEFAULT_CAP_S, 2.0 ** (min(unexplained, MAX_UNEXPLAINED) - 1))
        until = now + min(MAX_DELAY_S, max(MIN_DELAY_S, delay_s))
        if self.until > until:
            return Throttle(self.until, now, unexplained, self.set_elsewhere, self.overload)
        return Throttle(until, now, unexplained, overload=overload)

    def after_peer_report(self, until: float, unexplained: int, now: float) -> "Throttle":
        """Another replica was told to stay away until `until`. The very same clock if it runs as long already."""
        until = min(until, now + MAX_DELAY_S)
        if not until > max(now, self.until + ECHO_S):
            return self
        unexplained = max(self.unexplained, min(unexplained, MAX_UNEXPLAINED))
        return Throttle(until, now, unexplained, set_elsewhere=True)

    def after_success(self) -> "Throttle":
        """The bucket answered: the next unexplained 429 starts from 1 s again. A running clock runs on."""
        if not self.unexplained:
            return self
        return Throttle(self.until, self.set_at, set_elsewhere=self.set_elsewhere, overload=self.overload)


UNLIMITED = Throttle()
