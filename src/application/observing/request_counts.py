"""What became of all requests, counted exactly, at the price of two additions to lists while a request is answered.

Those that went well are counted together a few times a second, which costs each of them little. Labels are few and
fixed: groups, endpoints and APIs are the configuration's, status classes five, error types a closed list. What clients
choose is no label.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import attrgetter

from application.observing.counted import NOTHING, Counted, Labels, Place
from application.observing.decision import Decision
from application.observing.error_types import error_type
from application.observing.latencies import Latencies
from application.ports import Clock
from application.telemetry_ports import RequestRecord
from domain.caching.cache_key import CacheState

MANY = 1024
"""So many requests that went well are counted at the next tick; fewer wait until somebody asks."""

DECISIONS = 50
"""How many of the last requests are told one by one."""

_TOO_MANY_REQUESTS = 429
_NOT_ASKED_FOR = frozenset((CacheState.HIT, CacheState.SHARED))
_Alike = tuple[str, str, str, int, str, bool, int]
"""What requests of one outcome are counted by, as their records say it."""


class RequestCounts:
    """Counts since the start of the proxy, in this worker's place."""

    def __init__(self, groups: Iterable[str], clock: Clock, before: Counted = NOTHING) -> None:
        """`groups` are the names of the model groups. `before`: what was counted in this place before, which goes on
        here."""
        self.went_well: list[RequestRecord] = []
        """Requests not counted yet. What ends one adds to this and to `ended` itself: a call would cost more."""
        self.ended: list[float] = []
        """When each of them was over, by the clock."""
        self.total = 0
        """How many were counted, pages and all."""
        self._groups = set(groups)
        self._clock = clock
        self._requests: Counter[Labels] = Counter(before.requests)
        self._latencies: defaultdict[Place, Latencies] = defaultdict(Latencies, before.latencies)
        self._retries: Counter[str] = Counter(before.retries)
        self._failovers: Counter[str] = Counter(before.failovers)
        self._limited: Counter[str] = Counter(before.limited)
        self._last_well: deque[tuple[RequestRecord, float, float]] = deque(maxlen=DECISIONS)
        """When each was over, and what was to be added to that for unix seconds."""
        self._last_errors: deque[Decision] = deque(maxlen=DECISIONS)

    def name_groups(self, groups: Iterable[str]) -> None:
        """There are these groups too; what was counted of others stays."""
        self._groups.update(groups)

    def tick(self) -> None:
        """To be called a few times a second, lest too many wait."""
        if len(self.went_well) >= MANY:
            self._fold()

    def went_wrong(self, record: RequestRecord) -> None:
        """A request is over that did not go well."""
        self._last_errors.append(self._decision(record, self._clock.unix()))
        self._count([record], record.outcome)

    def counted(self) -> Counted:
        """What is counted from here on is added to the same: whoever keeps it takes a copy. Endpoints and processes are
        not in it."""
        self._fold()
        return Counted(
            self._requests, self._latencies, {}, retries=self._retries, failovers=self._failovers, limited=self._limited
        )

    def decisions(self) -> Sequence[Decision]:
        """The last requests, the newest first."""
        self._fold()
        well = [self._decision(it, ended + offset_s) for it, ended, offset_s in self._last_well if it.api]
        return newest((*well, *self._last_errors))

    def _fold(self) -> None:
        records, ended = self.went_well, self.ended
        if not records:
            return
        offset_s = self._clock.unix() - self._clock.now()
        self._last_well.extend(zip(records[-DECISIONS:], ended[-DECISIONS:], repeat(offset_s)))
        self._count(records, "ok")
        records.clear()
        ended.clear()

    def _count(self, records: Sequence[RequestRecord], outcome: str) -> None:
        """All of one outcome. Once for each kind of request, and durations once for each place: there are few of both
        among many."""
        self.total += len(records)
        kinds: defaultdict[_Alike, list[RequestRecord]] = defaultdict(list)
        for it in records:  # attribute by attribute: an attrgetter takes twice as long
            kinds[it.group, it.endpoint, it.api, it.status, it.cache, it.stream, it.attempts].append(it)
        places: defaultdict[Place, list[RequestRecord]] = defaultdict(list)
        for alike, several in kinds.items():
            place = self._count_kind(alike, outcome, len(several))
            if place is not None:
                places[place] += several
        for place, several in places.items():
            self._latencies[place].add(
                [it.overhead_ms for it in several],
                [it.first_byte_ms for it in several],
                [it.total_ms for it in several],
            )

    def _count_kind(self, alike: _Alike, outcome: str, times: int) -> Place | None:
        """So many requests, and where their durations belong: None = nowhere."""
        named, endpoint, api, status, cache, stream, attempts = alike
        group, kind = self._known(named), error_type(outcome)
        if api or kind:
            labels = Labels(group, endpoint, str(api), f"{status // 100}xx", kind, str(cache))
            self._requests[labels] += times
        if status == _TOO_MANY_REQUESTS:
            self._limited[group] += times
        if attempts > 1:
            self._retries[group] += times * (attempts - 1)
            if not kind:
                self._failovers[group] += times
        if not api:
            return None
        return Place(group, str(api), "cached" if cache in _NOT_ASKED_FOR else "stream" if stream else "whole")

    def _known(self, group: str) -> str:
        """Where models that are no group's are passed on, records call the group as the client does."""
        return group if group in self._groups else ""

    def _decision(self, record: RequestRecord, unix: float) -> Decision:
        return Decision.of(record, self._known(record.group), unix)


def newest(decisions: Iterable[Decision]) -> Sequence[Decision]:
    """As many as are told, the newest first."""
    return sorted(decisions, key=attrgetter("unix"))[: -DECISIONS - 1 : -1]
