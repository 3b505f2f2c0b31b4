"""`llmproxy convert`: what becomes of each part of a LiteLLM configuration."""

from typing import Any

import pytest

from entrypoints.convert.model_list.providers import Resolved, resolve
from tests.unit.convert_inputs import converted, entry, general, models, of, told, written


@pytest.mark.parametrize(
    ("model", "provider", "name"),
    [
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("gpt-4o", "openai", "gpt-4o"),
        ("openai/responses/gpt-5", "openai", "gpt-5"),
        ("azure/my-deployment", "azure", "my-deployment"),
        ("azure/o_series/my-o3", "azure", "my-o3"),
        ("azure/gpt5_series/my-gpt", "azure", "my-gpt"),
        ("gemini/gemini-2.5-flash", "gemini", "gemini-2.5-flash"),
        ("groq/llama3-8b-8192", "groq", "llama3-8b-8192"),
        ("together_ai/meta-llama/Llama-3", "together_ai", "meta-llama/Llama-3"),
        ("hosted_vllm/facebook/opt-125m", "hosted_vllm", "facebook/opt-125m"),
        ("openrouter/openai/gpt-4o", "openrouter", "openai/gpt-4o"),
    ],
)
def test_a_prefix_names_the_provider(model: str, provider: str, name: str) -> None:
    found = resolve(model, None, has_address=False)

    assert isinstance(found, Resolved) and (found.name, found.model) == (provider, name)


@pytest.mark.parametrize(
    "model",
    ["bedrock/anthropic.claude", "anthropic/claude-3", "vertex_ai/gemini", "claude-3-opus", "azure/claude-opus", "a/b"],
)
def test_a_provider_that_needs_translation_is_not_carried(model: str) -> None:
    assert isinstance(resolve(model, None, has_address=False), str)
    assert told(of(entry("c", model=model)))["model_list[0]"]


def test_a_name_with_a_slash_that_is_no_provider_is_a_model_of_the_address_that_is_given() -> None:
    (model,) = models(of(entry("m", model="meta-llama/Llama-3", api_base="https://llm.example.com/v1/")))

    assert model["model"] == "meta-llama/Llama-3"
    assert model["params"]["base_url"] == "https://llm.example.com/v1"


def test_the_provider_may_be_said_apart() -> None:
    (model,) = models(
        of(entry("m", model="my-dep", custom_llm_provider="azure", api_base="https://r.openai.azure.com"))
    )

    assert model["params"]["azure_endpoint"] == "https://r.openai.azure.com"


@pytest.mark.parametrize(
    ("model", "variable", "base_url"),
    [
        ("openai/gpt-4o", "OPENAI_API_KEY", None),
        ("groq/llama", "GROQ_API_KEY", "https://api.groq.com/openai/v1"),
        ("azure_ai/phi", "AZURE_AI_API_KEY", "os.environ/AZURE_AI_API_BASE"),
        ("ollama/llama3", None, "http://localhost:11434/v1"),
    ],
)
def test_an_endpoint_without_a_key_gets_that_of_its_provider_and_never_the_clients(
    model: str, variable: str | None, base_url: str | None
) -> None:
    (found,) = models(of(entry("m", model=model, api_key=None)))

    assert found["params"]["api_key"] == (f"os.environ/{variable}" if variable else "none")
    assert found["params"].get("base_url") == base_url


