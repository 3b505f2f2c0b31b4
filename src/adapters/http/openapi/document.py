"""The OpenAPI document of what is served: made of the tables that routes are found by, the fields that are acted on,
and the codes of errors. What providers understand beyond that is theirs to describe."""

from collections.abc import Iterable

import msgspec

from adapters.http.openai_api import MODEL_OPTIONAL
from adapters.http.openapi.components import ANY_KEY, Json, components, of_call, of_page
from adapters.http.paths.routes import (
    BELOW_STORED,
    DEPLOYMENT_APIS,
    FAMILIES,
    METHODS,
    METHODS_OF_CALLS,
    MODEL_CALLS,
    STORED,
)
from adapters.http.status_routes import METHODS as PAGE_METHODS
from adapters.http.status_routes import PAGES

_ABOUT = """\
OpenAI's API in front of many endpoints. Described is what the proxy itself understands; all other fields, headers and
answers are the provider's, and pass as they are. A path may be written with `/v1`, without it, with `/openai/v1` or
`/openai`. A request that is no HTTP/1.1 is answered 400, 408, 431 or 505 under any path."""

_JSON = "application/json"
_TEXT = {"type": "string", "minLength": 1}
_REST = {
    "name": "rest",
    "in": "path",
    "required": True,
    "schema": _TEXT,
    "description": "An id, and what else follows: slashes stand in it as they are.",
}
_FAMILY = {
    "name": "family",
    "in": "path",
    "required": True,
    "schema": _TEXT | {"examples": sorted(FAMILIES)},
    "description": "Whatever is no path above, nor nearly one.",
}
_DEPLOYMENT = {"name": "deployment", "in": "path", "required": True, "schema": _TEXT}
_MODEL = {"name": "model", "in": "path", "required": True, "schema": _TEXT}

_SHOWN = {
    "/health": "Whether anything can serve; 503: nothing can.",
    "/health/live": "Whether the process answers.",
    "/health/ready": "Whether requests are welcome; 503: the proxy stops.",
    "/status": "Endpoints, limits, the last minutes, the last decisions; for browsers a page.",
    "/metrics": "For Prometheus; who sees them is the setting `metrics`.",
    "/openapi.json": "This document.",
}
"""What the pages are; a test compares them with those that there are."""
_TYPES = {"/status": (_JSON, "text/html"), "/metrics": ("text/plain", "application/openmetrics-text")}
_MAY_BE_UNWELL = frozenset({"/health", "/health/ready"})


def openapi_document(version: str, *, needs_key: bool) -> bytes:
    """Version 3.1, as JSON. `version`: the proxy's; `needs_key`: does it have keys of its own?"""
    paths: dict[str, Json] = {}
    for operations in (_pages(), _calls(), _kept(), _passed_through(), _sockets()):
        for path, item in operations.items():
            paths.setdefault(path, {}).update(item)
    told = {
        "openapi": "3.1.0",
        "info": {"title": "LLMProxy", "version": version, "description": _ABOUT.replace("\n", " ")},
        "servers": [{"url": "."}],
        "paths": paths,
        "components": components(),
        "security": ANY_KEY if needs_key else [{}, *ANY_KEY],
    }
    return msgspec.json.encode(told)


def _calls() -> dict[str, Json]:
    """What names its model."""
    found: dict[str, Json] = {}
    for path, api in MODEL_CALLS.items():
        told = "Answered by the group that `model` names."
        found[f"/v1{path}"] = {"post": _call(told, _body("FollowUp" if api in MODEL_OPTIONAL else "Call"))}
        if api in DEPLOYMENT_APIS:
            call = _call("Answered by the group that the path names.", _body("FollowUp"))
            found[f"/openai/deployments/{{deployment}}{path}"] = {"parameters": [_DEPLOYMENT], "post": call}
    return found


def _kept() -> dict[str, Json]:
    """What is answered by the account that keeps it."""
    found: dict[str, Json] = {}
    for path in STORED:
        methods = [method for method in METHODS_OF_CALLS if method != "POST"] if path in MODEL_CALLS else METHODS
        found[f"/v1{path}"] = _each(methods, "Answered by the account that keeps it.")
    for front in BELOW_STORED:
        below = _each(METHODS, "Answered by the account that keeps it.")
        found[f"/v1{front}{{rest}}"] = {"parameters": [_REST], **below}
    return found


def _passed_through() -> dict[str, Json]:
    """What is passed on without being understood."""
    methods = _each(
        METHODS, "Answered by the group that `model` names, else by `passthrough_group`, else the only one."
    )
    return {
        "/v1/realtime": methods,
        "/v1/{family}": {"parameters": [_FAMILY], **methods},
        "/v1/{family}/{rest}": {"parameters": [_FAMILY, _REST], **methods},
    }


def _sockets() -> dict[str, Json]:
    """What opens a WebSocket, in the place of the other GETs of its path."""
    upgrade = {"name": "upgrade", "in": "header", "required": True, "schema": {"const": "websocket"}}
    model = {"name": "model", "in": "query", "schema": _TEXT}
    responses = of_call({"101": {"description": "RFC 6455."}})
    return {
        path: {"get": {"summary": told, "parameters": parameters, "responses": responses}}
        for path, told, parameters in (
            ("/v1/responses", "Responses over WebSocket: each turn as a request.", [upgrade]),
            ("/v1/realtime", "Realtime over WebSocket, joined to one of the group.", [upgrade, model]),
        )
    }


def _pages() -> dict[str, Json]:
    """What is answered without asking anybody."""
    found = {path: _shown(told, path, needs_key=PAGES[path].needs_key) for path, told in _SHOWN.items()}
    found["/"] = _shown("The status page, for browsers.", "/", needs_key=False)
    found["/v1/models"] = _shown("The names of the model groups.", "/v1/models")
    one = _each(METHODS, "Whether there is such a group; what is no group's `passthrough_group` is asked about.")
    return found | {"/v1/models/{model}": {"parameters": [_MODEL], **one}}


def _shown(told: str, path: str, *, needs_key: bool = True) -> Json:
    types = _TYPES.get(path, ("text/html",) if path == "/" else (_JSON,))
    responses = of_page({"description": told, "content": {kind: {} for kind in types}}, (400, 401, 403, 404))
    if path in _MAY_BE_UNWELL:
        responses["503"] = responses["200"]
    page = {"summary": told, "responses": responses} | ({} if needs_key else {"security": [{}, *ANY_KEY]})
    return {method.lower(): page for method in PAGE_METHODS}


def _each(methods: Iterable[str], told: str) -> Json:
    body = {"content": {_JSON: {"schema": {"$ref": "#/components/schemas/FollowUp"}}, "*/*": {}}}
    return {method.lower(): _call(told, body if method in ("POST", "PUT", "PATCH") else None) for method in methods}


def _call(told: str, body: Json | None) -> Json:
    call: Json = {"summary": told, "responses": of_call()}
    return call if body is None else call | {"requestBody": body}


def _body(schema: str) -> Json:
    return {"required": True, "content": {_JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}
