"""`python -m bench.chaos [--minutes 20] [--rate 15] [--seed 1] [--plant KIND]`; docs/chaos.md says more.

The exit code is 0 when all held, 1 when the proxy failed a client or something got where it must not, 2 when the run
could not be made.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.chaos import aftermath, report
from bench.chaos.client import SdkClient
from bench.chaos.judge import Sight
from bench.chaos.plants import PLANTS
from bench.chaos.schedule import schedule
from bench.chaos.stage import Stage
from bench.chaos.traffic import Traffic
from bench.machine import this_machine
from bench.servers import nginx
from bench.servers.children import Children
from bench.wire import Answer, Client
from tests.redis_server import NoRedis

RESULTS = Path(__file__).parents[1] / "results"
_TELL_EVERY_S = 10.0
_LATE_S = 2.0


async def run(options: argparse.Namespace, folder: Path, children: Children) -> tuple[report.Result, Traffic]:
    """Everything, from the first process to the last look."""
    sights: list[Sight] = []
    leaks: list[str] = []

    def note(sight: Sight, reply: Answer) -> None:
        sights.append(sight)
        if reply.status != 200 and (canary := aftermath.in_reply(reply.body)):
            leaks.append(f"a canary in a reply of status {reply.status}: {canary}")

    async with Stage(folder, children, options.seed, options.plant) as stage:
        names = {replica.address: name for name, replica in stage.replicas.items()}
        dice = random.Random(options.seed)  # noqa: S311 - repeatable on purpose
        client = Client(stage.port)
        traffic = Traffic(SdkClient(client, names, stage.history, note, dice), options.seed)
        stage.history.begin_now()
        seconds = options.minutes * 60
        telling = asyncio.create_task(_tell(sights, stage))
        await asyncio.gather(traffic.run(options.rate, seconds), stage.play(schedule(options.seed, seconds)))
        telling.cancel()
        client.close()
        wrong = leaks + await aftermath.look(stage, folder)
        if traffic.skipped:
            wrong.append(f"{traffic.skipped} arrivals were left out: too many were under way")
        return report.concluded(sights, stage.history, wrong), traffic


async def _tell(sights: list[Sight], stage: Stage) -> None:
    while True:
        await asyncio.sleep(_TELL_EVERY_S)
        now = stage.history.now()
        on = ", ".join(str(fault) for fault in stage.history.during(now, now)) or "nothing"
        print(f"{now:6.0f} s  {len(sights):6} tries  {on}", file=sys.stderr, flush=True)


def _written(options: argparse.Namespace, result: report.Result, traffic: Traffic) -> Path:
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"make chaos ARGS='--minutes {options.minutes:g} --rate {options.rate:g} --seed {options.seed}'",
        "planted": options.plant,
        "arrivals": traffic.arrivals,
        "clients_that_left": traffic.left,
        "latest_arrival_s": round(traffic.latest_s, 2),
        "machine": msgspec.to_builtins(this_machine({})),
    }
    options.results.mkdir(parents=True, exist_ok=True)
    path: Path = options.results / "chaos.json"
    path.write_text(json.dumps(about | report.written(result), indent=1) + "\n", encoding="utf-8")
    return path


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description="Does the proxy fail under faults?")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rate", type=float, default=15, help="arrivals a second")
    parser.add_argument("--seed", type=int, default=1, help="of faults and traffic")
    parser.add_argument("--plant", choices=PLANTS, help="a fault in the replicas, to see that it is found")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module."""
    options = _options(arguments)
    if nginx.installed() is None:
        print("There is no nginx, which stands before the replicas: apt-get install nginx", file=sys.stderr)
        return 2
    try:
        with tempfile.TemporaryDirectory() as name, Children(Path(name)) as children:
            result, traffic = asyncio.run(run(options, Path(name), children))
    except NoRedis as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(report.lines(result)))
    if traffic.latest_s > _LATE_S:
        print(f"The load came up to {traffic.latest_s:.1f} s late: this machine has too much else to do.")
    print("written:", _written(options, result, traffic))
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
