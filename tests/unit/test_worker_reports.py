"""What a worker counts is known to all and outlives it: texts in shared memory are whole, whoever is killed when; a
worker that takes the place of one that died goes on from what that one said last."""

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from adapters.metrics.shared_memory import OwnReport, SharedReports
from adapters.metrics.shared_slots import LONGEST_BYTES, SharedSlots
from application.observing.cost_tally import CostTally
from application.observing.counted import NOTHING, Counted, Labels, Place
from application.observing.decision import Decision
from application.observing.latencies import Latencies
from application.observing.tallies import EndpointTally
from application.observing.worker_reports import ProcessUse, WorkerNow, WorkerReport
from application.use_cases.workers import REPEAT_S, AllWorkers, Process, total
from tests.fakes import FakeClock

NOW = WorkerNow(3, 1, 4, 100, 0, {"gpt": 2}, {"gpt/1": 3}, None, None, ProcessUse(0.5, 1 << 20, 12))
LABELS = Labels("gpt", "gpt/1", "chat", "2xx", "", "bypass")
DECISION = Decision("req_1", 1.5, "gpt", "chat", "gpt/1", 1, "gpt/1: ok", 200, "ok", False, "bypass", 2.0, 1.0, 0.1)


def some() -> Counted:
    latencies = Latencies()
    latencies.total.add([1.0, 20.0])
    tally = EndpointTally(
        "gpt", 3, {"server_error": 1}, 1, 10, 5, 0, 7, costs=CostTally(2, 1, Decimal(10**15) + Decimal("1e-12"))
    )
    return Counted({LABELS: 2}, {Place("gpt", "chat", "whole"): latencies}, {"gpt/1": tally}, {"gpt": 1}, cpu_s=0.25)


def report(number: int, counted: Counted = NOTHING, pid: int | None = None) -> WorkerReport:
    return WorkerReport(number, pid or os.getpid(), 1.0, counted, NOW, [DECISION])


def test_a_slot_has_what_was_put_down_last_and_others_have_theirs() -> None:
    slots = SharedSlots(2)
    assert slots.read(0) is None
    for text in (b"first, and the longest", b"second", b"third one"):
        assert slots.write(0, text)
        assert slots.read(0) == text
    assert slots.read(1) is None


def test_a_text_that_is_too_long_leaves_what_was_there() -> None:
    slots = SharedSlots(1)
    assert slots.write(0, b"x" * LONGEST_BYTES)
    assert not slots.write(0, b"y" * (LONGEST_BYTES + 1))
    assert slots.read(0) == b"x" * LONGEST_BYTES


def test_a_writer_that_is_killed_while_it_writes_leaves_the_last_text() -> None:
    slots = SharedSlots(1)
    slots.write(0, b"old")
    slots.write(0, b"whole")
    unfinished = slots._buffer(0, slots._written(0) + 1)
    slots._memory[unfinished : unfinished + 64] = b"#" * 64

    assert slots.read(0) == b"whole"
    slots.write(0, b"next")
    assert slots.read(0) == b"next"


def test_a_reader_that_was_overtaken_looks_again() -> None:
    class Overtaken(SharedSlots):
        looks = 0

        def _written(self, slot: int) -> int:
            written = super()._written(slot)
            self.looks += 1
            if self.looks == 1:  # between the look and the copy the writer came by twice, and is at the third
                slots._memory[self._buffer(slot, written) + 8] ^= 0xFF
            return written

    slots = SharedSlots(1)
    slots.write(0, b"one")
    reader = Overtaken(1)
    reader._memory = slots._memory

    assert reader.read(0) is None and reader.looks > 2, "what does not fit its checksum is never given out"
    slots.write(0, b"two")
    assert reader.read(0) == b"two"


def test_another_process_never_sees_half_a_text() -> None:
    slots, rounds = SharedSlots(1), 3000
    child = os.fork()
    if not child:
        for number in range(1, rounds + 1):
            slots.write(0, number.to_bytes(4, "big") * (1 + number % 5000))
        os._exit(0)
    seen = 0
    while seen < rounds:
        text = slots.read(0)
        if text is not None:
            number = int.from_bytes(text[:4], "big")
            assert text == text[:4] * (1 + number % 5000)
            assert number >= seen
            seen = number
    assert os.waitpid(child, 0)[1] == 0


def test_where_memory_is_not_inherited_slots_are_in_a_file_for_this_user_alone_that_goes() -> None:
    slots = SharedSlots.in_file(2)
    path = slots._path
    assert path is not None
    try:
        assert path.stat().st_mode & 0o777 == 0o600
        theirs: SharedSlots = pickle.loads(pickle.dumps(slots))
        theirs.write(1, b"told")
        assert slots.read(1) == b"told"
    finally:
        slots.remove()
    assert not path.exists()
    with pytest.raises(TypeError):
        pickle.dumps(SharedSlots(1))


