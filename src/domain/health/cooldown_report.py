"""What replicas report to each other about the health of an endpoint (`domain.replica_report`)."""

from msgspec import Struct, structs

from domain.replica_moments import later, moved, rank

COOLDOWN_TOLD_S = 60.0  # how long after its end a cooldown is told: nobody has shown yet that the endpoint is well
RECOVERY_TOLD_S = 600.0  # beside the longest cooldown: an old report of the one it ended may linger


class CooldownReport(Struct, frozen=True):
    """The health of one endpoint as another replica should know it. None = nothing to tell."""

    opened_at: float | None = None  # when its latest cooldown began
    open_until: float | None = None  # when that ends, or ended: then a probe has to show that it is well
    cooldown_s: float = 0.0  # how long it was meant to be, before jitter
    closed_at: float | None = None  # a request sent then went well: cooldowns that began before hold no longer

    def merged(self, other: "CooldownReport") -> "CooldownReport":
        """Two cooldowns count as one, from the later beginning to the later end; of two recoveries the later counts."""
        longer = max(self, other, key=lambda report: (rank(report.open_until), report.cooldown_s))
        return CooldownReport(
            later(self.opened_at, other.opened_at),
            longer.open_until,
            longer.cooldown_s,
            later(self.closed_at, other.closed_at),
        )

    def shifted(self, by_s: float) -> "CooldownReport":
        """The same, on a clock that is `by_s` seconds ahead."""
        return CooldownReport(
            moved(self.opened_at, by_s), moved(self.open_until, by_s), self.cooldown_s, moved(self.closed_at, by_s)
        )

    def of_interest(self, now: float, longest_s: float) -> "CooldownReport":
        """What of it may still mean something to somebody at `now`, where no cooldown is longer than `longest_s`."""
        cooldown_over = self.open_until is not None and self.open_until + COOLDOWN_TOLD_S <= now
        recovery_over = self.closed_at is not None and self.closed_at + longest_s + RECOVERY_TOLD_S <= now
        if not cooldown_over and not recovery_over:
            return self
        closed_at = None if recovery_over else self.closed_at
        return CooldownReport(closed_at=closed_at) if cooldown_over else structs.replace(self, closed_at=closed_at)


NO_COOLDOWN = CooldownReport()
