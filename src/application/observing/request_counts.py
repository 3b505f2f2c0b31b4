"""What became of all requests, counted, at the price of two additions to lists for a request that went well.

Of those, where many come, every few stand for their neighbours: how many there were is exact, how they divide and how
long they took is not. What went wrong is seldom, and counted one by one. Labels are few and fixed: groups, endpoints
and APIs are the configuration's, status classes five, error types a closed list. What clients choose is no label.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import attrgetter
from typing import NamedTuple

from application.observing.error_types import error_type
from application.observing.latencies import Latencies
from application.ports import Clock
from application.telemetry_ports import RequestRecord

MANY = 1024
"""So many requests that went well are counted at the next tick; fewer wait until somebody asks."""

SAMPLES = 64
"""Of those that wait when somebody asks, so many or twice that are looked at, and stand for all."""

SAMPLES_AT_TICK = 16
"""The same at a tick, where many come."""

DECISIONS = 50
"""How many of the last requests are told one by one."""


class Labels(NamedTuple):
    """What is counted apart. Empty = there is none, or the request did not get so far."""

    group: str
    endpoint: str
    api: str
    status_class: str
    """`2xx`, `4xx` ..."""
    error_type: str
    """See `error_types`; empty = all went well."""


class Decision(NamedTuple):
    """One of the last requests."""

    unix: float
    """When it was over, in unix seconds."""
    group: str
    """Empty = it is for none of the configuration's."""
    record: RequestRecord


class RequestCounts:
    """Counts since the start of this worker. `groups` are the names of the model groups."""

    def __init__(self, groups: Iterable[str], clock: Clock) -> None:
        self.went_well: list[RequestRecord] = []
        """Requests not counted yet. What ends one adds to this and to `ended` itself: a call would cost more."""
        self.ended: list[float] = []
        """When each of them was over, by the clock."""
        self._groups = frozenset(groups)
        self._clock = clock
        self._cells: dict[tuple[str, str, str, int, str], tuple[list[int], Labels]] = {}
        """By what a record says: the count, and what it is counted under."""
        self._latencies: defaultdict[tuple[str, str], Latencies] = defaultdict(Latencies.empty)
        self._last_well: deque[tuple[RequestRecord, float, float]] = deque(maxlen=DECISIONS)
        """When each was over, and what was to be added to that for unix seconds."""
        self._last_errors: deque[Decision] = deque(maxlen=DECISIONS)

    def name_groups(self, groups: Iterable[str]) -> None:
        """The configuration was replaced: these are the names of the groups from now on."""
        self._groups = frozenset(groups)

    def tick(self) -> None:
        """To be called about every second, lest too many wait."""
        if len(self.went_well) >= MANY:
            self._fold(SAMPLES_AT_TICK)

    def went_wrong(self, record: RequestRecord) -> None:
        """A request is over that did not go well."""
        self._last_errors.append(self._decision(record, self._clock.unix()))
        self._count([record], 1)

    def counts(self) -> Counter[Labels]:
        """How many requests there were of each kind; a copy. Pages that are no call of an API do not count."""
        self._fold(SAMPLES)
        counts: Counter[Labels] = Counter()
        for (times,), labels in self._cells.values():
            if labels.api or labels.error_type:
                counts[labels] += times
        return counts

    def latencies(self) -> dict[tuple[str, str], Latencies]:
        """By group and API, a copy. Requests that got no further than their refusal are in none."""
        self._fold(SAMPLES)
        return {place: latencies.copy() for place, latencies in self._latencies.items()}

    def decisions(self) -> Sequence[Decision]:
        """The last requests, the newest first."""
        self._fold(SAMPLES)
        well = [self._decision(it, ended + offset_s) for it, ended, offset_s in self._last_well if it.api]
        return sorted((*well, *self._last_errors), key=attrgetter("unix"))[: -DECISIONS - 1 : -1]

    def _fold(self, samples: int) -> None:
        records, ended = self.went_well, self.ended
        if not records:
            return
        offset_s = self._clock.unix() - self._clock.now()
        last = zip(records[-DECISIONS:], ended[-DECISIONS:], repeat(offset_s))
        self._last_well.extend(last)
        times = max(1, len(records) // samples)
        looked_at = records[::times]
        self._count(looked_at[:-1], times)
        self._count(looked_at[-1:], len(records) - times * (len(looked_at) - 1))
        records.clear()
        ended.clear()

    def _count(self, records: Sequence[RequestRecord], times: int) -> None:
        """Each of them stands for so many."""
        cells = self._cells
        alike: defaultdict[tuple[str, str], list[RequestRecord]] = defaultdict(list)
        for record in records:
            group = record.group if record.group in self._groups else ""
            said = group, record.endpoint, record.api, record.status, record.outcome
            cell = cells.get(said)
            if cell is None:
                of_status, of_outcome = f"{record.status // 100}xx", error_type(record.outcome)
                cell = cells[said] = [0], Labels(group, record.endpoint, str(record.api), of_status, of_outcome)
            cell[0][0] += times
            alike[group, record.api].append(record)
        for place, several in alike.items():
            if place[1]:
                latencies = self._latencies[place]
                latencies.overhead.add([record.overhead_ms for record in several], times)
                latencies.first_byte.add([record.first_byte_ms for record in several], times)
                latencies.total.add([record.total_ms for record in several], times)

    def _decision(self, record: RequestRecord, unix: float) -> Decision:
        """Where models that are no group's are passed on, the log calls the group as the client does."""
        return Decision(unix, record.group if record.group in self._groups else "", record)
