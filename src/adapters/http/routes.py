"""Which API a request line speaks to, in all the spellings clients use.

`/v1/...` and the bare path as the `OpenAI` client sends them, `/openai/v1/...` for Azure's v1 API, `/openai/...` and
`/openai/deployments/{deployment}/...` as `AzureOpenAI` clients do (openai-python, lib/azure.py).
"""

from urllib.parse import unquote

from msgspec import Struct

from application.errors import InvalidRequest
from application.messages import Api

PREFIXES = ("/openai/v1", "/openai", "/v1", "")
DEPLOYMENTS = "/openai/deployments"

_MODEL_CALLS = {
    "/chat/completions": Api.CHAT,
    "/responses": Api.RESPONSES,
    "/responses/input_tokens": Api.STORED,
    "/responses/compact": Api.STORED,
    "/embeddings": Api.EMBEDDINGS,
    "/completions": Api.COMPLETIONS,
    "/moderations": Api.MODERATIONS,
}
"""POSTs whose body names the model."""

_DEPLOYMENT_APIS = frozenset({Api.CHAT, Api.EMBEDDINGS, Api.COMPLETIONS})
"""What Azure serves below a deployment; the rest names its model in the body alone."""

_STORED = ("/responses/", "/conversations", "/chat/completions")
"""What providers keep, and what is below it."""

PATHS = tuple(prefix + path for path in _MODEL_CALLS for prefix in PREFIXES)
MOUNTS = ("/v1", "/openai", "/responses", "/conversations", "/chat/completions")


class Route(Struct, frozen=True):
    """Where a request leads."""

    api: Api
    path: str
    """Below the version root, percent-encoded as it came."""
    deployment: str | None = None
    """The deployment an Azure URL names; None = the body names the model, if anything does."""
    has_model: bool = False
    """Must the body name a model?"""


def find_route(method: str, path: str) -> Route:
    """The route of a request line; `path` is percent-encoded, without query. Raises `InvalidRequest`: 404, 405."""
    if path.startswith(f"{DEPLOYMENTS}/"):
        deployment, slash, rest = path.removeprefix(f"{DEPLOYMENTS}/").partition("/")
        return _route(method, slash + rest, unquote(deployment))
    for prefix in PREFIXES:
        if path.startswith(f"{prefix}/"):
            return _route(method, path.removeprefix(prefix), None)
    raise _unknown()


def _route(method: str, path: str, deployment: str | None) -> Route:
    api = _MODEL_CALLS.get(path)
    if api is not None and method == "POST" and (deployment is None or api in _DEPLOYMENT_APIS):
        return Route(api, path, deployment, has_model=True)
    if deployment is None and path.startswith(_STORED) and not (api is Api.RESPONSES or path == "/responses/"):
        return Route(Api.STORED, path)
    if api is not None:
        raise InvalidRequest(f"{method} is not served here; use POST.", code="method_not_allowed", status=405)
    raise _unknown()


def _unknown() -> InvalidRequest:
    return InvalidRequest("There is nothing under this path.", code="unknown_path", status=404)
