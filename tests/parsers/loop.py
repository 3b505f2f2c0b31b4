"""The loop: mutate, run, and keep what goes a new way."""

import traceback
from collections.abc import Sequence
from random import Random
from time import monotonic, thread_time

from msgspec import Struct

from tests.parsers.coverage import Coverage, Feature
from tests.parsers.mutation import mutated
from tests.parsers.target import Target

FREE_STEPS = 20_000
SLOW_S = 2.0
"""Processor seconds without a trace: an input of 64 KiB takes a hundredth."""
_MOST_FINDINGS = 20
_TRACED = 0.2
"""So many of the inputs are traced, and all that come to a new end."""
_SHORTEN_S = 20.0
"""So long an input is tried with less of it, once something did not hold."""
_KEPT_BYTES = 512
_KEPT = 60


class TooMuchWork(AssertionError):
    """More lines, or more time, than the length of the input explains."""


class Finding(Struct, frozen=True):
    """Something that did not hold."""

    data: bytes
    """As short as it could be made."""
    place: str
    """Where it was raised: of all findings there only the first is kept."""
    told: str


class Fuzzing:
    """Of one target."""

    def __init__(self, target: Target, seeds: Sequence[bytes], seed: int) -> None:
        """`seed`: of the dice."""
        self.target = target
        self.executions = 0
        self.findings: list[Finding] = []
        self._dice = Random(seed)
        self._coverage = Coverage()
        self._seen: set[Feature] = set()
        self._corpus: list[bytes] = []
        for data in (b"", *seeds, *target.words):
            self._try(data)
        self._corpus = self._corpus or [b""]

    @property
    def ways(self) -> int:
        """How many ways through the code were seen."""
        return len(self._seen)

    def go_on(self, seconds: float) -> None:
        """For so long, or until too much was found."""
        until = monotonic() + seconds
        while monotonic() < until and len(self.findings) < _MOST_FINDINGS:
            self.try_some(10)

    def try_some(self, count: int) -> None:
        """So many inputs."""
        target = self.target
        for _ in range(count):
            data = mutated(self._dice, self._corpus, target.words, target.longest_bytes)
            self._try(data, is_traced=self._dice.random() < _TRACED)

    def kept(self) -> list[bytes]:
        """The shortest inputs that together go most of the ways that were seen."""
        found: dict[bytes, set[Feature]] = {}
        for data in {each for each in self._corpus if len(each) <= _KEPT_BYTES}:
            if self._fault(data) is None:
                found[data] = self._coverage.features
        kept: list[bytes] = []
        gone: set[Feature] = set()
        while found and len(kept) < _KEPT:
            best = max(found, key=lambda data: (len(found[data] - gone) / (len(data) + 40), data))
            new = found.pop(best) - gone
            if not new:
                break
            gone |= new
            kept.append(best)
        return sorted(kept)

    def _try(self, data: bytes, *, is_traced: bool = True) -> None:
        self.executions += 1
        fault = self._fault(data, is_traced=is_traced)
        if fault is None and not is_traced and self._coverage.features - self._seen:
            fault = self._fault(data)
        new = self._coverage.features - self._seen
        if fault is not None:
            place = _place(fault)
            if all(place != each.place for each in self.findings):
                self._note(data, place)
        elif new:
            self._seen |= new
            self._corpus.append(data)

    def _fault(self, data: bytes, *, is_traced: bool = True) -> Exception | None:
        try:
            seconds = self._took_s(data, is_traced=is_traced)
            steps = self._coverage.steps
            if is_traced and seconds > SLOW_S:
                seconds = self._took_s(data, is_traced=False)
            self._check_work(len(data), steps, seconds)
        except Exception as error:
            return error
        return None

    def _took_s(self, data: bytes, *, is_traced: bool) -> float:
        began = thread_time()
        self._coverage.of(self.target.run, data, is_traced=is_traced)
        return thread_time() - began

    def _check_work(self, size: int, steps: int, seconds: float) -> None:
        if steps > FREE_STEPS + self.target.steps_a_byte * size or seconds > SLOW_S:
            raise TooMuchWork(f"{steps} lines and {seconds:.1f} s for {size} bytes")

    def _note(self, data: bytes, place: str) -> None:
        size, until = max(1, len(data) // 2), monotonic() + _SHORTEN_S
        while size and monotonic() < until:
            at = 0
            while at < len(data) and monotonic() < until:
                shorter = data[:at] + data[at + size :]
                fault = self._fault(shorter)
                if fault is not None and _place(fault) == place:
                    data = shorter
                else:
                    at += size
            size //= 2
        fault = self._fault(data)
        told = "".join(traceback.format_exception(fault)) if fault is not None else "it did not happen again"
        self.findings.append(Finding(data, place, told))


def _place(fault: Exception) -> str:
    frames = traceback.extract_tb(fault.__traceback__)
    return f"{type(fault).__name__} {frames[-1].filename}:{frames[-1].lineno}"
