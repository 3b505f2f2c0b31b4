"""`llmproxy convert` with files as people have them: the new file is one that the proxy's own reader takes."""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from entrypoints.cli.command import main
from entrypoints.config.load import load_settings
from entrypoints.config.settings import Settings
from tests.unit.convert_inputs import FILES

NAMES = ["start", "azure", "router", "cache", "company", "agents"]
SET = {
    "REDIS_HOST": "redis.internal",
    "AZURE_API_BASE": "https://five.openai.azure.com",
    "LITELLM_MASTER_KEY": "master-key",
}


class Environ(dict[str, str]):
    """Every variable is set."""

    def __missing__(self, name: str) -> str:
        return f"value-of-{name.lower()}"

    def get(self, name: str, default: object = None) -> str:  # type: ignore[override] # there is none without a value
        return self[name]


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = main(["convert", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def load(text: str, folder: Path, environ: Mapping[str, str]) -> Settings:
    path = folder / "llmproxy.yaml"
    path.write_text(text)
    return load_settings(path, environ)


@pytest.mark.parametrize("name", NAMES)
def test_the_new_file_is_read_by_our_reader(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, said = run(capsys, FILES / f"{name}.yaml")
    variables = dict.fromkeys(re.findall(r"os\.environ/(\w+)", text))

    settings = load(text, tmp_path, {each: Environ(SET)[each] for each in variables})

    assert code == 0 and settings.groups
    assert f"{sum(len(each.models) for each in settings.groups)} endpoint(s) in {len(settings.groups)} group(s)" in said


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_of_the_file_is_written_or_said(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, text, said = run(capsys, FILES / f"{name}.yaml")

    assert "canary" not in text + said


def test_secrets_are_kept_where_that_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, said = run(capsys, FILES / "start.yaml", "--keep-literal-keys")

    assert code == 0 and "canary" not in said
    settings = load(text, tmp_path, {"OPENAI_API_KEY": "k"})
    key = settings.groups[1].models[0].params.api_key
    assert key is not None and "api_key: sk-proj-canary" in text


def test_each_variable_that_takes_the_place_of_a_secret_is_named_with_its_place(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, text, said = run(capsys, FILES / "router.yaml")

    assert "redis_password: os.environ/REDIS_PASSWORD" in text
    assert "export REDIS_PASSWORD=...   # what stands at router.yaml:31, router_settings.redis_password" in said


def test_a_note_stands_at_its_place_in_the_new_file(capsys: pytest.CaptureFixture[str]) -> None:
    _, text, _ = run(capsys, FILES / "start.yaml")

    before, _, after = text.partition("model_group: gpt-4o-mini")
    assert "start.yaml:11, 12: model_list[1].litellm_params.temperature" not in before
    assert "start.yaml:11, 12: model_list[1].litellm_params.temperature" in after.partition("- model_group")[0]


def test_a_file_that_is_included_counts_and_its_lines_are_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    _, text, said = run(capsys, FILES / "agents.yaml")

    assert "model_group: gpt-5-codex" in text and "passthrough_group: all-other-models" in text
    assert "agents-models.yaml:18: model_list[2].litellm_params.reasoning_effort" in said
    assert "agents.yaml:14: mcp_servers" in said


def test_the_new_file_is_written_for_its_owner_alone_and_over_none_that_exists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.yaml"

    assert run(capsys, FILES / "cache.yaml", "-o", new)[0] == 0
    assert stat.S_IMODE(new.stat().st_mode) == 0o600
    new.write_text("mine")
    code, _, said = run(capsys, FILES / "cache.yaml", "-o", new)
    assert code == 2 and "--force" in said and new.read_text() == "mine"
    assert run(capsys, FILES / "cache.yaml", "-o", new, "--force")[0] == 0
    assert "model_groups" in new.read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model_list: [", "litellm.yaml:1:14: not valid YAML"),
        ("- a\n- b", "not a mapping"),
        ("", "not a mapping"),
        ("model_list: [{model_name: *}]", "litellm.yaml:1"),
        ("a: &a [*a]", "too large"),
        ("? [a]\n: b", "a key that is a list"),
        ("model_list:\n  - model_name: c\n    litellm_params: {model: bedrock/claude}", "no endpoint that this proxy"),
        ("model_groups:\n  - model_group: g", "model_groups: is this proxy's own, so that nothing is to be converted"),
        ("include: [missing.yaml]", "missing.yaml: No such file"),
    ],
)
def test_what_cannot_be_converted_is_a_mistake_and_nothing_is_written(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "litellm.yaml"
    path.write_text(text)

    code, out, err = run(capsys, path)

    assert code == 2 and said in err and out == ""


def test_a_line_that_is_not_yaml_is_not_shown_as_a_key_may_stand_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "litellm.yaml"
    path.write_text("a:\n  api_key: sk-canary: more")

    code, _, err = run(capsys, path)

    assert code == 2 and "canary" not in err and "litellm.yaml:2:" in err


def test_a_result_that_our_reader_does_not_take_is_said_with_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "litellm.yaml"
    path.write_text(
        "model_list:\n  - model_name: m\n    litellm_params: {model: openai/m, api_base: 'http://169.254.169.254/v1'}\n"
    )

    code, out, err = run(capsys, path)

    assert code == 2 and "needs your hand" in err and "model_groups[0].models[0].params.base_url" in err
    assert out.startswith("# LLMProxy's configuration")


def test_included_lists_are_added_and_all_else_replaces_what_was_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = "  - {model_name: one, litellm_params: {model: gpt-4o}}\n"
    (tmp_path / "a.yaml").write_text(f"include: [b.yaml]\nmodel_list:\n{one}router_settings: {{num_retries: 1}}\n")
    (tmp_path / "b.yaml").write_text(
        f"include: [a.yaml]\nmodel_list:\n{one.replace('one', 'two')}router_settings: {{num_retries: 2}}\n"
    )

    _, text, said = run(capsys, tmp_path / "a.yaml")

    assert "model_group: one" in text and "model_group: two" in text and "num_retries: 2" in text
    assert "a.yaml:4: router_settings: b.yaml is included and says it too" in said


def test_a_key_that_stands_twice_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "litellm.yaml"
    path.write_text(
        "x: &x {rpm: 1, tpm: 2}\nmodel_list:\n  - model_name: m\n    litellm_params:\n"
        "      <<: *x\n      model: gpt-4o\n      rpm: 5\n      rpm: 6\n"
    )

    _, text, said = run(capsys, path)

    assert "litellm.yaml:7: model_list[0].litellm_params.rpm: stands twice" in said
    assert said.count("stands twice") == 1 and "rpm: 6" in text and "tpm: 2" in text


def test_on_a_terminal_the_notes_are_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)

    _, _, said = run(capsys, FILES / "cache.yaml")

    assert "Not carried over " in said and "max_connections" in said and "│" in said
    assert "Not carried over:" not in said


def test_values_of_a_terminal_are_not_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    _, text, said = run(capsys, FILES / "company.yaml")

    assert "\x1b" not in text + said and os.linesep in said
