"""What a load generator saw: the same shape whichever it was."""

from collections.abc import Mapping

from msgspec import Struct

from bench.load.distribution import Curve, at


class Seen(Struct, frozen=True, kw_only=True):
    """One run of one generator against one URL."""

    requests: int
    """Answers that came, good or not."""
    rps: float
    """Answers a second."""
    errors: Mapping[str, int]
    """What went wrong, by kind, such as `status` or `timeout`; only kinds that occurred."""
    latencies_ms: Curve
    late_ms: Curve = ()
    """How late the generator itself sent; only where there is a moment at which it should. Latencies contain it."""

    @property
    def failed(self) -> int:
        """All that went wrong."""
        return sum(self.errors.values())

    @property
    def p50_ms(self) -> float:
        """Half were answered by then."""
        return at(self.latencies_ms, 50)

    @property
    def p99_ms(self) -> float:
        """All but one in a hundred were answered by then."""
        return at(self.latencies_ms, 99)
