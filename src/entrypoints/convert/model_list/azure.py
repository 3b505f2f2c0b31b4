"""An Azure deployment: its address with the version of the API, and its key, token or identity."""

from typing import Any

from entrypoints.convert.model_list.addresses import without_more
from entrypoints.convert.model_list.context import Context
from entrypoints.convert.notes import Notes, Section
from entrypoints.convert.source import VARIABLE, Node

_VERSION = "2024-10-21"
_SCOPE = "https://cognitiveservices.azure.com/.default"
_V1_VERSIONS = frozenset(("v1", "latest", "preview"))  # versions for which LiteLLM uses Azure's `/openai/v1`


def write_address(entry: Node, address: Node | None, params: Section, arguments: dict[str, Any]) -> None:
    """Writes `azure_endpoint`, and `api_version` where the API has one."""
    version = params.text("api_version")
    if address is None:
        params.notes.differs(entry, "has no api_base; like LiteLLM it is taken from AZURE_API_BASE")
    arguments["azure_endpoint"], is_v1 = _address(address, version, params.notes)
    if is_v1:
        return
    if version is None:
        params.notes.differs(
            entry, f"has no api_version; {_VERSION} is written, where LiteLLM has a default of its own"
        )
    arguments["api_version"] = version or _VERSION


def _address(address: Node | None, version: str | None, notes: Notes) -> tuple[str, bool]:
    """What to write as `azure_endpoint`, and whether it is the v1 API, which has no version."""
    if address is None or address.is_variable:
        return (f"{VARIABLE}AZURE_API_BASE" if address is None else str(address.value)), False
    parts = without_more(address, notes, kept="api-version=")
    url = parts.geturl().rstrip("/")
    if version in _V1_VERSIONS and not url.endswith("/openai/v1"):
        notes.differs(address, "with that api_version LiteLLM calls the v1 API; so it is written, with no version")
        url = url.removesuffix("/openai") + "/openai/v1"
    return url, url.endswith("/openai/v1")


def write_credential(entry: Node, params: Section, arguments: dict[str, Any], name: str, context: Context) -> None:
    """Writes the key, or else the token, or else where tokens come from; `name` is for a variable of the key."""
    key, token = params.secret("api_key"), params.secret("azure_ad_token")
    identity = {each: params.secret(each) for each in ("tenant_id", "client_id", "client_secret")}
    has_identity = any(each is not None for each in identity.values())
    scope = params.secret("azure_scope")
    unused = [scope, *identity.values()]
    if key is not None:
        arguments["api_key"] = context.literals.put(key, name)
        unused.append(token)
    elif token is not None:
        arguments["azure_ad_token"] = context.literals.put(token, "AZURE_AD_TOKEN")
    elif has_identity or context.has_entra:
        arguments |= {"azure_ad_token_provider": "default", "azure_ad_scope": str(scope.value) if scope else _SCOPE}
        _explain_identity(entry, identity, params.notes)
        return
    else:
        arguments["api_key"] = f"{VARIABLE}AZURE_API_KEY"
        params.notes.differs(entry, "has no api_key; like LiteLLM it is taken from AZURE_API_KEY")
    for each in unused:
        if each is not None:
            params.notes.left(each, "is not needed beside the key or token that is used")


def _explain_identity(entry: Node, identity: dict[str, Node | None], notes: Notes) -> None:
    notes.differs(
        entry,
        "Entra tokens are fetched by azure-identity (the extra azure), for one identity, which it finds in "
        "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
    )
    for name, node in identity.items():
        if node is not None:
            notes.differs(node, f"is to stand in AZURE_{name.upper()}")
