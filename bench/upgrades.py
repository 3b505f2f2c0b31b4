"""Rolling restarts of two replicas behind nginx under a steady load, and reloads of one: no request may fail.

    make upgrades                                     some five minutes, at 200 requests a second
    make upgrades ARGS='--restarts 4 --rate 50'

The front is nginx with deploy/nginx.conf. Every other request is a stream that takes about 0.3 s, and Responses sockets
are open all the while, on which turns go on. Replicas are restarted one after the other, the next one a second after
the one before it answers. Nothing is tried again: the exit code is 0 when every request was answered at its first try,
and every turn on a socket was: one that was closed between two turns (1001) its client opens anew, as SDKs do.
"""

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import websockets.asyncio.client
from websockets.exceptions import ConnectionClosed, WebSocketException

from bench.attack.neighbour import Asked, Neighbour
from bench.chaos.replicas import Replica
from bench.servers import front, responses
from bench.servers.children import Children, answers
from tests.free_port import free_port

GROUP = "well"
SOCKETS = 20
_PAUSE_S = 1.0
_BETWEEN_TURNS_S = 0.3
_PATIENCE_S = 30.0
_SLICE_S = 5.0
_GONE = 1001
_BEGIN_ANEW = "websocket_connection_limit_reached"


def configuration(origin: str, number: int = 0) -> dict[str, Any]:
    """Other weights with each number."""
    models = [
        {
            "model": "m",
            "weight": 1 + (number + each) % 3,
            "params": {"api_key": f"sk-{each}", "base_url": f"{origin}/v1"},
        }
        for each in range(3)
    ]
    general = {"workers": 2, "drain_timeout": 20, "log_format": "json"}
    return {"model_groups": [{"model_group": GROUP, "models": models}], "general_settings": general}


class Turns:
    """Responses sockets: on each, turn after turn."""

    def __init__(self, port: int) -> None:
        self._url = f"ws://127.0.0.1:{port}{responses.PATH}"
        self.answered = 0
        self.moved = 0
        """Sockets that were opened anew."""
        self.problems: Counter[str] = Counter()
        self._is_over = False

    async def run(self, work: Awaitable[None]) -> None:
        """For as long as `work` takes."""
        talking = [asyncio.create_task(self._talk(number)) for number in range(SOCKETS)]
        try:
            await work
        finally:
            self._is_over = True
            await asyncio.gather(*talking)

    async def _talk(self, number: int) -> None:
        dice = random.Random(number)  # noqa: S311 - repeatable on purpose
        while not self._is_over:
            try:
                async with websockets.asyncio.client.connect(self._url, max_size=None) as socket:
                    while await self._turn(socket) and not self._is_over:  # noqa: ASYNC110 - a person reads
                        await asyncio.sleep(dice.uniform(0, 2 * _BETWEEN_TURNS_S))
            except (OSError, WebSocketException, TimeoutError) as error:
                self.problems[f"not opened: {error}"[:100]] += 1
                await asyncio.sleep(_BETWEEN_TURNS_S)
            if not self._is_over:
                self.moved += 1

    async def _turn(self, socket: websockets.asyncio.client.ClientConnection) -> bool:
        """Does the socket go on?"""
        events = 0
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await socket.send(responses.turn(GROUP).decode())
                while True:
                    event = json.loads(await socket.recv())
                    if event["type"] == "error" and event["error"]["code"] == _BEGIN_ANEW:
                        return False
                    events += 1
                    if event["type"] == "response.completed":
                        self.answered += 1
                        return True
                    if event["type"] in ("error", "response.failed", "response.incomplete"):
                        self.problems[f"turn: {event}"[:200]] += 1
                        return True
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd is not None else None
            if events or code != _GONE:
                self.problems[f"closed with {code} after {events} events of a turn"] += 1
        except TimeoutError:
            self.problems[f"no end of a turn after {events} events"] += 1
        return False


