"""What came of a run: how many requests, whose the failures were, and how sure that makes."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from bench.chaos.history import History
from bench.chaos.interval import highest_share
from bench.chaos.judge import ANSWERED, Sight, Verdict, judge

ALLOWED_SHARE = 0.001
ENOUGH, MOST_FAILURES = 10_511, 5
_FEWEST_FOR_NONE = 2_995
_SHOWN = 30


class Result(Struct, frozen=True):
    """The end of a run. A request counts as failed if any of its tries is the proxy's failure, though a later one was
    answered; where something else explains that it got no answer, it counts as neither."""

    answered: int
    failed: int
    excused: int
    tries: int
    kinds: dict[str, int]
    explained: dict[str, int]
    failures: list[tuple[Sight, Verdict]]
    excuses: list[tuple[Sight, Verdict]]
    wrong: list[str]
    faults: dict[str, int]

    @property
    def requests(self) -> int:
        """Those that are judged."""
        return self.answered + self.failed

    @property
    def passed(self) -> bool:
        """Too few requests cannot show 99.9 %: then none may fail."""
        most = MOST_FAILURES if self.requests >= ENOUGH else 0
        return self.failed <= most and not self.wrong and self.answered > 0


def concluded(sights: Sequence[Sight], history: History, wrong: Sequence[str]) -> Result:
    """Judge everything."""
    verdicts = [(sight, judge(sight, history)) for sight in sights]
    last = {sight.question: verdict for sight, verdict in verdicts}
    failures = [each for each in verdicts if each[1].is_ours]
    excuses = [each for each in verdicts if each[1] is not ANSWERED and not each[1].is_ours]
    failed = {sight.question for sight, _ in failures}
    answered = {number for number, verdict in last.items() if verdict is ANSWERED} - failed
    return Result(
        len(answered), len(failed), len(last) - len(answered) - len(failed), len(sights),
        dict(Counter(sight.kind for sight in sights)),
        dict(Counter(verdict.why for _, verdict in excuses)),
        failures, excuses, list(wrong),
        dict(Counter(f"{_whose(each.fault.target)}: {each.fault.kind}" for each in history.stretches)),
    )  # fmt: skip


def _whose(target: str) -> str:
    return "replica" if target.startswith("replica") else "redis" if target == "redis" else "provider"


def lines(result: Result) -> list[str]:
    """For people."""
    highest = highest_share(result.failed, result.requests) if result.requests else 1.0
    shown = "shown" if highest < ALLOWED_SHARE else f"not shown: that takes {_FEWEST_FOR_NONE} requests and no failure"
    told = [
        "PASS." if result.passed else "FAIL.",
        f"{result.requests} requests, {result.answered} answered, {result.failed} failed by the proxy: "
        f"at least {1 - highest:.4%} are answered, with 95 % confidence; 99.9 % is {shown}.",
        f"{result.excused} more got no answer, and something else explains why.",
        *(f"  {number} times: {why}" for why, number in result.explained.items()),
        f"Faults: {sum(result.faults.values())}.",
        *(f"  {number} {kind}" for kind, number in sorted(result.faults.items())),
        *(f"WRONG: {each}" for each in result.wrong[:_SHOWN]),
    ]
    told += [f"FAILED at {s.since_s:.1f} to {s.until_s:.1f} s, {s.kind}: {v.why}" for s, v in result.failures[:_SHOWN]]
    return told


def written(result: Result) -> dict[str, Any]:
    """Everything, for the file of results; what something else explains is there with its first examples."""

    def full(seen: Sequence[tuple[Sight, Verdict]]) -> list[dict[str, Any]]:
        return [{**msgspec.to_builtins(sight), "why": verdict.why} for sight, verdict in seen]

    return {
        "passed": result.passed,
        "verdict": lines(result),
        "requests": result.requests,
        "answered": result.answered,
        "failed": result.failed,
        "excused": result.excused,
        "tries": result.tries,
        "kinds": result.kinds,
        "faults": result.faults,
        "failures": full(result.failures),
        "explained": [
            {"question": s.question, "kind": s.kind, "at_s": round(s.since_s, 2), "seen": s.seen, "status": s.status,
             "code": s.code, "site": s.site, "replica": s.replica, "why": v.why}
            for s, v in result.excuses
        ],
        "wrong": result.wrong,
    }  # fmt: skip
