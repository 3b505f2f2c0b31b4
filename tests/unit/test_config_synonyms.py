"""What other gateways and clients call a setting is told by the name and the place it has here."""

from pathlib import Path

import pytest

from entrypoints.config.load import ConfigError, load_settings

GROUP = "model_groups: [{model_group: g, models: [{model: m, params: {api_key: k}}]}]"

LITELLM = """\
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o
      api_base: https://r.openai.azure.com
      rpm: 6
litellm_settings: {num_retries: 3}
router_settings: {redis_host: h}
environment_variables: {A: b}
general_settings: {master_key: sk-canary-0123456789}
"""


def told(folder: Path, text: str) -> dict[str, str]:
    """Mistakes by their path."""
    path = folder / "llmproxy.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {})
    assert "canary" not in str(caught.value)
    return {mistake.path: str(mistake) for mistake in caught.value.mistakes}


def test_a_configuration_of_litellm_is_told_what_becomes_of_each_part(tmp_path: Path) -> None:
    mistakes = told(tmp_path, LITELLM)

    assert "write model_groups: there model_name becomes model_group" in mistakes["model_list"]
    assert "cache_params in general_settings" in mistakes["litellm_settings"]
    assert "allowed_fails, cooldown_time and redis_host in general_settings" in mistakes["router_settings"]
    assert "write os.environ/NAME where they belong" in mistakes["environment_variables"]
    assert "write api_keys: [os.environ/PROXY_KEY]" in mistakes["general_settings.master_key"]
    assert "is missing" in mistakes["model_groups"]


@pytest.mark.parametrize(
    ("key", "right"),
    [
        ("api_base", "write base_url"), ("API_BASE", "write base_url"), ("apiBase", "write base_url"),
        ("openai_api_base", "write base_url"), ("endpoint", "write base_url, or azure_endpoint"),
        ("openai_api_key", "write api_key: os.environ/OPENAI_API_KEY"),
        ("OPENAI_API_KEY", "write api_key: os.environ/OPENAI_API_KEY"),
        ("virtual_key", "write api_key: os.environ/NAME"), ("virtualKey", "write api_key: os.environ/NAME"),
        ("deployment_name", "write azure_deployment"), ("deployment_id", "write azure_deployment"),
        ("engine", "write azure_deployment"), ("api_type", "leave it out"), ("headers", "write default_headers"),
        ("extra_headers", "write default_headers"), ("override_params", "write model beside params"),
        ("rpm", "move it into a model"), ("tpm", "move it into a model"), ("weight", "move it into a model"),
        ("model", "fix: move it into a model"), ("litellm_params", "in that model's params"),
        ("drop_params", "leave it out"), ("temperature", "leave it out"), ("stream_timeout", "stream_idle_timeout"),
        ("apiKey", "fix: write api_key"), ("baseURL", "fix: write base_url"),
        ("azureEndpoint", "fix: write azure_endpoint"),
    ],
)  # fmt: skip
def test_a_foreign_word_in_params_is_told_with_the_right_one(tmp_path: Path, key: str, right: str) -> None:
    text = f"model_groups: [{{model_group: g, models: [{{model: m, params: {{{key}: sk-canary-0123456789}}}}]}}]"

    assert right in told(tmp_path, text)[f"model_groups[0].models[0].params.{key}"]


@pytest.mark.parametrize(
    ("key", "right"),
    [
        ("port", "write bind_port in general_settings"), ("host", "write bind_address in general_settings"),
        ("master_key", "write api_keys"), ("timeout", "write request_timeout"), ("retries", "write num_retries"),
        ("max_retries", "write num_retries"), ("cooldown", "write cooldown_time"), ("cors", "write allowed_origins"),
        ("json_logs", "write log_format: json"), ("set_verbose", "write log_level"), ("proxy", "write outbound_proxy"),
        ("num_workers", "write workers"), ("ssl_verify", "write ca_bundle"), ("redis_db", "write redis_url"),
        ("fallbacks", "with weight: 0"), ("routing_strategy", "write weight"), ("database_url", "leave it out"),
        ("model_list", "write model_groups"), ("request_timout", "fix: write request_timeout"),
    ],
)  # fmt: skip
def test_a_foreign_word_in_general_settings_is_told_with_the_right_one(tmp_path: Path, key: str, right: str) -> None:
    assert right in told(tmp_path, f"general_settings: {{{key}: 1}}\n{GROUP}")[f"general_settings.{key}"]


@pytest.mark.parametrize("key", ["redis_host", "redis_port", "redis_password"])
def test_redis_words_in_cache_params_are_told_by_their_names_there(tmp_path: Path, key: str) -> None:
    mistakes = told(tmp_path, f"general_settings: {{cache_params: {{{key}: 1}}}}\n{GROUP}")

    assert f"write {key.removeprefix('redis_')}" in mistakes[f"general_settings.cache_params.{key}"]


@pytest.mark.parametrize(
    ("key", "right"),
    [
        ("targets", "write model_groups, with one of models for each target"),
        ("strategy", "write weight beside model: weights share the requests, 0 is a fallback"),
        ("fallbacks", "with weight: 0"),
        ("port", "write bind_port in general_settings"),
        ("OPENAI_API_KEY", "write api_key: os.environ/OPENAI_API_KEY in params"),
        ("num_retries", "fix: move it into general_settings"),
    ],
)
def test_a_foreign_word_at_the_top_is_told_with_the_right_one(tmp_path: Path, key: str, right: str) -> None:
    assert right in told(tmp_path, f"{key}: 1\n{GROUP}")[key]


@pytest.mark.parametrize(
    ("key", "right"),
    [("model_name", "write model_group"), ("litellm_params", "write models: - model"), ("model_info", "there is id")],
)
def test_a_foreign_word_in_a_group_is_told_with_the_right_one(tmp_path: Path, key: str, right: str) -> None:
    text = f"model_groups: [{{model_group: g, models: [{{model: m}}], {key}: 1}}]"

    assert right in told(tmp_path, text)[f"model_groups[0].{key}"]
