"""What is seen during a run: by the providers, by the alarms of the proxy, by the clients."""

from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from domain.endpoint import Endpoint
from domain.failure import Failure
from entrypoints.virtual_time import VirtualClock

BINS = 120
"""In so many equal parts of the run the timeline is cut."""
_PLACES = BINS + 1
"""The last is for what comes after the last arrival: totals have it, the timeline has not."""
_MINUTE_S = 60.0


class Cooldown(Struct):
    """A time for which the proxy left an endpoint alone, from the first failure that counted to the recovery."""

    endpoint: str
    from_s: float
    until_s: float | None
    """When it answered a probe well; None = it had not by the end."""
    why: str
    times: int = 1
    """How often the cooldown began: once, and again for each probe that failed."""


class EndpointBooks:
    """What was seen of one endpoint."""

    def __init__(self) -> None:
        self.answered = [0] * _PLACES
        self.refused = [0] * _PLACES
        """429s, of limits and of storms."""
        self._asked = [0] * _PLACES
        self._left = [0.0] * _PLACES
        self.given_tokens = 0
        self.answered_tokens = 0
        self.let_in_requests: Counter[int] = Counter()
        """By the minute, as `charged_tokens`."""
        self.charged_tokens: Counter[int] = Counter()

    def leaves(self, place: int, left: float) -> None:
        """After a request the provider had that part of its scarcer limit left, of 1."""
        self._asked[place] += 1
        self._left[place] += left

    @property
    def room_left(self) -> list[float]:
        """On average after the requests of each part of the timeline; 1 where there were none."""
        return [left / asked if asked else 1.0 for left, asked in zip(self._left, self._asked, strict=True)]


class Journal:
    """Written by all sides of a run, read by the report. It is the `EndpointAlarm` of the proxy."""

    def __init__(self, endpoints: Mapping[str, object], clock: VirtualClock, length_s: float) -> None:
        self._clock = clock
        self.bin_s = length_s / BINS
        self.books = {name: EndpointBooks() for name in endpoints}
        self.cooldowns: list[Cooldown] = []
        self._cooling: dict[str, Cooldown] = {}
        self.waiting = [0] * _PLACES
        """The most requests that waited for room at once."""
        self.failed = [0] * _PLACES
        """Requests that ended with an error for the client."""

    def asked(self, endpoint: str, cost: int, left: float, *, is_refused: bool) -> None:
        """The provider let a request of so many tokens in, or did not; `left` as for `EndpointBooks.leaves`."""
        books, place = self.books[endpoint], self._bin()
        books.leaves(place, left)
        if is_refused:
            books.refused[place] += 1
            return
        minute = int(self._clock.passed_s() // _MINUTE_S)
        books.let_in_requests[minute] += 1
        books.charged_tokens[minute] += cost

    def stormed(self, endpoint: str) -> None:
        """The provider said 429 without a limit."""
        self.books[endpoint].refused[self._bin()] += 1

    def answered(self, endpoint: str, given: int, answered: int) -> None:
        """The provider answered, with so many tokens."""
        books = self.books[endpoint]
        books.answered[self._bin()] += 1
        books.given_tokens += given
        books.answered_tokens += answered

    def waits(self, requests: int) -> None:
        """So many requests wait for room now."""
        place = self._bin()
        self.waiting[place] = max(self.waiting[place], requests)

    def gave_up(self) -> None:
        """A client was told an error."""
        self.failed[self._bin()] += 1

    def cooling(self, endpoint: Endpoint, failure: Failure, seconds: float) -> None:  # noqa: ARG002 - of the port
        running = self._cooling.get(endpoint.id)
        if running is not None:
            running.times += 1
            return
        cooldown = Cooldown(endpoint.id, self._clock.passed_s(), None, str(failure))
        self._cooling[endpoint.id] = cooldown
        self.cooldowns.append(cooldown)

    fault = cooling

    def limited(self, endpoint: Endpoint, failure: Failure, seconds: float) -> None:
        """See `EndpointAlarm`. The providers' 429s are counted where they are said."""

    def recovered(self, endpoint: Endpoint) -> None:
        cooldown = self._cooling.pop(endpoint.id, None)
        if cooldown is not None:
            cooldown.until_s = self._clock.passed_s()

    def _bin(self) -> int:
        place = self._clock.passed_s() / self.bin_s
        return int(place) if place < BINS else BINS
