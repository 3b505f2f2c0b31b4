"""The parent of the workers: starts them, replaces those that die or give no sign of life, and stops them in order.

SIGTERM, SIGINT or SIGHUP: workers take no more connections and end when their last request has, or shortly after
`drain_timeout`, when the requests still running are ended with an error. A second signal ends them at once.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from msgspec import structs

from adapters.metrics.shared_slots import SharedSlots
from entrypoints.config.settings import Settings
from entrypoints.processes.events import Events
from entrypoints.processes.heartbeat import BEAT_S, Heard, Pulse, Silence, is_traced
from entrypoints.processes.parent_watch import die_with, inherits_memory, processes

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_STARTS = 2
"""So often a worker may die before any in its place took requests: once by chance, twice for a reason."""
_KILL_GRACE_S = 5.0
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0
_YOUNG_S = 10.0
"""A worker that dies earlier than this is replaced with a delay, twice as long each time."""

Options = tuple[Callable[[], Settings], int, int, SharedSlots | None]
"""What a worker is told: where its settings are, how many connections it may take, how many may wait, and where it puts
down what it counts (None = there is no other worker that would want to know)."""


class Worker:
    """One place, and the process that has it."""

    def __init__(self, number: int, socks: Sequence[socket.socket], options: Options) -> None:
        self.number = number
        self.socks = socks
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
        self._pipe: Connection | None = None
        """Where the process gives its signs of life; None = there is no process."""
        self._options = options
        self._started = 0.0
        self._delay_s = _FIRST_DELAY_S

    def start(self, others: Iterable[socket.socket]) -> str | None:
        """Why it could not be; None = it has been. `others`: sockets that are not its business."""
        made = processes()
        told, ready = made.Pipe(duplex=False)
        theirs = tuple(others) if inherits_memory() else ()
        arguments = (os.getpid(), self.number, self.socks, self._options, ready, theirs)
        process = made.Process(  # type: ignore[attr-defined] # every context has it
            target=_work, args=arguments, name=f"llmproxy-{self.number}"
        )
        # A signal that reaches the process while it still has our handlers would be lost.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        try:
            process.start()
        except OSError as error:  # no memory or no process left: nothing that would not pass
            told.close()
            self._put_off()
            return str(error)
        else:
            os.set_blocking(told.fileno(), False)
            self.process = process
            self._pipe = self.unheard = told
            self._started = time.monotonic()
            self.silence = Silence(self._started)
            self.due = float("inf")
            return None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            ready.close()

    def hear(self) -> None:
        """Take in what its process has said, if anything."""
        if self._pipe is None:
            return
        heard = Heard.on(self._pipe.fileno())
        self.silence = self.silence.after(heard, time.monotonic())
        if heard.is_ready or heard.is_over:
            self.was_ready = self.was_ready or heard.is_ready
            self.unheard = None

    def bury(self) -> tuple[int | None, str]:
        """Its process has ended: which, and how, in words. The next is due at once, or later if this one died young."""
        process, self.process = self.process, None
        if process is None or self._pipe is None:
            raise RuntimeError("there is no process in this place")
        self.hear()
        self._pipe.close()
        self._pipe = self.unheard = None
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


class Workers:
    """All of them."""

    def __init__(
        self,
        sockets: Sequence[Sequence[socket.socket]],
        options: Options,
        drain_timeout_s: float,
        events: Events,
        on_ready: Callable[[], None],
    ) -> None:
        """A worker that was told to stop, and has not `_KILL_GRACE_S` after `drain_timeout_s`, is killed."""
        self._workers = [Worker(number, socks, options) for number, socks in enumerate(sockets, 1)]
        self._drain_timeout_s = drain_timeout_s
        self._events = events
        self._on_ready: Callable[[], None] | None = on_ready
        self._kill_at = float("inf")
        self._signals: list[int] = []
        self._is_cutting = False
        self._exit_code = 0

    def run(self) -> int:
        """Until a signal comes; the exit code: 1 when a worker could not start."""
        heard, woken = socket.socketpair()
        heard.setblocking(False)
        woken.setblocking(False)
        # `nohup` says that SIGHUP is no reason to stop.
        ours = [each for each in _STOP_SIGNALS if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN]
        before = {number: signal.signal(number, self._told) for number in ours}
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        try:
            self._look_after()
            while not self._stopping or self._alive():
                self._wait(heard)
                self._look_after()
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            heard.close()
            woken.close()
        self._events.stopped(self._exit_code)
        return self._exit_code

    @property
    def _stopping(self) -> bool:
        return self._kill_at != float("inf")

    def _alive(self) -> list[BaseProcess]:
        return [worker.process for worker in self._workers if worker.process is not None]

    def _told(self, number: int, _: object) -> None:
        """A signal came. Nothing is done here: it may have come in the middle of anything."""
        self._signals.append(number)

    def _wait(self, heard: socket.socket) -> None:
        """For a signal, a death, a word, or what is due."""
        due = self._kill_at if self._stopping else min(worker.due for worker in self._workers)
        timeout = max(0.0, due - time.monotonic())
        if not self._stopping:
            timeout = min(timeout, BEAT_S)
        unheard = [worker.unheard for worker in self._workers if worker.unheard is not None]
        if heard in wait([heard, *unheard, *(process.sentinel for process in self._alive())], timeout):
            heard.recv(4096)

    def _look_after(self) -> None:
        for worker in self._workers:
            worker.hear()
            if worker.process is not None and not worker.process.is_alive():
                self._buried(worker)
        if self._signals and not self._stopping:
            self._events.draining(signal.Signals(self._signals[0]).name, self._drain_timeout_s)
            self._stop()
        if self._stopping and (len(self._signals) > 1 or time.monotonic() >= self._kill_at):
            self._cut()
        if not self._stopping:
            self._tell_ready()
            for worker in self._workers:
                if worker.due <= time.monotonic():
                    self._start(worker)
                elif worker.silence.is_too_long:
                    self._replace(worker)

    def _tell_ready(self) -> None:
        if self._on_ready is not None and all(worker.was_ready for worker in self._workers):
            self._on_ready()
            self._on_ready = None

    def _start(self, worker: Worker) -> None:
        failed = worker.start(sock for each in self._workers if each is not worker for sock in each.socks)
        if failed is not None:
            self._events.worker_not_started(worker.number, failed)

    def _replace(self, worker: Worker) -> None:
        pid = None if worker.process is None else worker.process.pid
        seconds, worker.silence = worker.silence.seconds, structs.replace(worker.silence, seconds=0.0)
        if pid is not None and not is_traced(pid):
            self._events.worker_silent(worker.number, pid, seconds)
            worker.signal(signal.SIGKILL)

    def _buried(self, worker: Worker) -> None:
        pid, how = worker.bury()
        if self._stopping:
            return
        if worker.was_ready:
            self._events.worker_lost(worker.number, pid, how)
        elif worker.deaths < _STARTS:
            self._events.worker_lost(worker.number, pid, f"{how}, before it took a request")
        else:
            self._events.worker_failed(worker.number, pid, how)
            self._exit_code = 1
            self._stop()

    def _stop(self) -> None:
        self._kill_at = time.monotonic() + self._drain_timeout_s + _KILL_GRACE_S
        for worker in self._workers:
            for sock in worker.socks:
                sock.close()  # as long as one copy is open the kernel takes connections, and the worker's is the last
            worker.signal(signal.SIGTERM)

    def _cut(self) -> None:
        if not self._is_cutting:
            self._is_cutting = True
            self._events.cutting("a second signal came" if len(self._signals) > 1 else "they did not end in time")
        for worker in self._workers:
            worker.signal(signal.SIGKILL)
        self._kill_at = time.monotonic() + 1


def _work(
    parent: int,
    number: int,
    socks: Sequence[socket.socket],
    options: Options,
    ready: Connection,
    others: Sequence[socket.socket],
) -> None:
    die_with(parent)
    signal.set_wakeup_fd(-1)
    # Ctrl-C reaches every process of a terminal at once; when a worker stops is for the parent to say.
    for told in _STOP_SIGNALS:
        signal.signal(told, signal.SIG_DFL if told is signal.SIGTERM else signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    for other in others:
        other.close()
    from entrypoints.processes.worker import work  # noqa: PLC0415 - what workers need, their parent does not

    settings, max_connections, backlog, slots = options
    work(settings, socks, max_connections, backlog, Pulse(ready.fileno()), slots, number)
