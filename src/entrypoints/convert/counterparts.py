"""What to do instead, for keys of LiteLLM that have no counterpart here. A name that ends in `*` stands for all keys
that begin so.

Source of the names: LiteLLM's pages config_settings, configs, routing, reliability and caching; docs/migrate.md says
of which day.
"""

from collections.abc import Mapping

UNKNOWN = "has no counterpart here"
_CLIENTS = "is the client's to say: requests are passed on as they come, so it has to send this itself"
_COST = "costs are counted, and bound nothing; see docs/cost.md"
_PRICE = "is no part of price, which has input, output, cached_input and cache_write: docs/cost.md"
_CREDENTIALS = "is for providers that this proxy does not call"
_LOG = "the log has one line for each request, in JSON, to be collected from there; OTEL_* variables switch on traces"
_DATABASE = "there is no database: keys stand under api_keys, each with a name if wanted"
_GUARD = "requests and answers are not inspected; what must be has to be before or behind the proxy"
_HEALTH = "endpoints are judged by the requests they get, and never asked for their health"
_LIMIT = "requests wait for the providers' own rate limits; there is no limit for clients"
_NO_TRANSLATION = "no request or answer is changed, so there is nothing to switch"
_ONE_LINE = "the log never has a prompt, an answer or a key"
_ADMIN = "there is no administration while the proxy runs; the configuration is a file"
_PROMPT_CACHE = "see affinity: prompt_cache_key, docs/affinity.md"
_MCP = "MCP servers, agents and tools are not served; clients call them themselves"
_FILES = "files, batches and fine-tuning pass through to the group's endpoints: docs/responses.md"
_CERTIFICATES = "certificates are always checked; see ca_bundle in general_settings"
_CONNECTIONS = "see max_connections in general_settings, which is for each endpoint and worker"
_TAGS = "requests are not routed by tags; make a group for each and let clients ask for it by its model name"
_TOO_LONG = "what is too long comes back as the provider says it; ask for another model"
_REFUSED = "a refusal comes back as the provider says it; ask for another model"


def by_key(rows: Mapping[str, str]) -> Mapping[str, str]:
    """The text of each key, where a row is for several."""
    return {key: text for keys, text in rows.items() for key in keys.split()}


PARAMS = by_key(
    {
        "max_retries num_retries": "is said once, as num_retries in general_settings",
        "cooldown_time": "is said once, as cooldown_time in general_settings",
        "tags": _TAGS,
        "max_parallel_requests": _CONNECTIONS,
        "region_name": "endpoints are not chosen by region; leave out of the group what must not be asked",
        "mock_response": "use llmproxy provider, the simulated provider, instead: docs/provider.md",
        "use_in_pass_through": "paths that name no model go to passthrough_group",
        "configurable_clientside_auth_params": "clients cannot choose an address; without api_key their own key is "
        "used",
        "drop_params additional_drop_params allowed_openai_params merge_reasoning_content_in_choices": _NO_TRANSLATION,
        "cache_control_injection_points": _NO_TRANSLATION,
        "max_budget budget_duration": _COST,
        "input_cost_* output_cost_* cache_creation_* cache_read_*": _PRICE,
        "aws_* vertex_* s3_* watsonx_* azure_username azure_password": _CREDENTIALS,
        "temperature max_tokens max_completion_tokens top_p n stop seed stream presence_penalty": _CLIENTS,
        "frequency_penalty logit_bias user response_format tools tool_choice reasoning_effort thinking": _CLIENTS,
        "extra_body extra_query parallel_tool_calls service_tier store metadata dimensions encoding_format": _CLIENTS,
        "prompt_id prompt_variables": _CLIENTS,
        "guardrails": _GUARD,
        "ssl_verify ssl_certificate": _CERTIFICATES,
    }
)

MODEL_INFO = by_key(
    {
        "input_cost_* output_cost_* cache_*": _PRICE + "; or litellm_params says it too",
        "mode": "the path of a request says what it is",
        "access_groups": "every key may use every group",
        "supported_environments": "write a configuration for each environment",
        "team_id team_public_model_name": _DATABASE,
        "health_check_* disable_background_health_check": _HEALTH,
    }
)

ROUTER = by_key(
    {
        "retry_policy": "what is tried again is fixed by the kind of failure, and bounded by num_retries: "
        "docs/failover.md",
        "model_group_retry_policy": "num_retries is for all groups",
        "allowed_fails_policy": "what counts against an endpoint is fixed by the kind of failure: docs/failover.md",
        "disable_cooldowns": "endpoints always rest after failures; a lone one is asked all the same",
        "retry_after": "waits are exponential with jitter, or as long as the provider says",
        "enable_pre_call_check*": "a context window is not checked: what is too long is the provider's to say",
        "optional_pre_call_checks": "what a provider keeps is followed up where it is kept, and rate limits are "
        "always reckoned before a call; for prompt caching see affinity: prompt_cache_key, docs/affinity.md",
        "deployment_affinity_ttl_seconds model_group_affinity_config": _PROMPT_CACHE,
        "enable_tag_filtering tag_filtering_match_any": _TAGS,
        "max_fallbacks": "all of a group's endpoints may be asked, bounded by num_retries",
        "default_litellm_params": _CLIENTS,
        "stream_timeout": "has no counterpart of its own; see first_byte_timeout",
        "default_max_parallel_requests": _CONNECTIONS,
        "context_window_fallbacks": _TOO_LONG,
        "content_policy_fallbacks": _REFUSED,
        "provider_budget_config": _COST,
        "debug_level": "write log_level in general_settings",
        "redis_db": "write redis_url: redis://HOST:PORT/DB instead of the other redis_ settings",
        "redis_ssl": "write redis_ssl in general_settings",
        "cache_responses": "write cache: true in general_settings",
        "cache_kwargs": "write the redis_ settings in general_settings",
        "caching_groups": "a group has its own answers in the cache",
        "routing_strategy_args": "weights share the requests, and nothing else",
        "enable_health_check_routing health_check_*": _HEALTH,
        "search_tools": _MCP,
        "guardrail_list": _GUARD,
        "assistants_config": _FILES,
        "ignore_invalid_deployments": "all mistakes of the file are told before the start, and none is passed over",
    }
)

