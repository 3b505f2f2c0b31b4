"""The JSON Schema of the configuration: committed as it is made, named by the examples, and complete."""

import json
from pathlib import Path

import pytest

from entrypoints.config.reading.schema import Section, keys_of, required_of
from entrypoints.config.settings import ConfigFile, EndpointSettings, GeneralSettings, GroupSettings, NamedKey
from entrypoints.config.settings_cache import CacheParams
from entrypoints.config.settings_params import ParamsSettings, TimeoutParts
from entrypoints.schema.command import document, main
from entrypoints.schema.field_docs import plain
from entrypoints.schema.json_schema import DIALECT, json_schema
from tests.unit.config_examples import EXAMPLES, SCHEMA

SECTIONS: list[type[Section]] = [
    *(GeneralSettings, CacheParams, NamedKey),
    *(GroupSettings, EndpointSettings, ParamsSettings, TimeoutParts),
]


def test_what_is_committed_is_what_the_settings_say() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == document(), "llmproxy schema > docs/llmproxy.schema.json"


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0

    assert json.loads(capsys.readouterr().out)["$schema"] == DIALECT


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_begins_with_the_line_that_gives_editors_completion(example: Path) -> None:
    first = example.read_text(encoding="utf-8").partition("\n")[0]

    assert first.startswith("# yaml-language-server: $schema=")
    assert (example.parent / first.partition("=")[2]).resolve() == SCHEMA


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_setting_is_in_it_and_no_other(section: type[Section]) -> None:
    told = json_schema()["$defs"][section.__name__]

    assert list(told["properties"]) == list(keys_of(section))
    assert told.get("required", []) == list(required_of(section))
    assert told["additionalProperties"] is False


def test_descriptions_defaults_ranges_and_words_are_those_of_the_settings() -> None:
    general = json_schema()["$defs"]["GeneralSettings"]["properties"]

    assert general["num_retries"]["description"].startswith("Further attempts after a first one that failed.")
    assert general["num_retries"]["default"] == GeneralSettings().num_retries
    assert {"type": "integer", "minimum": 0, "maximum": 20} in general["num_retries"]["anyOf"]
    assert {"enum": ["debug", "info", "warning", "error"]} in general["log_level"]["anyOf"]
    assert json_schema()["properties"].keys() == keys_of(ConfigFile).keys()


def test_a_choice_that_has_off_takes_it_without_quotes_which_editors_may_read_as_false() -> None:
    sections = json_schema()["$defs"]

    assert {"const": False} in sections["GeneralSettings"]["properties"]["websockets"]["anyOf"]
    assert {"const": False} in sections["GroupSettings"]["properties"]["websockets"]["anyOf"]
    assert {"type": "boolean"} in sections["GeneralSettings"]["properties"]["passthrough"]["anyOf"]


def test_a_model_has_no_default_of_its_own_for_what_general_settings_say() -> None:
    timeout = json_schema()["$defs"]["EndpointSettings"]["properties"]["connect_timeout"]

    assert "default" not in timeout
    assert timeout["description"].startswith("DNS, TCP and TLS together, in seconds. Without it, that of general")


def test_it_says_nothing_in_pythons_words() -> None:
    told = [line for line in document().splitlines() if '"description"' in line]

    assert told
    assert not [line for line in told if "None" in line or "`" in line or "](" in line or "**" in line]


def test_of_links_that_only_say_where_more_is_nothing_is_left() -> None:
    told = "Cached or not: [caching](caching.md). Under its name ([more](x.md#a)), by [proxies](#p). [When](y.md)."

    assert plain(told) == "Cached or not. Under its name, by proxies."
