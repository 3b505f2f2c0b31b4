"""Warnings about what is valid in the model groups and yet seldom meant."""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from entrypoints.config.azure_address import V1, is_azure_host, is_dated, taken_apart
from entrypoints.config.plain_http import clear_text_advice
from entrypoints.config.reading.mistakes import Report
from entrypoints.config.settings import EndpointSettings, GeneralSettings, GroupSettings
from entrypoints.config.settings_params import ParamsSettings, TimeoutParts

_NO_WILDCARDS = "wildcards are not routes here"


def warn_about_groups(groups: Sequence[GroupSettings], general: GeneralSettings, report: Report) -> None:
    if general.max_wait_for_tier and all(len(set(map(_tier, group.models))) == 1 for group in groups):
        report.warn(
            "general_settings.max_wait_for_tier", "has no effect: each group has one tier (priority, weight: 0)"
        )
    for index, group in enumerate(groups):
        path = f"model_groups[{index}]"
        if "*" in group.model_group:
            advice = f"{_NO_WILDCARDS}: only who asks for exactly this name is served"
            report.warn(f"{path}.model_group", advice)
        if all(model.weight == 0 for model in group.models):
            report.warn(f"{path}.models", "all weights are 0, so all of them are used as if they were equal")
        for number, model in enumerate(group.models):
            if model.priority and not model.weight and any(each.weight for each in group.models):
                report.warn(f"{path}.models[{number}].priority", "has no effect: weight 0 is the last tier in any case")
        for key, native_advice in _native_advice(group, general):
            report.warn(f"{path}.{key}", native_advice)
        if group.affinity != "none" and len(group.models) == 1:
            report.warn(f"{path}.affinity", "has no effect in a group of one model")
        for number, first in _twins(group):
            advice = f"the same endpoint as models[{first}]: the same endpoint twice shares one rate limit"
            report.warn(f"{path}.models[{number}]", advice)
        for number, model in enumerate(group.models):
            place = f"{path}.models[{number}]"
            for name_advice in _model_advice(model):
                report.warn(f"{place}.model", name_advice)
            for key, params_advice in _params_advice(model.params, general):
                report.warn(f"{place}.params{key and '.'}{key}", params_advice)


def _tier(model: EndpointSettings) -> int | None:
    return model.priority if model.weight else None


def _model_advice(model: EndpointSettings) -> Iterator[str]:
    if "*" in model.model:
        yield f"{_NO_WILDCARDS}: the endpoint is asked for a model of exactly this name"
    host = urlsplit(model.params.base_url or model.params.azure_endpoint or "").hostname or ""
    prefix, found, name = model.model.partition("/")
    is_known = host.endswith("api.openai.com") or is_azure_host(host)
    if found and name != "*" and prefix in ("openai", "azure") and is_known:
        way = f"{prefix}/ is LiteLLM's way to name the provider"
        yield f"is sent as it stands; the provider knows it as {name} ({way})"


def _native_advice(group: GroupSettings, general: GeneralSettings) -> Iterator[tuple[str, str]]:
    """Keys of a group, each with a warning about sockets to its endpoints."""
    if (group.websockets or general.websockets) != "native":
        return
    if general.tenancy == "key" and group.websockets == "native":
        yield "websockets", "native has no effect with tenancy: key: each turn is a request over HTTP (bridge)"
    for number, model in enumerate(group.models):
        version = model.params.api_version or model.params.default_query.get("api-version")
        if version is not None and is_dated(version):
            advice = (
                "Azure has Responses over WebSocket on /openai/v1 alone: websockets: native cannot use this endpoint"
            )
            yield f"models[{number}].params.api_version", advice


def _twins(group: GroupSettings) -> Iterator[tuple[int, int]]:
    """Pairs of positions: an endpoint, and the first one that is the same for the provider."""
    seen: dict[tuple[Any, ...], int] = {}
    for place, endpoint in enumerate(group.models):
        params = endpoint.params
        address = (
            (params.base_url or params.azure_endpoint or "").lower(),
            params.azure_deployment,
            endpoint.model,
            (params.api_key, params.azure_ad_token, params.azure_ad_token_provider, params.azure_ad_scope),
            frozenset((name.lower(), value) for name, value in params.default_headers.items()),
            endpoint.outbound_proxy,
        )
        first = seen.setdefault(address, place)
        if first != place:
            yield place, first


def _params_advice(params: ParamsSettings, general: GeneralSettings) -> Iterator[tuple[str, str]]:
    """Keys, each with a warning; the empty key = the whole section."""
    for key, url in (("base_url", params.base_url), ("azure_endpoint", params.azure_endpoint)):
        if url is not None and (advice := clear_text_advice(url, general.plain_http_hosts)):
            yield key, advice
    host = urlsplit(params.base_url or "")
    if (host.hostname or "").endswith("api.openai.com") and not host.path:
        yield "base_url", "OpenAI's base URL ends in /v1; without it every call answers 404"
    yield from _azure_advice(params)
    if params.max_retries is not None:
        yield "max_retries", "has no effect: general_settings.num_retries says how often to retry"
    parts = params.timeout
    if isinstance(parts, TimeoutParts) and (parts.write is not None or parts.pool is not None):
        yield "timeout", "write and pool have no effect; connect and read have"
    if params.passes_client_credential and general.api_keys:
        yield (
            "",
            "has no api_key, and the client's, being one of this proxy's api_keys, is not sent on: it will be refused",
        )


def _azure_advice(params: ParamsSettings) -> Iterator[tuple[str, str]]:
    """Settings, each with a warning about what Azure will probably refuse."""
    version = params.api_version or params.default_query.get("api-version")
    key = "base_url" if params.azure_endpoint is None else "azure_endpoint"
    url = params.base_url or params.azure_endpoint or ""
    if url.endswith(V1):
        if version is not None:
            yield key, _of_a_version_on_v1(url, version)
        if params.azure_deployment is not None:
            yield "azure_deployment", "has no effect on /openai/v1, where the model's name is the deployment's"
    elif params.azure_endpoint is not None:
        parts = urlsplit(url)
        if is_azure_host(parts.hostname or "") and parts.path:
            yield key, f"a resource has no path: write {parts.scheme}://{parts.netloc}"
    elif params.base_url is not None:
        yield from ((key, advice) for advice in _of_a_base(params.base_url, version, params))


def _of_a_version_on_v1(url: str, version: str) -> str:
    if is_dated(version):
        dated = f"azure_endpoint: {url.removesuffix(V1)}"
        return f"Azure answers 400 to a dated api-version on /openai/v1; remove it, or write {dated}"
    return "Foundry endpoints answer 400 to api-version on /openai/v1; remove it if they do"


def _of_a_base(base: str, version: str | None, params: ParamsSettings) -> Iterator[str]:
    parts = urlsplit(base)
    address = taken_apart(base)
    on_azure = is_azure_host(parts.hostname or "")
    if address is not None and address.deployment is not None:
        if version is None:
            yield f"Azure answers 404 without an api-version; write {address.lines()}"
        else:
            yield (
                "below a deployment Azure has chat, completions, embeddings, audio and images alone; "
                f"for the others write azure_endpoint: {address.root}, azure_deployment: {address.deployment}"
            )
    elif on_azure and (address is None or address.is_project):
        v1 = f"{base.removesuffix('/openai')}{V1}" if address else f"{parts.scheme}://{parts.netloc}{V1}"
        yield f"Azure's base_url ends in /openai/v1: write {v1}; for the dated API use azure_endpoint and api_version"
    elif on_azure and params.api_version is None:
        yield f"the dated API wants azure_endpoint and api_version; write {base}/v1 for the v1 API"
