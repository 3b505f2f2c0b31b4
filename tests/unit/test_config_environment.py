"""`os.environ/NAME` becomes the variable's value, in the type the setting wants."""

from pathlib import Path

import pytest

from domain.secret import Secret
from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.settings import GeneralSettings, Settings

GROUPS = "model_groups: [{model_group: g, models: [{model: m, params: {api_key: k}}]}]\n"
CANARY = "canary-hunter2"


def load(tmp_path: Path, text: str, **environ: str) -> Settings:
    path = tmp_path / "llmproxy.yaml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, environ)


def general(tmp_path: Path, settings: str, **environ: str) -> GeneralSettings:
    return load(tmp_path, f"general_settings: {{{settings}}}\n{GROUPS}", **environ).general


def refusal(tmp_path: Path, text: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, **environ)
    assert CANARY not in str(caught.value)
    return str(caught.value)


def test_a_number_from_the_environment_is_a_number(tmp_path: Path) -> None:
    got = general(tmp_path, "bind_port: os.environ/P, cooldown_time: os.environ/C", P="8080", C="1.5")

    assert (got.bind_port, got.cooldown_time) == (8080, 1.5)


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("1", True), ("YES", True), ("on", True), ("False", False), ("0", False), ("no", False)],
)
def test_a_switch_from_the_environment_may_be_said_in_many_ways(tmp_path: Path, text: str, value: bool) -> None:
    assert general(tmp_path, "cache: os.environ/C", C=text).cache is value


def test_sizes_choices_and_workers_come_from_the_environment(tmp_path: Path) -> None:
    got = general(
        tmp_path,
        "max_body_bytes: os.environ/A, log_level: os.environ/B, workers: os.environ/C, max_connections: os.environ/D",
        **{"A": "64KiB", "B": "debug", "C": "auto", "D": "7"},
    )

    assert (got.max_body_bytes, got.log_level, got.workers, got.max_connections) == (65_536, "debug", "auto", 7)


def test_a_text_of_digits_from_the_environment_stays_a_text(tmp_path: Path) -> None:
    assert general(tmp_path, "redis_password: os.environ/P", P="0123").redis_password == Secret("0123")