@pytest.mark.parametrize(
    ("given", "base_url"),
    [
        ("https://h.example/v1/", "https://h.example/v1"),
        ("https://h.example/v1/chat/completions", "https://h.example/v1"),
        ("https://user:canary@h.example/v1?key=canary#x", "https://h.example/v1"),
        ("http://0.0.0.0:8000/v1", "http://127.0.0.1:8000/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("os.environ/BASE", "os.environ/BASE"),
    ],
)
def test_an_address_is_written_as_our_reader_wants_it(given: str, base_url: str) -> None:
    (found,) = models(of(entry("m", api_base=given)))

    assert found["params"]["base_url"] == base_url


def test_hosts_without_tls_are_named() -> None:
    value = of(entry("m", api_base="http://vllm.example.com:8000/v1"), entry("m", api_base="http://127.0.0.1/v1"))

    assert written(value)["general_settings"]["plain_http_hosts"] == ["vllm.example.com"]


def azure(**params: Any) -> dict[str, Any]:
    base = {"model": "azure/dep", "api_base": "https://r.openai.azure.com/", "api_version": "2024-10-21"}
    (found,) = models(of(entry("m", **{**base, **params})))
    return dict(found["params"])


def test_azure_is_endpoint_version_and_key() -> None:
    assert azure() == {
        "azure_endpoint": "https://r.openai.azure.com",
        "api_version": "2024-10-21",
        "api_key": "os.environ/K",
    }


@pytest.mark.parametrize("version", ["v1", "latest", "preview"])
def test_azures_v1_api_has_no_version(version: str) -> None:
    found = azure(api_version=version)

    assert found["azure_endpoint"] == "https://r.openai.azure.com/openai/v1" and "api_version" not in found


def test_entra_takes_the_place_of_a_key() -> None:
    identity = {"tenant_id": "os.environ/T", "client_id": "os.environ/C", "client_secret": "canary"}

    assert azure(api_key=None, **identity)["azure_ad_token_provider"] == "default"
    assert azure(api_key=None, azure_ad_token="canary")["azure_ad_token"] == "os.environ/AZURE_AD_TOKEN"
    assert azure(azure_ad_token="canary", **identity)["api_key"] == "os.environ/K"
    refresh = of(
        entry("m", model="azure/dep", api_base="https://r.openai.azure.com", api_key=None),
        litellm_settings={"enable_azure_ad_token_refresh": True},
    )
    assert models(refresh)[0]["params"]["azure_ad_token_provider"] == "default"


def test_a_resource_of_foundry_is_called_by_its_v1_api() -> None:
    base = "https://r.services.ai.azure.com/models"
    (found,) = models(of(entry("m", model="azure_ai/phi-4", api_base=base)))

    assert found["params"]["base_url"] == "https://r.services.ai.azure.com/openai/v1"


def test_a_credential_is_written_where_it_is_named_and_the_entrys_own_comes_first() -> None:
    credential = {"credential_name": "c", "credential_values": {"api_key": "os.environ/C", "rpm": 5}}
    named = {"api_key": None, "litellm_credential_name": "c"}
    value = of(entry("m", **named), entry("m", litellm_credential_name="c", rpm=7), credential_list=[credential])
    value["model_list"][0]["litellm_params"].pop("api_key")

    first, second = models(value)
    assert (first["params"]["api_key"], first["rpm"]) == ("os.environ/C", 5)
    assert (second["params"]["api_key"], second["rpm"]) == ("os.environ/K", 7)
    assert (
        "by hand"
        in told(of(entry("m", litellm_credential_name="x")))["model_list[0].litellm_params.litellm_credential_name"]
    )


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        ([{"weight": 2}, {"weight": 1}], [2, 1]),
        ([{"weight": 1.5}, {"weight": 0.5}], [3, 1]),
        ([{"weight": 9}, {}], [1, 0]),
        ([{"rpm": 600}, {"rpm": 1200}, {}], [1, 2, 0]),
        ([{"tpm": 90_000}, {"tpm": 30_000}], [3, 1]),
        ([{}, {"weight": 7}], [1, 1]),
        ([{}, {}], [1, 1]),
        ([{"order": 1, "weight": 3}, {"order": 1, "weight": 1}, {"weight": 9}], [3, 1, 9]),
        ([{"weight": "os.environ/W"}, {"weight": 2}], ["os.environ/W", 2]),
    ],
)
def test_weights_are_what_litellm_would_choose_by(given: list[dict[str, Any]], weights: list[Any]) -> None:
    assert [each["weight"] for each in models(of(*(entry("m", **each) for each in given)))] == weights


@pytest.mark.parametrize(
    ("orders", "priorities"),
    [
        ([None, None], [0, 0]),
        ([2, 1, 3], [1, 0, 2]),
        ([10, 5, 10, None], [1, 0, 1, 2]),
        ([1.5, 1], [1, 0]),
        ([2, 1, "os.environ/ORDER"], [1, 0, 0]),
    ],
)
def test_order_becomes_priority_and_what_has_none_comes_last(orders: list[Any], priorities: list[int]) -> None:
    entries = [entry("m", **({} if order is None else {"order": order})) for order in orders]

    assert [each.get("priority", 0) for each in models(of(*entries))] == priorities


