"""docs/configuration.md: its tables are those that the settings' types make, and its configurations are valid."""

import re
from pathlib import Path

import pytest

from entrypoints.config.settings import EndpointSettings, GeneralSettings
from entrypoints.config.settings_cache import CacheParams
from entrypoints.config.settings_params import ParamsSettings
from entrypoints.schema.tables import SECTIONS, filled, main, refused_table, settings_table
from tests.unit.config_examples import ROOT

PAGE = ROOT / "docs/configuration.md"


def rows(table: str) -> dict[str, list[str]]:
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()[2:]]
    return {key.strip("`"): rest for key, *rest in cells}


def test_what_is_committed_is_what_the_settings_say() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert filled(page) == page, "make docs"
    assert set(re.findall(r"<!-- settings: (\w+) -->", page)) == SECTIONS.keys()


def test_the_metrics_page_is_filled_as_well() -> None:
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")

    assert "<!-- metrics: all -->\n| name |" in page
    assert filled(page) == page, "make docs"


def test_a_page_is_rewritten_between_its_markers_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- settings: TimeoutParts -->\nold\n<!-- /settings -->\nafter\n", encoding="utf-8")

    assert main([str(page)]) == 0

    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- settings: TimeoutParts -->\n| setting |") and "old" not in text
    assert text.endswith("|\n<!-- /settings -->\nafter\n")


def test_a_section_that_does_not_exist_is_no_empty_table() -> None:
    with pytest.raises(KeyError, match="Nobody"):
        filled("<!-- settings: Nobody -->\n<!-- /settings -->")


def test_defaults_are_in_the_words_of_the_file() -> None:
    general, model = rows(settings_table(GeneralSettings)), rows(settings_table(EndpointSettings))
    defaults = {key: general[key][0] for key in ("cache", "cooldown_time", "max_body_bytes", "ca_bundle", "api_keys")}

    assert defaults == {
        "cache": "false", "cooldown_time": "60", "max_body_bytes": "32 MiB", "ca_bundle": "none", "api_keys": "none",
    }  # fmt: skip
    assert (model["model"][0], model["connect_timeout"][0]) == ("required", "that of `general_settings`")


def test_what_is_valid_is_in_the_words_of_the_messages_about_mistakes() -> None:
    assert rows(settings_table(GeneralSettings))["bind_port"][1] == "a whole number from 1 to 65535"
    assert rows(settings_table(CacheParams))["scope"][1] == "credential or global"


def test_no_row_says_it_in_pythons_words_or_says_nothing() -> None:
    for section in SECTIONS.values():
        for key, (_, _, meaning) in rows(settings_table(section)).items():
            assert meaning and "None" not in meaning, key


def test_refused_arguments_have_their_reason_and_what_to_do() -> None:
    told = rows(refused_table(ParamsSettings))

    assert told.keys() == ParamsSettings.refused.keys()
    assert told["admin_api_key"] == ["administration routes are not proxied", "write `api_key`"]
