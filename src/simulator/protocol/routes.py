"""Which operation a request line asks for, on both providers' paths.

`/v1/...`, `/openai/v1/...`, `/openai/deployments/{deployment}/...?api-version=`, `/openai/...?api-version=`, a
project's `/api/projects/{project}/openai/v1/...` and the bare `/...`. Paths below `/openai` are Azure's: they answer in
Azure's words. The dated paths need a dated `api-version` (openai-python#2584) and have some operations below a
deployment only; the `/openai/v1` ones refuse a dated one (Azure OpenAI API lifecycle documentation, zendev-sh/goai#54)
and a project's any (vercel/ai#14009).
"""

import re
from functools import lru_cache
from typing import Literal
from urllib.parse import parse_qs, unquote

from msgspec import Struct

from simulator.protocol.thing_families import place_of

Operation = Literal[
    "chat",
    "completions",
    "responses",
    "embeddings",
    "moderations",
    "input_tokens",
    "compact",
    "models",
    "model",
    "response",
    "response_cancel",
    "response_input_items",
    "conversations",
    "conversation",
    "conversation_items",
    "conversation_item",
    "stored_completions",
    "stored_completion",
    "stored_completion_messages",
    "files",
    "file",
    "file_content",
    "thing",
    "speech",
    "transcription",
    "image",
    "realtime",
    "realtime_call",
    "live",
    "live_session",
    "responses_socket",
]
Fault = Literal["no_such_path", "no_such_method", "api_version_refused", "api_version_not_allowed"]

_ID = "*"
_GET_OR_DELETE = ("GET", "DELETE")
_ANY = ("GET", "POST", "DELETE")
_PATHS: tuple[tuple[tuple[str, ...], tuple[str, ...], Operation], ...] = (
    (("chat", "completions"), ("POST",), "chat"),
    (("completions",), ("POST",), "completions"),
    (("responses",), ("POST",), "responses"),
    (("embeddings",), ("POST",), "embeddings"),
    (("moderations",), ("POST",), "moderations"),
    (("responses", "input_tokens"), ("POST",), "input_tokens"),
    (("responses", "compact"), ("POST",), "compact"),
    (("models",), ("GET",), "models"),
    (("models", _ID), _GET_OR_DELETE, "model"),
    (("responses", _ID), _GET_OR_DELETE, "response"),
    (("responses", _ID, "cancel"), ("POST",), "response_cancel"),
    (("responses", _ID, "input_items"), ("GET",), "response_input_items"),
    (("conversations",), ("POST",), "conversations"),
    (("conversations", _ID), _ANY, "conversation"),
    (("conversations", _ID, "items"), ("GET", "POST"), "conversation_items"),
    (("conversations", _ID, "items", _ID), _GET_OR_DELETE, "conversation_item"),
    (("chat", "completions"), ("GET",), "stored_completions"),
    (("chat", "completions", _ID), _ANY, "stored_completion"),
    (("chat", "completions", _ID, "messages"), ("GET",), "stored_completion_messages"),
    (("files",), ("GET", "POST"), "files"),
    (("files", _ID), _GET_OR_DELETE, "file"),
    (("files", _ID, "content"), ("GET",), "file_content"),
    (("audio", "speech"), ("POST",), "speech"),
    (("audio", "transcriptions"), ("POST",), "transcription"),
    (("audio", "translations"), ("POST",), "transcription"),
    (("images", "generations"), ("POST",), "image"),
    (("images", "edits"), ("POST",), "image"),
    (("images", "variations"), ("POST",), "image"),
    (("realtime",), ("GET",), "realtime"),
    (("realtime", "calls"), ("POST",), "realtime_call"),
    (("live", "sessions"), ("GET",), "live"),
    (("live", "sessions"), ("POST",), "live_session"),
    (("live", "sessions", _ID, "attach"), ("GET",), "live"),
    (("live", "sessions", _ID, "fork"), ("GET",), "live"),
)
"""Paths below the API's root, the methods they are served with, and what they ask for; the first that fits."""

_DEPLOYED: frozenset[Operation] = frozenset(("chat", "completions", "embeddings", "speech", "transcription", "image"))
"""What Azure's dated API has below a deployment, and nowhere else; of what this provider can do."""
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

_AZURE_OPERATION_NAMES: dict[Operation, str] = {
    "chat": "ChatCompletions_Create",
    "completions": "Completions_Create",
    "responses": "Responses_Create",
    "embeddings": "Embeddings_Create",
}


