"""A mistake says where it stands, to the column, and what to do; programs get the same in parts."""

from pathlib import Path

import msgspec
import pytest

from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.reading.mistakes import Mistake
from entrypoints.config.reading.schema import Kind, keys_of
from entrypoints.config.settings import ConfigFile

CANARY = "canary-hunter2"
GROUPS = "model_groups: [{model_group: g, models: [{model: m, params: {api_key: k}}]}]\n"


def mistakes(folder: Path, text: str, **environ: str) -> tuple[Mistake, ...]:
    path = folder / "llmproxy.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_settings(path, environ)
    assert CANARY not in str(caught.value)
    return caught.value.mistakes


@pytest.mark.parametrize(
    ("text", "path", "line", "column"),
    [
        # the value
        ("general_settings:\n  bind_port:   70000\n", "general_settings.bind_port", 2, 16),
        ("general_settings:\n  bind_port: '70000'\n", "general_settings.bind_port", 2, 14),
        ("general_settings:\n  bind_port:\n    70000\n", "general_settings.bind_port", 3, 5),
        ("general_settings:\n  bind_port:\n", "general_settings.bind_port", 2, 13),
        ("general_settings: {allowed_hosts: [a, 'b c']}\n", "general_settings.allowed_hosts[1]", 1, 39),
        ("general_settings: {cache_params: {ttl: -1}}\n", "general_settings.cache_params.ttl", 1, 40),
        ("general_settings: {redis_username: ü, bind_port: 0}\n", "general_settings.bind_port", 1, 50),
        ("x-port: &port 0\ngeneral_settings: {bind_port: *port}\n", "general_settings.bind_port", 1, 9),
        ("x-all: &all\n  bind_port: 0\ngeneral_settings:\n  <<: *all\n", "general_settings.bind_port", 2, 14),
        ("general_settings:\n  bind_address: 0.0.0.0\n", "general_settings.bind_address", 2, 17),
        ("general_settings: {bind_port: os.environ/NONE}\n", "general_settings.bind_port", 1, 31),
        # the key
        ("general_settings:\n    bind_prot: 1\n", "general_settings.bind_prot", 2, 5),
        ("x-all: &all\n  bind_prot: 1\ngeneral_settings:\n  <<: *all\n", "general_settings.bind_prot", 2, 3),
        ("general_settings:\n  cache: true\n  cache: true\n", "general_settings.cache", 3, 3),
        ("general_settings: {api_keys: [{kye: 1, name: n, key: k}]}\n", "general_settings.api_keys[0].<...>", 1, 32),
    ],
)
def test_a_mistake_in_general_settings_stands_where_its_value_or_its_key_begins(
    tmp_path: Path, text: str, path: str, line: int, column: int
) -> None:
    (mistake,) = mistakes(tmp_path, text + GROUPS)

    assert (mistake.path, mistake.line, mistake.column) == (path, line, column)
    assert str(mistake).startswith(f"{tmp_path}/llmproxy.yaml:{line}:{column}: {path}: {mistake.problem}")


@pytest.mark.parametrize(
    ("text", "path", "line", "column"),
    [
        ("model_groups:\n  - model_group: g\n", "model_groups[0].models", 2, 5),
        ("model_groups:\n- model_group: g\n  models:\n  - weight: 1\n", "model_groups[0].models[0].model", 4, 5),
        ("model_groups: [a]\n", "model_groups[0]", 1, 16),
        (
            "model_groups: [{model_group: g, models: [{model: m, params: {default_headers: {Host: a}}}]}]\n",
            "model_groups[0].models[0].params.default_headers.Host",
            1,
            80,
        ),
        ("a:\n  b: [\n", "", 3, 1),
        ("a: 1\n  b: \tc\n", "", 2, 4),
        ("ä: \x07\n", "", 1, 4),
    ],
)
def test_so_do_missing_keys_names_that_cannot_be_set_and_what_is_no_yaml(
    tmp_path: Path, text: str, path: str, line: int, column: int
) -> None:
    (mistake,) = mistakes(tmp_path, text)

    assert (mistake.path, mistake.line, mistake.column) == (path, line, column)


