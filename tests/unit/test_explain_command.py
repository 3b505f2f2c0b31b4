"""`llmproxy explain` as a command: its exit codes, its mistakes, what it reads of a status; never a key."""

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from entrypoints.explain.command import main
from entrypoints.explain.explanation import Explanation
from entrypoints.explain.live_status import StatusUnreadable, read_status
from tests.unit.explain_scenes import CANARY, config, explained, status, words


def run(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(arguments, "llmproxy explain")
    out, err = capsys.readouterr()
    assert CANARY not in out + err
    return code, out, err


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "llmproxy.yaml"
    path.write_text(config())
    return str(path)


def test_the_exit_code_says_whether_somebody_is_asked(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "status.json"
    saved.write_text(json.dumps(status(**{name: {"clock_s": 5.0} for name in "abc"})))

    assert run([file, "--model", "gpt"], capsys)[:1] == (0,)
    code, out, _ = run([file, "--model", "gpt", "--status", str(saved)], capsys)
    assert code == 1 and "it waits 5.0 s for room, then a is asked" in out


def test_a_status_may_come_on_standard_input(
    file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    live = json.dumps(status(a={"state": "cooling", "cooling_s": 9.0})).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(live)))

    code, out, _ = run([file, "--model", "gpt", "--status", "-"], capsys)
    assert code == 0 and "b is asked" in out


def test_the_document_for_machines_has_what_the_text_has(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run([file, "--model", "gpt", "--tokens", "7", "--max-output", "9", "--format", "json"], capsys)
    told = json.loads(out)

    assert code == 0
    assert list(told) == list(Explanation.__struct_fields__)
    assert (told["prompt_tokens"], told["max_output_tokens"], told["status"]) == (7, 9, None)
    assert told["candidates"][0]["need_tokens"] == 16.0
    assert told["candidates"][0]["requests"] == {"limit": None, "remaining": None, "reset_s": None}


def test_every_field_of_the_document_is_in_the_docs(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(run([file, "--model", "gpt", "--format", "json"], capsys)[1])
    page = (Path(__file__).parents[2] / "docs" / "explain.md").read_text()

    for name in (*told, *told["outcome"], *told["candidates"][0]):
        assert f"`{name}`" in page.replace("[]", ""), name


def test_a_model_that_nobody_serves_is_a_mistake_with_what_is_valid(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run([file, "--model", "gtp"], capsys)

    assert (code, out) == (2, "")
    assert "'gtp'; did you mean gpt? valid: gpt" in err and "passthrough_group" in err


@pytest.mark.parametrize("wrong", ["0", "-1", "1.5", "many", "1000001"])
def test_sizes_that_cannot_be_are_mistakes(file: str, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([file, "--model", "gpt", f"--tokens={wrong}"])

    assert ended.value.code == 2 and "valid: 1 to 1000000" in capsys.readouterr().err


def test_a_file_with_a_mistake_is_told_as_check_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "llmproxy.yaml"
    path.write_text(config().replace("weight: 3", "weight: 0.5"))

    code, _, err = run([str(path), "--model", "gpt"], capsys)
    assert code == 2 and "weight" in err


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"groups":1}',
        json.dumps(status(a={"state": "odd"})),
        json.dumps(status(a={"clock_s": -1})),
        '{"x": ' + "[" * 5000,
    ],
)
def test_what_is_no_status_is_a_mistake(
    text: str, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "status.json"
    saved.write_text(text)

    code, _, err = run([file, "--model", "gpt", "--status", str(saved)], capsys)
    assert code == 2 and "is not what GET /status says" in err and "fix: curl" in err


def test_a_status_that_is_not_there_is_a_mistake(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run([file, "--model", "gpt", "--status", "gone.json"], capsys)

    assert code == 2 and "--status gone.json" in err and "valid: a file" in err


@pytest.mark.parametrize("key", [f"{CANARY}\n", f"{CANARY}é"])
def test_a_key_that_is_none_is_told_without_it(key: str) -> None:
    with pytest.raises(StatusUnreadable, match="no key has") as told:
        read_status("http://127.0.0.1:9/status", key)

    assert CANARY not in str(told.value)


def test_a_credential_in_the_url_is_told_without_it() -> None:
    with pytest.raises(StatusUnreadable, match="holds a credential") as told:
        read_status(f"http://u:{CANARY}@127.0.0.1:9/status", None)

    assert CANARY not in str(told.value)


def test_what_a_terminal_would_act_on_is_not_printed(tmp_path: Path) -> None:
    assert "\x1b" not in words(explained(tmp_path, config(), status(**{"a": {"why": "\x1b[2J"}, "\x1b[2J": {}})))


def test_absurd_numbers_in_a_status_are_no_hindrance(tmp_path: Path) -> None:
    absurd = {"limit": 1e300, "remaining": 1e300, "reset_s": 1e300}
    live = status(
        a={"in_flight": 10**12, "ramp": 10**12, "requests": absurd, "tokens": absurd},
        b={"state": "cooling", "cooling_s": 1e300, "clock_s": 1e300},
        c={"requests": {"limit": 0, "remaining": 0, "reset_s": 0}},
    )

    assert explained(tmp_path, config(), live).outcome.kind == "asked"


def test_a_proxy_that_is_not_there_is_told() -> None:
    with pytest.raises(StatusUnreadable, match="is the proxy running"):
        read_status("http://127.0.0.1:9/status", None)
