"""One entry of `model_list` becomes an endpoint: its model, its settings, and the arguments of its client."""

import re
from typing import Any

from msgspec import Struct, structs

from entrypoints.convert.counterparts import MODEL_INFO, PARAMS, UNKNOWN
from entrypoints.convert.literals import Literals
from entrypoints.convert.model_list.addresses import base_url
from entrypoints.convert.model_list.azure import write_address, write_credential
from entrypoints.convert.model_list.context import Context
from entrypoints.convert.model_list.prices import price_of
from entrypoints.convert.model_list.providers import Resolved, resolve
from entrypoints.convert.notes import Notes, Section, is_variable
from entrypoints.convert.source import VARIABLE, Node

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NAME = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?")
_STREAM_TIMEOUT = (
    "has no counterpart of its own: first_byte_timeout holds for streams and for answers in one piece alike, so write "
    "it only where that is meant"
)
_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie|credential|password|signature", re.IGNORECASE)


class Endpoint(Struct):
    """What becomes one of a group's `models`."""

    model: str
    notes: Notes
    id: str | None = None
    weight: int | str = 1
    priority: int = 0
    shares: dict[str, tuple[Node, int | float | str]] = {}  # what LiteLLM chooses by: weight, rpm, tpm, order
    settings: dict[str, Any] = {}  # what stands beside `model`: rpm, tpm, timeouts
    params: dict[str, Any] = {}


def endpoints_of(entry: Node, group: str, params: Section, context: Context) -> list[Endpoint] | str:
    """The endpoints of an entry, of which `params` are the `litellm_params`: one, or one for each organization. A text
    says why the entry cannot be carried over; then no key of it needs a note of its own."""
    notes = params.notes
    if (credential := params.take("litellm_credential_name")) is not None:
        if (values := context.credentials.get(str(credential.value))) is not None:
            params.add(values)
        else:
            notes.left(credential, "names no credential of credential_list; write api_key and base_url by hand")
    model = params.text("model")
    if model is None or not _NAME.fullmatch(model):
        return "has no model whose name can stand in a request"
    custom = params.text("custom_llm_provider")
    address = _address(params)
    resolved = resolve(model, custom, has_address=address is not None)
    if isinstance(resolved, str):
        return resolved
    if not resolved.model:
        return "names a provider, and no model of it"
    if resolved.provider.base_url is None and not resolved.name.startswith("azure") and address is None:
        return f"has no api_base, which {resolved.name} needs"
    endpoint = Endpoint(resolved.model, notes)
    _explain(entry, resolved, notes)
    name = group[:12] + "_KEY"
    if resolved.name in ("azure", "azure_text"):
        write_address(entry, address, params, endpoint.params)
        write_credential(entry, params, endpoint.params, name, context)
    else:
        base_url(entry, resolved, address, endpoint.params, notes, context.plain_http_hosts)
        _key(entry, resolved, endpoint.params, params, name, context)
        params.leave("api_version", "is Azure's; this provider is sent none")
    _limits(endpoint, params)
    endpoint.settings |= price_of(params)
    endpoint.settings |= first_byte_timeout(params)
    params.leave("stream_timeout", _STREAM_TIMEOUT)
    _headers(endpoint, params, context.literals)
    organizations = params.take("organization")
    params.leave_rest(PARAMS, UNKNOWN)
    return _for_each_organization(endpoint, organizations)


def model_info(endpoints: list[Endpoint], section: Section, taken: set[str]) -> None:
    """Carries the id, and tells what else `model_info` says; `taken` are the ids that others have."""
    given = section.take("id")
    section.leave_rest(MODEL_INFO, "describes the model for LiteLLM; nothing here reads it")
    if given is None:
        return
    value = str(given.value)
    if _ID.fullmatch(value) and value not in taken and len(endpoints) == 1:
        taken.add(value)
        endpoints[0].id = value
    else:
        section.notes.left(given, "is not 1 to 64 letters, digits, . _ or -, each once; the endpoint is group/number")


def _address(params: Section) -> Node | None:
    first, second = params.secret("api_base"), params.secret("base_url")
    if first is not None and second is not None:
        params.notes.left(second, "api_base says it too, and that counts")
    return second if first is None else first


def _explain(entry: Node, resolved: Resolved, notes: Notes) -> None:
    if resolved.is_guess:
        notes.differs(entry, "does not name its provider and is taken for one that speaks OpenAI's API")
    if resolved.provider.is_translated:
        notes.differs(
            entry,
            f"LiteLLM changes requests for {resolved.name}; here they come to its OpenAI-compatible API as the client "
            "sends them",
        )


def _key(
    entry: Node, resolved: Resolved, arguments: dict[str, Any], params: Section, name: str, context: Context
) -> None:
    key = params.secret("api_key")
    if key is not None:
        arguments["api_key"] = context.literals.put(key, name)
    elif resolved.provider.key is not None:
        arguments["api_key"] = VARIABLE + resolved.provider.key
        params.notes.differs(entry, f"has no api_key; like LiteLLM it is taken from {resolved.provider.key}")
    else:
        arguments["api_key"] = "none"  # without one the client's own would be passed on


def _limits(endpoint: Endpoint, params: Section) -> None:
    for limit, high in (("rpm", 10**9), ("tpm", 10**12)):
        if (found := params.number(limit, 1, high, whole=True)) is not None:
            endpoint.settings[limit] = found[1]
            endpoint.shares[limit] = found
    for share in ("weight", "order"):
        if (found := params.number(share, 0, 10**6)) is not None:
            endpoint.shares[share] = found


def first_byte_timeout(section: Section) -> dict[str, Any]:
    """The settings for LiteLLM's `timeout`, the time for one call."""
    found = section.number("timeout", 0.001, 86_400)
    if found is None:
        return {}
    node, seconds = found
    section.notes.differs(
        node,
        "becomes first_byte_timeout, for one attempt: until the first byte of a stream, or a whole answer; "
        "request_timeout (default 600) is for all attempts together",
    )
    if is_variable(seconds) or float(seconds) <= 600:
        return {"first_byte_timeout": seconds}
    return {"first_byte_timeout": seconds, "request_timeout": seconds}


def _headers(endpoint: Endpoint, params: Section, literals: Literals) -> None:
    for key in ("extra_headers", "headers", "default_headers"):
        node = params.take(key)
        if node is None:
            continue
        if not isinstance(node.value, dict):
            params.notes.left(node, "is not a mapping of headers")
            continue
        headers = endpoint.params.setdefault("default_headers", {})
        for header, value in node.value.items():
            if isinstance(value.value, dict | tuple) or value.value is None:
                params.notes.left(value, "is not a text")
            elif header in headers:
                params.notes.left(value, "stands twice; the other one is written")
            elif _SECRET_HEADER.search(header):
                headers[header] = literals.put(value, header)
            else:
                headers[header] = str(value.value)


def _for_each_organization(endpoint: Endpoint, organizations: Node | None) -> list[Endpoint]:
    if organizations is None:
        return [endpoint]
    names = [str(each.value) for each in organizations.value] if isinstance(organizations.value, tuple) else []
    names = names or [str(organizations.value)]
    first, *others = names
    endpoint.params["organization"] = first
    params = ({**endpoint.params, "organization": each} for each in others)
    return [endpoint, *(structs.replace(endpoint, notes=Notes(), params=each) for each in params)]
