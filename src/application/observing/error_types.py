"""A closed list of what can be wrong with a request, each prefixed by whose fault it is.

What logs call the outcome of a request is of many hands: codes of the proxy's own errors, kinds of failures of
endpoints. Counters need few names that stay. What is not in the table is `_OTHER`, which must never be seen.
"""

from domain.failure import MEANINGS, Blame, FailureKind

NO_ERROR = ""
OTHER = "_OTHER"

_OWN = {
    "client_left": "client_cancelled",
    "client_timed_out": "client_timed_out",
    "client_too_slow": "client_too_slow",
    "request_timeout": "client_too_slow",
    "invalid_api_key": "client_unauthorized",
    "model_not_found": "client_unknown_model",
    "no_model_group": "client_unknown_model",
    "not_found": "client_not_found",
    "unknown_path": "client_not_found",
    "method_not_allowed": "client_not_found",
    "host_not_allowed": "policy_refused",
    "origin_not_allowed": "policy_refused",
    "passthrough_off": "policy_refused",
    "metrics_not_open": "policy_refused",
    "administration_closed": "policy_refused",
    "not_per_key": "policy_refused",
    "upgrade_not_served": "policy_refused",
    "rate_limit_exceeded": "endpoint_rate_limited",
    "upstream_auth_failed": "endpoint_auth_failed",
    "upstream_misconfigured": "endpoint_misconfigured",
    "upstream_credential_unavailable": "endpoint_no_credential",
    "upstream_overloaded": "endpoint_overloaded",
    "upstream_timeout": "endpoint_timeout",
    "upstream_path_refused": "endpoint_path_refused",
    "upstream_error": "endpoint_error",
    "deadline_exceeded": "endpoint_timeout",
    "stream_broken": "endpoint_stream_broken",
    "internal_error": "proxy_internal_error",
    "proxy_shutting_down": "proxy_shutting_down",
    "proxy_out_of_resources": "proxy_out_of_resources",
    "proxy_out_of_memory": "proxy_out_of_memory",
    "too_many_websockets": "proxy_out_of_resources",
    "owners_unavailable": "proxy_store_unavailable",
    "websocket_connection_limit_reached": "proxy_handed_over",
    "websocket_queue_full": "client_invalid_request",
}
_INVALID = (
    "invalid_request", "invalid_json", "invalid_form", "too_many_values", "repeated_field", "repeated_header",
    "unsupported_media_type", "unsupported_encoding", "broken_encoding", "request_too_large",
    "incomplete_body", "malformed_request", "headers_too_large", "http_version_not_served",
    "transfer_coding_not_served",
)  # fmt: skip
_PREFIXES = {
    Blame.ENDPOINT: "endpoint",
    Blame.LIMIT: "endpoint",
    Blame.KEY: "endpoint",
    Blame.UNKNOWN: "endpoint",
    Blame.REQUEST: "client",
    Blame.PROXY: "proxy",
}


def _relayed(kind: FailureKind) -> str:
    """Of an endpoint's own error that the client was given."""
    if kind is FailureKind.CLIENT:
        return "client_invalid_request"
    return f"{_PREFIXES[MEANINGS[kind].blame]}_{kind.value}"


ERROR_TYPES: dict[str, str] = {
    "ok": NO_ERROR,
    **{kind.value: _relayed(kind) for kind in FailureKind},
    **dict.fromkeys(_INVALID, "client_invalid_request"),
    **_OWN,
}
"""By what the log calls the outcome."""


def error_type(outcome: str) -> str:
    """`NO_ERROR` where all went well."""
    return ERROR_TYPES.get(outcome, OTHER)