def test_limits_beside_litellm_params_count_too() -> None:
    (found,) = models(of({**entry("m"), "rpm": 3, "tpm": 20_000}))

    assert (found["rpm"], found["tpm"]) == (3, 20_000)


def test_each_organization_is_an_endpoint() -> None:
    found = models(of(entry("m", organization=["org-1", "org-2"])))

    assert [each["params"]["organization"] for each in found] == ["org-1", "org-2"]


def test_headers_that_hold_a_key_become_variables_and_others_stay() -> None:
    (found,) = models(
        of(entry("m", extra_headers={"X-Team": "search", "X-Api-Key": "canary", "X-Auth": "os.environ/A"}))
    )

    assert found["params"]["default_headers"] == {
        "X-Team": "search",
        "X-Api-Key": "os.environ/X_API_KEY",
        "X-Auth": "os.environ/A",
    }


def test_a_timeout_is_for_one_attempt_and_the_whole_request_has_room_for_it() -> None:
    (short,), (long,) = models(of(entry("m", timeout=30))), models(of(entry("m", timeout=900)))

    assert short["first_byte_timeout"] == 30 and "request_timeout" not in short
    assert long["first_byte_timeout"] == long["request_timeout"] == 900
    assert general(litellm_settings={"request_timeout": 50}) == {"first_byte_timeout": 50}
    assert general(litellm_settings={"request_timeout": 50}, router_settings={"timeout": 9}) == {
        "first_byte_timeout": 9
    }


def test_an_id_is_carried_once() -> None:
    first, second = entry("m"), entry("n")
    first["model_info"] = second["model_info"] = {"id": "same"}

    assert models(of(first, second))[0]["id"] == "same"
    assert "id" not in models(of(first, second), "n")[0]


def test_a_fallback_is_in_the_group_with_weight_0() -> None:
    value = of(
        entry("m"), entry("n", model="gpt-4.1"), entry("o"), router_settings={"fallbacks": [{"m": ["n"]}]},
        litellm_settings={"default_fallbacks": ["o"]},
    )  # fmt: skip

    assert [(each["model"], each["weight"]) for each in models(value)] == [("gpt-4o", 1), ("gpt-4.1", 0)]
    assert [each["weight"] for each in models(value, "n")] == [1, 0]
    assert [each["weight"] for each in models(value, "o")] == [1]


def test_a_fallback_of_models_that_are_not_listed_would_be_asked_for_a_name_it_does_not_know() -> None:
    settings = {"fallbacks": [{"*": ["n"]}], "default_fallbacks": ["n"]}
    for key, each in settings.items():
        value = of(entry("*", model="openai/*"), entry("m"), entry("n"), litellm_settings={key: each})

        assert [len(models(value, name)) for name in ("all-other-models", "m", "n")] == [1, 2, 1]
        assert any("by the name that the client gave" in note.text for note in converted(value).notes())


def test_fallbacks_for_all_models_and_to_none_that_there_is() -> None:
    value = of(entry("m"), entry("n"), router_settings={"fallbacks": [{"*": ["n", "gone"]}, {"gone": ["n"]}, "x"]})

    assert [len(models(value, name)) for name in ("m", "n")] == [2, 1]
    assert {"router_settings.fallbacks[0].*[1]", "router_settings.fallbacks[1].gone"} <= told(value).keys()
    assert "router_settings.fallbacks[2]" in told(value)


def test_an_alias_is_one_more_group() -> None:
    aliases = {"old": "m", "hidden": {"model": "m", "hidden": True}, "m": "m", "x": "gone"}
    value = of(entry("m", weight=3), router_settings={"model_group_alias": aliases})

    assert models(value, "old") == models(value, "hidden") == models(value)
    assert told(value)["router_settings.model_group_alias.hidden"].endswith("GET /v1/models")
    assert {"router_settings.model_group_alias.m", "router_settings.model_group_alias.x"} <= told(value).keys()


