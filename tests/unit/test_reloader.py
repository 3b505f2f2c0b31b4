"""The parent's side: what is read, refused, told to workers and to people; with workers that are fakes."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from entrypoints.config.load import load_settings
from entrypoints.config.reading.mistakes import Report
from entrypoints.reload.messages import Answer, Commit, Order, Prepare, Stay, decoded
from entrypoints.reload.reloader import Reloader
from entrypoints.reload.source import Source

CANARY = "sk-canary-0123456789abcdef"


class FakePlace:
    """A worker that does as it is told, or does not."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid: int | None = 100 + number
        self.told: list[Order] = []
        self.problem: str | None = ""
        """None = it does not answer."""

    def tell(self, order: Order) -> bool:
        self.told.append(order)
        return True

    def serves(self) -> str:
        """The group of the settings that it was told to commit last."""
        prepared = {each.attempt: each.settings for each in self.told if isinstance(each, Prepare)}
        commit = [each for each in self.told if isinstance(each, Commit)][-1]
        return decoded(prepared[commit.attempt]).groups[0].model_group


class Said:
    """What was written down."""

    def __init__(self) -> None:
        self.lines: list[tuple[object, ...]] = []
        self.levels: list[str] = []

    def reloaded(self, generation: int, seconds: float, workers: int, asked_by: str, warnings: Sequence[str]) -> None:
        self.lines.append(("reload", generation, workers, asked_by, len(warnings)))

    def reload_refused(self, reasons: Sequence[str], asked_by: str) -> None:
        self.lines.append(("refused", asked_by, *reasons))

    def level(self, level: str) -> None:
        self.levels.append(level)


class Bench:
    """A reloader of a file, and two workers."""

    def __init__(self, folder: Path, refusal: str = "") -> None:
        self.path = folder / "llmproxy.yaml"
        self.now = 0.0
        self.said = Said()
        self.places = [FakePlace(1), FakePlace(2)]
        self.write("one")
        report = Report(self.path)
        settings = self._read(report)
        source = Source(self.path, self._read, refusal)
        self.reloader = Reloader(source, settings, report.files, self.said, None, unix=lambda: self.now)

    def _read(self, report: Report) -> "object":
        return load_settings(self.path, {}, report=report)

    def write(self, name: str, key: str = "k", **general: object) -> None:
        models = [{"model": "m", "params": {"api_key": key}}]
        document = {"model_groups": [{"model_group": name, "models": models}], "general_settings": general}
        self.path.write_text(yaml.safe_dump(document))

    def run(self, seconds: float = 0.0, by: str = "") -> None:
        """Time passes in steps; workers answer what they were told."""
        if by:
            self.reloader.ask(by)
        for _ in range(max(1, int(seconds * 4))):
            self.now += 0.25 if seconds else 0.0
            for _ in range(3):
                self.reloader.look(self.places, self.now)
                for place in self.places:
                    self._answer(place)

    def _answer(self, place: FakePlace) -> None:
        if place.told and place.problem is not None:
            last = place.told[-1]
            if isinstance(last, Prepare):
                self.reloader.heard(place.number, Answer(last.attempt, problem=place.problem))
            elif isinstance(last, Commit):
                self.reloader.heard(place.number, Answer(last.attempt, is_committed=True))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_all_workers_get_the_very_settings_that_were_read_and_the_next_begin_with_them(bench: Bench) -> None:
    bench.write("two", log_level="debug")
    bench.now = 5.0
    bench.run(by="SIGHUP")

    assert [place.serves() for place in bench.places] == ["two", "two"]
    assert bench.said.lines == [("reload", 2, 2, "SIGHUP", 0)]
    assert bench.said.levels == ["debug"]
    assert decoded(bench.reloader.encoded).groups[0].model_group == "two"
    state = bench.reloader.state
    assert (state.generation, state.succeeded_unix, state.refusals, state.refusal) == (2, 5.0, 0, "")


def test_a_file_with_mistakes_is_refused_with_all_of_them_and_no_worker_sees_it(bench: Bench, tmp_path: Path) -> None:
    bench.write("two", key=f"file:{CANARY}", max_wait="x", num_retries=-1)
    bench.run(by="SIGHUP")

    ((kind, by, *reasons),) = bench.said.lines
    assert (kind, by, len(reasons)) == ("refused", "SIGHUP", 3)
    state = bench.reloader.state
    assert (state.generation, state.refusals) == (1, 1)
    assert state.refusal.count("\n") == 2
    assert state.refusal.startswith("llmproxy.yaml:")
    assert str(tmp_path) not in state.refusal
    assert CANARY not in state.refusal
    assert [place.told for place in bench.places] == [[Stay(state)], [Stay(state)]]
    assert decoded(bench.reloader.encoded).groups[0].model_group == "one"

    bench.write("two")
    bench.run(by="SIGHUP")
    assert (bench.reloader.state.refusal, bench.reloader.state.refused_unix) == ("", None)
    assert (bench.reloader.state.generation, bench.reloader.state.refusals) == (2, 1)


