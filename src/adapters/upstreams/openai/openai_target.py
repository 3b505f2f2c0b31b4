"""Endpoints reached the way the `OpenAI` client reaches them; Azure's `/openai/v1` is one of these."""

from collections.abc import Iterable

from adapters.upstreams.openai.target import Target, target
from application.state.access_tokens import TokenSource
from domain.secret import Secret


def openai_target(
    base_url: str,
    bearer: Secret | None,
    *,
    organization: str | None = None,
    project: str | None = None,
    default_headers: Iterable[tuple[str, Secret]] = (),
    default_query: Iterable[tuple[str, str]] = (),
    token: TokenSource | None = None,
) -> Target:
    """`bearer` or what `token` gives goes into `authorization`; neither = the client's own credential is passed on."""
    root = base_url.rstrip("/")
    key = () if bearer is None else (("authorization", f"Bearer {bearer.reveal()}"),)
    return target(
        lambda _method, path: root + path,
        key,
        default_headers,
        default_query,
        organization=organization,
        project=project,
        token=token,
    )
