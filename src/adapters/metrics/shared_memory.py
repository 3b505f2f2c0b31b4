"""The `WorkerReports` port: over memory that the workers share, or of a worker that is alone."""

import os
from collections.abc import Sequence

import msgspec
from msgspec import structs

from adapters.metrics.shared_slots import SharedSlots
from application.observing.counted import NOTHING
from application.observing.worker_reports import WorkerReport

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(WorkerReport).decode


class SharedReports:
    """As one of several workers that a parent started."""

    def __init__(self, slots: SharedSlots, number: int) -> None:
        """`number`: which of the workers this is, from 1 on."""
        self.number = number
        self._slots = slots
        last = self._read(number)
        self.inherited = NOTHING if last is None else last.counted
        """See `WorkerReports`; as it was when this was made."""

    def publish(self, report: WorkerReport) -> None:
        """See `WorkerReports`. One that is too long for its slot is put down without its decisions, or not at all."""
        try:
            is_told = self._slots.write(self.number - 1, _encode(report))
        except UnicodeEncodeError:  # a provider's words, with half of a surrogate pair, in a decision
            is_told = False
        if not is_told:
            self._slots.write(self.number - 1, _encode(structs.replace(report, decisions=())))

    def others(self) -> Sequence[WorkerReport]:
        numbers = (number for number in range(1, len(self._slots) + 1) if number != self.number)
        found = [report for report in map(self._read, numbers) if report is not None]
        return [report if _lives(report.pid) else structs.replace(report, now=None) for report in found]

    def _read(self, number: int) -> WorkerReport | None:
        text = self._slots.read(number - 1)
        return None if text is None else _decode(text)


class OwnReport:
    """Where there is one worker: what it counted goes with it."""

    number = 1
    inherited = NOTHING

    def publish(self, report: WorkerReport) -> None:
        """See `WorkerReports`."""

    def others(self) -> Sequence[WorkerReport]:
        return ()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
