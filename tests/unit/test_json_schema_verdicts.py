"""What the JSON Schema lets through and what it refuses, by a validator of another hand."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.reading.schema import Section, keys_of
from entrypoints.config.settings import EndpointSettings, GeneralSettings
from entrypoints.config.settings_cache import CacheParams
from entrypoints.config.settings_params import ParamsSettings
from tests.unit.config_examples import EXAMPLES, SCHEMA, environment_of

GOOD = "model_groups: [{model_group: m, models: [{model: m, params: {api_key: k}}]}]\n"


class Loader(yaml.SafeLoader):
    """Dates stay texts, as they do in YAML 1.2, which editors read."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def is_valid(text: str) -> bool:
    return bool(VALIDATOR.is_valid(yaml.load(text, Loader)))  # the loader is a safe one


def is_taken(folder: Path, text: str, environ: dict[str, str]) -> bool:
    """By the reader."""
    path = folder / "llmproxy.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        load_settings(path, environ)
    except ConfigError:
        return False
    return True


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(VALIDATOR.schema)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_is_valid(example: Path) -> None:
    text = example.read_text(encoding="utf-8")

    assert [error.message for error in VALIDATOR.iter_errors(yaml.load(text, Loader))] == []
    assert load_settings(example, environment_of(example))


@pytest.mark.parametrize(
    "general",
    [
        "bind_port: os.environ/PORT",
        "max_body_bytes: 32MiB",
        "max_body_bytes: 33554432",
        "passthrough: off",
        "workers: auto",
        "workers: 4",
        "log_level: os.environ/LEVEL",
        "redis_ssl: os.environ/FLAG",
        "api_keys: [os.environ/KEY, {name: alice, key: os.environ/OTHER}]",
        "cache_params: null",
        "cache_params: {ttl: 1.5}",
    ],
)
def test_what_the_reader_takes_is_valid(tmp_path: Path, general: str) -> None:
    text = f"{GOOD}general_settings: {{{general}}}"
    environ = {"PORT": "4000", "LEVEL": "info", "FLAG": "true", "KEY": "k1", "OTHER": "k2"}

    assert is_taken(tmp_path, text, environ)
    assert is_valid(text)


@pytest.mark.parametrize(
    "model",
    [
        "params: {default_headers: {x-team: os.environ/KEY}, default_query: {a: 1, b: true, api-version: 2024-10-21}}",
        "params: {timeout: 30}",
        "params: {timeout: {connect: 1, read: os.environ/SECONDS}}",
        "outbound_proxy: none",
        "weight: os.environ/SECONDS",
        "id: os.environ/KEY",
    ],
)
def test_what_the_reader_takes_of_a_model_is_valid(tmp_path: Path, model: str) -> None:
    text = f"model_groups: [{{model_group: m, models: [{{model: m, {model}}}]}}]\nx-anchors: [1, 2]"

    assert is_taken(tmp_path, text, {"KEY": "k", "SECONDS": "7"})
    assert is_valid(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "general_settings: {}",
        "model_groups: []",
        "model_groups: [{model_group: m}]",
        "model_groups: [{model_group: m, models: []}]",
        "model_groups: [{model_group: m, models: [{params: {api_key: k}}]}]",
        "model_groups: [{model_group: m, models: [{model: m, params: {api_base: 'https://x.example'}}]}]",
        "model_groups: [{model_group: m, models: [{model: m, weight: 0.5}]}]",
        "model_groups: [{model_group: m, models: [{model: m, weight: -1}]}]",
        "model_list: [{model_name: m, litellm_params: {model: openai/m}}]",
        f"{GOOD}general_setings: {{}}",
        *(
            f"{GOOD}general_settings: {{{general}}}"
            for general in (
                "bind_adress: 127.0.0.1",
                "bind_port: 0",
                "bind_port: '4000'",
                "bind_port: $PORT",
                "bind_port: os.environ/",
                "request_timeout: 30s",
                "log_level: loud",
                "cache: maybe",
                "max_body_bytes: 32 megabytes",
                "workers: many",
                "api_keys: []",
                "api_keys: secret",
                "api_keys: ['a key']",
                "api_keys: [{name: alice}]",
                "cache_params: {ttl: forever}",
            )
        ),
    ],
)
def test_typical_mistakes_are_not(tmp_path: Path, text: str) -> None:
    assert not is_valid(text)
    assert not is_taken(tmp_path, text, {})


VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 7.5, 0.01, 100_000_000, 10**15, 1.0),
    *(
        "",
        "x",
        "a b",
        "32MiB",
        "32 XB",
        "127.0.0.1",
        "https://a.example/v1",
        "http://a.example:80",
        "none",
        "off",
        "on",
    ),
    *("auto", "memory", "redis", "credential", "json", "default", "eu", "https://x.example/.default", "os.environ/V"),
    *([], ["x"], ["https://a.example"], [{"name": "x", "key": "k"}], {}, {"x": "y"}, {"X y": "z"}, {"connect": 1}),
]


@pytest.mark.parametrize(
    ("section", "name"),
    [(GeneralSettings, "general"), (CacheParams, "cache"), (EndpointSettings, "model"), (ParamsSettings, "params")],
)
def test_no_value_that_the_reader_takes_is_refused(tmp_path: Path, section: type[Section], name: str) -> None:
    for key in keys_of(section):
        for value in VALUES:
            part: dict[str, Any] = {key: value}
            model = {"model": "m"} | {"model": part, "params": {"params": part}}.get(name, {})
            general = {"general": part, "cache": {"cache_params": part}}.get(name, {})
            groups = [{"model_group": "m", "models": [model]}]
            document = {"model_groups": groups, "general_settings": general}
            is_lookup = value == "os.environ/V" and keys_of(section)[key].scalar is not None
            if not VALIDATOR.is_valid(document):
                assert not is_lookup, key
                assert not is_taken(tmp_path, json.dumps(document), {"V": "1"}), (key, value)


def test_a_mistake_is_found_where_it_stands() -> None:
    text = re.sub("api_key: k", "apikey: k", GOOD)
    document: Any = yaml.load(text, Loader)

    (error,) = VALIDATOR.iter_errors(document)

    assert list(error.absolute_path) == ["model_groups", 0, "models", 0, "params"]
    assert "'apikey' was unexpected" in error.message
