"""Advice about names of groups and models that are valid and mean something else than people expect."""

from urllib.parse import urlsplit

from entrypoints.config.azure_address import is_azure_host
from entrypoints.config.settings import EndpointSettings, GroupSettings

_NO_WILDCARDS = "wildcards are not routes here"


def group_advice(group: GroupSettings) -> str | None:
    """A warning about the public name; None = nothing to say."""
    if "*" in group.model_group:
        return f"{_NO_WILDCARDS}: only who asks for exactly this name is served"
    return None


def model_advice(model: EndpointSettings) -> str | None:
    """A warning about the name that the endpoint is asked for; None = nothing to say."""
    if "*" in model.model:
        return f"{_NO_WILDCARDS}: the endpoint is asked for a model of exactly this name"
    host = urlsplit(model.params.base_url or model.params.azure_endpoint or "").hostname or ""
    prefix, found, name = model.model.partition("/")
    if found and prefix in ("openai", "azure") and (host.endswith("api.openai.com") or is_azure_host(host)):
        return (
            f"is sent as it stands; the provider knows it as {name} ({prefix}/ is LiteLLM's way to name the provider)"
        )
    return None
