"""Endpoints reached the way the `OpenAI` client reaches them; Azure's `/openai/v1` is one of these."""

from typing import Unpack

from adapters.upstreams.openai.target import Extras, Target, target
from domain.secret import Secret


def openai_target(base_url: str, bearer: Secret | None, **extras: Unpack[Extras]) -> Target:
    """`bearer`, or what a `token` gives, goes into `authorization`; neither = the client's own is passed on."""
    root = base_url.rstrip("/")
    key = () if bearer is None else (("authorization", f"Bearer {bearer.reveal()}"),)
    return target(lambda _method, path: root + path, key, **extras)
