"""A value that fits a JSON schema: what tool calls and structured outputs are made of.

Covers the subset that OpenAI's structured outputs allow (types, enum, const, anyOf, $ref, bounds, required); `pattern`
is not honoured.
"""

from typing import Any, cast

Schema = dict[str, Any]
_DEEPEST = 8  # from here on a recursive schema gets its shortest way out
_FORMATS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "PT1M",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com/",
}


def fitting(schema: Schema, text: str) -> Any:
    """A value of that schema; free strings say `text`."""
    return _fit(schema, schema, text, 0)


def _fit(schema: Any, root: Schema, text: str, depth: int) -> Any:
    if not isinstance(schema, dict):
        return text
    if depth > 2 * _DEEPEST:
        return None  # a schema that demands itself for ever cannot be fitted
    if "$ref" in schema:
        return _fit(_resolve(str(schema["$ref"]), root), root, text, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return _fit(_alternative(schema[key], depth), root, text, depth + 1)
    if schema.get("allOf"):
        merged: Schema = {}
        for part in schema["allOf"]:
            resolved = _resolve(str(part["$ref"]), root) if "$ref" in part else part
            merged = {**merged, **resolved, "properties": merged.get("properties", {}) | resolved.get("properties", {})}
        return _fit(merged, root, text, depth + 1)
    return _fit_type(schema, root, text, depth)


def _fit_type(schema: Schema, root: Schema, text: str, depth: int) -> Any:
    kind = schema.get("type") or ("object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = "null" if depth > _DEEPEST and "null" in kind else next((k for k in kind if k != "null"), "null")
    match kind:
        case "object":
            properties = schema.get("properties", {})
            names = schema.get("required", []) if depth > _DEEPEST else properties
            return {name: _fit(properties.get(name, {}), root, text, depth + 1) for name in names}
        case "array":
            count = schema.get("minItems", 0 if depth > _DEEPEST else 1)
            return [_fit(schema.get("items", {}), root, text, depth + 1) for _ in range(count)]
        case "integer" | "number":
            return _fit_number(schema, whole=kind == "integer")
        case "boolean":
            return True
        case "null":
            return None
    return _fit_string(schema, text)


def _fit_string(schema: Schema, text: str) -> str:
    value = _FORMATS.get(schema.get("format", ""), text)
    value = value.ljust(schema.get("minLength", 0), ".")
    return value[: schema.get("maxLength", len(value))]


def _fit_number(schema: Schema, *, whole: bool) -> int | float:
    step = schema.get("multipleOf", 1)
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    value: float = step
    if low is not None and (value < low or ("exclusiveMinimum" in schema and value <= low)):
        value = -(-low // step) * step
        value += step if "exclusiveMinimum" in schema and value <= low else 0
    if high is not None and value > high:
        value = high // step * step
    if high is not None and "exclusiveMaximum" in schema and value >= high:
        value = high - step if whole else (high + (high - 1 if low is None else low)) / 2
    return int(value) if whole else value


def _alternative(options: list[Any], depth: int) -> Any:
    """The first that is not null; null itself once a recursion is deep enough."""
    nulls = [option for option in options if isinstance(option, dict) and option.get("type") == "null"]
    others = [option for option in options if option not in nulls]
    return nulls[0] if nulls and (depth > _DEEPEST or not others) else others[0]


def _resolve(ref: str, root: Schema) -> Schema:
    """What a local `#/...` reference points at; an empty schema when it points nowhere."""
    found: Any = root
    for part in ref.removeprefix("#").strip("/").split("/"):
        if part:
            found = found.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, dict) else {}
    return cast("Schema", found) if isinstance(found, dict) else {}
