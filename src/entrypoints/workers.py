"""The parent of the workers: starts them, replaces those that die, and stops them in order.

SIGTERM, SIGINT or SIGHUP: workers take no more connections and end when their last request has, or shortly after
`drain_timeout`, when the requests still running are ended with an error. A second signal ends them at once.
"""

import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from entrypoints.parent import die_with
from entrypoints.settings import Settings

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0
_YOUNG_S = 10.0
"""A worker that dies earlier than this is replaced with a delay, twice as long each time."""

Options = tuple[Callable[[], Settings], int, int]
"""What a worker is told: where its settings are, how many connections it may take, and how many may wait."""


class Worker:
    """One place, and the process that has it."""

    def __init__(self, number: int, sock: socket.socket, options: Options) -> None:
        self.number = number
        self.sock = sock
        self.due = 0.0
        """When a process is to be started, by the monotonic clock; inf = there is one."""
        self.was_ready = False
        """Has any process in this place ever taken requests?"""
        self.process: BaseProcess | None = None
        self._options = options
        self._ready: Connection | None = None
        self._started = 0.0
        self._delay_s = _FIRST_DELAY_S

    def start(self, others: Iterable[socket.socket]) -> None:
        """`others`: sockets that are not its business."""
        self._ready, ready = multiprocessing.Pipe(duplex=False)
        is_copy = multiprocessing.get_start_method() == "fork"
        arguments = (os.getpid(), self.sock, self._options, ready, tuple(others) if is_copy else ())
        self.process = multiprocessing.Process(target=_work, args=arguments, name=f"llmproxy-{self.number}")
        # A signal that reaches the process while it still has our handlers would be lost.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        try:
            self.process.start()
        except OSError as error:  # no memory or no process left: nothing that would not pass
            self.process = None
            self._put_off()
            _say(f"worker {self.number} could not be started: {error}; trying again")
        else:
            self._started = time.monotonic()
            self.due = float("inf")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            ready.close()

    def bury(self) -> str:
        """Its process has ended: how, in words. The next is due at once, or later if this one died young."""
        process, self.process = self.process, None
        if process is None or self._ready is None:
            raise RuntimeError("there is no process in this place")
        with suppress(EOFError, OSError):
            self.was_ready = self.was_ready or (self._ready.poll() and self._ready.recv())
        self._ready.close()
        process.join()
        code = process.exitcode or 0
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        told = f"worker {self.number} (pid {process.pid}) ended unexpectedly: {how}"
        if time.monotonic() - self._started < _YOUNG_S:
            self._put_off()
        else:
            self.due, self._delay_s = 0.0, _FIRST_DELAY_S
        return told

    def _put_off(self) -> None:
        self.due = time.monotonic() + self._delay_s
        self._delay_s = min(_LONGEST_DELAY_S, 2 * self._delay_s)

    def signal(self, number: int) -> None:
        """To its process, if there is one."""
        if self.process is not None and self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, number)


class Workers:
    """All of them."""

    def __init__(self, sockets: Sequence[socket.socket], options: Options, kill_after_s: float) -> None:
        """`kill_after_s`: when a worker that was told to stop, and did not, is killed."""
        self._workers = [Worker(number, sock, options) for number, sock in enumerate(sockets, 1)]
        self._kill_after_s = kill_after_s
        self._kill_at = float("inf")
        self._signals = 0
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
        return self._exit_code

    @property
    def _stopping(self) -> bool:
        return self._kill_at != float("inf")

    def _alive(self) -> list[BaseProcess]:
        return [worker.process for worker in self._workers if worker.process is not None]

    def _told(self, *_: object) -> None:
        """A signal came. Nothing is done here: it may have come in the middle of anything."""
        self._signals += 1

    def _wait(self, heard: socket.socket) -> None:
        """For a signal, a death, or what is due."""
        due = min([self._kill_at, *(worker.due for worker in self._workers)])
        timeout = None if due == float("inf") else max(0.0, due - time.monotonic())
        if self._stopping:
            timeout = max(0.0, self._kill_at - time.monotonic())
        if heard in wait([heard, *(process.sentinel for process in self._alive())], timeout):
            heard.recv(4096)

    def _look_after(self) -> None:
        for worker in self._workers:
            if worker.process is not None and not worker.process.is_alive():
                self._buried(worker)
        if self._signals and not self._stopping:
            self._stop()
        if self._stopping and (self._signals > 1 or time.monotonic() >= self._kill_at):
            for worker in self._workers:
                worker.signal(signal.SIGKILL)
            self._kill_at = time.monotonic() + 1
        if not self._stopping:
            for worker in self._workers:
                if worker.due <= time.monotonic():
                    worker.start(each.sock for each in self._workers if each.sock is not worker.sock)

    def _buried(self, worker: Worker) -> None:
        told = worker.bury()
        if self._stopping:
            return
        if worker.was_ready:
            _say(f"{told}; it is replaced")
        else:
            _say(f"{told}, before it took a request; giving up")
            self._exit_code = 1
            self._stop()

    def _stop(self) -> None:
        self._kill_at = time.monotonic() + self._kill_after_s
        for worker in self._workers:
            worker.signal(signal.SIGTERM)
            worker.sock.close()  # as long as one copy is open, the kernel takes connections


def _say(what: str) -> None:
    with suppress(OSError):  # that nobody can read it is no reason to stop
        print(f"llmproxy: {what}", file=sys.stderr, flush=True)


def _work(
    parent: int, sock: socket.socket, options: Options, ready: Connection, others: Sequence[socket.socket]
) -> None:
    die_with(parent)
    signal.set_wakeup_fd(-1)
    # Ctrl-C reaches every process of a terminal at once; when a worker stops is for the parent to say.
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL if number is signal.SIGTERM else signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    for other in others:
        other.close()
    from entrypoints.worker import work  # noqa: PLC0415 - what workers need, their parent does not

    settings, max_connections, backlog = options
    work(settings, sock, max_connections, backlog, ready)