class Route(Struct, frozen=True):
    """Where a request line leads. Without a `fault`, `operation` is set."""

    method: str
    path: str
    """Without the query."""
    is_azure: bool
    is_dated: bool = False
    """Azure's dated API: below /openai, without /v1."""
    operation: Operation | None = None
    fault: Fault | None = None
    deployment: str | None = None
    """From the path of a dated Azure call."""
    resource_id: str = ""
    """Of the response, model, conversation, completion or file that is asked for."""
    item_id: str = ""
    """Of the item of a conversation."""
    query: dict[str, list[str]] = {}
    parts: tuple[str, ...] = ()
    """Of the path below the API's root, of a thing."""

    @property
    def api_version(self) -> str:
        return (self.query.get("api-version") or ["v1"])[0]

    @property
    def azure_operation(self) -> str:
        """The name Azure's refusals give the operation."""
        return _AZURE_OPERATION_NAMES.get(self.operation, "Operation") if self.operation else "Operation"


class _Root(Struct, frozen=True):
    """What the beginning of a path says."""

    rest: str
    """The path below the API's root."""
    is_azure: bool = False
    is_dated: bool = False
    is_project: bool = False
    deployment: str | None = None


def find_route(method: str, target: str) -> Route:
    """The route of a request line. `target` is path and query as they came."""
    return _known_route(method, target) if len(method) + len(target) <= _SHORT else _find_route(method, target)


def _find_route(method: str, target: str) -> Route:
    path, _, query_text = target.partition("?")
    query = parse_qs(query_text, keep_blank_values=True) if query_text else {}
    root = _root(path)
    operation, ids, allowed = _operation(method, root.rest)
    parts = tuple(unquote(part) for part in root.rest.rstrip("/").split("/"))
    if not allowed and method in _ANY and place_of(parts) is not None:
        operation, allowed = "thing", True
    fault: Fault | None = None if operation else ("no_such_method" if allowed else "no_such_path")
    if root.is_azure and operation is not None:
        fault = _azure_fault(root, operation, query.get("api-version"))
    if fault is not None:
        return Route(method, path, root.is_azure, root.is_dated, fault=fault, query=query)
    return Route(
        method, path, root.is_azure, root.is_dated, operation, None, root.deployment, ids[0], ids[1], query, parts
    )


_known_route = lru_cache(1024)(_find_route)
_SHORT = 256
"""Letters of a request line that is remembered: longer ones are never asked for twice."""


def _azure_fault(root: _Root, operation: Operation, versions: list[str] | None) -> Fault | None:
    """What Azure minds about a path that would be good below another root."""
    is_date = versions is not None and _DATE.match(versions[0]) is not None
    if root.is_dated:
        is_deployed = operation in _DEPLOYED
        return None if is_date and is_deployed == (root.deployment is not None) else "no_such_path"
    if root.is_project and versions is not None:
        return "api_version_not_allowed"
    return "api_version_refused" if is_date else None


def _root(path: str) -> _Root:
    if path.startswith("/api/projects/"):
        project, found, rest = path.removeprefix("/api/projects/").partition("/openai/v1/")
        return _Root(rest if found and "/" not in project else "", is_azure=True, is_project=True)
    if path.startswith("/openai/deployments/"):
        deployment, _, rest = path.removeprefix("/openai/deployments/").partition("/")
        return _Root(rest, is_azure=True, is_dated=True, deployment=unquote(deployment))
    if path.startswith("/openai/v1/"):
        return _Root(path.removeprefix("/openai/v1/"), is_azure=True)
    if path.startswith("/openai/"):
        return _Root(path.removeprefix("/openai/"), is_azure=True, is_dated=True)
    return _Root(path.removeprefix("/v1/").removeprefix("/"))


def _operation(method: str, rest: str) -> tuple[Operation | None, tuple[str, str], bool]:
    """Operation, the two ids it may have, and whether the path exists with another method."""
    parts = [unquote(part) for part in rest.rstrip("/").split("/")]
    exists = False
    for pattern, methods, operation in _PATHS:
        if len(pattern) != len(parts) or any(p not in (_ID, part) for p, part in zip(pattern, parts, strict=True)):
            continue
        if method in methods:
            first, second, *_ = [part for p, part in zip(pattern, parts, strict=True) if p == _ID] + ["", ""]
            return operation, (first, second), True
        exists = True
    return None, ("", ""), exists
