"""An error as the OpenAI SDKs read it: its status, and its body."""

import msgspec

from application.errors import InvalidRequest, ProxyError

CODES_BY_STATUS = {
    400: (
        "invalid_request",
        "invalid_json",
        "invalid_form",
        "broken_encoding",
        "incomplete_body",
        "malformed_request",
        "repeated_field",
        "repeated_header",
        "too_many_values",
        "transfer_coding_not_served",
        "websocket_connection_limit_reached",
    ),
    401: ("invalid_api_key",),
    403: ("passthrough_off", "administration_closed", "not_per_key", "origin_not_allowed", "host_not_allowed"),
    404: ("model_not_found", "no_model_group", "not_found", "unknown_path"),
    405: ("method_not_allowed",),
    408: ("request_timeout",),
    413: ("request_too_large",),
    415: ("unsupported_media_type", "unsupported_encoding"),
    426: ("upgrade_not_served",),
    429: ("rate_limit_exceeded", "websocket_queue_full"),
    431: ("headers_too_large",),
    500: ("internal_error",),
    502: ("upstream_error", "upstream_auth_failed", "upstream_misconfigured", "upstream_path_refused"),
    503: (
        "owners_unavailable",
        "proxy_out_of_memory",
        "proxy_out_of_resources",
        "proxy_shutting_down",
        "too_many_websockets",
        "upstream_credential_unavailable",
        "upstream_overloaded",
    ),
    504: ("upstream_timeout", "deadline_exceeded"),
    505: ("http_version_not_served",),
}
_STATUSES = {code: status for status, codes in CODES_BY_STATUS.items() for code in codes}


def status_of(error: ProxyError) -> int:
    """The status of an error reply: by its code, else 400 for what is wrong with the request and 500 for all else."""
    return _STATUSES.get(error.code) or (400 if isinstance(error, InvalidRequest) else 500)


def error_body(error: ProxyError) -> bytes:
    """The body of an error reply."""
    return msgspec.json.encode(
        {"error": {"message": str(error), "type": error.type, "param": error.param, "code": error.code}}
    )
