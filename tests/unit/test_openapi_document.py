"""The OpenAPI document is valid, and has what is served: every route, field, code and header, and no others."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from adapters.http.bodies.fields import Fields
from adapters.http.error_headers import WrongMethod
from adapters.http.exchange import exchange_report
from adapters.http.openapi.document import openapi_document
from adapters.http.paths.routes import BELOW_STORED, FAMILIES, METHODS, MODEL_CALLS, STORED, find_route, is_other
from adapters.http.server.error_body import CODES_BY_STATUS
from adapters.http.status_routes import METHODS as PAGE_METHODS
from adapters.http.status_routes import PAGES, page_of
from application.errors import InvalidRequest

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "tests/data/openapi_3.1_schema.json").read_text())
"""Of OpenAPI 3.1 itself: https://spec.openapis.org/oas/3.1/schema/2022-10-07"""

DOCUMENT = json.loads(openapi_document("1.2.3", needs_key=True))
FILLED = {"rest": "x_1", "family": "files", "deployment": "gpt", "model": "gpt"}
ITEMS = ("get", "head", "post", "put", "patch", "delete", "options")
OPERATIONS = {
    (method.upper(), path): item[method]
    for path, item in DOCUMENT["paths"].items()
    for method in ITEMS
    if method in item
}  # fmt: skip
SOCKETS = {("GET", "/v1/responses"), ("GET", "/v1/realtime")}


def filled(path: str) -> str:
    return path.format(**FILLED)


def is_served(method: str, path: str) -> bool:
    """By the tables that requests are routed by."""
    page = page_of(path, b"text/html" if path == "/" else b"")
    if page is not None:
        return method in (PAGE_METHODS if page.model is None else METHODS)
    if is_other(path):
        return method in METHODS
    try:
        find_route(method, path)
    except InvalidRequest:
        return False
    return True


def documented(method: str, path: str) -> bool:
    """Of the paths that fit, that with the fewest parameters counts; a parameter may hold slashes."""
    patterns = sorted(DOCUMENT["paths"], key=lambda pattern: (pattern.count("{"), -len(pattern)))
    fits = next(pattern for pattern in patterns if re.fullmatch(re.sub(r"\{[^}]*\}", ".+", pattern), path))
    return method.lower() in DOCUMENT["paths"][fits]


def inside(value: Any) -> Iterator[Any]:
    """All objects in it."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from inside(each)
    elif isinstance(value, list):
        for each in value:
            yield from inside(each)


def test_it_is_an_openapi_document() -> None:
    errors = [
        f"{error.json_path}: {error.message[:200]}" for error in Draft202012Validator(SCHEMA).iter_errors(DOCUMENT)
    ]

    assert errors == []
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_all_that_it_refers_to_is_there() -> None:
    lost = []
    for found in inside(DOCUMENT):
        place: Any = DOCUMENT
        for part in found.get("$ref", "#")[2:].split("/"):
            place = place.get(part, {}) if part else place
        if not place:
            lost.append(found["$ref"])

    assert lost == []


def test_a_document_of_which_a_part_is_wrong_is_not_valid() -> None:
    broken = DOCUMENT | {"paths": {"/x": {"get": {"responses": {"200": {"content": {}}}}}}}

    assert list(Draft202012Validator(SCHEMA).iter_errors(broken))


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_what_it_has_is_served(method: str, path: str) -> None:
    assert (method, path) in SOCKETS or is_served(method, filled(path))


def test_what_is_served_is_in_it() -> None:
    sdk = [
        line.split()[:2] for line in (ROOT / "tests/data/openai_paths.txt").read_text().splitlines() if line[:1] != "#"
    ]
    lines = {
        *(("POST", f"/v1{path}") for path in MODEL_CALLS),
        *((method, f"/v1{path}") for path in STORED for method in METHODS),
        *((method, f"/v1{front}x_1/items/y") for front in BELOW_STORED for method in METHODS),
        *((method, f"/v1/{family}{below}") for family in FAMILIES for below in ("", "/x/y") for method in METHODS),
        *((method, page) for page in (*PAGES, "/", "/v1/models", "/v1/models/gpt") for method in METHODS),
        *((method, f"/v1{path}") for method, path in sdk),
        ("POST", "/openai/deployments/gpt/chat/completions"),
        ("POST", "/openai/deployments/gpt/embeddings"),
        ("POST", "/openai/deployments/gpt/completions"),
    }  # fmt: skip

    assert len(sdk) > 200
    assert [line for line in sorted(lines) if is_served(*line) != documented(*line)] == []


def test_a_path_is_listed_once_and_methods_of_calls_are_the_served_ones() -> None:
    for path in MODEL_CALLS:
        with pytest.raises(WrongMethod):
            find_route("PATCH", f"/v1{path}")
        assert ("PATCH", f"/v1{path}") not in OPERATIONS


def test_fields_are_those_that_are_acted_on() -> None:
    schemas = DOCUMENT["components"]["schemas"]

    for name in ("Call", "FollowUp"):
        assert tuple(schemas[name]["properties"]) == Fields.__struct_fields__
    assert schemas["Call"]["required"] == ["model"]


def codes_of(module: Path) -> Iterator[str]:
    """What errors are called there: as an argument `code`, or as an attribute of a class."""
    for node in ast.walk(ast.parse(module.read_text())):
        named = [node.value] if isinstance(node, ast.keyword) and node.arg == "code" else []
        if isinstance(node, ast.ClassDef):
            named = [each.value for each in node.body if isinstance(each, ast.Assign) and _is_code(each)]
        yield from (str(each.value) for each in named if isinstance(each, ast.Constant))


def _is_code(assigned: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "code" for target in assigned.targets)


def test_every_code_is_in_the_table_of_statuses() -> None:
    modules = [*(ROOT / "src/adapters/http").rglob("*.py"), *(ROOT / "src/application").rglob("*.py")]
    found = {code for module in modules for code in codes_of(module)}
    known = {code for codes in CODES_BY_STATUS.values() for code in codes}

    assert len(found) > 20
    assert found - known == {"client_too_slow"}  # which is said inside a stream alone
    assert set(DOCUMENT["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]["enum"]) == known


def test_headers_are_those_that_are_sent() -> None:
    sent = set(re.findall(r"x-llmproxy-[a-z-]+", Path(str(exchange_report.__file__)).read_text()))

    assert {name for name in DOCUMENT["components"]["headers"] if name.startswith("x-llmproxy-")} == sent


def test_keys_are_wanted_where_the_proxy_has_some() -> None:
    without = json.loads(openapi_document("1.2.3", needs_key=False))

    assert {} in without["security"]
    assert {} not in DOCUMENT["security"]
    assert {} in DOCUMENT["paths"]["/health"]["get"]["security"]
    assert "security" not in DOCUMENT["paths"]["/status"]["get"]
