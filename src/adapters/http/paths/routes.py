"""Which API a request line speaks to, in all the spellings clients use.

`/v1/...` and the bare path as the `OpenAI` client sends them, `/openai/v1/...` for Azure's v1 API, `/openai/...` and
`/openai/deployments/{deployment}/...` as `AzureOpenAI` clients do (openai-python, lib/azure.py). A version root that
stands twice, a slash too many after it and one at the end, as a base URL may have them, make no difference.
"""

import re
from urllib.parse import unquote

from msgspec import Struct

from adapters.http.error_headers import WrongMethod
from adapters.http.paths.near_paths import is_slip, nearest
from application.errors import InvalidRequest
from application.messages import Api
from domain.bounded_memo import lengths, remembered

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""What is passed on where the provider has to say whether it serves that."""

METHODS_OF_CALLS = ("GET", "POST", "DELETE")
"""What the API knows for paths that are both: a call, and the list of what was kept."""

PREFIXES = ("/openai/v1", "/openai", "/v1", "")

MODEL_CALLS = {
    "/chat/completions": Api.CHAT,
    "/responses": Api.RESPONSES,
    "/responses/input_tokens": Api.STORED,
    "/responses/compact": Api.STORED,
    "/embeddings": Api.EMBEDDINGS,
    "/completions": Api.COMPLETIONS,
    "/moderations": Api.MODERATIONS,
}
"""POSTs whose body names the model."""

DEPLOYMENT_APIS = frozenset({Api.CHAT, Api.EMBEDDINGS, Api.COMPLETIONS})
"""What Azure serves below a deployment; the rest names its model in the body alone."""

STORED = ("/conversations", "/chat/completions")
BELOW_STORED = ("/responses/", "/conversations/", "/chat/completions/")  # what providers keep, and what is below it

FAMILIES = frozenset({
    "agents", "assistants", "audio", "batches", "chatkit", "containers", "content_provenance_checks", "decisions",
    "evals", "files", "fine_tuning", "images", "live", "organization", "projects", "realtime", "safety", "skills",
    "threads", "uploads", "vaults", "vector_stores", "videos", "webhook_endpoints", "webhook_event_types",
})  # fmt: skip
"""What else the API serves (openai-python 3.54); below a version root anything else is passed on as well."""

_NO_IDS = FAMILIES | {
    "chat", "completions", "conversations", "embeddings", "models", "moderations", "openai", "responses", "v1",
}  # fmt: skip
"""What is not the id of anything that is kept, but the rest of another path behind a base URL that is too long."""

PATHS = tuple(prefix + path for path in MODEL_CALLS for prefix in PREFIXES)
"""The paths of model calls in their usual spellings."""

_SUGGESTED = (*MODEL_CALLS, "/models", *(f"/{family}" for family in sorted(FAMILIES)))
_FRONTS = (*BELOW_STORED, "/embeddings/", "/completions/", "/moderations/")
_REMEMBERED_CHARS = 256  # of a path: deployments and ids are in it

_EVERY_ROOT = re.compile(r"/+(?:(?:openai|v1)/+)*")
_ONE_ROOT = re.compile(r"/+(?:openai/+(?:v1/+)?|v1/+)")


class Route(Struct, frozen=True):
    api: Api
    path: str  # below the version root, percent-encoded as it came
    deployment: str | None = None
    """The deployment an Azure URL names; None = the body names the model, if anything does."""
    has_model: bool = False  # must the body name a model?


class Below(Struct, frozen=True):
    """A path without its version root."""

    path: str  # percent-encoded as it came, without a slash at its end where that says nothing
    deployment: str | None = None  # likewise; None = the path names none


@remembered(most=256, longest=_REMEMBERED_CHARS)
def below_root(path: str) -> Below | None:
    """What a path names below whatever version root it has; None = nothing that is served here.

    Only what is known is looked for behind more than one root, or none: what nobody knows may well begin with `v1`.
    """
    every = _EVERY_ROOT.match(path)
    if every is None:
        return None
    below = path[every.end() - 1 :]
    if below.startswith("/deployments/"):
        deployment, _, rest = below.removeprefix("/deployments/").partition("/")
        return Below(_trimmed(f"/{rest.lstrip('/')}"), deployment) if deployment and rest else None
    if _is_known(below.rstrip("/")):
        return Below(_trimmed(below))
    root = _ONE_ROOT.match(path)
    is_root = below.strip("/") in ("", "v1", "openai", "deployments")
    return None if root is None or is_root else Below(path[root.end() - 1 :])


def _trimmed(path: str) -> str:
    """Names of models may end in a slash, and of paths that nobody knows nothing is known."""
    whole = path.rstrip("/")
    return whole if _is_known(whole) and not whole.startswith("/models/") else path


def _is_known(path: str) -> bool:
    return (
        path in MODEL_CALLS
        or path in STORED
        or path.startswith(BELOW_STORED)
        or path.split("/", 2)[1:2] == ["models"]
        or path[1:].partition("/")[0] in FAMILIES
    )


def find_route(method: str, path: str) -> Route:
    """The route of a request line; `path` is percent-encoded, without query. Raises `InvalidRequest`: 400, 404, and
    `WrongMethod`: 405."""
    return _find_route((method, path))


@remembered(most=128, longest=_REMEMBERED_CHARS, size=lengths)
def _find_route(line: tuple[str, str]) -> Route:
    method, path = line
    below = below_root(path)
    if below is None:
        raise unknown_path(path)
    name, deployment = below.path, _decoded(below.deployment)
    api = MODEL_CALLS.get(name)
    if deployment is not None and api not in DEPLOYMENT_APIS and not name.startswith("/chat/completions/"):
        raise unknown_path(path)
    if api is not None and method == "POST":
        return Route(api, name, deployment, has_model=True)
    # What an AzureOpenAI client with a deployment of its own asks for below that: it is kept by the account.
    if _is_stored(name) and api is not Api.RESPONSES:
        served = METHODS if api is None else METHODS_OF_CALLS
        if method not in served:
            raise WrongMethod(method, served)
        return Route(Api.STORED, name)
    if api is not None:
        raise WrongMethod(method, ("POST",))
    raise unknown_path(path)


@remembered(most=128, longest=_REMEMBERED_CHARS)
def is_other(path: str) -> bool:
    """Is this a path that nobody here understands, and that is passed on?"""
    below = below_root(path)
    if below is None or len(below.path) < 2 or below.path == "/models" or _climbs(below.path):
        return False
    if below.path in MODEL_CALLS or below.path in STORED or below.path.startswith(BELOW_STORED):
        return False
    if _is_behind_another(below.path):
        return False
    return _is_known(below.path) or not is_slip(below.path, tuple(MODEL_CALLS))


def other_route(path: str) -> Route | None:
    """Its route; None = this is no such path. Raises `InvalidRequest` where its deployment is no text."""
    below = below_root(path) if is_other(path) else None
    return None if below is None else Route(Api.OTHER, below.path, _decoded(below.deployment))


def _is_stored(path: str) -> bool:
    if path in STORED:
        return True
    return path.startswith(BELOW_STORED) and not _is_behind_another(path) and not _climbs(path)


def _is_behind_another(path: str) -> bool:
    """Is it a path of its own behind that of a call? Some write the whole URL of a call into `base_url`."""
    call = next((call for call in _FRONTS if path.startswith(call)), None)
    return call is not None and path.removeprefix(call).partition("/")[0].lower() in _NO_IDS


def _climbs(path: str) -> bool:
    """Would it leave the version root if somebody behind us resolved it? No client's library sends such a path."""
    return any(part in (".", "..") for part in unquote(path).replace("\\", "/").split("/"))


def _decoded(deployment: str | None) -> str | None:
    try:
        return None if deployment is None else unquote(deployment, errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequest("The deployment in the path is not UTF-8.", param="model") from None


def unknown_path(path: str) -> InvalidRequest:
    meant = nearest(path, _SUGGESTED)
    hint = f" Probably /v1{meant} is meant; a client's base_url ends in /v1." if meant else ""
    return InvalidRequest(f"There is nothing under this path.{hint}", code="unknown_path")
