"""Whatever a LiteLLM configuration says: no key of it is lost, no secret is shown, and the new file is YAML."""

import copy
from collections.abc import Iterator
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from entrypoints.config.settings import EndpointSettings, GeneralSettings
from entrypoints.config.settings_params import ParamsSettings
from entrypoints.convert.counterparts import GENERAL, LITELLM, MODEL_INFO, PARAMS, ROUTER, TOP
from entrypoints.convert.document import document
from tests.unit.convert_inputs import converted

SECRET = "canary-secret-"
SAYS_WHAT_IS_SO = frozenset({
    "weight", "order", "routing_strategy", "set_verbose", "custom_llm_provider", "type",
    "enable_azure_ad_token_refresh",
})  # fmt: skip
"""Keys that may change nothing, because what they say is what is so without them."""

SCALARS = st.one_of(
    st.integers(0, 10**6),
    st.floats(0, 1000),
    st.booleans(),
    st.sampled_from(["os.environ/SOME_NAME", "text", "60", "true", "é\n#: x", "https://host.example/v1", "http://h:1"]),
    st.integers(0, 9).map(lambda number: f"{SECRET}{number}"),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "model"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def keys(*tables: Any, also: str) -> st.SearchStrategy[str]:
    known = [name.replace("*", "x") for table in tables for name in table]
    return st.sampled_from([*known, *also.split()]) | st.text(alphabet="abc_é: #-", min_size=1, max_size=8)


ROUTER_KEYS = (
    "routing_strategy num_retries allowed_fails cooldown_time timeout redis_host redis_port redis_password redis_url "
    "fallbacks default_fallbacks model_group_alias"
)
PARAM_KEYS = (
    "api_key api_base base_url api_version organization timeout rpm tpm weight order extra_headers headers "
    "azure_ad_token tenant_id client_secret azure_scope litellm_credential_name custom_llm_provider"
)
LITELLM_KEYS = (
    "num_retries allowed_fails request_timeout cache cache_params json_logs set_verbose fallbacks "
    "enable_azure_ad_token_refresh"
)
CACHE_PARAMS = st.dictionaries(
    st.sampled_from(["type", "mode", "ttl", "namespace", "host", "port", "password", "ssl", "s3_x", "a"]),
    SCALARS | st.sampled_from(["redis", "local", "s3", "default_off", "default_on"]),
)
LITELLM_SECTION = st.dictionaries(keys(LITELLM, also=LITELLM_KEYS), VALUES, max_size=5).flatmap(
    lambda section: CACHE_PARAMS.map(lambda params: {**section, "cache_params": params} if params else section)
)
MODELS = st.sampled_from(
    ["openai/gpt-4o", "gpt-4o", "azure/dep", "azure_ai/phi", "groq/x", "ollama/x", "hosted_vllm/a/b", "bedrock/c", "*"]
)
ENTRIES = st.fixed_dictionaries(
    {
        "model_name": st.sampled_from(["m", "n", "*", "openai/*", "é"]),
        "litellm_params": st.dictionaries(keys(PARAMS, also=PARAM_KEYS), VALUES, max_size=5).flatmap(
            lambda params: MODELS.map(lambda model: {"model": model, **params})
        ),
    },
    optional={
        "model_info": st.dictionaries(keys(MODEL_INFO, also="id"), VALUES, min_size=1, max_size=3),
        "rpm": SCALARS,
        "something": VALUES,
    },
)
FILES = st.fixed_dictionaries(
    {"model_list": st.lists(ENTRIES, min_size=1, max_size=4)},
    optional={
        "router_settings": st.dictionaries(keys(ROUTER, also=ROUTER_KEYS), VALUES, max_size=5),
        "litellm_settings": LITELLM_SECTION,
        "general_settings": st.dictionaries(keys(GENERAL, also="master_key max_request_size_mb"), VALUES, max_size=4),
        "environment_variables": st.dictionaries(st.sampled_from(["A", "B"]), SCALARS),
        "credential_list": VALUES,
        "guardrails": VALUES,
        "unknown": VALUES,
    },
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every key of mappings, in mappings and lists, stands."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if isinstance(value, dict):
            yield (*path, key)
        yield from paths(inner, (*path, key))


def says_nothing(value: Any) -> bool:
    """Whether there is only emptiness in it."""
    items = value.values() if isinstance(value, dict) else value
    return isinstance(value, dict | list) and all(says_nothing(each) for each in items)


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def without(value: Any, path: tuple[Any, ...]) -> Any:
    changed = copy.deepcopy(value)
    del at(changed, path[:-1])[path[-1]]
    return changed


def result(value: dict[str, Any]) -> tuple[str, list[str]]:
    found = converted(value)
    return document(found, "litellm.yaml"), [each.variable for each in found.exports]


def is_told(value: dict[str, Any], path: tuple[Any, ...]) -> bool:
    """Whether the key, or one that it stands below, is spoken of."""
    names, written = set(), ""
    for key in path:
        written += f"[{key}]" if isinstance(key, int) else f".{key}" if written else str(key)
        names.add(written)
    return any(note.node.path in names for note in converted(value).notes())


@given(FILES)
def test_no_key_is_lost(value: dict[str, Any]) -> None:
    whole = result(value)
    for path in paths(value):
        if path[-1] in SAYS_WHAT_IS_SO or says_nothing(at(value, path)) or is_told(value, path):
            continue
        assert result(without(value, path)) != whole, path


@given(FILES)
def test_no_secret_is_shown_and_the_new_file_is_yaml_with_nothing_but_our_settings(value: dict[str, Any]) -> None:
    found = converted(value)
    text = document(found, "litellm.yaml")
    read = yaml.safe_load(text)

    assert set(read) == {"model_groups", "general_settings"}
    assert set(read["general_settings"] or {}) <= set(GeneralSettings.__struct_fields__)
    assert not any(SECRET in note.text for note in found.notes())
    assert all(line.isprintable() for line in text.splitlines())
    for group in read["model_groups"] or ():
        assert set(group) == {"model_group", "models"} and group["models"]
        for model in group["models"]:
            assert set(model) <= set(EndpointSettings.__struct_fields__)
            assert set(model["params"]) <= set(ParamsSettings.__struct_fields__)
            secrets = ("api_key", "azure_ad_token")
            assert not any(SECRET in str(model["params"].get(each)) for each in secrets)
            assert isinstance(model["weight"], int | str)


def test_the_tables_say_something_of_every_key_in_whole_sentences() -> None:
    for table in (PARAMS, MODEL_INFO, ROUTER, LITELLM, GENERAL, TOP):
        for key, text in table.items():
            assert text and not text.endswith("."), key
