"""What a row has at hand: a place for files, processes that end with the row, and rounds of the usual kinds."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from bench.load import steady, streams, wrk
from bench.load.seen import Seen
from bench.progress import Progress
from bench.results import Round, Row
from bench.servers import llmproxy, nginx
from bench.servers.children import Children, answers
from bench.servers.llmproxy import HERE, Source
from bench.servers.processes import counted_here, cpu_s, rss_bytes
from bench.servers.subjects import PATH, Subject
from tests.free_port import free_port

MB = 1_000_000
_TICK_S = 0.01
"""What CPU time is counted in."""

PACE = 30
"""Events of a stream a second."""


class World:
    """One row's surroundings. `quick` = shorter and fewer rounds, for a look rather than a figure."""

    def __init__(self, children: Children, scratch: Path, progress: Progress, *, quick: bool) -> None:
        self.children = children
        self.scratch = scratch
        self.progress = progress
        self.quick = quick

    def seconds(self, wanted: float) -> float:
        """How long a load lasts."""
        return max(2.0, wanted * 0.4) if self.quick else wanted

    def rounds(self, wanted: int = 3) -> range:
        """The numbers of the rounds."""
        return range(1, 2 if self.quick else wanted + 1)

    # What stands behind the proxies.

    def instant_provider(self) -> str:
        """nginx that answers at once; its URL."""
        return nginx.start_provider(self.children, self.scratch)

    def provider(self, latency_s: float = 0.0, tokens: int = 0) -> str:
        """The provider that takes its time; its URL."""
        port = free_port()
        options = [f"--port={port}", f"--latency={latency_s}", f"--tokens={tokens}", f"--pace={PACE}"]
        child = self.children.start("provider", [sys.executable, "-m", "bench.servers.provider", *options])
        url = f"http://127.0.0.1:{port}"
        child.wait_until(lambda: answers(url))
        return url

    # What stands in front of them.

    def llmproxy(self, origin: str, name: str = llmproxy.NAME, of: Source = HERE, **general: Any) -> Subject:
        """LLMProxy, with these general settings."""
        return llmproxy.start(self.children, self.scratch, origin, name, of, **general)

    def nginx(self, origin: str) -> Subject:
        """nginx as a reverse proxy."""
        child, urls = nginx.start_reverse_proxy(self.children, self.scratch, {"origin": origin})
        subject = Subject(name="nginx", url=f"{urls['origin']}{PATH}", child=child)
        subject.check()
        return subject

    # What is sent.

    def saturated(self, subject: Subject, number: int, body: bytes, connections: int, seconds: float) -> Round:
        """As much as so many connections carry."""
        self.progress.step(f"{subject.name}, {connections} connections, round {number}")
        return _observed(
            subject,
            number,
            lambda: wrk.run(self.scratch, subject.url, subject.headers, subject.asked(body), connections, seconds),
        )

    def steady(self, subject: Subject, number: int, bodies: Sequence[bytes], rate: int, seconds: float) -> Round:
        """So many a second, each when it is due."""
        self.progress.step(f"{subject.name}, {rate} a second, round {number}")
        asked = [subject.asked(body) for body in bodies]
        return _observed(subject, number, lambda: steady.run(subject.url, subject.headers, asked, rate, seconds))

    def streamed(self, subject: Subject, number: int, count: int, tokens: int) -> Round:
        """So many streams at once."""
        self.progress.step(f"{subject.name}, {count} streams, round {number}")
        pids = subject.pids if subject.child is not None else None
        seen = streams.run(subject, count, tokens, PACE, pids)
        values = {
            "streams": seen.streams,
            "complete": seen.complete,
            "gaps": seen.gaps,
            **_percentiles(dict(seen.gaps_ms), "gap_"),
        }
        if seen.cpu_cores is not None:
            values["cpu_cores"] = round(seen.cpu_cores, 3)
        if seen.rss_bytes is not None:
            values["rss_mb"] = round(seen.rss_bytes / MB, 1)
        errors: Mapping[str, int] = seen.problems if seen.failed else {}
        return Round(subject=subject.name, round=number, values=values, errors=errors, curve=_short(seen.gaps_ms))

    def saturate_in_turn(
        self, subjects: Sequence[Subject], body: bytes, connections: int, seconds: float, rounds: int = 3
    ) -> list[Round]:
        """Each subject in each round, after a warm-up of each; every second round in the other order."""
        for subject in subjects:
            self.saturated(subject, 0, body, connections, 2)
        return [
            self.saturated(subject, number, body, connections, self.seconds(seconds))
            for number in self.rounds(rounds)
            for subject in (subjects if number % 2 else reversed(subjects))
        ]


class Plan(Struct, frozen=True, kw_only=True):
    """A row that can be measured."""

    name: str
    title: str
    about_s: float
    """How long it takes."""
    needs: tuple[str, ...]
    """Programs, by the names of `bench.needs`."""
    measure: Callable[["World", "Plan"], Row]

    def row(self, rounds: Sequence[Round]) -> Row:
        """What was measured, before it is judged."""
        return Row(name=self.name, title=self.title, rounds=tuple(rounds))


def _observed(subject: Subject, number: int, load: Callable[[], Seen]) -> Round:
    watched = subject.child is not None and counted_here()
    used, began = (cpu_s(subject.pids()), time.monotonic()) if watched else (0.0, 0.0)
    seen = load()
    values = {"requests": seen.requests, "rps": round(seen.rps, 1), **_percentiles(dict(seen.latencies_ms))}
    values |= _percentiles(dict(seen.late_ms), "sent_late_")
    if watched:
        cpu = cpu_s(subject.pids()) - used
        values["cpu_cores"] = round(cpu / (time.monotonic() - began), 3)
        values["cpu_ms_per_request"] = round(cpu * 1000 / max(1, seen.requests), 4)
        values["rps_per_core"] = round(seen.requests / max(cpu, _TICK_S), 1)
        values["rss_mb"] = round(rss_bytes(subject.pids()) / MB, 1)
    return Round(subject=subject.name, round=number, values=values, errors=seen.errors, curve=_short(seen.latencies_ms))


def _percentiles(points: Mapping[float, float], prefix: str = "") -> dict[str, float]:
    return {f"{prefix}p{percent:g}_ms": round(points[percent], 3) for percent in (50.0, 99.0) if percent in points}


def _short(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    return tuple((percent, round(ms, 3)) for percent, ms in points)
