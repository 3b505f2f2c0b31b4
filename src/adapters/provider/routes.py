"""Which operation a request line asks for, on both providers' paths.

`/v1/...`, `/openai/v1/...`, `/openai/deployments/{deployment}/...?api-version=`, `/openai/...?api-version=` and the
bare `/...`. Paths below `/openai` are Azure's: they answer in Azure's words. The dated paths need an `api-version`
and the `/openai/v1` ones refuse a dated one, as the Azure OpenAI API lifecycle documentation and zendev-sh/goai#54 say.
"""

from functools import lru_cache
from typing import Literal
from urllib.parse import parse_qs, unquote

from msgspec import Struct

from adapters.provider.things.families import place_of

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
]
Fault = Literal["no_such_path", "no_such_method", "api_version_refused"]

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
)
"""Paths below the API's root, the methods they are served with, and what they ask for; the first that fits."""

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


@lru_cache(maxsize=4096)
def find_route(method: str, target: str) -> Route:
    """The route of a request line. `target` is path and query as they came."""
    path, _, query_text = target.partition("?")
    query = parse_qs(query_text, keep_blank_values=True) if query_text else {}
    rest, is_azure, deployment, is_dated = _strip_prefix(path)
    if is_dated and "api-version" not in query:
        return Route(method, path, is_azure, fault="no_such_path", query=query)
    if is_azure and not is_dated and query.get("api-version", ["v1"])[0][:1].isdigit():
        return Route(method, path, is_azure, fault="api_version_refused", query=query)
    operation, ids, allowed = _operation(method, rest)
    parts = tuple(unquote(part) for part in rest.rstrip("/").split("/"))
    if not allowed and method in _ANY and place_of(parts) is not None:
        return Route(method, path, is_azure, "thing", None, deployment, query=query, parts=parts)
    fault: Fault | None = None if operation else ("no_such_method" if allowed else "no_such_path")
    return Route(method, path, is_azure, operation, fault, deployment, ids[0], ids[1], query)


def _strip_prefix(path: str) -> tuple[str, bool, str | None, bool]:
    """The path below the API's root, whether it is Azure's, its deployment, and whether it is a dated path."""
    if path.startswith("/openai/deployments/"):
        deployment, _, rest = path.removeprefix("/openai/deployments/").partition("/")
        return rest, True, unquote(deployment), True
    if path.startswith("/openai/v1/"):
        return path.removeprefix("/openai/v1/"), True, None, False
    if path.startswith("/openai/"):
        return path.removeprefix("/openai/"), True, None, True
    return path.removeprefix("/v1/").removeprefix("/"), False, None, False


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
