"""What other gateways and clients call the settings, and what to write here instead.

Names are compared without regard to case, dashes and underscores: `apiBase`, `API-BASE` and `api_base` are the same.
Sources: LiteLLM's proxy configuration reference, Portkey's config object, openai-python (also before version 1), the
environment variables of all three.
"""

from collections.abc import Mapping

_KEYS = "write api_keys: [os.environ/PROXY_KEY] in general_settings"
_REDIS = {f"redis_{name}": f"write redis_{name} in general_settings" for name in ("host", "port", "password", "url")}
_RETRIES = "write num_retries in general_settings"
_LOGGING = "write log_level in general_settings"
_NONE_HERE = "has no counterpart here; leave it out"
_PASSED_ON = "is the client's to say: requests are passed on as they come; leave it out"

_EVERYWHERE = {
    "model_list": "LiteLLM's; write model_groups: there model_name becomes model_group, and litellm_params one of its "
    "models, with model beside params",
    "model_name": "LiteLLM's; write model_group, with a list of models below it",
    "litellm_params": "LiteLLM's; write models: - model: ..., and the rest of it in that model's params",
    "model_info": "LiteLLM's; of it there is id, which stands beside model",
    "litellm_settings": "LiteLLM's; write num_retries, request_timeout, cache and cache_params in general_settings",
    "router_settings": "LiteLLM's; write num_retries, allowed_fails, cooldown_time and redis_host in general_settings",
    "environment_variables": "LiteLLM's; set variables before the start, and write os.environ/NAME where they belong",
    "master_key": _KEYS,
    "proxy_api_key": _KEYS,
    "litellm_master_key": _KEYS,
    "api_base": "write base_url in params",
    "openai_api_base": "write base_url in params",
    "openai_base_url": "write base_url in params",
    "base_path": "write base_url in params",
    "endpoint": "write base_url, or azure_endpoint for Azure, in params",
    "url": "write base_url in params",
    "host_url": "write base_url in params",
    "api_base_url": "write base_url in params",
    "openai_api_key": "write api_key: os.environ/OPENAI_API_KEY in params",
    "azure_api_key": "write api_key: os.environ/AZURE_API_KEY in params",
    "azure_openai_api_key": "write api_key: os.environ/AZURE_OPENAI_API_KEY in params",
    "key": "write api_key in params",
    "token": "write api_key, or azure_ad_token for Azure, in params",
    "api_token": "write api_key in params",
    "virtual_key": "Portkey's; write api_key: os.environ/NAME in params",
    "azure_openai_endpoint": "write azure_endpoint in params",
    "azure_api_base": "write azure_endpoint in params",
    "azure_api_version": "write api_version in params",
    "openai_api_version": "write api_version in params",
    "resource_name": "write azure_endpoint: https://NAME.openai.azure.com in params",
    "deployment_name": "write azure_deployment in params",
    "deployment_id": "write azure_deployment in params",
    "deployment": "write azure_deployment in params",
    "engine": "write azure_deployment in params",
    "azure_openai_deployment": "write azure_deployment in params",
    "azure_openai_ad_token": "write azure_ad_token in params",
    "openai_organization": "write organization in params",
    "openai_org_id": "write organization in params",
    "openai_project_id": "write project in params",
    "api_type": "is told from azure_endpoint or base_url in params; leave it out",
    "custom_llm_provider": "is told from azure_endpoint or base_url in params; leave it out",
    "headers": "write default_headers in params",
    "extra_headers": "write default_headers in params",
    "custom_headers": "write default_headers in params",
    "query": "write default_query in params",
    "extra_query": "write default_query in params",
    "request_headers": "write default_headers in params",
    "port": "write bind_port in general_settings",
    "host": "write bind_address in general_settings",
    "bind_host": "write bind_address in general_settings",
    "listen": "write bind_address and bind_port in general_settings",
    "num_workers": "write workers in general_settings",
    "retries": _RETRIES,
    "retry": _RETRIES,
    "max_retries": _RETRIES,
    "num_retries_per_request": _RETRIES,
    "retry_policy": _RETRIES,
    "allowed_fails_policy": "write allowed_fails in general_settings",
    "cooldown": "write cooldown_time in general_settings",
    "cooldown_seconds": "write cooldown_time in general_settings",
    "disable_cooldowns": _NONE_HERE,
    "timeout": "write request_timeout in general_settings or beside model, or timeout in params",
    "stream_timeout": "write stream_idle_timeout in general_settings or beside model",
    "api_timeout": "write request_timeout in general_settings or beside model",
    "fallbacks": "write the fallback as one more of the group's models, with weight: 0",
    "fallback": "write the fallback as one more of the group's models, with weight: 0",
    "default_fallbacks": "write the fallback as one more of each group's models, with weight: 0",
    "context_window_fallbacks": _NONE_HERE,
    "content_policy_fallbacks": _NONE_HERE,
    "order": "write weight: 0 for the models that are only used when no other can",
    "priority": "write weight: 0 for the models that are only used when no other can",
    "routing_strategy": "weights share the requests: write weight beside model",
    "strategy": "Portkey's; weights share the requests, 0 is a fallback: write weight beside model",
    "targets": "Portkey's; write model_groups, with one of models for each target",
    "override_params": "Portkey's; write model beside params; the rest of a request is passed on as it comes",
    "model_group_alias": "write one more model_group with the same models (YAML's anchors spare the copy)",
    "model_alias": "write one more model_group with the same models (YAML's anchors spare the copy)",
    "input_cost_per_token": _NONE_HERE,
    "output_cost_per_token": _NONE_HERE,
    "max_parallel_requests": "write max_connections in general_settings",
    "requests_per_minute": "write rpm beside model",
    "tokens_per_minute": "write tpm beside model",
    "drop_params": _PASSED_ON,
    "temperature": _PASSED_ON,
    "max_tokens": _PASSED_ON,
    "stream": _PASSED_ON,
    "database_url": _NONE_HERE,
    "success_callback": _NONE_HERE,
    "failure_callback": _NONE_HERE,
    "callbacks": _NONE_HERE,
    "set_verbose": f"{_LOGGING}: debug",
    "verbose": f"{_LOGGING}: debug",
    "debug": f"{_LOGGING}: debug",
    "json_logs": "write log_format: json in general_settings",
    "loglevel": _LOGGING,
    "cache_responses": "write cache: true in general_settings",
    "caching": "write cache: true in general_settings",
    "cors": "write allowed_origins in general_settings",
    "allow_origins": "write allowed_origins in general_settings",
    "cors_origins": "write allowed_origins in general_settings",
    "trusted_hosts": "write allowed_hosts in general_settings",
    "http_proxy": "write outbound_proxy in general_settings",
    "https_proxy": "write outbound_proxy in general_settings",
    "proxy": "write outbound_proxy in general_settings",
    "ssl_verify": "write ca_bundle in general_settings: certificates are always checked",
    "verify_ssl": "write ca_bundle in general_settings: certificates are always checked",
    "verify": "write ca_bundle in general_settings: certificates are always checked",
    "redis_db": "write redis_url: redis://host:6379/DB in general_settings",
    "redis_user": "write redis_username in general_settings",
    "redis_tls": "write redis_ssl in general_settings",
    **_REDIS,
}

