"""A worker process: one event loop that serves its sockets until it is told to stop, or its parent is gone."""

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

from adapters.metrics.shared_memory import OwnReport, SharedReports
from adapters.metrics.shared_slots import SharedSlots
from entrypoints.container import Container
from entrypoints.processes.heartbeat import Pulse
from entrypoints.processes.memory_use import give_memory_back
from entrypoints.reload.generations import Generations
from entrypoints.reload.messages import Answer, Commit, Order, Prepare, Start, decoded

_COLLECT_AFTER = (20_000, 20, 50)
"""Objects more than before, collections of the youngest, and of the middle generation."""


def work(
    start: Start,
    socks: Sequence[socket.socket],
    orders: Connection,
    pulse: Pulse,
    slots: SharedSlots | None,
    number: int,
) -> None:
    """What the process does. `orders`: where its parent speaks of reloads. `pulse` is told when requests are taken.
    `slots`: where the workers put down what they count, this one in that of its `number`; None = it is alone."""
    give_memory_back()
    reports = OwnReport() if slots is None else SharedReports(slots, number)
    container = Container(settings=decoded(start.settings), worker_reports=reports)
    container.reloads().state = start.state
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(container, start, socks, orders, pulse))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's where it is installed (it does not exist for every system), else asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _serve(
    container: Container, start: Start, socks: Sequence[socket.socket], orders: Connection, pulse: Pulse
) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    pulse.start()
    app = container.app()
    async with app.lifespan():
        server = container.server(socks[0], start.max_connections, socks[1:])
        generations = Generations(container, server)
        _listen(orders, generations, stop)
        del container, app  # another may take their place
        collect_seldom()
        await server.start(start.backlog)
        pulse.ready()
        await stop.wait()
        generations.current.in_flight().drain()
        await server.stop()
        await generations.close()


def _listen(orders: Connection, generations: Generations, stop: asyncio.Event) -> None:
    """Obey what the parent says of reloads, each in one turn of the running loop. Where that goes wrong in the middle
    the worker ends, in order: another one begins with what is served."""
    loop = asyncio.get_running_loop()

    def hear() -> None:
        try:
            order: Order = orders.recv()
            answer = obey(order, generations)
            if answer is not None:
                orders.send(answer)
        except (EOFError, OSError):  # the parent is gone
            loop.remove_reader(orders.fileno())
        except Exception as error:
            generations.current.request_log().crashed("", error)
            stop.set()

    loop.add_reader(orders.fileno(), hear)


def obey(order: Order, generations: Generations) -> Answer | None:
    """Do as the parent says; None = it waits for no answer."""
    if isinstance(order, Prepare):
        try:
            generations.prepare(decoded(order.settings))
        except Exception as error:  # whatever it is, the generation before it serves on
            generations.current.request_log().crashed("", error)
            return Answer(order.attempt, problem=f"could not be composed ({type(error).__name__}; see the log)")
        return Answer(order.attempt)
    if isinstance(order, Commit):
        generations.commit(order.state)
        return Answer(order.attempt, is_committed=True)
    generations.stay(order.state)
    return None


def collect_seldom() -> None:
    """What was imported stays for good, and requests leave no circles behind: looking for any as often as Python does
    (after 700 new objects) takes a tenth of the throughput (`bench`, row `throughput`)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
