"""Whatever stands in the file: settings, or a ConfigError that shows no secret and says where. Nothing else."""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.reading.schema import keys_of
from entrypoints.config.settings import ConfigFile, EndpointSettings, GeneralSettings, GroupSettings
from entrypoints.config.settings_cache import CacheParams
from entrypoints.config.settings_params import ParamsSettings
from tests.examples import examples

CANARY = "sk-canary-0123456789abcdef"
ENVIRON = {"FULL": CANARY, "EMPTY": "", "PORT": "6379"}

_TEXTS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["os.environ/FULL", "os.environ/EMPTY", "os.environ/PORT", "os.environ/NONE", "0.0.0.0", "redis"]),
    st.sampled_from(["60s", "32MiB", "8080", "auto", "127.0.0.1", "g", "https://h.example/v1", "http://10.0.0.1"]),
    st.sampled_from(["{}", "https://u:{}@h.example", "redis://:{}@r:0", "https://h.example/?k={}", "{} {}"]).map(
        lambda form: form.replace("{}", CANARY)
    ),
)
_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _TEXTS)


def _keys(*sections: Any) -> st.SearchStrategy[str]:
    known = sorted({key for section in sections for key in keys_of(section)} | set(ParamsSettings.refused))
    return st.one_of(st.sampled_from(known), st.text(max_size=12), st.just(CANARY))


_JUNK = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys(CacheParams, ParamsSettings), inner, max_size=3),
    max_leaves=6,
)


def outcome(document: Any) -> str:
    """What a user would see of loading `document`: the report, or the settings and warnings."""
    return outcome_of(json.dumps(document))  # JSON is YAML, but for infinities: those are texts


def outcome_of(text: str) -> str:
    lines = re.split("\r\n|[\r\n\x85\u2028\u2029]", text)  # as YAML 1.1 counts them
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "llmproxy.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            loaded = load_settings(path, ENVIRON)
        except ConfigError as error:
            assert str(error).startswith(str(path))
            for mistake in error.mistakes:
                assert mistake.problem
                assert mistake.line is None or 1 <= mistake.line <= len(lines)
                assert mistake.column is None or 1 <= mistake.column <= len(lines[(mistake.line or 1) - 1]) + 1
            return str(error)
        return "\n".join(loaded.warnings)


@settings(max_examples=examples(120), deadline=None)
@given(st.dictionaries(_keys(GeneralSettings), _JUNK, max_size=8))
def test_junk_in_general_settings_never_crashes_and_never_shows_a_key(junk: dict[str, Any]) -> None:
    groups = [{"model_group": "g", "models": [{"model": "m", "params": {"api_key": CANARY}}]}]

    seen = outcome({"general_settings": junk, "model_groups": groups})

    assert "canary" not in seen


@settings(max_examples=examples(120), deadline=None)
@given(
    st.dictionaries(_keys(EndpointSettings), _JUNK, max_size=5),
    st.dictionaries(_keys(ParamsSettings), _JUNK, max_size=6),
)
def test_junk_in_models_never_crashes_and_never_shows_a_key(model: dict[str, Any], params: dict[str, Any]) -> None:
    seen = outcome({"model_groups": [{"model_group": "g", "models": [{"model": "m", **model, "params": params}]}]})

    assert "canary" not in seen


@settings(max_examples=examples(60), deadline=None)
@given(_JUNK)
def test_any_document_never_crashes_and_never_shows_a_key(document: Any) -> None:
    assert "canary" not in outcome(document)


_MAPPINGS = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            _keys(ConfigFile, GroupSettings, GeneralSettings, EndpointSettings, ParamsSettings), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@settings(max_examples=examples(100), deadline=None)
@given(st.dictionaries(_keys(ConfigFile), _MAPPINGS, min_size=1, max_size=3), st.booleans())
def test_any_mapping_in_any_style_never_crashes_and_never_shows_a_key(document: dict[str, Any], flow: bool) -> None:
    assert "canary" not in outcome_of(yaml.safe_dump(document, default_flow_style=flow, allow_unicode=True))


@settings(max_examples=examples(80), deadline=None)
@given(st.one_of(st.binary(max_size=80), st.text(alphabet="&*!{}[]:,-?|>'\"#%@` \n\tab<", max_size=60).map(str.encode)))
def test_any_bytes_never_crash(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "llmproxy.yaml"
        path.write_bytes(content)

        with pytest.raises(ConfigError):
            load_settings(path, {})