LITELLM = by_key(
    {
        "context_window_fallbacks": _TOO_LONG,
        "content_policy_fallbacks": _REFUSED,
        "num_retries_per_request": "write num_retries in general_settings",
        "callbacks success_callback failure_callback service_callbacks audit_log_callbacks langfuse_*": _LOG,
        "prometheus_* custom_prometheus_* s3_callback_params datadog_* otel store_audit_logs": _LOG,
        "default_team_settings global_disable_no_log_param": _LOG,
        "turn_off_message_logging redact_user_api_key_info redact_messages_in_exceptions": _ONE_LINE,
        "drop_params modify_params additional_drop_params add_function_to_prompt": _NO_TRANSLATION,
        "enable_preview_features enable_json_schema_validation": _NO_TRANSLATION,
        "ssl_verify ssl_certificate": _CERTIFICATES,
        "force_ipv4": "addresses are tried as the system's resolver orders them",
        "cost_* max_budget budget_duration disable_end_user_cost_* max_user_budget": _COST,
        "internal_user_budget_duration max_end_user_budget": _COST,
        "default_internal_user_params default_key_generate_params default_team_params": _DATABASE,
        "upperbound_key_generate_params key_generation_settings max_internal_user_budget": _DATABASE,
        "enable_redis_auth_cache enable_key_alias_format_validation": _DATABASE,
        "guardrails": _GUARD,
        "mcp_aliases": _MCP,
        "telemetry": "nothing is ever reported to anybody",
        "request_timeout": "router_settings says timeout, and that counts",
        "public_model_groups": "GET /v1/models lists every group",
        "model_alias_map": "write one more group with the same models",
    }
)

GENERAL = by_key(
    {
        "database_* store_model_in_db supported_db_objects allow_requests_on_db_unavailable": _DATABASE,
        "disable_prisma_schema_update use_redis_transaction_buffer user_api_key_cache_ttl": _DATABASE,
        "disable_spend_* disable_reset_budget proxy_budget_* proxy_batch_* maximum_spend_logs_*": _COST,
        "store_prompts_in_spend_logs spend_report_frequency max_budget budget_duration": _COST,
        "allowed_origins": "write allowed_origins in general_settings, which has rules of its own: docs/http.md",
        "alerting* alert_*": "no alert is sent; warnings and errors stand in the log",
        "background_health_checks health_check_* enable_health_check_routing use_shared_health_check": _HEALTH,
        "max_parallel_requests global_max_parallel_requests token_rate_limit_type": _LIMIT,
        "custom_auth* enable_jwt_auth litellm_jwtauth enable_oauth2_* custom_sso": "clients show one of api_keys; "
        "put a gateway before it for anything else",
        "oauth2_config_mappings service_account_settings role_permissions enforce_rbac": "clients show one of "
        "api_keys; put a gateway before it for anything else",
        "allowed_ips": "connections are not told apart by address; the system's firewall does it",
        "use_x_forwarded_for": "X-Forwarded-For is not believed",
        "allowed_routes admin_only_routes": "see passthrough in general_settings: off, on or admin",
        "public_routes": "without a key only /health/live and /health/ready answer, and /health with its status",
        "pass_through_endpoints": "only the OpenAI API passes through, to the endpoints of the groups",
        "use_client_credentials_pass_through_routes forward_llm_provider_auth_headers": "an endpoint without "
        "api_key gets the client's own",
        "forward_client_headers_to_llm_api": "what passes is fixed: docs/http.md",
        "forward_openai_org_id": "an organization is said for each endpoint",
        "completion_model embedding_model image_generation_model moderation_model": "the model of a request is "
        "never replaced; see passthrough_group for models that are not listed",
        "litellm_key_header_name": "keys are taken from Authorization: Bearer and from api-key",
        "max_response_size_mb": "answers are passed on as they come, whatever their size",
        "key_management_* use_azure_key_vault use_google_kms": "secrets come from the environment; let whatever "
        "starts the proxy put them there",
        "ui_access_mode control_plane_url auto_redirect_ui_login_to_sso": _ADMIN,
        "disable_responses_id_security": "see tenancy: key, docs/tenants.md",
        "infer_model_from_keys": "models are what the file lists",
        "always_include_stream_usage": _CLIENTS,
        "enforce_user_param enforced_params": _GUARD,
        "mcp_* user_mcp_management_mode enable_mcp_registry search_tools": _MCP,
    }
)

TOP = by_key(
    {
        "guardrails policies policy_attachments": _GUARD,
        "mcp_servers mcp_tools agent_list agents search_tools vector_store_registry": _MCP,
        "finetune_settings files_settings assistant_settings": _FILES,
        "callback_settings": _LOG,
        "prompts": _CLIENTS,
        "model_groups": "is this proxy's own, so that nothing is to be converted; see llmproxy check",
        "x-*": "what anchors refer to is written where they do",
        "default_vertex_config": _CREDENTIALS,
    }
)
