"""The JSON Schema (2020-12) of the configuration file, made of the settings' types.

It is for editors: what it refuses is refused by the reader, and what it lets through may still be wrong together with
something else. Words are taken in lower case alone, where the reader is more patient.
"""

import re
from typing import Any

import msgspec
from msgspec import structs

from entrypoints.config.reading.schema import Form, Kind, Section, keys_of, required_of
from entrypoints.config.settings import ConfigFile, EndpointSettings, GeneralSettings
from entrypoints.schema.field_docs import field_docs, for_users, plain

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_VARIABLE = {
    "type": "string",
    "pattern": "^os\\.environ/[A-Za-z_][A-Za-z0-9_]*$",
    "description": "The value of an environment variable.",
}
_REFERENCE = {"$ref": "#/$defs/variable"}
_EXAMPLE = "os.environ/NAME"

JsonSchema = dict[str, Any]


def json_schema() -> JsonSchema:
    sections: dict[str, JsonSchema] = {}
    top = _section(ConfigFile, sections)
    head = {"$schema": DIALECT, "title": "The configuration of LLMProxy"}
    return head | top | {"$defs": {"variable": _VARIABLE, **dict(sorted(sections.items()))}}


def _section(section: type[Section], sections: dict[str, JsonSchema]) -> JsonSchema:
    properties = {key: _property(section, key, kind, sections) for key, kind in keys_of(section).items()}
    schema: JsonSchema = {
        "description": plain(for_users(section.__doc__ or "")),
        "type": ["object", "null"] if section.is_lenient else "object",
        "properties": properties,
        "additionalProperties": False,
    }
    if section.has_extensions:
        schema["patternProperties"] = {"^x-": True}
    if required := required_of(section):
        schema["required"] = list(required)
    return schema


def _property(section: type[Section], key: str, kind: Kind, sections: dict[str, JsonSchema]) -> JsonSchema:
    schema = _schema(kind, sections)
    if description := _description(section, key, kind):
        schema = {"description": description} | schema
    default = next(field.default for field in structs.fields(section) if field.name == key)
    # An empty text, list or mapping is what the field has without a value, and none that can be written.
    is_plain = isinstance(default, str | int | float) and default != ""
    if is_plain and not is_inherited(section, key):
        schema["default"] = int(default) if isinstance(default, float) and default.is_integer() else default
    return schema


def _description(section: type[Section], key: str, kind: Kind) -> str:
    text = field_docs(section).get(key, "")
    if is_inherited(section, key):
        text = f"{field_docs(GeneralSettings)[key]} Without it, that of general_settings holds."
    valid = f"Valid: {kind.valid}." if kind.valid and kind.section is None else ""
    return " ".join(part for part in (plain(text), valid) if part)


def is_inherited(section: type[Section], key: str) -> bool:
    """Whether a model that does not say it has what general settings say, so that its default is none of its own."""
    return section is EndpointSettings and key.endswith("_timeout") and key in keys_of(GeneralSettings)


def _schema(kind: Kind, sections: dict[str, JsonSchema]) -> JsonSchema:
    forms = _scalar_forms(kind) if kind.scalar is not None else []
    if kind.item is not None:
        forms.append({"type": "array", "items": _schema(kind.item, sections), "minItems": 1})
    if kind.entry is not None:
        names = {"pattern": msgspec.json.schema(kind.entry[0].scalar)["pattern"]}
        values = _schema(kind.entry[1], sections)
        forms.append({"type": "object", "propertyNames": names, "additionalProperties": values})
    if kind.section is not None:
        name = kind.section.__name__
        if name not in sections:
            sections[name] = {}  # what it holds does not hold itself, but may be held twice
            sections[name] = _section(kind.section, sections)
        forms.append({"$ref": f"#/$defs/{name}"})
    return forms[0] if len(forms) == 1 else {"anyOf": forms}


def _scalar_forms(kind: Kind) -> list[JsonSchema]:
    """What may stand there as a single value, in the shapes that msgspec says and those the reader makes them of."""
    # Secrets and paths are texts in the file.
    told = msgspec.json.schema(kind.scalar, schema_hook=lambda _: {"type": "string"})
    forms = [_form(form, kind) for form in told.get("anyOf", [told])]
    if kind.form.number_texts:
        forms.append({"type": "string", "pattern": f"^{kind.form.number_texts}$"})
    if "on" in kind.words:  # in YAML 1.1 on and off are no texts
        forms.append({"type": "boolean"})
    elif "off" in kind.words:
        forms.append({"const": False})
    is_open = any(form.get("type") == "string" and re.search(form.get("pattern", ""), _EXAMPLE) for form in forms)
    takes_all = any("string" in form.get("type", ()) and "pattern" not in form and "enum" not in form for form in forms)
    return forms if is_open or takes_all else [*forms, dict(_REFERENCE)]


def _form(told: JsonSchema, kind: Kind) -> JsonSchema:
    form = {key: value for key, value in told.items() if key != "description"}
    if "enum" in form:
        form["enum"] = [word for word in kind.words if word in form["enum"]]
    elif kind.form.takes_any:
        form["type"] = ["string", "number", "boolean"]
    elif form.get("type") == "string" and "pattern" not in form:
        has_own = kind.form.pattern != Form().pattern
        form |= {"pattern": f"^(?:{kind.form.pattern})$"} if has_own else {"minLength": 1}
    return form
