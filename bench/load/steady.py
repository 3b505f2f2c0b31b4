"""A steady rate: runs `bench.load.steady_client` in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence

from bench.load.seen import Seen
from bench.servers.children import ROOT


def run(url: str, headers: Mapping[str, str], bodies: Sequence[bytes], rate: int, seconds: float) -> Seen:
    """Post the bodies in turn, `rate` times a second. The first second is sent and not counted."""
    told = json.dumps({"headers": dict(headers), "bodies": [body.decode() for body in bodies]})
    options = ["--url", url, "--rate", str(rate), "--seconds", str(seconds)]
    done = subprocess.run(  # noqa: S603 - a command of our own
        [sys.executable, "-m", "bench.load.steady_client", *options],
        cwd=ROOT,
        input=told,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 90,
    )
    if done.returncode:
        raise RuntimeError(f"the load generator ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return parsed(done.stdout)


def parsed(output: str) -> Seen:
    """What the client printed."""
    told = json.loads(output)
    return Seen(
        requests=told["requests"],
        rps=told["rps"],
        errors=told["errors"],
        latencies_ms=tuple((float(percent), float(ms)) for percent, ms in told["curve"]),
        late_ms=tuple((float(percent), float(ms)) for percent, ms in told["late"]),
    )
