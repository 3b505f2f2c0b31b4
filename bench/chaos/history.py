"""What was wrong when: the faults as they really began and ended."""

import time

from msgspec import Struct

from bench.chaos.faults import REPLICA_KILLED, SITES, WORKER_KILLED, Fault, settle_s

_NOTICED_S = 1.5
"""A worker that was killed is missed for so long: until another has its place, or nginx has seen that it is gone."""


class Stretch(Struct):
    """A fault, from its beginning to its end; `until_s` inf = it is on. Seconds since the load began."""

    fault: Fault
    since_s: float
    until_s: float = float("inf")

    def meets(self, since_s: float, until_s: float) -> bool:
        """Was it on at any moment of these?"""
        return self.since_s <= until_s and since_s <= self.until_s


class History:
    """Written by the stage, read by the judge."""

    def __init__(self) -> None:
        self._zero = time.monotonic()
        self.stretches: list[Stretch] = []

    def begin_now(self) -> None:
        """The load begins."""
        self._zero = time.monotonic()

    def now(self) -> float:
        return time.monotonic() - self._zero

    def begun(self, fault: Fault) -> Stretch:
        """Note it; its `until_s` is set when it has ended."""
        stretch = Stretch(fault, self.now())
        self.stretches.append(stretch)
        return stretch

    def during(self, since_s: float, until_s: float) -> list[Fault]:
        """All that were on."""
        return [each.fault for each in self.stretches if each.meets(since_s, until_s)]

    def of_site(self, site: str, since_s: float, until_s: float) -> list[Fault]:
        """Those of that site alone."""
        return [fault for fault in self.during(since_s, until_s) if fault.target == site]

    def killed(self, since_s: float, until_s: float) -> list[str]:
        """The replicas of which something was killed."""
        faults = self.during(since_s - _NOTICED_S, until_s)
        return [fault.target for fault in faults if fault.kind in (WORKER_KILLED, REPLICA_KILLED)]

    def well(self, since_s: float, until_s: float) -> list[str]:
        """Sites that were well all the while, and had been as long as their last fault takes to settle."""
        ill = {
            each.fault.target
            for each in self.stretches
            if each.fault.target in SITES and each.meets(since_s - settle_s(each.fault), until_s)
        }
        return [site for site in SITES if site not in ill]