def test_reports_come_back_as_they_were_and_of_a_dead_worker_only_what_it_counted() -> None:
    slots = SharedSlots(3)
    one, three = SharedReports(slots, 1), SharedReports(slots, 3)
    made = report(1, some())
    one.publish(made)
    dead = report(2, some(), pid=_ended())
    SharedReports(slots, 2).publish(dead)

    assert three.others() == [made, structs.replace(dead, now=None)]
    assert one.others() == [structs.replace(dead, now=None)]
    assert three.inherited == NOTHING
    assert SharedReports(slots, 1).inherited == some()


@pytest.mark.parametrize("words", ["x" * (LONGEST_BYTES // 40), "half a pair: \ud83d"])
def test_a_report_that_is_too_long_or_no_text_goes_without_its_decisions(words: str) -> None:
    slots = SharedSlots(1)
    wordy = structs.replace(report(1, some()), decisions=[structs.replace(DECISION, reasons=words)] * 50)
    SharedReports(slots, 1).publish(wordy)

    assert SharedReports(slots, 1).inherited == some()


def _ended() -> int:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return child


class Own:
    """As `ReportWorker`: a worker that counts one thing."""

    def __init__(self, before: int = 0) -> None:
        self.counts: Any = self
        self.requests: list[None] = []
        self.process = Process(os.getpid(), 1.0, lambda: ProcessUse(0.0, None, None))
        self.total = before
        self.went_well: list[None] = []

    def counted(self, before: Counted) -> Counted:
        return Counted({LABELS: self.total}, worker_starts=before.worker_starts + 1)

    def now(self, besides: int) -> WorkerNow:
        return structs.replace(NOW, in_flight=len(self.requests) - besides)

    def decisions(self) -> list[Decision]:
        return [DECISION]


def worker(slots: SharedSlots, number: int, clock: FakeClock | None = None) -> tuple[Own, AllWorkers]:
    reports = SharedReports(slots, number)
    own: Any = Own(reports.inherited.requests.get(LABELS, 0))
    return own, AllWorkers(own, reports, clock or FakeClock())


STEPS = st.lists(st.tuples(st.sampled_from(["count", "publish", "die", "ask"]), st.integers(1, 3)), max_size=80)


@given(STEPS)
def test_no_counter_falls_and_none_is_lost_but_what_a_killed_worker_had_not_told(steps: list[tuple[str, int]]) -> None:
    slots = SharedSlots(3)
    workers = {number: worker(slots, number) for number in (1, 2, 3)}
    told = dict.fromkeys(workers, 0)
    seen = 0
    for step, number in steps:
        own, every = workers[number]
        if step == "count":
            own.total += 1
        elif step == "die":
            workers[number] = worker(slots, number)
            assert workers[number][0].total == told[number]
        elif step == "publish":
            every.publish()
        else:
            known = total(report.counted for report in every(0)).requests.get(LABELS, 0)
            others = sum(told[other] for other in told if other != number)
            assert known == own.total + others
            assert known >= seen, "whoever is asked"
            seen = known
        if step in ("publish", "ask"):
            told[number] = own.total


def test_whoever_is_asked_tells_of_all_in_their_order() -> None:
    slots = SharedSlots(2)
    (first, ours), (_, theirs) = worker(slots, 2), worker(slots, 1)
    first.requests = [None, None]
    theirs.publish()

    told = ours(1)
    assert [each.number for each in told] == [1, 2]
    assert told[1].now is not None and told[1].now.in_flight == 1, "the one that asks does not count itself"


def test_news_are_put_down_at_once_and_the_same_again_now_and_then() -> None:
    class Published(OwnReport):
        times = 0

        def publish(self, report: WorkerReport) -> None:
            self.times += 1

    own, clock, told = Own(), FakeClock(), Published()
    made: Any = own
    every = AllWorkers(made, told, clock)

    with _publishing(every, told, 1):
        pass
    with _publishing(every, told, 0):
        pass
    with _publishing(every, told, 1):
        own.total += 1
    with _publishing(every, told, 1):
        own.requests.append(None)
    with _publishing(every, told, 1):
        own.requests.clear()
    with _publishing(every, told, 0):
        clock.advance(REPEAT_S / 2)
    with _publishing(every, told, 1):
        clock.advance(REPEAT_S / 2)


@contextmanager
def _publishing(every: AllWorkers, told: Any, times: int) -> Iterator[None]:
    before = told.times
    yield
    every.publish()
    assert told.times - before == times
