"""`python -m bench.fuzz [--requests 100000] [--minutes 30] [--seed 1]`: mutated requests against the real proxy.

The exit code is 1 where anything was found, else 0. docs/fuzzing.md says what is looked for.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import uvloop

from bench.fuzz.attack import AT_ONCE, attack
from bench.fuzz.cases import case_of
from bench.fuzz.judge import Judge
from bench.fuzz.provider import WatchedProvider
from bench.fuzz.rest import Rest, grown, rest_of
from bench.fuzz.world import KEYS, settings
from bench.machine import this_machine
from bench.soak.proxy import SoakedProxy

RESULTS = Path(__file__).parents[1] / "results"
_WARM_UP = 0.2
"""The part of the requests after which memory is looked at first: until then what is remembered fills."""
_TELL_EVERY = 2_000


class Run:
    """The cases one after the other, until enough requests were sent or the time is up."""

    def __init__(self, judge: Judge, port: int, options: argparse.Namespace) -> None:
        self._judge = judge
        self._port = port
        self._seed = options.seed
        self._ends = time.monotonic() + 60 * options.minutes
        self._numbers = count(options.first)
        self.sent = 0

    async def until(self, requests: int) -> None:
        """So many were sent, or the time is up."""

        def numbers() -> Iterator[int]:
            while self.sent < requests and time.monotonic() < self._ends:
                yield next(self._numbers)

        def tell(case_requests: int) -> None:
            before, self.sent = self.sent, self.sent + case_requests
            if before // _TELL_EVERY < self.sent // _TELL_EVERY:
                print(f"{self.sent} requests, found: {dict(self._judge.kinds)}", file=sys.stderr, flush=True)

        await attack(self._port, self._judge, self._seed, numbers(), tell)


async def run(options: argparse.Namespace) -> bool:
    """Was nothing found?"""
    judge = Judge(lambda finding: print(finding, file=sys.stderr, flush=True))
    provider = WatchedProvider(judge.received, lambda text: judge.found("odd call", -1, text))
    began, machine = time.monotonic(), this_machine({})
    async with provider:
        judge.own[b"host"] = [f"127.0.0.1:{provider.port}".encode()]
        judge.own[b"authorization"] = [f"Bearer {key}".encode() for key in KEYS]
        with tempfile.TemporaryDirectory() as folder:
            proxy = SoakedProxy(Path(folder), settings(provider.url, tenants=options.tenants), provider.port)
            await proxy.start()
            try:
                work = Run(judge, proxy.port, options)
                await work.until(int(options.requests * _WARM_UP))
                before = await rest_of(proxy, provider.port)
                await work.until(options.requests)
                after = await rest_of(proxy, provider.port)
            finally:
                code = await proxy.stop()
    told = report(judge, work.sent, before, after, proxy.log_counts, options)
    told |= {
        "took_s": round(time.monotonic() - began),
        "machine": {"cpu": machine.cpu, "python": machine.python, "commit": machine.commit},
    }
    if code:
        told["failures"].append(f"the proxy ended with {code}")
    print(json.dumps({key: value for key, value in told.items() if key != "findings"}, indent=2))
    options.result.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    print("written:", options.result)
    return not told["failures"]


def report(
    judge: Judge,
    sent: int,
    before: Rest,
    after: Rest,
    log: Mapping[str, int],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """All that was seen, as it is written down."""
    failures = [f"{kind}: {number}" for kind, number in judge.kinds.items()]
    failures += [f"{name}: {value:+.0f}" for name, value in grown(before, after).items()]
    failures += [f"log: {line}: {n}" for line, n in log.items() if "internal error" in line or "no log line" in line]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": options.seed,
        "tenants": options.tenants,
        "requests": sent,
        "connections": judge.ends.total(),
        "calls_at_the_provider": judge.calls,
        "replies": dict(sorted(judge.statuses.items())),
        "errors_of_the_proxy": dict(judge.codes.most_common()),
        "connections_ended_by": dict(judge.ends),
        "log": dict(log),
        "rest": {"before": before, "after": after},
        "failures": failures,
        "findings": [finding._asdict() for finding in judge.findings],
    }


def show(seed: int, number: int) -> None:
    """One case, to be tried by hand."""
    case = case_of(seed, number)
    print(*case.mutations)
    sys.stdout.flush()
    sys.stdout.buffer.write(case.sent + b"\n")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=100_000, help=f"mutated ones, {AT_ONCE} connections at a time")
    parser.add_argument("--minutes", type=float, default=60, help="at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, metavar="CASE", help="the case to begin with")
    parser.add_argument("--tenants", action="store_true", help="the proxy has keys, and keeps them apart")
    parser.add_argument("--show", type=int, metavar="CASE", help="print this case, and do nothing else")
    parser.add_argument("--result", type=Path, default=RESULTS / "fuzz.json", metavar="FILE")
    return parser.parse_args(arguments)


def main() -> int:
    options = _options(None)
    if options.show is not None:
        show(options.seed, options.show)
        return 0
    return 0 if uvloop.run(run(options)) else 1


if __name__ == "__main__":
    sys.exit(main())
