"""A worker does as its parent says, answers, and ends where a commit goes wrong in the middle."""

import asyncio
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from application.observing.reload_state import ReloadState
from entrypoints.config.load import load_settings
from entrypoints.processes.worker import _listen
from entrypoints.reload.messages import Answer, Commit, Prepare, Stay, encoded
from tests.unit.config_examples import ROOT

STATE = ReloadState(2, 5.0)


class FakeGenerations:
    """Remembers what it was told, and fails as it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.crashes: list[str] = []
        self.fails = ""

    @property
    def current(self) -> Any:
        return self

    def request_log(self) -> Any:
        return self

    def crashed(self, request_id: str, error: Exception) -> None:
        assert request_id == ""
        self.crashes.append(type(error).__name__)

    def prepare(self, settings: Any) -> None:
        self._do("prepare", settings.groups[0].model_group)

    def commit(self, state: ReloadState) -> None:
        self._do("commit", state)

    def stay(self, state: ReloadState) -> None:
        self._do("stay", state)

    def _do(self, what: str, about: object) -> None:
        self.told.append((what, about))
        if self.fails == what:
            raise RuntimeError("sk-never-shown")


@pytest.fixture
def ends() -> Iterator[tuple[Connection, Connection]]:
    ours, theirs = Pipe()
    yield ours, theirs
    ours.close()
    theirs.close()


def prepare(attempt: int) -> Prepare:
    return Prepare(attempt, encoded(load_settings(Path(ROOT / "examples/minimal.yaml"), {"OPENAI_API_KEY": "sk-k"})))


async def answer(parent: Connection) -> Answer:
    """The next, which takes some turns of the loop."""
    async with asyncio.timeout(10):
        while not parent.poll(0):
            await asyncio.sleep(0.001)
    answered: Answer = parent.recv()
    return answered


async def test_it_prepares_commits_stays_and_answers_what_is_waited_for(ends: tuple[Connection, Connection]) -> None:
    parent, worker = ends
    generations, stop = FakeGenerations(), asyncio.Event()
    _listen(worker, generations, stop)  # type: ignore[arg-type]

    parent.send(prepare(1))
    assert await answer(parent) == Answer(1)
    generations.fails = "prepare"
    parent.send(prepare(2))
    assert await answer(parent) == Answer(2, problem="could not be composed (RuntimeError; see the log)")
    parent.send(Stay(STATE))
    parent.send(Commit(3, STATE))
    assert await answer(parent) == Answer(3, is_committed=True)

    assert [what for what, _ in generations.told] == ["prepare", "prepare", "stay", "commit"]  # type: ignore[misc]
    assert generations.crashes == ["RuntimeError"]
    assert not stop.is_set()
    asyncio.get_running_loop().remove_reader(worker.fileno())


async def test_a_commit_that_goes_wrong_ends_the_worker_in_order(ends: tuple[Connection, Connection]) -> None:
    parent, worker = ends
    generations, stop = FakeGenerations(), asyncio.Event()
    generations.fails = "commit"
    _listen(worker, generations, stop)  # type: ignore[arg-type]

    parent.send(Commit(1, STATE))
    async with asyncio.timeout(10):
        await stop.wait()
    assert generations.crashes == ["RuntimeError"]
    assert not parent.poll(0)
    asyncio.get_running_loop().remove_reader(worker.fileno())


async def test_a_parent_that_has_gone_is_listened_to_no_more(ends: tuple[Connection, Connection]) -> None:
    parent, worker = ends
    _listen(worker, FakeGenerations(), asyncio.Event())  # type: ignore[arg-type]
    parent.close()
    for _ in range(5):
        await asyncio.sleep(0.001)

    assert not asyncio.get_running_loop().remove_reader(worker.fileno())
