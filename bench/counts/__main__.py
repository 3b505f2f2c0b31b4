"""`python -m bench.counts [--requests 10000] [--seed 1]`: do all who count requests agree?

    make counts                                      ten thousand requests, some minutes
    make counts ARGS='--requests 2000'

A proxy with two workers is asked a mixture: chats, streams, repeated questions, embeddings, unknown models, wrong keys,
invalid bodies, rate limits, failing, breaking and silent providers, clients that leave before the answer or in its
midst. Half-way one worker is killed, when it has told what it counted. The exit code is 0 when no counter of `/metrics`
ever fell, and each is what follows from the lines of the log, from what clients saw and from the providers' own counts.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from application.observing.error_types import error_type
from bench.counts.agreement import total
from bench.counts.run import Outcome, count_and_kill


def report(outcome: Outcome) -> str:
    """For people."""
    kinds = Counter(error_type(line["outcome"]) or "ok" for line in outcome.log)
    caches = Counter(line["cache"] for line in outcome.log if line["group"])
    attempts = total(outcome.metrics, "llmproxy_attempts_total")
    lines = [
        f"{outcome.asked:,} requests: {_together(outcome.stayed)}; {outcome.left:,} clients left",
        f"metrics: {total(outcome.metrics, 'llmproxy_requests_total'):,.0f} requests, {attempts:,.0f} attempts; "
        f"log: {len(outcome.log):,} lines; providers: {sum(outcome.received.values()):,} requests",
        f"outcomes: {_together(kinds)}",
        f"cache: {_together(caches)}",
    ]
    found = outcome.differences
    return "\n".join([*lines, *(f"FAILED: {each}" for each in found), *([] if found else ["PASSED: all counts agree"])])


def _together(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {times:,}" for name, times in sorted(counts.items(), key=lambda it: -it[1]))


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.counts", description="Do all who count requests agree?")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(count_and_kill(Path(folder), options.requests, options.seed))
    print(report(outcome))
    return 1 if outcome.differences else 0


if __name__ == "__main__":
    sys.exit(main())