class Upgrade:
    """One phase: what was asked while something was done to the replicas."""

    def __init__(self, title: str, asked: list[Asked], turns: Turns, wrong: list[str]) -> None:
        self.title = title
        self.asked = sum(each.asked for each in asked)
        self.first_try = self.asked - sum(each.tried_again for each in asked)
        self.turns = turns
        self.problems = dict(sum((Counter(each.problems) for each in asked), Counter[str]()))
        self.failed = sum(each.asked - each.answered for each in asked)
        self.tried_again = sum(each.tried_again for each in asked)
        self.wrong = wrong

    @property
    def passed(self) -> bool:
        return not (self.failed or self.tried_again or self.turns.problems or self.wrong)

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{self.title}: {'PASS' if self.passed else 'FAIL'}. {self.asked} requests, {self.failed} failed, "
            f"{self.tried_again} tried again {self.problems or ''}",
            f"  {self.turns.answered} turns on {SOCKETS} sockets, which were opened anew {self.turns.moved} times "
            f"{dict(self.turns.problems) or ''}",
            *(f"  WRONG: {each}" for each in self.wrong),
        ]


async def _under_load(title: str, port: int, rate: float, work: Awaitable[None], wrong: list[str]) -> Upgrade:
    neighbour, turns, phases = Neighbour(port, GROUP), Turns(port), list[Asked]()
    working = asyncio.ensure_future(work)

    async def ask() -> None:
        while not working.done():
            phases.append(await neighbour.ask(rate, _SLICE_S))
        await working

    await turns.run(ask())
    return Upgrade(title, phases, turns, wrong)


async def restarts(children: Children, folder: Path, origin: str, count: int, rate: float) -> Upgrade:
    """Two replicas, by turns."""
    replicas = await _started(children, folder, origin, 2)
    wrong: list[str] = []
    nginx, port = await asyncio.to_thread(front.start, children, folder, [replica.port for replica in replicas])

    async def work() -> None:
        await asyncio.sleep(_PAUSE_S)
        for number in range(count):
            replica = replicas[number % 2]
            await replica.restart()
            await asyncio.sleep(_PAUSE_S)
        wrong.extend(f"{each.name} ended with {code}" for each in replicas for code in each.exit_codes if code)
        wrong.extend(f"nginx, {times} times: {said}" for said, times in front.troubles(folder).items())

    upgrade = await _under_load(f"{count} rolling restarts", port, rate, work(), wrong)
    for replica in replicas:
        await replica.stop()
    children.stop(nginx)
    return upgrade


async def reloads(children: Children, folder: Path, origin: str, count: int, rate: float) -> Upgrade:
    """One replica."""
    (replica,) = await _started(children, folder, origin, 1)
    wrong: list[str] = []
    _, port = await asyncio.to_thread(front.start, children, folder, [replica.port])

    async def work() -> None:
        for number in range(count):
            replica.write(configuration(origin, number))
            code, said = await replica.reload()
            if code:
                wrong.append(f"a reload ended with {code}: {said}")
            await asyncio.sleep(_PAUSE_S / 2)

    return await _under_load(f"{count} reloads", port, rate, work(), wrong)


async def _started(children: Children, folder: Path, origin: str, count: int) -> list[Replica]:
    await asyncio.to_thread(folder.mkdir)
    replicas = [Replica(f"replica-{number}", children, folder, planted=None) for number in range(1, count + 1)]
    for replica in replicas:
        replica.write(configuration(origin))
        await replica.start()
    return replicas


async def upgrade(children: Children, folder: Path, options: argparse.Namespace) -> bool:
    """Both phases: did they pass?"""
    upstream = free_port()
    program = [sys.executable, "-m", "bench.servers.provider", f"--port={upstream}", "--tokens=30", "--pace=100"]
    provider = children.start("provider", program)
    origin = f"http://127.0.0.1:{upstream}"
    provider.wait_until(lambda: answers(origin))
    passed = True
    for phase, count in ((restarts, options.restarts), (reloads, options.reloads)):
        if count:
            done = await phase(children, folder / phase.__name__, origin, count, options.rate)
            print("\n".join(done.lines()), flush=True)
            passed = passed and done.passed
    return passed


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.upgrades", description=__doc__.partition("\n")[0])
    parser.add_argument("--restarts", type=int, default=40)
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        Children(Path(name)) as children,
        contextlib.suppress(KeyboardInterrupt),
    ):
        return 0 if asyncio.run(upgrade(children, Path(name), options)) else 1
    return 1


if __name__ == "__main__":
    sys.exit(main())
