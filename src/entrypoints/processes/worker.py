"""A worker process: one event loop that serves its sockets until it is told to stop, or its parent is gone."""

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Sequence

from adapters.metrics.shared_slots import SharedSlots
from adapters.metrics.worker_reports import OwnReport, SharedReports
from entrypoints.config.settings import Settings
from entrypoints.container import Container
from entrypoints.processes.heartbeat import Pulse
from entrypoints.processes.memory_use import give_memory_back

_COLLECT_AFTER = (20_000, 20, 50)
"""Objects more than before, collections of the youngest, and of the middle generation."""


def work(
    settings: Callable[[], Settings],
    socks: Sequence[socket.socket],
    max_connections: int,
    backlog: int,
    pulse: Pulse,
    slots: SharedSlots | None,
    number: int,
) -> None:
    """What the process does. `pulse` is told when requests are taken. `slots`: where the workers put down what they
    count, this one in that of its `number`; None = it is alone."""
    give_memory_back()
    reports = OwnReport() if slots is None else SharedReports(slots, number)
    container = Container(settings=settings(), worker_reports=reports)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(container, socks, max_connections, backlog, pulse))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's where it is installed (it does not exist for every system), else asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _serve(
    container: Container, socks: Sequence[socket.socket], max_connections: int, backlog: int, pulse: Pulse
) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    pulse.start()
    app = container.app()
    async with app.lifespan():
        server = container.server(socks[0], max_connections, socks[1:])
        collect_seldom()
        await server.start(backlog)
        pulse.ready()
        await stop.wait()
        container.in_flight().drain()
        await server.stop()


def collect_seldom() -> None:
    """What was imported stays for good, and requests leave no circles behind: looking for any as often as Python does
    (after 700 new objects) takes a tenth of the throughput (`bench`, row `throughput`)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
