"""The parent of the workers: starts them, replaces those that die or give no sign of life, and stops them in order.

SIGTERM or SIGINT: workers take no more connections and end when their last request has, or shortly after
`drain_timeout`, when the requests still running are ended with an error. A second signal ends them at once. SIGHUP is a
wish for a reload, or the same as SIGTERM where a terminal may be what hangs up (`surroundings.py`).
"""

import signal
import socket
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait

from msgspec import structs

from adapters.metrics.shared_slots import SharedSlots
from entrypoints.processes.events import Events
from entrypoints.processes.heartbeat import BEAT_S, is_traced
from entrypoints.processes.worker_place import STOP_SIGNALS, Closable, WorkerPlace
from entrypoints.reload.messages import Start
from entrypoints.reload.reloader import Reloader

_STARTS = 2
"""So often a worker may die before any in its place took requests: once by chance, twice for a reason."""
_KILL_GRACE_S = 5.0


class Workers:
    def __init__(
        self,
        sockets: Sequence[Sequence[socket.socket]],
        bounds: tuple[int, int],
        slots: SharedSlots | None,
        reloader: Reloader,
        events: Events,
        on_ready: Callable[[], None],
        *,
        hangup_reloads: bool = False,
    ) -> None:
        """`bounds`: how many connections each may take, and how many may wait. `slots`: where they put down what they
        count; None = there is but one. A worker that was told to stop, and has
        not `_KILL_GRACE_S` after `drain_timeout`, is killed. `hangup_reloads`: what SIGHUP means, see above."""
        self._workers = [WorkerPlace(number, socks, slots) for number, socks in enumerate(sockets, 1)]
        self._bounds = bounds
        self._reloader = reloader
        self._events = events
        self._on_ready: Callable[[], None] | None = on_ready
        self._hangup_reloads = hangup_reloads
        self._kill_at = float("inf")
        self._signals: list[int] = []
        self._hangups: list[int] = []
        self._is_cutting = False
        self._exit_code = 0

    def run(self) -> int:
        """Until a signal comes; the exit code: 1 when a worker could not start."""
        heard, woken = socket.socketpair()
        heard.setblocking(False)
        woken.setblocking(False)
        # `nohup` says that SIGHUP is no reason to stop.
        ours = [each for each in STOP_SIGNALS if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN]
        before = {number: signal.signal(number, self._told) for number in ours}
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        try:
            self._look_after()
            while not self._stopping or any(worker.process is not None for worker in self._workers):
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

    def _told(self, number: int, _: object) -> None:
        """A signal came. Nothing is done here: it may have come in the middle of anything."""
        if number == signal.SIGHUP and self._hangup_reloads:
            self._hangups.append(number)
        else:
            self._signals.append(number)

    def _wait(self, heard: socket.socket) -> None:
        """For a signal, a death, a word, a caller, or what is due."""
        due = self._kill_at if self._stopping else min([self._reloader.due, *(each.due for each in self._workers)])
        timeout = max(0.0, due - time.monotonic())
        if not self._stopping:
            timeout = min(timeout, BEAT_S)
        ends: list[socket.socket | Connection | int] = [heard, *self._reloader.files()]
        for worker in self._workers:
            ends += [each for each in (worker.unheard, worker.orders) if each is not None]
            ends += [] if worker.process is None else [worker.process.sentinel]
        if heard in wait(ends, timeout):
            heard.recv(4096)

    def _look_after(self) -> None:
        for worker in self._workers:
            worker.hear()
            for answer in worker.answers():
                self._reloader.heard(worker.number, answer)
            if worker.process is not None and not worker.process.is_alive():
                self._buried(worker)
        if self._signals and not self._stopping:
            self._events.draining(signal.Signals(self._signals[0]).name, self._drain_timeout_s)
            self._stop()
        if self._stopping and (len(self._signals) > 1 or time.monotonic() >= self._kill_at):
            self._cut()
        if not self._stopping:
            self._tell_ready()
            while self._hangups:
                self._hangups.pop()
                self._reloader.ask("SIGHUP")
            self._reloader.look(self._workers, time.monotonic())
            for worker in self._workers:
                if worker.due <= time.monotonic() and not self._reloader.is_preparing:
                    self._start(worker)
                elif worker.silence.is_too_long:
                    self._replace(worker)

    @property
    def _drain_timeout_s(self) -> float:
        return self._reloader.settings.general.drain_timeout

    def _tell_ready(self) -> None:
        if self._on_ready is not None and all(worker.was_ready for worker in self._workers):
            self._on_ready()
            self._on_ready = None

    def _start(self, worker: WorkerPlace) -> None:
        others: list[Closable] = list(self._reloader.private())
        for each in self._workers:
            if each is not worker:
                others += [*each.socks, *([] if each.orders is None else [each.orders])]
        begin = Start(self._reloader.encoded, self._reloader.state, *self._bounds)
        failed = worker.start(begin, others)
        if failed is not None:
            self._events.worker_not_started(worker.number, failed)

    def _replace(self, worker: WorkerPlace) -> None:
        pid = worker.pid
        seconds, worker.silence = worker.silence.seconds, structs.replace(worker.silence, seconds=0.0)
        if pid is not None and not is_traced(pid):
            self._events.worker_silent(worker.number, pid, seconds)
            worker.signal(signal.SIGKILL)

    def _buried(self, worker: WorkerPlace) -> None:
        self._reloader.lost(worker.number)
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
        self._reloader.stop()
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
