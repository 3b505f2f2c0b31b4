"""What was meant to be replaced by a value, and was not, is never sent to anybody as if it were one."""

import json
from pathlib import Path
from typing import Any

import pytest

from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.settings import Settings

ENVIRON = {"lower_name": "v", "MY_KEY": "sk-1"}


def load(folder: Path, params: dict[str, Any], general: dict[str, Any], environ: dict[str, str]) -> Settings:
    path = folder / "llmproxy.yaml"
    groups = [{"model_group": "g", "models": [{"model": "m", "params": {"api_key": "k", **params}}]}]
    path.write_text(json.dumps({"general_settings": general, "model_groups": groups}), encoding="utf-8")
    return load_settings(path, ENVIRON | environ)


def refusal(folder: Path, params: dict[str, Any], general: dict[str, Any] | None = None, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, params, general or {}, environ)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def warnings(folder: Path, params: dict[str, Any], general: dict[str, Any] | None = None, **environ: str) -> str:
    return "\n".join(load(folder, params, general or {}, environ).warnings)


REFERENCES = [
    "${MY_KEY}", "${ MY_KEY }", "${MY_KEY:-none}", "${env:MY_KEY}", "$(MY_KEY)", "$MY_KEY", "$env:MY_KEY",
    "{{MY_KEY}}", "{{ env.MY_KEY }}", "{{ env('MY_KEY') }}", '{{ env "MY_KEY" }}', "${{ secrets.MY_KEY }}",
    "${{secrets.MY_KEY}}", "env.MY_KEY", "env/MY_KEY", "env:MY_KEY", "ENV.MY_KEY", "secrets.MY_KEY", "%MY_KEY%",
    "os.environ['MY_KEY']", 'os.environ["MY_KEY"]', "os.environ.MY_KEY", "os.environ.get('MY_KEY')",
    'os.getenv("MY_KEY")', "environ['MY_KEY']", "getenv('MY_KEY')", "process.env.MY_KEY", "ENV['MY_KEY']",
    "!env MY_KEY", "#{MY_KEY}#", "#{MY_KEY}", "<%= ENV['MY_KEY'] %>", "env('MY_KEY')", "os.env/MY_KEY",
    "OS.ENVIRON/MY_KEY", "environ/MY_KEY", "{MY_KEY}",
    "%env(MY_KEY)%", "{env:MY_KEY}", "{env.MY_KEY}", "{$MY_KEY}",
]  # fmt: skip
KEPT = ["op://vault/MY_KEY", "vault://MY_KEY", "@Microsoft.KeyVault(SecretUri=MY_KEY)"]
KEPT += ["secret://MY_KEY", "vault:secret/MY_KEY", "arn:aws:secretsmanager:eu-1:1:secret:MY_KEY"]


@pytest.mark.parametrize("text", [*REFERENCES, *KEPT, "prefix-${MY_KEY}", "{{MY_KEY}}-suffix", "xos.environ/MY_KEY"])
def test_a_foreign_way_to_write_a_variable_is_refused_as_a_key_with_the_way_that_is_right(
    tmp_path: Path, text: str
) -> None:
    message = refusal(tmp_path, {"api_key": text})

    assert "params.api_key: " in message
    assert "valid: os.environ/NAME; fix: write os.environ/MY_KEY" in message


@pytest.mark.parametrize("text", REFERENCES)
def test_so_it_is_after_a_scheme_in_a_header(tmp_path: Path, text: str) -> None:
    scheme = "Bearer "
    message = refusal(tmp_path, {"default_headers": {"Authorization": scheme + text}})

    assert "params.default_headers.Authorization: " in message
    assert "valid: os.environ/NAME; fix: write os.environ/MY_KEY as api_key, which is sent as Bearer" in message


@pytest.mark.parametrize("key", ["bind_port", "log_level", "cache", "cooldown_time", "redis_host", "max_body_bytes"])
@pytest.mark.parametrize("text", ["${MY_KEY}", "$MY_KEY", "{{ MY_KEY }}", "%MY_KEY%", "os.environ['MY_KEY']"])
def test_so_it_is_in_settings_of_every_other_kind(tmp_path: Path, key: str, text: str) -> None:
    message = refusal(tmp_path, {}, {key: text})

    assert f"general_settings.{key}: " in message
    assert "valid: os.environ/NAME; fix: write os.environ/MY_KEY" in message


@pytest.mark.parametrize(
    "text", ["$X", "%X%", "env.X", "env/X", "env:X", "{{X}}", "{{ env.X }}", "${X}", "Bearer ${X}"]
)
def test_so_it_is_with_the_shortest_name(tmp_path: Path, text: str) -> None:
    assert "valid: os.environ/NAME; fix: write os.environ/X" in refusal(tmp_path, {"api_key": text})