@pytest.mark.parametrize(
    ("general", "fix"),
    [
        ("bind_prot: 1", "write bind_port"),
        ("model: 1", "move it into a model"),
        ("bind_port: '4000'", "write 4000 without quotes"),
        ("cooldown_time: 60s", "write 60 without a unit"),
        ("cooldown_time: 5min", "write 300 without a unit"),
        ("request_timeout: 0.5 H", "write 1800 without a unit"),
        ("connect_timeout: 1500ms", "write 1.5 without a unit"),
        ("cache_params: {ttl: 7 days}", "write 604800 without a unit"),
        ("cache_params: {replay_interval: 20ms}", "write 0.02 without a unit"),
        ("max_wait: 2 fortnights", "write the seconds, without a unit"),
        ("max_connections: 2k", "write 2000 without a unit"),
        ("num_retries: 3x", "write 3 without a unit"),
        ("max_body_bytes: 32M", "write one of the units B, kB, KB, MB, GB, KiB, MiB, GiB"),
        ("cache: 0", "write false without quotes"),
        ("log_level: inof", "write info"),
        ("redis_username: 7", 'write it in quotes: "7"'),
        ("redis_password: 7", "write it in quotes"),
        ("api_keys: k", "write it as a list: [...]"),
        ("allowed_origins: ['https://*']", "name the hosts"),
        ("bind_address: http://127.0.0.1", "leave out the scheme"),
        ("bind_port: os.environ/NONE", "export NONE=... before starting, or remove it here or write another value"),
        ("bind_port: os.environ/WRONG", "export WRONG=... with what is valid"),
        ("log_level: $WRONG", "write os.environ/WRONG"),
        ("max_held_bytes: 1", "write max_held_bytes: 33554432"),
        ("{cache: true, cache: true}", "leave out one of the two"),
    ],
)
def test_what_to_do_is_said_in_so_many_words(tmp_path: Path, general: str, fix: str) -> None:
    general = general if general.startswith("{") else f"{{{general}}}"
    (mistake,) = mistakes(tmp_path, f"general_settings: {general}\n{GROUPS}", WRONG=CANARY)

    assert mistake.fix == fix
    assert str(mistake).endswith(f"; fix: {fix}")


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("ftp://h.example", "begin it with https://"),
        ("h.example/v1", "begin it with https://"),
        ("http://api.example/v1", "write https://, or name the host in plain_http_hosts"),
        ("https://h.example/v1?a=b", "leave out the query; it belongs in default_query"),
    ],
)
def test_so_it_is_about_urls(tmp_path: Path, url: str, fix: str) -> None:
    (mistake,) = mistakes(tmp_path, GROUPS.replace("api_key: k", f"api_key: k, base_url: '{url}'"))

    assert mistake.fix == fix


def test_a_mistake_is_written_as_json_with_all_of_its_parts(tmp_path: Path) -> None:
    (mistake,) = mistakes(tmp_path, f"general_settings: {{bind_port: '4000'}}\n{GROUPS}")

    assert msgspec.json.decode(msgspec.json.encode(mistake)) == {
        "file": f"{tmp_path}/llmproxy.yaml",
        "line": 1,
        "column": 31,
        "path": "general_settings.bind_port",
        "problem": 'got "4000"',
        "valid": "a whole number from 1 to 65535",
        "fix": "write 4000 without quotes",
    }


def test_an_item_that_cannot_be_read_leaves_the_others_their_places(tmp_path: Path) -> None:
    told = mistakes(tmp_path, f"general_settings: {{api_keys: ['a b', k, {CANARY}, {CANARY}]}}\n{GROUPS}")

    assert [(mistake.path, mistake.column) for mistake in told] == [
        ("general_settings.api_keys[0]", 31),
        ("general_settings.api_keys[3]", 57),
    ]


def test_what_is_worked_out_cannot_be_written(tmp_path: Path) -> None:
    text = "model_groups: [{model_group: g, models: [{model: m, whole_reply_timeout: 5}]}]\n"
    (mistake,) = mistakes(tmp_path, text)

    assert mistake.problem == "is not a setting here"


def test_every_place_says_what_is_valid_and_every_single_value_has_a_json_schema() -> None:
    def look(kind: Kind) -> int:
        assert kind.valid
        assert kind.form.is_seconds == kind.valid.startswith("a number of seconds")  # what its remedies go by
        if kind.scalar is not None:
            assert msgspec.json.schema(kind.scalar, schema_hook=lambda _: {"type": "string"})
        below = [*keys_of(kind.section).values()] if kind.section else []
        below += [kind.item] if kind.item else []
        below += kind.entry[1:] if kind.entry else []
        return 1 + sum(map(look, below))

    assert sum(map(look, keys_of(ConfigFile).values())) > 80
