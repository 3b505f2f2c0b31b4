"""Many open streams, and what the processes that carry them use meanwhile."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

from msgspec import Struct

from bench.load.distribution import Curve, at
from bench.servers.children import ROOT
from bench.servers.processes import counted_here, cpu_s, rss_bytes
from bench.servers.subjects import Subject

_SETTLE_S = 1.0
_SHORTEST_S = 0.5
"""CPU time is counted in hundredths of a second: a shorter look says nothing."""


class Streamed(Struct, frozen=True, kw_only=True):
    """What came of one crowd of streams."""

    streams: int
    complete: int
    problems: Mapping[str, int]
    gaps: int
    """How many gaps between events were timed."""
    gaps_ms: Curve
    cpu_cores: float | None
    """CPU of the processes watched, in cores, while all streams were open; None = not watched, or not for
    long enough."""
    rss_bytes: int | None
    """Their resident memory then, the largest of several looks."""

    @property
    def failed(self) -> int:
        """Streams that were not complete."""
        return self.streams - self.complete

    @property
    def p99_ms(self) -> float:
        """All but one in a hundred gaps were no longer than this."""
        return at(self.gaps_ms, 99)


def run(
    subject: Subject,
    streams: int,
    tokens: int,
    pace: float,
    pids: Callable[[], list[int]] | None,
    ramp_s: float = 2,
) -> Streamed:
    """Open `streams` streams of `tokens` events each. Where they are passed on one by one they are counted; a
    proxy that writes its own events has none to compare with."""
    patience = ramp_s + tokens / pace + 20
    command = [sys.executable, "-m", "bench.load.stream_client", "--url", subject.url, "--model", subject.model]
    command += ["--headers", json.dumps(dict(subject.headers))]
    command += ["--streams", str(streams), "--tokens", str(tokens), "--patience", str(patience), "--ramp", str(ramp_s)]
    client = subprocess.Popen(  # noqa: S603 - a command of our own
        [*command, "--exact"] if subject.passes_events_on else command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        return _followed(client, pids if counted_here() else None)
    finally:
        client.kill()
        client.wait()


def _followed(client: subprocess.Popen[str], pids: Callable[[], list[int]] | None) -> Streamed:
    """Reads what the client says, and looks at the processes from just after `steady` to `ending`."""
    cores: float | None = None
    memory: int | None = None
    used = began = 0.0
    assert client.stdout is not None  # noqa: S101 - it was asked for
    for line in client.stdout:
        if line == "steady\n" and pids is not None:
            time.sleep(_SETTLE_S)
            memory, used, began = rss_bytes(pids()), cpu_s(pids()), time.monotonic()
        elif line == "ending\n" and pids is not None and began:
            watched_s = time.monotonic() - began
            cores = (cpu_s(pids()) - used) / watched_s if watched_s >= _SHORTEST_S else None
            memory = max(memory or 0, rss_bytes(pids()))
        elif line.startswith("{"):
            told = json.loads(line)
            return Streamed(
                streams=told["streams"],
                complete=told["complete"],
                problems=told["problems"],
                gaps=told["gaps"],
                gaps_ms=tuple((float(percent), float(ms)) for percent, ms in told["curve"]),
                cpu_cores=cores,
                rss_bytes=memory,
            )
    raise ValueError(f"the stream client ended with exit code {client.wait()} and told nothing")
