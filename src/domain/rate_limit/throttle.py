"""When a bucket that said 429 may be asked again.

A 429 is not a failure: it says when to come back. It does not say how much room there is then, and hundreds may wait
for it. So requests go in batches of 1, 2, 4 ... with a pause after each in which another 429 would come, until a reply
tells what remains. The same where all of a limit should be back and nobody said how much that is. Times are monotonic
seconds.
"""

from msgspec import Struct, structs

from domain.rate_limit.limit_state import ECHO_S

MIN_DELAY_S = 0.25
MAX_DELAY_S = 300.0
DEFAULT_CAP_S = 60.0
MAX_UNEXPLAINED = 16  # more of them in a row make the assumed delay no longer
PAUSE_S = 0.25  # a refusal seldom takes longer to come: nothing is computed for it
LAST_BATCH = 64  # once so many went together without a 429, as many go as there are
BATCHES_WITHIN_S = 60.0  # what is longer ago has no say in how many go: limits are counted by the minute


class Throttle(Struct, frozen=True, gc=False):
    """The 429 clock of one bucket (host, key and model). `UNLIMITED` has never run."""

    until: float = 0.0  # the 429 clock runs until this; 0 = never limited
    opens: float = 0.0  # no request before this: the end of the clock, or of the pause after a batch
    batch: int = 0  # so many more may go before the next pause; 0 = there is none
    next_batch: int = 0  # so many after it
    set_at: float = 0.0
    unexplained: int = 0  # 429s in a row that named no delay: the assumed one doubles with each
    set_elsewhere: bool = False  # Did another replica get the 429 that set it? Then it is not ours to tell.
    overload: bool = False  # was it set by an overload, which is no limit of the client's?

    def wait_s(self, now: float) -> float:
        """Seconds until the 429 clock ends; 0 = none runs."""
        return max(0.0, self.until - now)

    def opens_in_s(self, now: float) -> float:
        """Seconds until the bucket may be asked again; 0 = now."""
        return max(0.0, self.opens - now)

    def in_batches(self, now: float) -> "Throttle":
        """What was left is used up or long ago, and nobody said how much there is now."""
        return structs.replace(self, opens=max(self.until, now), batch=1, next_batch=2)

    def after_charge(self, now: float) -> "Throttle":
        """A request is sent while there is a `batch`."""
        if now >= self.opens + BATCHES_WITHIN_S:
            return self.after_reading(now)
        if self.batch > 1:
            return structs.replace(self, batch=self.batch - 1)
        batch = self.next_batch if self.next_batch <= LAST_BATCH else 0
        return structs.replace(self, opens=max(self.opens, now + PAUSE_S), batch=batch, next_batch=2 * batch)

    def after_reading(self, sent: float) -> "Throttle":
        """The reply to a request sent at `sent` told what remains. One sent before the clock ended tells nothing of the
        time after it."""
        return structs.replace(self, opens=self.until, batch=0) if sent >= self.until else self

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
            return structs.replace(self, set_at=now, unexplained=unexplained)
        return _begun(until, now, unexplained, overload=overload)

    def after_peer_report(self, until: float, unexplained: int, now: float) -> "Throttle":
        """Another replica was told to stay away until `until`. The very same clock if it runs as long already."""
        until = min(until, now + MAX_DELAY_S)
        if not until > max(now, self.until + ECHO_S):
            return self
        unexplained = max(self.unexplained, min(unexplained, MAX_UNEXPLAINED))
        return _begun(until, now, unexplained, set_elsewhere=True)

    def after_success(self, sent: float) -> "Throttle":
        """The bucket answered a request sent at `sent`: the next unexplained 429 starts from 1 s again. If it was the
        last of a batch the pause is over. A running clock runs on."""
        opens = self.until if sent + PAUSE_S >= self.opens else self.opens
        if not self.unexplained and opens == self.opens:
            return self
        return structs.replace(self, opens=opens, unexplained=0)


def _begun(
    until: float, now: float, unexplained: int, *, set_elsewhere: bool = False, overload: bool = False
) -> Throttle:
    return Throttle(until, until, 1, 2, now, unexplained, set_elsewhere, overload)


UNLIMITED = Throttle()
