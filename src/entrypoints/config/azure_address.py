"""What an Azure URL says: the resource, the API below it, a deployment, a version.

The portals show whole target URIs (`https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=...`)
and project endpoints (`https://r.services.ai.azure.com/api/projects/p`), and people write them where the resource alone
belongs. Forms: Microsoft's "Azure OpenAI in Foundry Models REST API reference" and "API version lifecycle".
"""

import re
from urllib.parse import unquote, urlsplit

from msgspec import Struct

AZURE_HOSTS = (
    *(f".{service}.azure.{cloud}" for service in ("openai", "cognitiveservices") for cloud in ("com", "us", "cn")),
    ".services.ai.azure.com",
    ".api.cognitive.microsoft.com",
)
V1 = "/openai/v1"
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_VERSION_QUERY = re.compile(r"api-version=([A-Za-z0-9._-]{1,64})")
_PROJECT = re.compile(r"(?P<before>.*?)/api/projects/[^/]+")
_DEPLOYED = re.compile(r"(?P<before>.*?)/openai/deployments(?:/(?P<deployment>[A-Za-z0-9._%-]{1,64})(?:/.*)?)?")
_V1 = re.compile(r"(?P<before>.*?)/openai/v1(?:/.*)?")
_ROUTE = re.compile(
    r"(?P<before>.*)/openai(?:/(?:chat/completions|completions|embeddings|responses|models|files|images|audio|batches)"
    r"(?:/.*)?)?"
)


class AzureAddress(Struct, frozen=True):
    """A URL taken apart. `is_v1`: its `root` ends in /openai/v1; else the dated API stands below `root`/openai."""

    root: str  # scheme, host and what stands before Azure's own path; with /openai/v1, and its project, for the v1 API
    is_v1: bool
    is_project: bool = False  # whether a project was named (and cut, but for the v1 API)
    deployment: str | None = None
    version: str | None = None

    def lines(self) -> str:
        """The settings that say the same."""
        version = self.version or "2024-10-21"
        if self.is_v1:
            return f"base_url: {self.root}"
        deployment = f", azure_deployment: {self.deployment}" if self.deployment else ""
        return f"azure_endpoint: {self.root}{deployment}, api_version: {version}"


def taken_apart(url: str) -> AzureAddress | None:
    """What `url` says; None = not a path of Azure's, or a query besides `api-version`."""
    parts = urlsplit(url)
    path, _, query = url.partition("://")[2].removeprefix(parts.netloc).partition("?")
    path = path.rstrip("/")
    version = _VERSION_QUERY.fullmatch(query)
    if query and version is None:
        return None
    said = version[1] if version else None
    project = _PROJECT.match(path)
    start = f"{parts.scheme}://{parts.netloc}"
    if found := _V1.fullmatch(path):
        root = start + found["before"] + V1
        return AzureAddress(root, True, project is not None, None, said)
    found = _DEPLOYED.fullmatch(path) or _ROUTE.fullmatch(path)
    if found is None and (project is None or project.end() != len(path)):
        return None
    before = found["before"] if found else path
    root = start + (project["before"] if project else before)
    deployment = found.groupdict().get("deployment") if found else None
    return AzureAddress(root, False, project is not None, unquote(deployment) if deployment else None, said)


def is_dated(version: str) -> bool:
    """Whether `version` is one of the dated API: 2024-10-21, 2025-03-01-preview. `preview` and `v1` are not."""
    return _DATE.match(version) is not None


def is_azure_host(host: str) -> bool:
    return host.lower().removesuffix(".").endswith(AZURE_HOSTS)


def is_dated_path(url: str) -> bool:
    """Is `url` a base of the dated API, which takes a key in `api-key` only ("API version lifecycle")?"""
    parts = urlsplit(url)
    path = f"{parts.path.rstrip('/')}/"
    below = "/openai/deployments/" in path
    return below or (is_azure_host(parts.hostname or "") and path.startswith("/openai/") and not path.endswith("/v1/"))
