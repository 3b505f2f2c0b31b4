"""Keys with names, and what `tenancy` and `passthrough` demand of the other settings."""

from pathlib import Path

import pytest

from domain.secret import Secret
from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.settings import GeneralSettings, NamedKey
from entrypoints.wiring.access import guard_of

GROUPS = "model_groups: [{model_group: g, models: [{model: m, params: {api_key: k}}]}]"
CANARY = "canary-hunter2"
ENVIRON = {"TEAM_A": "from-the-environment", "NAME": "team-e", "EMPTY": ""}


def loaded(tmp_path: Path, general: str) -> GeneralSettings:
    path = tmp_path / "llmproxy.yaml"
    path.write_text(f"general_settings: {general}\n{GROUPS}\n", encoding="utf-8")
    return load_settings(path, ENVIRON).general


def refusal(tmp_path: Path, general: str) -> str:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, general)
    message = str(refused.value)
    assert CANARY not in message
    return message


def test_keys_with_and_without_names_may_be_mixed_and_come_from_the_environment(tmp_path: Path) -> None:
    keys = "[plain, {name: team-a, key: os.environ/TEAM_A}, {key: k3, name: os.environ/NAME}, os.environ/NAME]"

    assert loaded(tmp_path, f"{{api_keys: {keys}}}").api_keys == (
        Secret("plain"),
        NamedKey("team-a", Secret("from-the-environment")),
        NamedKey("team-e", Secret("k3")),
        Secret("team-e"),
    )


def test_whoever_has_a_key_is_known_by_its_name(tmp_path: Path) -> None:
    guard = guard_of(loaded(tmp_path, "{api_keys: [plain, {name: team-a, key: k}]}"))

    assert guard.check({b"api-key": b"k"}).name == "team-a"
    assert guard.check({b"api-key": b"plain"}).name == ""
    assert guard.without_keys("a=k&b=c&d=plain") == "b=c"


@pytest.mark.parametrize(
    ("item", "place", "told"),
    [
        ("{name: a}", "api_keys[0].key", "is missing; valid: a text of printable ASCII characters without spaces"),
        (f"{{key: {CANARY}}}", "api_keys[0].name", "is missing; valid: 1 to 64 letters, digits, . _ or -"),
        (f"{{name: a b, key: {CANARY}}}", "api_keys[0].name", "valid: 1 to 64 letters, digits, . _ or -"),
        (f"{{name: {'a' * 65}, key: {CANARY}}}", "api_keys[0].name", "valid: 1 to 64 letters, digits, . _ or -"),
        (f'{{name: "", key: {CANARY}}}', "api_keys[0].name", "valid: 1 to 64 letters, digits, . _ or -"),
        ('{name: "a\\nb", key: k}', "api_keys[0].name", "valid: 1 to 64 letters, digits, . _ or -"),
        ("{name: a, key: 'k k'}", "api_keys[0].key", "valid: a text of printable ASCII characters without spaces"),
        ("{name: a, key: os.environ/EMPTY}", "api_keys[0].key", "EMPTY is empty"),
        ("{name: a, key: '${TEAM_A}'}", "api_keys[0].key", "os.environ/TEAM_A"),
        (f"{{name: a, kye: {CANARY}}}", "api_keys[0].<...>", "fix: write key"),
        (f"{{name: a, {CANARY}: 1, key: k}}", "api_keys[0].<...>", "valid: name"),
        (f"[{CANARY}]", "api_keys[0]", "a mapping with name and key"),
        ("1234", "api_keys[0]", "write it in quotes"),
    ],
)
def test_a_wrong_key_is_told_with_its_place_and_what_is_valid(tmp_path: Path, item: str, place: str, told: str) -> None:
    message = refusal(tmp_path, f"{{api_keys: [{item}]}}")

    assert f"general_settings.{place}" in message
    assert told in message


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (f"[{CANARY}, {CANARY}]", "api_keys[1]: is the same key as general_settings.api_keys[0]; valid: each key once"),
        (
            f"[x, {{name: a, key: {CANARY}}}, {CANARY}]",
            "api_keys[2]: is the same key as general_settings.api_keys[1]; valid: each key once",
        ),
        (
            "[{name: a, key: k1}, {name: a, key: k2}]",
            "api_keys[1]: has the same name as general_settings.api_keys[0]; valid: each name once",
        ),
    ],
)
def test_keys_and_names_stand_once(tmp_path: Path, keys: str, told: str) -> None:
    message = refusal(tmp_path, f"{{api_keys: {keys}}}")

    assert told in message
    assert len(message.splitlines()) == 1


def test_a_name_may_be_what_another_key_is(tmp_path: Path) -> None:
    assert len(loaded(tmp_path, "{api_keys: [a, {name: a, key: b}]}").api_keys) == 2


@pytest.mark.parametrize(
    ("general", "place", "told"),
    [
        ("{tenancy: key}", "tenancy", "there are none; valid: shared, or api_keys"),
        ("{tenancy: key, allow_unauthenticated: true}", "tenancy", "valid: shared, or api_keys"),
        ("{tenancy: keys, api_keys: [k]}", "tenancy", "valid: shared or key"),
        ("{tenancy: key, api_keys: [k], workers: 2}", "tenancy", "valid: shared, or workers: 1, or redis_host"),
        ("{tenancy: key, api_keys: [k], workers: auto}", "tenancy", "valid: shared, or workers: 1, or redis_host"),
        ("{tenancy: key, api_keys: [k], passthrough: admin}", "passthrough", "valid: on or off with tenancy: key"),
        ("{tenancy: key, api_keys: [k], cache_params: {scope: global}}", "cache_params.scope", "credential"),
        ("{passthrough: off, passthrough_group: g}", "passthrough", "valid: on or admin, or off without"),
        ("{passthrough: maybe}", "passthrough", "valid: off or on or admin"),
        ("{passthrough: 1}", "passthrough", "valid: off or on or admin"),
    ],
)
def test_what_undoes_a_setting_is_refused(tmp_path: Path, general: str, place: str, told: str) -> None:
    message = refusal(tmp_path, general)

    assert f"general_settings.{place}: " in message
    assert told in message


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("off", "off"),
        ("'off'", "off"),
        ("OFF", "off"),
        ("false", "off"),
        ("on", "on"),
        ("true", "on"),
        ("Admin", "admin"),
    ],
)
def test_on_and_off_may_be_written_as_yaml_reads_them_and_as_texts(tmp_path: Path, written: str, meant: str) -> None:
    assert loaded(tmp_path, f"{{passthrough: {written}}}").passthrough == meant


def test_what_is_kept_apart_but_not_for_long_is_warned_about(tmp_path: Path) -> None:
    path = tmp_path / "llmproxy.yaml"
    for general, count in (("{tenancy: key, api_keys: [k]}", 1), ("{tenancy: key, api_keys: [k], redis_host: r}", 0)):
        path.write_text(f"general_settings: {general}\n{GROUPS}\n", encoding="utf-8")
        told = [line for line in load_settings(path, {}).warnings if "tenancy" in line]
        assert len(told) == count
