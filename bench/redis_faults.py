"""Makes a Redis fail in every way while clients are served at 50 requests a second, and says what they felt.

    PYTHONPATH=src:. .venv/bin/python bench/redis_faults.py [--seconds 6] [--only frozen]

For each fault: failed requests; the latency before it (p50, p99); the worst of the first ten requests that touch the
cache after it began, and p99 of those after them, while it lasts; and how long after its end Redis was in use again.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from simulator import ProviderSettings, SimulatedProvider
from tests.integration.harness import Proxy, config, endpoint
from tests.integration.redis_trouble import TROUBLES, Answer, Trouble, go_through
from tests.redis_server import private_redis

FIRST = 10


def quantile(answers: list[Answer], fraction: float) -> float:
    took = sorted(answer.took_s for answer in answers)
    return took[min(len(took) - 1, int(len(took) * fraction))] * 1000 if took else 0.0


async def measure(trouble: Trouble, seconds: float) -> str:
    server = private_redis()
    server.start()
    try:
        async with SimulatedProvider(ProviderSettings()) as provider:
            with tempfile.TemporaryDirectory() as folder:
                proxy = Proxy(Path(folder), config([endpoint(provider)], redis_url=server.url, cache=True))
                await proxy.start()
                try:
                    outcome = await go_through(proxy, server, trouble, before_s=3, during_s=seconds)
                finally:
                    await proxy.stop()
    finally:
        server.close()
    answers = sorted(outcome.answers)
    failed = sum(answer.status != 200 for answer in answers)
    before = [answer for answer in answers if -2 < answer.at_s < -0.2]
    during = [answer for answer in answers if -0.1 <= answer.at_s < seconds and answer.cache != "bypass"]
    return (
        f"{trouble.name:16} {len(answers):5} requests, {failed} failed; before p50 {quantile(before, 0.5):.1f} "
        f"p99 {quantile(before, 0.99):.1f} ms; first {FIRST} worst {quantile(during[:FIRST], 1):.1f} ms; "
        f"then p50 {quantile(during[FIRST:], 0.5):.1f} p99 {quantile(during[FIRST:], 0.99):.1f} ms; "
        f"in use again after {outcome.recovered_s:.2f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=6, help="how long each fault lasts")
    parser.add_argument("--only", help="the name of one fault")
    options = parser.parse_args()
    for trouble in TROUBLES:
        if options.only in (None, trouble.name):
            print(asyncio.run(measure(trouble, options.seconds)), flush=True)


if __name__ == "__main__":
    main()
