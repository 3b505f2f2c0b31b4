"""What operations of the OpenAPI document have in common: the fields of bodies, the errors, the proxy's own headers."""

from collections.abc import Iterable
from typing import Any

from adapters.http.bodies.fields import LARGEST_COUNT, Fields
from adapters.http.server.error_body import CODES_BY_STATUS

Json = dict[str, Any]

_COUNT = {"type": ["integer", "null"], "maximum": LARGEST_COUNT}
_FLAG = {"type": ["boolean", "null"]}
_TEXT = {"type": ["string", "null"]}

_FIELDS: dict[str, Json] = {
    "model": {"type": ["string", "null"], "description": "The name of a model group."},
    "stream": _FLAG | {"description": "true: the answer comes as server-sent events."},
    "n": _COUNT | {"description": "How many answers; counts against the rate limit."},
    "max_tokens": _COUNT | {"description": "The most output; counts against the rate limit."},
    "max_completion_tokens": _COUNT | {"description": "The same, for chat."},
    "max_output_tokens": _COUNT | {"description": "The same, for responses."},
    "background": _FLAG | {"description": "true, for responses: goes on without its client."},
    "store": _FLAG | {"description": "Whether the provider keeps the answer; decides what is cached."},
    "audio": {"type": ["object", "null"], "description": "Such an answer is kept by the account that made it."},
    "prompt_cache_key": _TEXT | {"description": "Requests that share it go to one endpoint, with `affinity`."},
    "safety_identifier": _TEXT | {"description": "Stands in for `prompt_cache_key`."},
    "user": _TEXT | {"description": "Stands in for `prompt_cache_key`."},
    "temperature": {"type": ["number", "null"], "description": "0: the answer may be cached."},
}

_OWN_HEADERS: dict[str, Json] = {
    "x-llmproxy-request-id": {"type": "string", "description": "Also in the log."},
    "x-llmproxy-attempts": {"type": "integer", "minimum": 0, "description": "Calls of endpoints; 0: none was asked."},
    "x-llmproxy-overhead-ms": {"type": "number", "description": "What the proxy itself took until the headers."},
}
_HEADERS_OF_CALLS: dict[str, Json] = {
    "x-llmproxy-cache": {"type": "string", "enum": ["hit", "miss", "bypass", "refresh", "shared"]},
    "x-llmproxy-endpoint": {"type": "string", "description": "The endpoint that was asked last."},
    "x-llmproxy-reasons": {"type": "string", "description": "Why others before it could not answer."},
    "x-llmproxy-cost": {"type": "string", "description": "By the endpoint's `price`."},
}
_HEADERS_OF_ERRORS: dict[str, Json] = {
    "retry-after": {"type": "integer", "description": "Seconds, 60 at most."},
    "retry-after-ms": {"type": "integer"},
    "x-should-retry": {"type": "string", "enum": ["true", "false"]},
}

_OF_ERRORS = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"], "description": "The field that is wrong."},
                "code": {"type": "string", "enum": [code for codes in CODES_BY_STATUS.values() for code in codes]},
            },
        }
    },
}  # fmt: skip

SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
}
ANY_KEY: list[Json] = [{name: []} for name in SECURITY_SCHEMES]


def _fields(*, model: bool) -> Json:
    """The schema of a JSON body as far as it is acted on; `model`: does it have to name one?"""
    known = {name: _FIELDS[name] for name in Fields.__struct_fields__}
    if not model:
        return {"type": "object", "properties": known}
    known["model"] = known["model"] | {"type": "string", "minLength": 1}
    return {"type": "object", "required": ["model"], "properties": known}


def components() -> Json:
    return {
        "schemas": {
            "Error": _OF_ERRORS,
            "Call": _fields(model=True),
            "FollowUp": _fields(model=False),
            "ErrorOrProviders": {
                "description": "The proxy's own error, or the provider's, which is relayed as it came.",
                "anyOf": [{"$ref": "#/components/schemas/Error"}, {}],
            },
        },
        "headers": {
            name: {"schema": schema} for name, schema in (_OWN_HEADERS | _HEADERS_OF_CALLS | _HEADERS_OF_ERRORS).items()
        },
        "responses": {
            "Answer": {
                "description": "The provider's answer.",
                "headers": _referred(_OWN_HEADERS | _HEADERS_OF_CALLS),
                "content": {"*/*": {}},
            },
            "Other": {"description": "Whatever else the provider answers, as it came.", "content": {"*/*": {}}},
            **{
                f"{whose}{status}": _error(schema, codes)
                for status, codes in CODES_BY_STATUS.items()
                for whose, schema in (("Own", "Error"), ("Call", "ErrorOrProviders"))
            },
        },
        "securitySchemes": SECURITY_SCHEMES,
    }


def of_page(good: Json, statuses: Iterable[int]) -> Json:
    """The responses of what the proxy answers by itself; `statuses` are those of its errors."""
    own = {str(status): _response(f"Own{status}") for status in statuses}
    return {"200": good | {"headers": _referred(_OWN_HEADERS)}} | own


def of_call(good: Json | None = None) -> Json:
    """The responses of what endpoints answer. `good`: the good ones; None = the provider's."""
    errors = {str(status): _response(f"Call{status}") for status in CODES_BY_STATUS}
    return (good or {"2XX": _response("Answer")}) | errors | {"default": _response("Other")}


def _response(name: str) -> Json:
    return {"$ref": f"#/components/responses/{name}"}


def _error(schema: str, codes: Iterable[str]) -> Json:
    return {
        "description": f"`code` is {' or '.join(f'`{code}`' for code in codes)}.",
        "headers": _referred(_OWN_HEADERS | _HEADERS_OF_CALLS | _HEADERS_OF_ERRORS),
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }


def _referred(names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
