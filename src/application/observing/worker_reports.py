"""What a worker says of itself, so that whichever is asked can speak for all."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from application.observing.counted import Counted
from application.observing.decision import Decision


class ProcessUse(Struct, frozen=True):
    """What a process takes of the machine."""

    cpu_s: float
    """Since it started, in seconds."""
    resident_bytes: int | None
    """None = the system does not say."""
    open_files: int | None
    """Likewise."""


class WorkerNow(Struct, frozen=True):
    """What a worker has in hand at one moment."""

    in_flight: int
    """Requests that are being answered, those that wait included."""
    streams: int
    """Those of them whose stream has begun."""
    connections: int
    """Of clients, idle ones included."""
    held_bytes: int
    detached: int
    waiting: dict[str, int]
    """Requests that wait for a rate limit, by group."""
    at_endpoints: dict[str, int]
    """Requests in flight, by endpoint id."""
    cache_entries: int | None
    """In this worker's memory; None = answers are not kept there."""
    cache_bytes: int | None
    process: ProcessUse


class WorkerReport(Struct, frozen=True):
    """All that others need to know of a worker."""

    number: int
    """Its place, from 1 on; a worker that is replaced leaves it to the next."""
    pid: int
    started_unix: float
    counted: Counted
    """Since the proxy started: those that had the place before are in it."""
    now: WorkerNow | None
    """None = its process has ended, and no other has its place yet."""
    decisions: Sequence[Decision]
    """Its last requests, the newest first."""


class WorkerReports(Protocol):
    """Where the workers of one proxy put down their reports, and read each other's. Never blocks, never raises."""

    @property
    def number(self) -> int:
        """The place of this worker."""

    @property
    def inherited(self) -> Counted:
        """What was counted by those that had this place before; whoever goes on from there may change it."""

    def publish(self, report: WorkerReport) -> None:
        """Replaces what this place has said before. A reader sees all of the one or all of the other."""

    def others(self) -> Sequence[WorkerReport]:
        """The last reports of the other places, in order."""


class Workers(Protocol):
    """All workers together."""

    def counted(self) -> Counted:
        """Their counters, added up: a copy."""

    def publish(self) -> None:
        """Let the others know of this one, if there is news."""
