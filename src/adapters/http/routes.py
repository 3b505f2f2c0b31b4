"""Which API a request line speaks to, in all the spellings clients use.

`/v1/...` and the bare path as the `OpenAI` client sends them, `/openai/v1/...` for Azure's v1 API, `/openai/...` and
`/openai/deployments/{deployment}/...` as `AzureOpenAI` clients do (openai-python, lib/azure.py).
"""

from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote

from msgspec import Struct

from application.errors import InvalidRequest
from application.messages import Api

METHODS = ("GET", "POST", "DELETE")
"""What the OpenAI API uses."""

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

_STORED = ("/conversations", "/chat/completions")
_BELOW_STORED = ("/responses/", "/conversations/", "/chat/completions/")
"""What providers keep, and what is below it."""

FAMILIES = (
    "/audio", "/images", "/videos", "/files", "/uploads", "/batches", "/fine_tuning", "/vector_stores", "/containers",
    "/evals", "/assistants", "/threads", "/skills", "/realtime",
)  # fmt: skip
"""What else the API serves, as far as it is known; below a version root anything else is passed on as well."""

_BELOW_FAMILIES = tuple(f"{family}/" for family in FAMILIES)

PATHS = tuple(prefix + path for path in _MODEL_CALLS for prefix in PREFIXES)
_BARE_ROOTS = ("/responses", "/conversations", "/chat/completions", *FAMILIES)
FURTHER_PATHS = (
    *(f"{root}/{{rest:path}}" for root in ("/v1", "/openai/v1", "/openai", *_BARE_ROOTS)),
    *(root for root in _BARE_ROOTS if root not in PATHS),
)
"""Patterns of what has no path of its own in `PATHS`."""


class Route(Struct, frozen=True):
    """Where a request leads."""

    api: Api
    path: str
    """Below the version root, percent-encoded as it came."""
    deployment: str | None = None
    """The deployment an Azure URL names; None = the body names the model, if anything does."""
    has_model: bool = False
    """Must the body name a model?"""


@lru_cache(maxsize=128)
def find_route(method: str, path: str) -> Route:
    """The route of a request line; `path` is percent-encoded, without query. Raises `InvalidRequest`: 404, 405."""
    if path.startswith(f"{DEPLOYMENTS}/"):
        deployment, slash, rest = path.removeprefix(f"{DEPLOYMENTS}/").partition("/")
        if not deployment:
            raise unknown_path()
        return _route(method, slash + rest, unquote(deployment))
    for prefix in PREFIXES:
        if path.startswith(f"{prefix}/"):
            return _route(method, path.removeprefix(prefix), None)
    raise unknown_path()


def other_route(path: str) -> Route | None:
    """The route of a path that nobody here understands, and that is passed on; None = this is no such path."""
    if path.startswith(f"{DEPLOYMENTS}/"):
        deployment, slash, rest = path.removeprefix(f"{DEPLOYMENTS}/").partition("/")
        return _other(slash + rest, unquote(deployment)) if deployment else None
    prefix = next(prefix for prefix in PREFIXES if path.startswith(f"{prefix}/") or not prefix)
    below = path.removeprefix(prefix)
    if below == "/deployments" or not (prefix or below in FAMILIES or below.startswith(_BELOW_FAMILIES)):
        return None
    return _other(below, None)


def _other(path: str, deployment: str | None) -> Route | None:
    is_known = path in _MODEL_CALLS or _is_stored(path)
    return None if is_known or len(path) < 2 or _climbs(path) else Route(Api.OTHER, path, deployment)


def _is_stored(path: str) -> bool:
    return path in _STORED or (path.startswith(_BELOW_STORED) and not path.endswith("/"))


def _climbs(path: str) -> bool:
    """Would it leave the version root if somebody behind us resolved it? No client's library sends such a path."""
    return any(part in (".", "..") for part in unquote(path).replace("\\", "/").split("/"))


def _route(method: str, path: str, deployment: str | None) -> Route:
    api = _MODEL_CALLS.get(path)
    if deployment is not None and api not in _DEPLOYMENT_APIS and not path.startswith("/chat/completions/"):
        raise unknown_path()
    if api is not None and method == "POST":
        return Route(api, path, deployment, has_model=True)
    # What an AzureOpenAI client with a deployment of its own asks for below that: it is kept by the account.
    if _is_stored(path) and api is not Api.RESPONSES:
        if _climbs(path):
            raise unknown_path()
        if method not in METHODS:
            raise _wrong_method(method, METHODS)
        return Route(Api.STORED, path)
    if api is not None:
        raise _wrong_method(method, ("POST",))
    raise unknown_path()


def _wrong_method(method: str, served: Sequence[str]) -> InvalidRequest:
    text = f"{method} is not served here; use {' or '.join(served)}."
    return InvalidRequest(text, code="method_not_allowed", status=405)


def unknown_path() -> InvalidRequest:
    """Nothing is served there."""
    return InvalidRequest("There is nothing under this path.", code="unknown_path", status=404)
