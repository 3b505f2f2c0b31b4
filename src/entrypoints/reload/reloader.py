"""The parent's side of a reload: the wish for one, what is read, and what became of it."""

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import structs

from application.observing.reload_state import ReloadState
from entrypoints.config.load import ConfigError
from entrypoints.config.reading.document import MAX_FILE_BYTES
from entrypoints.config.reading.mistakes import MAX_PRINTED, Report
from entrypoints.config.reading.secret_files import PREFIX
from entrypoints.config.settings import Settings
from entrypoints.reload.attempt import Attempt, Party, Stage
from entrypoints.reload.control import Caller, Control
from entrypoints.reload.messages import Answer, Stay, encoded
from entrypoints.reload.restart_needed import restart_needed, restart_sentence
from entrypoints.reload.source import Source
from entrypoints.reload.watch import LOOK_S, Quiet, content_of, seen_now

TIMEOUT_S = 30.0
_SHOWN_REASONS = 10


class Told(Protocol):
    """Where reloads are written down."""

    def reloaded(self, generation: int, seconds: float, workers: int, asked_by: str, warnings: Sequence[str]) -> None:
        """All workers serve with another configuration."""

    def level(self, level: str) -> None:
        """`log_level` is that from now on."""

    def reload_refused(self, reasons: Sequence[str], asked_by: str) -> None:
        """The one before stays; each reason is a sentence."""


