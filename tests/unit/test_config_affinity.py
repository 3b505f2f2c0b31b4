"""The `affinity` of a group: read, refused, warned about, and part of what routes."""

from pathlib import Path

import pytest

from domain.routing.affinity import Affinity
from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.settings import Settings
from entrypoints.wiring.groups import model_groups

TWO = "{model: m, params: {api_key: a}}, {model: m, params: {api_key: b}}"


def load(tmp_path: Path, group: str, models: str = TWO) -> Settings:
    path = tmp_path / "llmproxy.yaml"
    path.write_text(f"model_groups: [{{model_group: g, models: [{models}]{group}}}]\n", encoding="utf-8")
    return load_settings(path, {"AFFINITY": "prompt_cache_key"})


@pytest.mark.parametrize(
    ("group", "affinity"),
    [
        ("", Affinity.NONE),
        (", affinity: none", Affinity.NONE),
        (", affinity: prompt_cache_key", Affinity.PROMPT_CACHE_KEY),
        (", affinity: os.environ/AFFINITY", Affinity.PROMPT_CACHE_KEY),
    ],
)
def test_a_group_has_the_affinity_that_its_file_says_and_else_none(
    tmp_path: Path, group: str, affinity: Affinity
) -> None:
    settings = load(tmp_path, group)

    assert model_groups(settings)[0].affinity is affinity
    assert settings.warnings == ()


@pytest.mark.parametrize("value", ["user", "true", "", "[prompt_cache_key]"])
def test_another_affinity_is_refused_with_what_is_valid(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"model_groups\[0\]\.affinity: .*valid: none or prompt_cache_key"):
        load(tmp_path, f", affinity: {value}")


def test_affinity_elsewhere_is_sent_to_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"models\[0\]\.affinity: .*fix: move it into a group"):
        load(tmp_path, "", "{model: m, affinity: prompt_cache_key}")


def test_affinity_with_nobody_to_choose_from_is_told(tmp_path: Path) -> None:
    told = load(tmp_path, ", affinity: prompt_cache_key", "{model: m, params: {api_key: a}}").warnings

    assert len(told) == 1
    assert "model_groups[0].affinity: has no effect in a group of one model" in told[0]
