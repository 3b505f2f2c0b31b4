"""What each bucket that is shared had been charged at the moments of the last seconds.

Another replica's reading counts what this one had sent by then, and no more. So that the rest can be taken off it, the
books remember where they stood.
"""

import math
from collections import deque

from domain.rate_limit.bucket import Bucket, Charged

KEPT_S = 2.0
"""Readings of other replicas are younger than this, or older than the newest of our own."""


class ChargeHistory:
    """Checkpoints by bucket, one for each change that was noted."""

    def __init__(self) -> None:
        self._points: dict[str, deque[tuple[float, Charged]]] = {}

    def begin(self, name: str) -> None:
        """A bucket is opened: nothing was ever charged to it."""
        self._points[name] = deque([(-math.inf, Charged())])

    def note(self, name: str, bucket: Bucket, now: float) -> None:
        """This is where its books stand."""
        points = self._points[name]
        last = points[-1][1]
        if last.requests != bucket.requests.charged or last.tokens != bucket.tokens.charged:
            points.append((now, Charged(bucket.requests.charged, bucket.tokens.charged)))
        while len(points) > 1 and points[1][0] <= now - KEPT_S:
            points.popleft()

    def at(self, name: str, moment: float | None) -> Charged:
        """Where they stood at `moment`, or at the last checkpoint before it: rather too little than too much, as what
        was charged since is held against a reading. The oldest that is known, if that is younger."""
        points = self._points[name]
        if moment is not None:
            for at, charged in reversed(points):
                if at <= moment:
                    return charged
        return points[0][1]
