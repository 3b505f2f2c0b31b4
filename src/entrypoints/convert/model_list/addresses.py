"""`api_base`, as our reader wants it."""

from typing import Any
from urllib.parse import SplitResult, urlsplit

from entrypoints.convert.model_list.providers import Resolved
from entrypoints.convert.notes import Notes
from entrypoints.convert.source import VARIABLE, Node

_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
_CALLS = ("/chat/completions", "/completions", "/embeddings", "/responses")


def base_url(
    entry: Node,
    resolved: Resolved,
    address: Node | None,
    arguments: dict[str, Any],
    notes: Notes,
    plain_http_hosts: list[str],
) -> None:
    """Writes `base_url` among the arguments, unless it is OpenAI's own, and `plain_http_hosts` where it has no TLS."""
    if address is None:
        if resolved.name not in ("openai", "text-completion-openai"):
            arguments["base_url"] = resolved.provider.base_url
        if resolved.name == "azure_ai":
            arguments["base_url"] = f"{VARIABLE}AZURE_AI_API_BASE"
            notes.differs(entry, "AZURE_AI_API_BASE has to end in /openai/v1 here, or in /v1 for a serverless endpoint")
        return
    if address.is_variable:
        arguments["base_url"] = address.value
        if resolved.name in ("azure_ai", "ollama", "ollama_chat"):
            notes.differs(address, "that variable has to end in /openai/v1 (Azure) or /v1 (Ollama) here")
        return
    parts = without_more(address, notes)
    host = parts.hostname or ""
    if host == "0.0.0.0":
        notes.differs(address, "0.0.0.0 is no address to call; 127.0.0.1 is written")
        host = "127.0.0.1"
    place = f"[{host}]" if ":" in host else host
    port = _port(parts)
    path = _path(resolved, parts, address, notes)
    if parts.scheme == "http" and host not in (*_LOOPBACK, *plain_http_hosts):
        plain_http_hosts.append(host)
    arguments["base_url"] = f"{parts.scheme}://{place}{port}{path}"


def without_more(address: Node, notes: Notes, kept: str = "?") -> SplitResult:
    """The address without user, password, fragment, and query, but for one that begins with `kept`: no keys."""
    parts = urlsplit(str(address.value).strip())
    query = parts.query.partition("&")[0] if parts.query.startswith(kept) else ""
    place = parts.netloc.rpartition("@")[2]
    if place != parts.netloc or query != parts.query or parts.fragment:
        notes.differs(address, "user, password, query and fragment cannot stand in an address and are left out")
    return parts._replace(netloc=place, query=query, fragment="")


def _port(parts: SplitResult) -> str:
    _, colon, port = parts.netloc.rpartition(":")
    return f":{port}" if colon and port.isdecimal() else ""


def _path(resolved: Resolved, parts: SplitResult, address: Node, notes: Notes) -> str:
    path = parts.path.rstrip("/")
    for call in _CALLS:
        path = path.removesuffix(call)
    if resolved.name == "azure_ai" and (parts.hostname or "").endswith(".services.ai.azure.com"):
        if path != "/openai/v1":
            notes.differs(address, "the resource's /openai/v1 is written, which takes the deployment's name as model")
        return "/openai/v1"
    if not path and resolved.name in ("ollama", "ollama_chat", "azure_ai"):
        return "/v1"
    if not path:
        notes.differs(address, "has no path; most servers want one such as /v1 at the end of base_url")
    return path