def test_lists_headers_and_queries_take_variables_too(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        general_settings: {api_keys: [os.environ/ONE, "os.environ/TWO"]}
        model_groups:
          - model_group: os.environ/NAME
            models:
              - model: m
                weight: os.environ/WEIGHT
                params: {default_headers: {X-A: os.environ/ONE}, default_query: {q: os.environ/TWO}}
        """,
        **{"ONE": "1", "TWO": "2", "NAME": "gpt", "WEIGHT": "5"},
    )

    group = settings.groups[0]
    params = group.models[0].params
    assert settings.general.api_keys == (Secret("1"), Secret("2"))
    assert (group.model_group, group.models[0].weight) == ("gpt", 5)
    assert (params.default_headers, params.default_query) == ({"X-A": Secret("1")}, {"q": "2"})


def test_white_space_around_a_value_is_dropped(tmp_path: Path) -> None:
    text = "model_groups: [{model_group: g, models: [{model: m, params: {api_key: os.environ/K}}]}]"

    assert load(tmp_path, text, K=" key\n").groups[0].models[0].params.api_key == Secret("key")


@pytest.mark.parametrize("empty", ["", "  \n"])
def test_an_empty_variable_means_that_a_general_setting_is_absent(tmp_path: Path, empty: str) -> None:
    got = general(
        tmp_path,
        "redis_host: os.environ/E, redis_port: os.environ/E, redis_password: os.environ/E, bind_port: os.environ/E, "
        "cache_params: {password: os.environ/E, ttl: os.environ/E}",
        E=empty,
    )

    assert got == GeneralSettings()


def test_an_empty_variable_in_api_keys_is_refused_because_it_would_open_the_proxy(tmp_path: Path) -> None:
    message = refusal(tmp_path, f"general_settings: {{api_keys: [os.environ/K]}}\n{GROUPS}", K="")

    assert "general_settings.api_keys[0]: the environment variable K is empty, which counts as not set" in message
    assert "fix: export K=..." in message


def test_an_empty_variable_in_params_is_refused(tmp_path: Path) -> None:
    text = "model_groups: [{model_group: g, models: [{model: m, params: {api_key: os.environ/K}}]}]"

    message = refusal(tmp_path, text, K="")

    assert "model_groups[0].models[0].params.api_key: the environment variable K is empty" in message


@pytest.mark.parametrize(
    "text",
    [
        "model_groups: [{model_group: g, models: [{model: m, params: {api_key: os.environ/MISSING}}]}]",
        f"general_settings: {{redis_password: os.environ/MISSING}}\n{GROUPS}",
    ],
)
def test_a_missing_variable_is_named_with_the_way_to_set_it(tmp_path: Path, text: str) -> None:
    message = refusal(tmp_path, text)

    assert "the environment variable MISSING is not set; valid: a text " in message
    assert "; fix: export MISSING=... before starting, or remove it here or write another value" in message
    assert len(message.splitlines()) == 1


def test_every_missing_variable_is_named_at_once(tmp_path: Path) -> None:
    message = refusal(
        tmp_path,
        "general_settings: {redis_host: os.environ/A_, redis_port: os.environ/B_}\n"
        "model_groups: [{model_group: os.environ/C_, models: "
        "[{model: m, params: {default_headers: {x: os.environ/D_}}}]}]",
    )

    assert [name for name in ("A_", "B_", "C_", "D_") if f"variable {name} is not set" in message] == [
        "A_",
        "B_",
        "C_",
        "D_",
    ]


@pytest.mark.parametrize("key", ["bind_port", "cache", "workers", "log_level", "max_body_bytes", "cooldown_time"])
def test_a_value_that_does_not_convert_is_not_shown_but_its_variable_is(tmp_path: Path, key: str) -> None:
    message = refusal(tmp_path, f"general_settings: {{{key}: os.environ/WRONG_ONE}}\n{GROUPS}", WRONG_ONE=CANARY)

    assert f"general_settings.{key}: got the value of the environment variable WRONG_ONE, which is not shown" in message
    assert "; valid: " in message


def test_a_key_with_a_line_break_inside_is_refused_and_not_shown(tmp_path: Path) -> None:
    text = "model_groups: [{model_group: g, models: [{model: m, params: {api_key: os.environ/K}}]}]"

    message = refusal(tmp_path, text, K=f"{CANARY}\r\nX-Evil: 1")

    assert "got the value of the environment variable K, which is not shown; valid: a text of printable" in message


@pytest.mark.parametrize(
    "written",
    [
        "os.environ/",
        "os.environ/9LIVES",
        "os.environ/A-B",
        "os.environ/sk_canary",
        "Bearer os.environ/K",
        "https://os.environ/HOST/v1",
        "${K}",
        "$(K)",
        "os.environ.K",
        "os.environ[K]",
        "os.getenv(K)",
    ],
)
def test_other_ways_to_write_a_variable_are_refused_instead_of_taken_literally(tmp_path: Path, written: str) -> None:
    text = f"model_groups: [{{model_group: g, models: [{{model: m, params: {{api_key: '{written}'}}}}]}}]"

    message = refusal(tmp_path, text, K="k")

    assert "params.api_key: " in message
    assert "valid: os.environ/NAME" in message


@pytest.mark.parametrize(
    "name", ["AZURE_OPENAI_API_KEY_O4_MINI_1", "OPENAI_KEY_2_OF_TEAM_17_EU_WEST_3", "aVeryLongName0fAKey17xyz"]
)
def test_a_name_as_long_as_a_key_and_with_digits_is_a_name(tmp_path: Path, name: str) -> None:
    settings = load(tmp_path, GROUPS.replace("api_key: k", f"api_key: os.environ/{name}"), **{name: "sk-a"})

    assert settings.groups[0].models[0].params.api_key == Secret("sk-a")


def test_a_usual_name_that_is_not_set_is_said_whole(tmp_path: Path) -> None:
    text = refusal(tmp_path, GROUPS.replace("api_key: k", "api_key: os.environ/AZURE_OPENAI_API_KEY_O4_MINI_1"))

    assert "the environment variable AZURE_OPENAI_API_KEY_O4_MINI_1 is not set" in text


@pytest.mark.parametrize("key", ["AKIA0123456789ABCDEF", "skproj0123456789abcdefghij"])
def test_a_key_in_the_place_of_a_name_is_not_shown(tmp_path: Path, key: str) -> None:
    text = refusal(tmp_path, GROUPS.replace("api_key: k", f"api_key: os.environ/{key}"))

    assert "not followed by a variable's name" in text
    assert key not in text
