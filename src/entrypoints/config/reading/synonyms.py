"""What other gateways and clients call the settings, and what to write here instead.

Names are compared without regard to case, dashes and underscores: `apiBase`, `API-BASE` and `api_base` are the same.
Sources: LiteLLM's proxy configuration reference, Portkey's config object, openai-python (also before version 1), the
environment variables of all three.
"""

from collections.abc import Mapping

WORDS = {
    "warn": "warning", "critical": "error", "fatal": "error", "trace": "debug",
    "local": "memory", "in-memory": "memory",
}  # fmt: skip
"""Values to choose from, by what they are called elsewhere."""

_GENERAL = {  # ours, with what to write besides: theirs
    "api_keys: [os.environ/PROXY_KEY]": "master_key proxy_api_key litellm_master_key",
    "bind_port": "port",
    "bind_address": "host bind_host",
    "bind_address and bind_port": "listen",
    "workers": "num_workers",
    "num_retries": "retries retry max_retries num_retries_per_request retry_policy",
    "allowed_fails": "allowed_fails_policy",
    "cooldown_time": "cooldown cooldown_seconds",
    "max_connections": "max_parallel_requests",
    "log_level": "loglevel",
    "log_level: debug": "set_verbose verbose debug",
    "log_format: json": "json_logs",
    "cache: true": "cache_responses caching",
    "allowed_origins": "cors allow_origins cors_origins",
    "allowed_hosts": "trusted_hosts",
    "outbound_proxy": "http_proxy https_proxy proxy",
    "redis_url: redis://host:6379/DB": "redis_db",
    "redis_username": "redis_user",
    "redis_ssl": "redis_tls",
    "num_retries, request_timeout, cache and cache_params": "litellm_settings",
    "num_retries, allowed_fails, cooldown_time and redis_host": "router_settings",
}
_PARAMS = {
    "base_url": "api_base openai_api_base openai_base_url base_path url host_url api_base_url",
    "base_url, or azure_endpoint for Azure,": "endpoint",
    "api_key": "key api_token",
    "api_key: os.environ/OPENAI_API_KEY": "openai_api_key",
    "api_key: os.environ/AZURE_API_KEY": "azure_api_key",
    "api_key: os.environ/AZURE_OPENAI_API_KEY": "azure_openai_api_key",
    "api_key: os.environ/NAME": "virtual_key",
    "api_key, or azure_ad_token for Azure,": "token",
    "azure_endpoint": "azure_openai_endpoint azure_api_base",
    "azure_endpoint: https://NAME.openai.azure.com": "resource_name",
    "azure_deployment": "deployment_name deployment_id deployment engine azure_openai_deployment",
    "azure_ad_token": "azure_openai_ad_token",
    "api_version": "azure_api_version openai_api_version",
    "organization": "openai_organization openai_org_id",
    "project": "openai_project_id",
    "default_headers": "headers extra_headers custom_headers request_headers",
    "default_query": "query extra_query",
}
_SENTENCES = {  # what to do: theirs
    "write model_groups: there model_name becomes model_group, and litellm_params one of its models, with model beside "
    "params": "model_list",
    "write model_group, with a list of models below it": "model_name",
    "write models: - model: ..., and the rest of it in that model's params": "litellm_params",
    "leave it out; of it there is id, which stands beside model": "model_info",
    "set variables before the start, and write os.environ/NAME where they belong": "environment_variables",
    "write request_timeout in general_settings or beside model, or timeout in params": "timeout",
    "write stream_idle_timeout in general_settings or beside model": "stream_timeout",
    "write request_timeout in general_settings or beside model": "api_timeout",
    "write the fallback as one more of the group's models, with weight: 0": "fallbacks fallback default_fallbacks",
    "write priority beside model: 0 is used first, 1 takes what 0 has no room for": "order",
    "write weight beside model: weights share the requests, 0 is a fallback": "routing_strategy strategy",
    "write model_groups, with one of models for each target": "targets",
    "write model beside params; the rest of a request is passed on as it comes": "override_params",
    "write one more model_group with the same models (YAML's anchors spare the copy)": "model_group_alias model_alias",
    "write rpm beside model": "requests_per_minute",
    "write tpm beside model": "tokens_per_minute",
    "write ca_bundle in general_settings: certificates are always checked": "ssl_verify verify_ssl verify",
    "leave it out: it is told from azure_endpoint or base_url in params": "api_type custom_llm_provider",
    "leave it out: it is the client's to say, requests are passed on as they come":
        "drop_params temperature max_tokens stream",
    "leave it out: it has no counterpart here": "disable_cooldowns context_window_fallbacks content_policy_fallbacks "
        "input_cost_per_token output_cost_per_token database_url success_callback failure_callback callbacks",
}  # fmt: skip
_SECTIONS = {
    "cache_params": {
        "write host, or redis_host in general_settings for all that is shared": "redis_host",
        "write port": "redis_port",
        "write password": "redis_password",
        "write redis_url in general_settings": "redis_url url",
        "write max_bytes": "max_size max_size_in_memory",
        "write ttl": "default_in_memory_ttl default_in_redis_ttl max_age",
        "write cache: true or false in general_settings": "mode",
        "leave it out: it has no counterpart here": "supported_call_types similarity_threshold",
        "write namespace": "prefix",
    },
    "params": {
        "write azure_deployment": "deployment_name",
        "write model beside params": "model_name",
        "write num_retries in general_settings": "retry",
    },
}


def advice(key: str, home: str) -> str | None:
    """What to do about `key`, which was found in the section `home` and is nothing there; None = nobody's word."""
    squashed = _squashed(key)
    return _BY_HOME.get(home, _ALL).get(squashed) or _ALL.get(squashed)


def _squashed(key: str) -> str:
    return key.lower().replace("-", "").replace("_", "").replace(" ", "")


def _index(sentences: Mapping[str, str]) -> dict[str, str]:
    return {_squashed(word): sentence for sentence, words in sentences.items() for word in words.split()}


_ALL = _index(
    {f"write {ours} in general_settings": theirs for ours, theirs in _GENERAL.items()}
    | {f"write {ours} in params": theirs for ours, theirs in _PARAMS.items()}
    | _SENTENCES
)
_BY_HOME = {home: _index(sentences) for home, sentences in _SECTIONS.items()}
