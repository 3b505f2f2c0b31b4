"""vegeta: so many requests a second, whether or not earlier ones are answered (open loop).

Latency counts from the moment a request was due, not from when it was sent: a stall shows in every request that it
delays, also where the generator itself was held up ("coordinated omission", Gil Tene). vegeta writes down when it sent
each request; when it was due follows from the rate and the request's number.
"""

import csv
import io
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from bench.load.distribution import curve
from bench.load.seen import Seen

TOOLS = Path(__file__).parents[1] / ".tools"
"""Where `make bench-setup` puts it."""

_WARMING_S = 1.0
"""Connections are made in the first second; it is left out."""


class Hit(Struct, frozen=True):
    """One request as vegeta saw it. Times in seconds; `sent` is unix time."""

    number: int
    sent: float
    took: float
    status: int
    error: str


def installed() -> str | None:
    """The path of vegeta; None = it is not there."""
    return shutil.which("vegeta") or shutil.which("vegeta", path=TOOLS)


def run(
    scratch: Path, url: str, headers: Mapping[str, str], bodies: Sequence[bytes], rate: int, seconds: float
) -> Seen:
    """Post the bodies in turn, `rate` times a second. The first second is sent and not counted."""
    vegeta = installed()
    if vegeta is None:
        raise FileNotFoundError("vegeta")
    results = scratch / "vegeta.bin"
    targets = scratch / "vegeta-targets"
    targets.write_text(_targets(scratch, url, headers, bodies), encoding="utf-8")
    attack = [vegeta, "attack", f"-rate={rate}/1s", f"-duration={seconds + _WARMING_S}s", f"-targets={targets}"]
    limits = ["-timeout=20s", "-max-body=0", "-connections=10000", "-workers=64", f"-output={results}"]
    subprocess.run([*attack, *limits], check=True, timeout=seconds + 90)  # noqa: S603 - a command of our own
    told = subprocess.run(  # noqa: S603
        [vegeta, "encode", "-to=csv", str(results)], check=True, capture_output=True, text=True, timeout=60
    )
    return seen(hits(told.stdout), rate)


def hits(table: str) -> list[Hit]:
    """The rows of `vegeta encode -to=csv`: sent (ns), status, latency (ns), bytes out, bytes in, error, body, name,
    number, ..."""
    return [
        Hit(int(row[8]), int(row[0]) / 1e9, int(row[2]) / 1e9, int(row[1]), row[5])
        for row in csv.reader(io.StringIO(table))
    ]


def seen(all_hits: Iterable[Hit], rate: int, warming_s: float = _WARMING_S) -> Seen:
    """Rate, errors, and latencies from when each request was due. A request is never sent before it is due, so the
    earliest moment at which number 0 can have been due is where the schedule begins."""
    known = list(all_hits)
    if not known:
        raise ValueError("vegeta sent nothing")
    began = min(hit.sent - hit.number / rate for hit in known)
    counted = [hit for hit in known if hit.number >= warming_s * rate]
    errors: dict[str, int] = {}
    for hit in counted:
        if hit.status != 200:
            kind = "status" if hit.status else "no_answer"
            errors[kind] = errors.get(kind, 0) + 1
    latencies = [(hit.sent + hit.took - began - hit.number / rate) * 1000 for hit in counted]
    ended = max(hit.sent + hit.took for hit in counted) - began - warming_s
    return Seen(requests=len(counted), rps=len(counted) / ended, errors=errors, latencies_ms=curve(latencies))


def _targets(scratch: Path, url: str, headers: Mapping[str, str], bodies: Sequence[bytes]) -> str:
    listed = []
    for number, body in enumerate(bodies):
        path = scratch / f"vegeta-body-{number}"
        path.write_bytes(body)
        lines = [f"POST {url}", *(f"{name}: {value}" for name, value in headers.items()), f"@{path}", ""]
        listed.append("\n".join(lines))
    return "\n".join(listed)