def test_what_needs_a_restart_is_refused_by_name_with_all_the_rest(bench: Bench) -> None:
    bench.write("two", workers=3, bind_port=4001)
    bench.run(by="command")

    ((*_, reason),) = bench.said.lines
    assert "general_settings.bind_port, general_settings.workers: a change needs a restart" in str(reason)
    assert not any(isinstance(order, Prepare) for place in bench.places for order in place.told)


def test_one_worker_that_cannot_or_does_not_answer_keeps_all_as_they_are(bench: Bench) -> None:
    bench.write("two")
    bench.places[1].problem = "could not be composed"
    bench.run(by="SIGHUP")
    bench.places[1].problem = None
    bench.run(by="SIGHUP")
    assert bench.reloader.is_preparing
    bench.run(seconds=31)

    assert [line[2:] for line in bench.said.lines] == [
        ("worker 2 could not be composed",),
        ("worker 2 said nothing within 30 s",),
    ]
    assert not any(isinstance(order, Commit) for place in bench.places for order in place.told)
    assert bench.reloader.state.generation == 1


def test_no_worker_begins_while_it_is_undecided_and_one_that_ends_then_fails_it(bench: Bench) -> None:
    bench.write("two")
    bench.places[1].problem = None
    bench.run(by="SIGHUP")
    assert bench.reloader.is_preparing
    bench.reloader.lost(2)
    bench.run()

    assert not bench.reloader.is_preparing
    assert bench.said.lines == [("refused", "SIGHUP", "worker 2 ended meanwhile")]


def test_a_place_without_a_process_is_not_asked(bench: Bench) -> None:
    bench.places[1].pid = None
    bench.write("two")
    bench.run(by="SIGHUP")

    assert bench.said.lines == [("reload", 2, 1, "SIGHUP", 0)]
    assert bench.places[1].told == []


def test_many_who_ask_at_once_get_one_reload_and_who_asks_meanwhile_the_next(bench: Bench) -> None:
    bench.write("two")
    bench.places[1].problem = None
    bench.reloader.ask("SIGHUP")
    bench.run(by="SIGHUP")
    bench.write("three")
    bench.reloader.ask("command")
    bench.places[1].problem = ""
    bench.run(seconds=1)

    assert [line[:4] for line in bench.said.lines] == [("reload", 2, 2, "SIGHUP"), ("reload", 3, 2, "command")]
    assert [place.serves() for place in bench.places] == ["three", "three"]


def test_the_watch_waits_until_a_change_is_over_and_tells_of_a_bad_one_once(bench: Bench, tmp_path: Path) -> None:
    bench.write("two", reload="watch")
    bench.run(seconds=5)
    assert bench.said.lines == []  # the file says so, and nobody has read it yet
    bench.run(by="SIGHUP")
    bench.write("three", key="file:key", reload="watch")
    bench.run(seconds=5)
    ((*_, reason),) = bench.said.lines[1:]
    assert "the file key does not exist" in str(reason)

    (tmp_path / "key").write_text("k")  # it is watched though it was never there
    bench.run(seconds=5)
    assert bench.said.lines[2:] == [("reload", 3, 2, "watch", 0)]
    (tmp_path / "key").write_text("k")  # written, and the same
    bench.run(seconds=5)
    assert len(bench.said.lines) == 3
    (tmp_path / "key").write_text("another")
    bench.run(seconds=5)
    assert bench.said.lines[3:] == [("reload", 4, 2, "watch", 0)]


def test_the_demo_refuses_with_a_reason(tmp_path: Path) -> None:
    bench = Bench(tmp_path, refusal="the demo has no file")
    bench.run(by="SIGHUP")

    assert bench.said.lines == [("refused", "SIGHUP", "the demo has no file")]
    assert bench.reloader.state.refusal == "the demo has no file"


def test_warnings_are_told_when_they_are_new(bench: Bench) -> None:
    bench.write("two", redis_port=7)
    bench.run(by="SIGHUP")
    bench.run(by="SIGHUP")

    assert [line[-1] for line in bench.said.lines] == [1, 0]
