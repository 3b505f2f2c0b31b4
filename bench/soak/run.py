"""One soak: warm up, rest, load while everything is measured, rest again."""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

from bench.servers.processes import family
from bench.soak.load import Load
from bench.soak.probe import CENSUS_PATH, PATH, REST_PATH
from bench.soak.proxy import SoakedProxy
from bench.soak.samples import Block, Samples, read_connections, read_processes
from bench.soak.verdict import Rest
from bench.soak.world import World

MOST_WARM_UP_S = 600.0
REST_S = 75.0
"""At most. An idle connection is closed when it is between 30 and 60 s old."""

LEAD_IN_S = 35.0
"""After the first rest, and not judged: pools fill again."""

BLOCKS = 100
"""So many in the part after the warm-up, and as many more as the warm-up needs."""

_CALM_S = 3.0
_SAMPLE_S = 1.0
_CENSUS_S = 10.0
_CENSUSES = 60
"""At least so many in the measured part: a short run is looked into more often."""

Tell = Callable[[str], None]


class Soaked(NamedTuple):
    """What was measured. Times in seconds since the load began."""

    samples: Samples
    warm_up_s: float
    """Before this nothing is judged."""
    judged_s: float
    requests: float
    """In the part that is judged, as the proxy counted them."""
    before: Rest
    after: Rest
    cpu: float
    """Cores that all the proxy's processes took between the rests."""

    @property
    def judged(self) -> list[Block]:
        """The part that is judged."""
        return [block for block in self.samples.blocks if block.at_s >= self.warm_up_s]


class Sampler:
    """Takes samples while it is entered."""

    def __init__(self, world: World, proxy: SoakedProxy, samples: Samples, census_s: float) -> None:
        self._world = world
        self._proxy = proxy
        self._samples = samples
        self._census_s = census_s
        self._next_census = 0.0
        self.loaded_s = 0.0
        """Rests are left out."""

    async def watch(self, seconds: float, tell: Tell) -> None:
        """A sample a second for so long."""
        began = time.monotonic()
        base_s = self.loaded_s
        number = 0
        while (elapsed_s := time.monotonic() - began) < seconds:
            self.loaded_s = base_s + elapsed_s
            await self._sample(tell)
            number += 1
            await asyncio.sleep(max(0.0, began + number * _SAMPLE_S - time.monotonic()))
        self.loaded_s = base_s + seconds
        self._samples.close()

    async def _sample(self, tell: Tell) -> None:
        census = self.loaded_s >= self._next_census
        if census:
            self._next_census = self.loaded_s + self._census_s
        told = await self._proxy.look(CENSUS_PATH if census else PATH)
        values = read_all(self._world, self._proxy) | told["metrics"] | told.get("types", {})
        self._samples.add(self.loaded_s, told["requests"], values)
        tell(f"{self.loaded_s:6.0f} s  {told['requests']:8} requests  rss {values['rss'] / 1e6:6.1f} MB")


def read_all(world: World, proxy: SoakedProxy) -> dict[str, float]:
    """What the kernel knows."""
    return read_processes(family(proxy.pid)) | read_connections(proxy.port, world.ports)


async def rest(world: World, proxy: SoakedProxy, load: Load) -> Rest:
    """Let everything end, wait until idle connections are closed, collect the garbage, and look."""
    await load.settle()
    proxy.let_go()
    until = time.monotonic() + REST_S
    while time.monotonic() < until and read_connections(proxy.port, world.ports)["upstream_connections"]:  # noqa: ASYNC110
        await asyncio.sleep(_SAMPLE_S)
    await asyncio.sleep(_CALM_S)
    await proxy.look(REST_PATH)
    told = await proxy.look(REST_PATH)
    values = read_all(world, proxy)
    return Rest(values | told["metrics"] | told["types"], told["types"])


async def soak(world: World, proxy: SoakedProxy, load: Load, seconds: float, tell: Tell) -> Soaked:
    """The whole of it; `seconds` of load, half of it, at most `MOST_WARM_UP_S`, to warm up."""
    warm_up_s = min(MOST_WARM_UP_S, seconds / 2)
    measured_s = seconds - warm_up_s
    samples = Samples(max(_SAMPLE_S, measured_s / BLOCKS))
    sampler = Sampler(world, proxy, samples, max(2 * _SAMPLE_S, min(_CENSUS_S, measured_s / _CENSUSES)))
    await load.fill()
    await asyncio.gather(load.run(warm_up_s), sampler.watch(warm_up_s, tell))
    tell("resting")
    before = await rest(world, proxy, load)
    await asyncio.gather(load.run(measured_s), sampler.watch(measured_s, tell))
    tell("resting")
    after = await rest(world, proxy, load)
    cpu_s = after.metrics["cpu_s"] - before.metrics["cpu_s"]
    # After the rest pools fill again.
    judged_from_s = warm_up_s + min(LEAD_IN_S, measured_s / 4)
    soaked = Soaked(samples, judged_from_s, seconds - judged_from_s, 0, before, after, cpu_s / measured_s)
    return soaked._replace(requests=soaked.judged[-1].requests - soaked.judged[0].requests)