@pytest.mark.parametrize("name", ["*", "openai/*", "gpt-*"])
def test_a_wildcard_becomes_the_passthrough_group(name: str) -> None:
    value = of(entry(name, model="openai/*"), entry("m"))

    assert written(value)["general_settings"]["passthrough_group"] == "all-other-models"
    assert models(value, "all-other-models")[0]["model"] == "all-other-models"
    assert ("clients ask for MODEL" in told(value)["model_list[0]"]) == (name == "openai/*")


def test_of_several_wildcards_the_one_for_all_models_is_taken() -> None:
    value = of(entry("groq/*", model="groq/*"), entry("*", model="openai/*"), entry("*", model="openai/*"))

    assert len(models(value, "all-other-models")) == 2
    assert "second wildcard" in told(value)["model_list[0]"]


def test_a_wildcard_that_cannot_be_carried_takes_no_place() -> None:
    value = of(entry("anthropic/*", model="anthropic/*"), entry("groq/*", model="groq/*"))

    assert models(value, "all-other-models")[0]["params"]["base_url"] == "https://api.groq.com/openai/v1"
    assert "translates" in told(value)["model_list[0]"]
    assert "translates" in told(of(entry("m"), entry("anthropic/*", model="anthropic/*")))["model_list[1]"]


def test_retries_and_rest() -> None:
    router = {"num_retries": 4, "allowed_fails": 3, "cooldown_time": 30, "routing_strategy": "simple-shuffle"}

    assert general(router_settings=router) == {"num_retries": 4, "allowed_fails": 4, "cooldown_time": 30}
    assert general(litellm_settings={"num_retries": 5}, router_settings={"num_retries": 4}) == {"num_retries": 4}
    assert (
        "another way"
        in told(of(router_settings={"routing_strategy": "least-busy"}))["router_settings.routing_strategy"]
    )


def test_redis_of_the_router_is_the_redis_that_replicas_share() -> None:
    router = {"redis_host": "r", "redis_port": "6380", "redis_password": "canary", "redis_db": 1}

    assert general(router_settings=router) == {
        "redis_host": "r",
        "redis_port": 6380,
        "redis_password": "os.environ/REDIS_PASSWORD",
    }
    url = {"redis_url": "redis://:canary@r:6379", "redis_port": 1}
    assert general(router_settings=url) == {"redis_url": "os.environ/REDIS_URL"}
    assert "router_settings.redis_port" in told(of(router_settings=url))


