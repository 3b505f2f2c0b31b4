"""Endpoints reached the way the `AzureOpenAI` client reaches them: deployment in the path, `api-version` in the query.

As in openai-python `lib/azure.py`: POSTs to the routes below go to `/openai/deployments/{deployment}/...`, all others
to `/openai/...`; with a `base_url` in the place of the resource both stand below that. The key travels in `api-key`, an
Entra token as Bearer. A root that ends in `/v1` is the v1 API, where the deployment is the body's `model` and every
route stands right below; the client would put the deployment there too and be answered 404 (openai-python#2584).
"""

from typing import Unpack
from urllib.parse import quote, urlsplit

from adapters.upstreams.openai.target import Extras, Target, target
from domain.secret import Secret

DEPLOYMENT_ROUTES = frozenset({
    "/chat/completions", "/completions", "/embeddings", "/audio/transcriptions", "/audio/translations",
    "/audio/speech", "/images/generations", "/images/edits",
})  # fmt: skip


def azure_target(
    azure_endpoint: str,
    deployment: str,
    api_version: str | None,
    *,
    api_key: Secret | None = None,
    ad_token: Secret | None = None,
    **extras: Unpack[Extras],
) -> Target:
    """None of `api_key`, `ad_token` and a `token`: the client's own credential is passed on."""
    root = azure_endpoint.rstrip("/")
    base = root if root.endswith("/openai/v1") else f"{root}/openai"
    return azure_base_target(base, deployment, api_version, api_key=api_key, ad_token=ad_token, **extras)


def azure_base_target(
    base_url: str,
    deployment: str | None,
    api_version: str | None,
    *,
    api_key: Secret | None = None,
    ad_token: Secret | None = None,
    **extras: Unpack[Extras],
) -> Target:
    """As `azure_target`, for the client's `base_url`; no deployment is put into a path that has one, or for None."""
    root = deployed = base_url.rstrip("/")
    has_deployment = "/deployments" in urlsplit(root).path  # the client's own test
    if deployment is not None and not has_deployment and not root.endswith("/v1"):
        deployed = f"{root}/deployments/{quote(deployment, safe='')}"
    key: tuple[tuple[str, str], ...] = ()
    if ad_token is not None:
        key = (("authorization", f"Bearer {ad_token.reveal()}"),)
    elif api_key is not None:
        key = (("api-key", api_key.reveal()),)
    if api_version is not None:
        extras["default_query"] = (dict(extras.get("default_query", ())) | {"api-version": api_version}).items()
    return target(
        lambda method, path: (deployed if method == "POST" and path in DEPLOYMENT_ROUTES else root) + path,
        key,
        names_deployment=deployed != root,
        **extras,
    )
