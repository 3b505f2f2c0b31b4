"""How long each stage of one call took."""

from collections.abc import Callable, Mapping


class Stages:
    """Begins with the first stage when it is made; whenever one is over, the next one begins."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._since = now()
        self._times_ms: dict[str, float] = {}

    def begin(self) -> None:
        """What went by until now belongs to no stage."""
        self._since = self._now()

    def over(self, stage: str) -> None:
        now = self._now()
        self._times_ms[stage] = round(1000 * (now - self._since), 1)
        self._since = now

    @property
    def times_ms(self) -> Mapping[str, float]:
        return dict(self._times_ms)