def test_the_name_of_a_file_is_no_key_and_its_content_may_be(tmp_path: Path) -> None:
    assert "valid: file:/path; fix: write file:/run/secrets/MY_KEY" in refusal(
        tmp_path, {"api_key": "/run/secrets/MY_KEY"}
    )


def test_a_file_may_lie_where_secrets_are_kept(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path, {}, {"ca_bundle": "/run/secrets/CA_PEM"})


def test_so_it_is_inside_a_url(tmp_path: Path) -> None:
    assert "valid: os.environ/NAME" in refusal(tmp_path, {"base_url": "https://${HOST_NAME}/v1"})
    assert "valid: os.environ/NAME" in refusal(tmp_path, {"base_url": "https://$HOST_NAME/v1"})
    assert "valid: os.environ/NAME" in refusal(tmp_path, {}, {"redis_url": "redis://:${SECRET_NAME}@h"})


def test_so_it_is_in_lower_case_where_such_a_variable_is_set(tmp_path: Path) -> None:
    for text in ("$lower_name", "%lower_name%", "env.lower_name"):
        assert "valid: os.environ/NAME" in refusal(tmp_path, {"api_key": text})


@pytest.mark.parametrize("text", ["$other_name", "env/other", "$Ecret1", "a%LONG_NAME%b", "x-$LONG_NAME-y"])
def test_what_is_doubtful_as_a_key_is_warned_about_and_kept(tmp_path: Path, text: str) -> None:
    settings = load(tmp_path, {"api_key": text}, {}, {})

    assert len(settings.warnings) == 1
    assert "params.api_key: looks like a variable that nobody replaces" in settings.warnings[0]
    assert text not in settings.warnings[0]
    key = settings.groups[0].models[0].params.api_key
    assert key is not None
    assert key.reveal() == text


@pytest.mark.parametrize("text", ["$ECRET", "pa%WORD_1%", "a${b_c}d", "env.SECRET"])
def test_a_password_may_be_anything_and_is_only_warned_about(tmp_path: Path, text: str) -> None:
    general = {"redis_host": "h", "redis_password": text}
    settings = load(tmp_path, {}, general, {})

    assert len(settings.warnings) == 1
    assert "general_settings.redis_password: looks like a variable" in settings.warnings[0]
    assert settings.general.redis_password is not None
    assert settings.general.redis_password.reveal() == text


@pytest.mark.parametrize(
    "text",
    [
        "pa$$word",
        "a$b",
        "p%40ss",
        "100%",
        "$",
        "{x}",
        "a$bcd$E",
        "x{{",
        "EMPTY",
        "none",
        "environment",
        "sk-1$A",
        "<",
        "k",
    ],
)
def test_passwords_and_keys_with_such_signs_in_them_are_nothing_to_tell(tmp_path: Path, text: str) -> None:
    assert warnings(tmp_path, {"api_key": text}, {"redis_host": "h", "redis_password": text}) == ""


@pytest.mark.parametrize("model", ["env/PROD", "env/small", "vendor/model:free", "@cf/meta/llama", "gpt-4o"])
def test_a_model_may_be_called_like_that(tmp_path: Path, model: str) -> None:
    path = tmp_path / "llmproxy.yaml"
    path.write_text(f"model_groups: [{{model_group: g, models: [{{model: '{model}', params: {{api_key: k}}}}]}}]")

    assert load_settings(path, {}).groups[0].models[0].model == model


@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize(
    ("key", "value"),
    [("api_key", "sk-abc"), ("base_url", "https://h.example/v1"), ("timeout", "5.77"), ("organization", "o-77")],
)
def test_quotes_around_a_variables_value_are_refused_with_where_they_come_from(
    tmp_path: Path, key: str, value: str, quote: str
) -> None:
    message = refusal(tmp_path, {key: "os.environ/QUOTED"}, QUOTED=f"{quote}{value}{quote}")

    assert f"params.{key}: the environment variable QUOTED has quotes around its value" in message
    assert "docker's --env-file; valid: " in message
    assert "; fix: export QUOTED=... without quotes" in message
    assert value not in message


@pytest.mark.parametrize(("key", "value"), [("bind_port", '"4000"'), ("cache", "'true'"), ("log_level", '"info"')])
def test_so_are_they_in_general_settings(tmp_path: Path, key: str, value: str) -> None:
    assert "QUOTED has quotes around its value" in refusal(tmp_path, {}, {key: "os.environ/QUOTED"}, QUOTED=value)


def test_an_empty_pair_of_quotes_is_refused_even_as_a_password(tmp_path: Path) -> None:
    general = {"redis_host": "h", "redis_password": "os.environ/QUOTED"}

    assert "QUOTED has quotes around its value" in refusal(tmp_path, {}, general, QUOTED='""')


