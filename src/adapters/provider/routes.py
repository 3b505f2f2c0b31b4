"""Which operation a request line asks for, on both providers' paths.

`/v1/...`, `/openai/v1/...`, `/openai/deployments/{deployment}/...?api-version=`, `/openai/...?api-version=` and the
bare `/...`. Paths below `/openai` are Azure's: they answer in Azure's words. The dated paths need an `api-version`
and the `/openai/v1` ones refuse a dated one, as the Azure OpenAI API lifecycle documentation and zendev-sh/goai#54 say.
"""

from functools import lru_cache
from typing import Literal
from urllib.parse import parse_qs, unquote

from msgspec import Struct

Operation = Literal[
    "chat",
    "completions",
    "responses",
    "embeddings",
    "moderations",
    "models",
    "model",
    "response",
    "response_cancel",
    "response_input_items",
]
Fault = Literal["no_such_path", "no_such_method", "api_version_refused"]

_POSTS: dict[str, Operation] = {
    "chat/completions": "chat",
    "completions": "completions",
    "responses": "responses",
    "embeddings": "embeddings",
    "moderations": "moderations",
}
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
    """Of the response or model that is asked for."""
    query: dict[str, list[str]] = {}

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
    operation, resource_id, allowed = _operation(method, rest)
    fault: Fault | None = None if operation else ("no_such_method" if allowed else "no_such_path")
    return Route(method, path, is_azure, operation, fault, deployment, resource_id, query)


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


def _operation(method: str, rest: str) -> tuple[Operation | None, str, bool]:
    """Operation and resource id, and whether the path exists with another method."""
    rest = rest.rstrip("/")
    post = _POSTS.get(rest)
    if post is not None:
        return (post if method == "POST" else None), "", True
    parts = [unquote(part) for part in rest.split("/")]
    methods: dict[str, Operation]
    match parts:
        case ["models"]:
            methods = {"GET": "models"}
        case ["models", _]:
            methods = {"GET": "model"}
        case ["responses", _]:
            methods = {"GET": "response", "DELETE": "response"}
        case ["responses", _, "cancel"]:
            methods = {"POST": "response_cancel"}
        case ["responses", _, "input_items"]:
            methods = {"GET": "response_input_items"}
        case _:
            return None, "", False
    return methods.get(method), (parts[1] if len(parts) > 1 else ""), True