class Reloader:
    """One attempt at a time. Alone writes the `ReloadState`, and tells the workers."""

    def __init__(
        self,
        source: Source,
        settings: Settings,
        files: Sequence[Path],
        told: Told,
        control: Control | None,
        unix: Callable[[], float] = time.time,
    ) -> None:
        """`settings` are served, and were read from `files` besides the configuration's own. `control` None = only
        signals and the watch ask."""
        self.settings = settings
        self.encoded = encoded(settings)
        """See `messages.encoded`."""
        self.state = ReloadState(succeeded_unix=unix())
        self._source = source
        self._told = told
        self._control = control
        self._unix = unix
        self._asked_by: list[str] = []
        self._callers: list[Caller] = []
        self._answering: list[Caller] = []
        """Those who get the verdict of the attempt that runs."""
        self._attempt: Attempt | None = None
        self._candidate = settings
        self._attempts = 0
        self._began = 0.0
        self._trigger = ""
        self._environment: Sequence[str] = ()
        """Names of the variables that the candidate's values are from."""
        self._warnings: Sequence[str] = ()
        self._next_look = 0.0
        self._know(files)

    def _know(self, files: Sequence[Path]) -> None:
        self._files = [self._source.path, *files]
        self._quiet = Quiet(seen_now(self._files))
        self._content = content_of(self._files, MAX_FILE_BYTES + 1)

    @property
    def is_preparing(self) -> bool:
        """Is it undecided with which configuration a worker is to begin?"""
        return self._attempt is not None and self._attempt.stage is Stage.PREPARING

    @property
    def due(self) -> float:
        """When something is to be done though nothing happens, by the monotonic clock."""
        if self._attempt is not None:
            return self._attempt.due
        return 0.0 if self._asked_by else float("inf")

    def files(self) -> Sequence[socket.socket]:
        """Sockets to wait for."""
        return () if self._control is None else self._control.files()

    def private(self) -> Sequence[socket.socket]:
        """Sockets that are no worker's business."""
        return (*self.files(), *(caller.sock for caller in (*self._callers, *self._answering)))

    def ask(self, by: str) -> None:
        """A reload is wanted, at the next look."""
        self._asked_by.append(by)

    def look(self, places: Sequence[Party], now: float) -> None:
        """Go on with it. `now` by the monotonic clock."""
        if self._control is not None:
            asked = self._control.take()
            self._callers += asked
            self._asked_by += ["command"] * len(asked)
        if self.settings.general.reload == "watch" and now >= self._next_look:
            self._next_look = now + LOOK_S
            self._watch(now)
        if self._attempt is None and self._asked_by:
            self._begin([place for place in places if place.pid is not None], now)
        if self._attempt is not None:
            self._attempt.look(now)
            self._go_on(places, now)

    def heard(self, worker: int, answer: Answer) -> None:
        if self._attempt is not None:
            self._attempt.heard(worker, answer)

    def lost(self, worker: int) -> None:
        if self._attempt is not None:
            self._attempt.lost(worker)

    def stop(self) -> None:
        """The proxy stops: whoever waits for a verdict is told."""
        for caller in (*self._callers, *self._answering):
            caller.answer({"outcome": "failed", "reasons": ["the proxy is stopping"], "workers": []})
        if self._control is not None:
            self._control.close()
            self._control = None
        self._callers, self._answering, self._asked_by, self._attempt = [], [], [], None

    def _watch(self, now: float) -> None:
        if not self._quiet.look(seen_now(self._files), now):
            return
        if content_of(self._files, MAX_FILE_BYTES + 1) != self._content:
            self.ask("watch")

    def _begin(self, parties: Sequence[Party], now: float) -> None:
        self._trigger, self._asked_by = ", ".join(dict.fromkeys(self._asked_by)), []
        self._answering, self._callers = self._callers, []
        self._began = now
        if self._source.refusal:
            self._refuse([self._source.refusal], parties)
            return
        report = Report(self._source.path)
        self._know(self._files[1:])  # before it is read: what changes meanwhile is a change
        try:
            self._candidate = self._source.read(report)
        except ConfigError as error:
            self._refuse([str(each) for each in error.mistakes[:MAX_PRINTED]], parties)
            return
        finally:
            names = {name for name in report.variables.values() if not name.startswith(PREFIX)}
            self._environment = sorted(names)
            if self._files[1:] != report.files:
                self._know(report.files)
        changed = restart_needed(self.settings.general, self._candidate.general)
        if changed:
            self._refuse([f"{self._source.path}: {restart_sentence(changed)}"], parties)
            return
        self._attempts += 1
        timeout_s = max((c.wanted.timeout_s for c in self._answering if c.wanted), default=TIMEOUT_S)
        self._attempt = Attempt(self._attempts, encoded(self._candidate), parties, now, timeout_s)

    def _go_on(self, places: Sequence[Party], now: float) -> None:
        attempt = self._attempt
        if attempt is None:
            return
        if attempt.is_ready:
            self.state = self.state.after_success(self._unix())
            before, self.settings, self.encoded = self.settings, self._candidate, attempt.settings
            self._warnings = [each for each in self.settings.warnings if each not in before.warnings]
            attempt.commit(self.state, now)
        if attempt.stage is Stage.COMMITTED:
            self._attempt = None
            self._told.level(self.settings.general.log_level)
            seconds = round(now - self._began, 3)
            self._told.reloaded(self.state.generation, seconds, len(attempt.said), self._trigger, self._warnings)
            self._answer("reloaded", [], places, attempt.said, seconds)
        elif attempt.stage is Stage.FAILED:
            self._attempt = None
            reasons = [f"worker {number} {said}" for number, said in attempt.said.items() if said != "prepared"]
            self._refuse(reasons, places, attempt.said, may_pass=attempt.may_pass)

    def _refuse(
        self,
        reasons: Sequence[str],
        places: Sequence[Party],
        said: Mapping[int, str] | None = None,
        *,
        may_pass: bool = False,
    ) -> None:
        self.state = self.state.after_refusal(self._shown(reasons), self._unix())
        for place in places:
            place.tell(Stay(self.state))
        self._told.reload_refused(reasons, self._trigger)
        self._answer("failed" if may_pass else "refused", reasons, places, said or {})

    def _shown(self, reasons: Sequence[str]) -> str:
        """For the status: where the file is remains the host's business."""
        path = self._source.path
        lines = [reason.replace(str(path), path.name, 1) for reason in reasons[:_SHOWN_REASONS]]
        hidden = len(reasons) - len(lines)
        return "\n".join([*lines, f"and {hidden} more"] if hidden else lines)

    def _answer(
        self,
        outcome: str,
        reasons: Sequence[str],
        places: Sequence[Party],
        said: Mapping[int, str],
        seconds: float = 0.0,
    ) -> None:
        pids = {place.number: place.pid for place in places}
        workers = [{"worker": n, "pid": pids.get(n), "said": text} for n, text in sorted(said.items())]
        verdict = structs.asdict(self.state) | {
            "outcome": outcome,
            "reasons": list(reasons),
            "workers": workers,
            "seconds": seconds,
            "environment": self._environment,
        }
        for caller in self._answering:
            caller.answer(verdict)
        self._answering = []