REDIS_OF_ENVIRONMENT = {"host": "os.environ/REDIS_HOST", "port": "os.environ/REDIS_PORT"}


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ({"type": "local", "ttl": 60}, {"type": "memory", "ttl": 60}),
        ({"type": "redis", "host": "h", "port": "6379"}, {"type": "redis", "host": "h", "port": 6379}),
        ({"type": "redis", "default_in_redis_ttl": 9, "ttl": 8, "host": "h"}, {"type": "redis", "ttl": 8, "host": "h"}),
        ({}, {"type": "redis", **REDIS_OF_ENVIRONMENT, "password": "os.environ/REDIS_PASSWORD"}),
        (
            {"password": "canary"},
            {"type": "redis", **REDIS_OF_ENVIRONMENT, "password": "os.environ/CACHE_PASSWORD"},
        ),
    ],
)
def test_the_cache(params: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = general(litellm_settings={"cache": True, "cache_params": params})

    assert found == {"cache": True, "cache_params": wanted}


@pytest.mark.parametrize(
    "params", [{"type": "s3"}, {"type": "redis-semantic"}, {"type": "redis", "mode": "default_off"}]
)
def test_a_cache_of_another_kind_is_left_off(params: dict[str, Any]) -> None:
    value = of(litellm_settings={"cache": True, "cache_params": params})

    assert "cache" not in (written(value)["general_settings"] or {})
    assert "litellm_settings.cache" in told(value)


def test_the_cache_shares_the_routers_redis_where_it_has_none_of_its_own() -> None:
    found = general(router_settings={"redis_host": "r"}, litellm_settings={"cache": True})

    assert found == {"redis_host": "r", "cache": True, "cache_params": {"type": "redis"}}


def test_the_master_key_is_one_of_the_keys() -> None:
    assert general(general_settings={"master_key": "sk-1234-canary"}) == {"api_keys": ["os.environ/PROXY_KEY"]}
    assert general(general_settings={"master_key": "os.environ/M"}) == {"api_keys": ["os.environ/M"]}


def test_logging_and_sizes() -> None:
    assert general(litellm_settings={"json_logs": True, "set_verbose": "true"}) == {
        "log_format": "json",
        "log_level": "debug",
    }
    assert general(general_settings={"max_request_size_mb": 50}) == {"max_body_bytes": "50MiB"}


def test_variables_of_the_file_are_exported_where_they_are_used() -> None:
    value = of(entry("m", api_key="os.environ/MINE"), environment_variables={"MINE": "canary"})

    assert [(each.variable, each.node.path) for each in converted(value).exports] == [
        ("MINE", "environment_variables.MINE")
    ]
    assert "canary" not in str(told(value))


def test_the_same_secret_has_one_variable_and_another_one_another_that_is_free() -> None:
    secrets = ("canary-1", "canary-1", "canary-2")
    value = of(*(entry("my model", api_key=each) for each in secrets), entry("n", api_key="os.environ/MY_MODEL_KEY"))

    found = [each["params"]["api_key"] for each in models(value, "my model")]
    assert found == ["os.environ/MY_MODEL_KEY_2", "os.environ/MY_MODEL_KEY_2", "os.environ/MY_MODEL_KEY_3"]
    assert [each["params"]["api_key"] for each in models(of(entry("m", api_key="none")))] == ["none"]


@pytest.mark.parametrize(
    ("sections", "path"),
    [
        ({"router_settings": {"num_retries": "many"}}, "router_settings.num_retries"),
        ({"router_settings": {"cooldown_time": 0}}, "router_settings.cooldown_time"),
        ({"router_settings": ["x"]}, "router_settings"),
        ({"litellm_settings": {"json_logs": "perhaps"}}, "litellm_settings.json_logs"),
        ({"general_settings": {"master_key": ["x"]}}, "general_settings.master_key"),
        ({"guardrails": [{"guardrail_name": "x"}]}, "guardrails"),
        ({"nobody_knows": 1}, "nobody_knows"),
        ({"model_list": [entry("m"), {"model_name": "n"}]}, "model_list[1]"),
        ({"model_list": [entry("m"), "n"]}, "model_list[1]"),
        ({"model_list": [entry("m"), entry("n", model="azure/")]}, "model_list[1]"),
        ({"model_list": [entry("m", rpm=0)]}, "model_list[0].litellm_params.rpm"),
        ({"model_list": [entry("m", rpm=10**400)]}, "model_list[0].litellm_params.rpm"),
        ({"model_list": [entry("m", input_cost_per_token=1)]}, "model_list[0].litellm_params.input_cost_per_token"),
    ],
)
def test_what_makes_no_sense_here_is_told(sections: dict[str, Any], path: str) -> None:
    assert path in told({**of(), **sections})


@pytest.mark.parametrize("place", ["litellm_params", "model_info"])
def test_costs_per_token_become_a_price_per_million(place: str) -> None:
    costs = {
        "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05,
        "cache_read_input_token_cost": 3.125e-07, "cache_creation_input_token_cost": "0.00000313",
    }  # fmt: skip
    given = entry("m")
    given.setdefault(place, {}).update(costs)

    assert models(of(given))[0]["price"] == {"input": 2.5, "output": 10, "cached_input": 0.3125, "cache_write": 3.13}
    assert not [path for path in told(of(given)) if "cost" in path]


def test_half_a_price_and_other_costs_are_named() -> None:
    given = entry("m", input_cost_per_token=1e-06, output_cost_per_second=0.1)

    assert "price" not in models(of(given))[0]
    assert {path.rpartition(".")[2] for path in told(of(given))} == {"input_cost_per_token", "output_cost_per_second"}


def test_a_cost_in_a_variable_is_named_as_it_is_for_a_token() -> None:
    given = entry("m", input_cost_per_token="os.environ/COST", output_cost_per_token=1e-06)

    assert "price" not in models(of(given))[0]
    assert "for a million tokens" in " ".join(told(of(given)).values())
