"""Which API a path speaks to, in all the spellings clients use.

`/v1/...` and the bare path as the `OpenAI` client sends them, `/openai/v1/...` for Azure's v1 API, `/openai/...` and
`/openai/deployments/{deployment}/...` as `AzureOpenAI` clients do (openai-python, lib/azure.py).
"""

from urllib.parse import unquote

from msgspec import Struct

from application.errors import InvalidRequest
from application.messages import Api

PREFIXES = ("/v1", "", "/openai/v1", "/openai")
DEPLOYMENTS = "/openai/deployments"
"""Mounted, as Litestar 2.25 fails on path parameters of an ASGI handler."""

_APIS = {
    "/chat/completions": Api.CHAT,
    "/responses": Api.RESPONSES,
    "/embeddings": Api.EMBEDDINGS,
    "/completions": Api.COMPLETIONS,
    "/moderations": Api.MODERATIONS,
}
_DEPLOYMENT_APIS = frozenset({Api.CHAT, Api.EMBEDDINGS, Api.COMPLETIONS})
"""What Azure serves below a deployment; the rest names its model in the body alone."""

PATHS = tuple(prefix + path for path in _APIS for prefix in PREFIXES)


class Route(Struct, frozen=True):
    """Where a request leads."""

    api: Api
    path: str
    """Below the version root."""
    deployment: str | None = None
    """The deployment an Azure URL names; None = the body names the model."""


def find_route(path: str) -> Route:
    """The route of a path (percent-encoded, without query). Raises `InvalidRequest` (404)."""
    if path.startswith(f"{DEPLOYMENTS}/"):
        deployment, slash, rest = path.removeprefix(f"{DEPLOYMENTS}/").partition("/")
        api = _APIS.get(slash + rest)
        if deployment and api in _DEPLOYMENT_APIS:
            return Route(api, slash + rest, unquote(deployment))
    else:
        for prefix in PREFIXES:
            api = _APIS.get(path.removeprefix(prefix)) if path.startswith(prefix) else None
            if api is not None:
                return Route(api, path.removeprefix(prefix))
    raise InvalidRequest("There is nothing under this path.", code="unknown_path", status=404)
