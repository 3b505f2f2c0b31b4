"""`python -m bench.attack.clients --port N --seconds S`: all attacks at once; at the end a line of JSON about each.

It is nice: real attackers bring cores of their own.
"""

import argparse
import asyncio
import json
import os
from collections import Counter

import uvloop

from bench.attack.kinds import CROWDS, Crowd
from bench.wire import Cut

_NICE = 5
_GATHER_S = 8.0
"""In which a crowd comes together."""


async def _come_again(crowd: Crowd, number: int, port: int, seen: Counter[str]) -> None:
    await asyncio.sleep(_GATHER_S * number / crowd.at_once)
    while True:
        try:
            seen[await crowd.attack(port)] += 1
        except (OSError, Cut, TimeoutError, ValueError) as error:
            seen[type(error).__name__] += 1
        await asyncio.sleep(crowd.pause_s)


async def _attack(port: int, seconds: float, only: str) -> dict[str, Counter[str]]:
    crowds = [crowd for crowd in CROWDS if only in crowd.name]
    seen: dict[str, Counter[str]] = {crowd.name: Counter() for crowd in crowds}
    tasks = [
        asyncio.create_task(_come_again(crowd, number, port, seen[crowd.name]))
        for crowd in crowds
        for number in range(crowd.at_once)
    ]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--only", default="", help="a part of the names of those that are to attack")
    options = parser.parse_args()
    os.nice(_NICE)
    seen = uvloop.run(_attack(options.port, options.seconds, options.only))
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main()
