"""The place of a worker among several, and the process that has it, as its parent sees them."""

import os
import signal
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from adapters.metrics.shared_slots import SharedSlots
from entrypoints.processes.heartbeat import Heard, Pulse, Silence
from entrypoints.processes.parent_watch import die_with, inherits_memory, processes
from entrypoints.reload.messages import Answer, Order, Start

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0
_YOUNG_S = 10.0
"""A worker that dies earlier than this is replaced with a delay, twice as long each time."""
_TELL_S = 2
"""A worker that takes in nothing for so long cannot be told more than its socket holds."""

Closable = socket.socket | Connection
"""Something that a parent has open, and a worker is not to inherit."""


class WorkerPlace:
    """One place, and the process that has it."""

    def __init__(self, number: int, socks: Sequence[socket.socket], slots: SharedSlots | None = None) -> None:
        """`slots`: where workers put down what they count; None = there is no other that would want to know."""
        self.number = number
        self.socks = socks
        self._slots = slots
        self.due = 0.0
        """When a process is to be started, by the monotonic clock; inf = there is one."""
        self.was_ready = False
        """Has any process in this place ever taken requests?"""
        self.process: BaseProcess | None = None
        self.unheard: Connection | None = None
        """Where the process says that it takes requests; None = it has said so, or will not any more."""
        self.deaths = 0
        """Of processes in this place, as long as none was ready."""
        self.silence = Silence(0.0)
        self.orders: Connection | None = None
        """Where the process is told of reloads, and answers; None = there is no process."""
        self._pipe: Connection | None = None
        """Where the process gives its signs of life; likewise."""
        self._started = 0.0
        self._delay_s = _FIRST_DELAY_S

    @property
    def pid(self) -> int | None:
        """Of its process; None = there is none."""
        return None if self.process is None else self.process.pid

    def start(self, begin: Start, others: Iterable[Closable]) -> str | None:
        """Why it could not be; None = it has been. `others`: what is not its business."""
        made = processes()
        told, ready = made.Pipe(duplex=False)
        ours, theirs = _orders()
        inherited = (*others, told, ours) if inherits_memory() else ()
        arguments = (os.getpid(), self.number, self.socks, begin, ready, theirs, self._slots, inherited)
        process = made.Process(  # type: ignore[attr-defined] # every context has it
            target=_work, args=arguments, name=f"llmproxy-{self.number}"
        )
        # A signal that reaches the process while it still has our handlers would be lost.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            process.start()
        except OSError as error:  # no memory or no process left: nothing that would not pass
            told.close()
            ours.close()
            self._put_off()
            return str(error)
        else:
            os.set_blocking(told.fileno(), False)
            self.process, self.orders = process, ours
            self._pipe = self.unheard = told
            self._started = time.monotonic()
            self.silence = Silence(self._started)
            self.due = float("inf")
            return None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            ready.close()
            theirs.close()

    def hear(self) -> None:
        """Take in what its process has said of itself, if anything."""
        if self._pipe is None:
            return
        heard = Heard.on(self._pipe.fileno())
        self.silence = self.silence.after(heard, time.monotonic())
        if heard.is_ready or heard.is_over:
            self.was_ready = self.was_ready or heard.is_ready
            self.unheard = None

    def tell(self, order: Order) -> bool:
        """Send it to the process; False = it cannot be told."""
        with suppress(OSError):
            if self.orders is not None:
                self.orders.send(order)
                return True
        return False

    def answers(self) -> Iterator[Answer]:
        """What its process has answered since."""
        with suppress(EOFError, OSError):
            while self.orders is not None and self.orders.poll(0):
                yield self.orders.recv()

    def bury(self) -> tuple[int | None, str]:
        """Its process has ended: which, and how, in words. The next is due at once, or later if this one died young."""
        process, self.process = self.process, None
        if process is None or self._pipe is None or self.orders is None:
            raise RuntimeError("there is no process in this place")
        self.hear()
        self._pipe.close()
        self.orders.close()
        self._pipe = self.unheard = self.orders = None
        self.deaths += not self.was_ready
        process.join()
        code = process.exitcode or 0
        if time.monotonic() - self._started < _YOUNG_S:
            self._put_off()
        else:
            self.due, self._delay_s = 0.0, _FIRST_DELAY_S
        return process.pid, f"signal {-code}" if code < 0 else f"exit code {code}"

    def _put_off(self) -> None:
        self.due = time.monotonic() + self._delay_s
        self._delay_s = min(_LONGEST_DELAY_S, 2 * self._delay_s)

    def signal(self, number: int) -> None:
        """To its process, if there is one."""
        if self.process is not None and self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, number)


def _orders() -> tuple[Connection, Connection]:
    """The ends of the parent and of the worker. The parent serves others too, and waits `_TELL_S` at most to send."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", _TELL_S, 0))
    return Connection(ours.detach()), Connection(theirs.detach())


def _work(
    parent: int,
    number: int,
    socks: Sequence[socket.socket],
    begin: Start,
    ready: Connection,
    orders: Connection,
    slots: SharedSlots | None,
    others: Sequence[Closable],
) -> None:
    die_with(parent)
    signal.set_wakeup_fd(-1)
    # Ctrl-C reaches every process of a terminal at once; when a worker stops is for the parent to say.
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_DFL if each is signal.SIGTERM else signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    for other in others:
        other.close()
    from entrypoints.processes.worker import work  # noqa: PLC0415 - what workers need, their parent does not

    work(begin, socks, orders, Pulse(ready.fileno()), slots, number)