_IN_CACHE_PARAMS = {
    "redis_host": "write host, or redis_host in general_settings for all that is shared",
    "redis_port": "write port",
    "redis_password": "write password",
    "redis_url": "write redis_url in general_settings",
    "url": "write redis_url in general_settings",
    "max_size": "write max_bytes",
    "max_size_in_memory": "write max_bytes",
    "default_in_memory_ttl": "write ttl",
    "default_in_redis_ttl": "write ttl",
    "max_age": "write ttl",
    "mode": "write cache: true or false in general_settings",
    "supported_call_types": _NONE_HERE,
    "similarity_threshold": _NONE_HERE,
    "prefix": "write namespace",
}

_IN_PARAMS = {
    "deployment_name": "write azure_deployment",
    "model_name": "write model beside params",
    "retry": "write num_retries in general_settings",
}


def advice(key: str, section: str) -> str | None:
    """What to write for `key`, which was found in `section` (the name of its Struct) and is nothing there; None = it is
    nobody's word."""
    squashed = _squashed(key)
    return _BY_SECTION.get(section, _ALL).get(squashed) or _ALL.get(squashed)


def _squashed(key: str) -> str:
    return key.lower().replace("-", "").replace("_", "").replace(" ", "")


def _index(names: Mapping[str, str]) -> dict[str, str]:
    return {_squashed(name): text for name, text in names.items()}


_ALL = _index(_EVERYWHERE)
_BY_SECTION = {"CacheParams": _index(_IN_CACHE_PARAMS), "ParamsSettings": _index(_IN_PARAMS)}
