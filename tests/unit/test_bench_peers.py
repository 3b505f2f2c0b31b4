"""A gateway that is given by its command is started as it says, with its files filled in."""

from pathlib import Path

import pytest

from bench.peers.commands import filled, parsed
from bench.report import lines, side_by_side
from bench.results import Round, Row
from bench.servers.payloads import question
from bench.servers.subjects import Subject

VALUES = {"port": "1234", "upstream": "http://127.0.0.1:9"}


def test_a_command_is_a_name_variables_and_words() -> None:
    command = parsed("olla=BENCH_PATH=/olla/v1 BENCH_MODEL='a b' ./olla -c 'x y' --set=a=b")

    assert (command.name, command.path, command.model) == ("olla", "/olla/v1", "a b")
    assert command.words == ("./olla", "-c", "x y", "--set=a=b")


@pytest.mark.parametrize("text", ["olla", "olla=", "=./olla", "ol la=./olla", "olla=A=1"])
def test_anything_else_is_refused_with_what_it_was(text: str) -> None:
    with pytest.raises(ValueError, match="NAME=COMMAND"):
        parsed(text)


def test_a_program_that_is_not_there_is_told_apart() -> None:
    assert parsed("a=no-such-program-anywhere").peer().there() is False
    assert parsed("a=sh").peer().there() is True


def test_files_are_copied_with_what_is_known_replaced_and_other_braces_as_they_are(tmp_path: Path) -> None:
    given, home = tmp_path / "given", tmp_path / "home"
    for folder in (given, home):
        folder.mkdir()
    (given / "a.json").write_text('{"listen": {port}, "to": {"url": "{upstream}"}, "odd": "{other}"}', encoding="utf-8")

    one = filled(f"--config={{config:{given}/a.json}}", home, VALUES)
    all_of_them = filled(f"{{folder:{given}}}", home, VALUES)

    assert one == f"--config={home}/a.json"
    assert all_of_them == str(home)
    text = (home / "a.json").read_text(encoding="utf-8")
    assert text == '{"listen": 1234, "to": {"url": "http://127.0.0.1:9"}, "odd": "{other}"}'
    assert filled("{port}", home, VALUES) == "1234"


@pytest.mark.parametrize("stream", [False, True])
def test_a_peer_is_asked_for_the_model_by_its_own_name(stream: bool) -> None:
    subject = Subject(name="bifrost", url="", model="openai/gpt-4o")

    assert subject.asked(question(stream=stream)) == question(stream=stream, model="openai/gpt-4o")


def test_subjects_stand_side_by_side_with_what_was_measured_of_each() -> None:
    rounds = (
        Round(subject="olla", round=0, values={"start_s": 0.5}),
        Round(subject="olla", round=1, values={"rps": 1000, "rps_per_core": 2000}, errors={"timeout": 3}),
        Round(subject="litellm", round=0, note="not installed"),
    )
    head, olla, litellm = side_by_side(Row(name="", title="", rounds=rounds, forgiven=("olla",)))

    assert head.split() == ["requests/s", "a", "core", "start", "s"]
    assert olla.split() == ["olla", "1,000", "2,000", "0.50", "3", "failed"]
    assert litellm.split() == ["litellm", "—", "—", "—", "not", "installed"]
    assert olla in lines(Row(name="", title="", rounds=rounds, forgiven=("olla",)))
