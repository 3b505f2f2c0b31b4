"""The examples load, and examples and documentation name every setting."""

import re
from pathlib import Path

import pytest
from msgspec import Struct

from entrypoints.config.load import load_settings
from entrypoints.config.reading.schema import keys_of
from entrypoints.config.settings import EndpointSettings, GeneralSettings, GroupSettings
from entrypoints.config.settings_cache import CacheParams
from entrypoints.config.settings_params import ParamsSettings, TimeoutParts
from entrypoints.config.settings_price import PriceSettings
from tests.unit.config_examples import EXAMPLES, ROOT, environment_of

SECTIONS: list[type[Struct]] = [
    GeneralSettings,
    CacheParams,
    GroupSettings,
    EndpointSettings,
    PriceSettings,
    ParamsSettings,
    TimeoutParts,
]
KEYS = sorted({key for section in SECTIONS for key in keys_of(section)})


def test_there_are_the_examples_that_are_documented() -> None:
    assert {"minimal", "full", "azure", "prd"} <= {example.stem for example in EXAMPLES}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_loads(example: Path) -> None:
    assert load_settings(example, environment_of(example)).groups


def test_the_schema_of_the_requirements_means_what_it_says() -> None:
    settings = load_settings(ROOT / "examples/prd.yaml", environment_of(ROOT / "examples/prd.yaml"))

    general, only = settings.general, settings.groups[0].models[0]
    assert (general.num_retries, general.allowed_fails, general.cooldown_time) == (3, 1, 60)
    assert (general.redis_host, general.redis_port) == ("value-of-REDIS_HOST", 6379)
    assert (general.cache, general.cache_params.type, general.cache_params.ttl) == (True, "redis", 604_800)
    assert general.cache_params.namespace == "litellm.cache"
    assert (only.id, only.model, only.weight) == ("model-name/1", "model-name", 1)
    assert only.params.base_url == "https://endpoint.url"
    assert only.params.default_query == {"api-version": "preview"}


def test_only_settings_of_later_versions_and_ignored_ones_are_warned_about() -> None:
    for name in ("minimal", "azure"):
        example = ROOT / f"examples/{name}.yaml"

        assert load_settings(example, environment_of(example)).warnings == ()


@pytest.mark.parametrize("key", KEYS)
def test_every_setting_is_documented_and_shown_in_the_full_example(key: str) -> None:
    documentation = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    example = (ROOT / "examples/full.yaml").read_text(encoding="utf-8")

    assert f"`{key}`" in documentation
    assert re.search(rf"^[ #-]*{key}:", example, re.MULTILINE)


@pytest.mark.parametrize("key", sorted(ParamsSettings.refused))
def test_every_refused_param_is_documented(key: str) -> None:
    assert f"`{key}`" in (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