def test_quotes_around_a_password_or_a_header_are_warned_about(tmp_path: Path) -> None:
    general = {"redis_host": "h", "redis_password": "os.environ/QUOTED"}
    told = warnings(tmp_path, {"default_headers": {"X-Tag": "os.environ/QUOTED"}}, general, QUOTED="'hush'")

    assert told.count("the environment variable QUOTED has quotes around its value") == 2
    assert "hush" not in told


@pytest.mark.parametrize("text", ['"sk-abc"', "'sk-abc'", "`sk-abc`", "“sk-abc”", "‘sk-abc’"])
def test_quotes_inside_the_quotes_of_the_file_are_refused_too(tmp_path: Path, text: str) -> None:
    assert "has quotes inside its quotes" in refusal(tmp_path, {"api_key": text})


@pytest.mark.parametrize("from_variable", [False, True])
def test_a_key_with_a_quote_at_one_end_is_refused(tmp_path: Path, from_variable: bool) -> None:
    for text in ('"sk-abc', "sk-abc'"):
        message = refusal(tmp_path, {"api_key": "os.environ/K" if from_variable else text}, K=text)
        assert "params.api_key: begins or ends with a quote that is no part of a key" in message


@pytest.mark.parametrize("text", ["Bearer sk-abc", "bearer  sk-abc", "Authorization: Bearer sk-abc", "Basic YWJj"])
@pytest.mark.parametrize("from_variable", [False, True])
def test_a_key_that_says_its_scheme_is_refused(tmp_path: Path, text: str, from_variable: bool) -> None:
    message = refusal(tmp_path, {"api_key": "os.environ/K" if from_variable else text}, K=text)

    assert "params.api_key: begins with the name of a scheme; valid: a text of printable ASCII" in message
    assert "sk-abc" not in message


@pytest.mark.parametrize("text", ["OPENAI_API_KEY=sk-abc", "export AZURE_KEY=sk-abc"])
@pytest.mark.parametrize("from_variable", [False, True])
def test_a_line_of_an_env_file_is_no_key(tmp_path: Path, text: str, from_variable: bool) -> None:
    message = refusal(tmp_path, {"api_key": "os.environ/K" if from_variable else text}, K=text)

    assert "begins with the name of a variable" in message and "fix: write the key alone" in message
    assert "sk-abc" not in message


def test_a_key_may_end_in_what_fills_base64_up(tmp_path: Path) -> None:
    assert warnings(tmp_path, {"api_key": "AB_CDEF0123456789=="}) == ""


def test_a_header_may_say_its_scheme(tmp_path: Path) -> None:
    assert warnings(tmp_path, {"default_headers": {"Authorization": "Bearer sk-abc"}}) == ""


@pytest.mark.parametrize(
    "text",
    ["<YOUR_KEY>", "<your-key>", "<API-KEY>", "sk-...", "...", "[KEY]", "sk-…", "sk-ab...yz", "sk-***yz", "Bearer"],
)
def test_an_obvious_placeholder_is_refused(tmp_path: Path, text: str) -> None:
    for given in (text, "os.environ/K"):
        assert "params.api_key: is a placeholder or a key that was masked; valid: a text of printable ASCII" in refusal(
            tmp_path, {"api_key": given}, K=text
        )


@pytest.mark.parametrize(
    "text",
    ["your-api-key", "YOUR_API_KEY", "sk-your-key", "sk-xxxx", "xxxxxxxx", "changeme", "change-me", "api-key-here"],
)
def test_a_probable_placeholder_is_warned_about(tmp_path: Path, text: str) -> None:
    told = warnings(tmp_path, {"api_key": text})

    assert "params.api_key: looks like a placeholder" in told
    assert text not in told


def test_the_references_nobody_replaced_in_a_variable_are_told_with_its_name(tmp_path: Path) -> None:
    message = refusal(tmp_path, {"api_key": "os.environ/K"}, K="${OTHER}")

    assert "params.api_key: the environment variable K holds a reference to another one" in message
    assert "OTHER" not in message


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("api_key: {{MY_KEY}}", "an environment variable is written os.environ/NAME"),
        ("api_key: {{ env.MY_KEY }}", "an environment variable is written os.environ/NAME"),
        ("api_key: %MY_KEY%", "an environment variable is written os.environ/NAME"),
        ("api_key: !env MY_KEY", "an environment variable is written os.environ/NAME"),
        ("api_key: !ENV ${MY_KEY}", "an environment variable is written os.environ/NAME"),
    ],
)
def test_what_yaml_itself_trips_over_is_told_with_the_remedy(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "llmproxy.yaml"
    path.write_text(f"model_groups:\n- model_group: g\n  models:\n  - model: m\n    params:\n      {line}\n")

    with pytest.raises(ConfigError) as caught:
        load_settings(path, {})

    assert str(caught.value).startswith(f"{path}:6:")
    assert told in str(caught.value)
