"""One attempt to have all workers take over a configuration: all of them, or none.

First each composes the new configuration beside the one it serves with. Only when all have are they told to serve with
it. One that cannot, that ends meanwhile, or that says nothing in time, keeps all of them with the configuration before.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from application.observing.reload_state import ReloadState
from entrypoints.reload.messages import Answer, Commit, Order, Prepare


class Party(Protocol):
    """A worker's place, as reloads see it."""

    number: int

    @property
    def pid(self) -> int | None:
        """None = there is no process."""

    def tell(self, order: Order) -> bool:
        """Send it; False = that cannot be done."""


class Stage(Enum):
    """How far an attempt has come."""

    PREPARING = "preparing"
    COMMITTING = "committing"
    """From here on there is no way back: a worker that does not answer is replaced by one that begins with it."""
    COMMITTED = "committed"
    FAILED = "failed"


class Attempt:
    """It alone says what becomes of it. Times by the monotonic clock."""

    def __init__(self, number: int, settings: bytes, parties: Sequence[Party], now: float, timeout_s: float) -> None:
        """Asks all of `parties` to prepare, which is to be over after `timeout_s`."""
        self.stage = Stage.PREPARING
        self.said: dict[int, str] = {}
        """What is known of each worker, by its number, for people."""
        self.may_pass = True
        """If it failed, might the next one succeed though nobody changes anything?"""
        self._number = number
        self.settings = settings
        self._parties = {party.number: party for party in parties}
        self._awaited = set(self._parties)
        self._timeout_s = timeout_s
        self.due = now + timeout_s
        """When it is over, one way or the other."""
        for party in parties:
            if not party.tell(Prepare(number, settings)):
                self._fail(party.number, "cannot be told")

    @property
    def is_ready(self) -> bool:
        """Have all prepared? Then `commit` is due."""
        return self.stage is Stage.PREPARING and not self._awaited

    @property
    def is_over(self) -> bool:
        """Is there nothing to be awaited any more?"""
        return self.stage in (Stage.COMMITTED, Stage.FAILED)

    def commit(self, state: ReloadState, now: float) -> None:
        """All are told to serve with it."""
        self.stage = Stage.COMMITTING
        self._awaited = set(self._parties)
        self.due = now + self._timeout_s
        for party in self._parties.values():
            if not party.tell(Commit(self._number, state)):
                self.lost(party.number)
        self._settle()

    def heard(self, worker: int, answer: Answer) -> None:
        """A worker has answered, perhaps to an earlier attempt."""
        if answer.attempt != self._number or worker not in self._awaited:
            return
        if answer.problem:
            if self.stage is Stage.PREPARING:  # else it comes too late: there is no way back
                self.may_pass = False
                self._fail(worker, answer.problem)
        elif answer.is_committed is (self.stage is Stage.COMMITTING):
            self.said[worker] = "serves with it" if answer.is_committed else "prepared"
            self._awaited.discard(worker)
            self._settle()

    def lost(self, worker: int) -> None:
        if worker not in self._parties or self.is_over:
            return
        if self.stage is Stage.PREPARING:
            self._fail(worker, "ended meanwhile")
        else:
            self.said[worker] = "ended, and begins anew with it"
            self._awaited.discard(worker)
            self._settle()

    def look(self, now: float) -> None:
        if self.is_over or now < self.due:
            return
        for worker in sorted(self._awaited):
            self.said[worker] = f"said nothing within {self._timeout_s:g} s"
        self.stage = Stage.FAILED if self.stage is Stage.PREPARING else Stage.COMMITTED

    def _fail(self, worker: int, why: str) -> None:
        self.said[worker] = why
        self.stage = Stage.FAILED

    def _settle(self) -> None:
        if self.stage is Stage.COMMITTING and not self._awaited:
            self.stage = Stage.COMMITTED
