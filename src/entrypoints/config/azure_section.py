"""What the settings of one Azure endpoint mean together: pasted addresses put right, and advice about the rest."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from msgspec.structs import replace

from entrypoints.config.azure_address import V1, is_azure_host, is_dated, taken_apart
from entrypoints.config.reading.mistakes import Place
from entrypoints.config.settings_params import ParamsSettings


def settle_azure_endpoint(params: ParamsSettings, here: Place) -> ParamsSettings:
    """Leave in `azure_endpoint` the resource alone, or a v1 root, and put what else it says where that belongs.

    The proxy adds `/openai`, the deployment and the version itself; a dated version wins over a v1 root, which would
    answer 400 to it.
    """
    url = params.azure_endpoint or ""
    address = taken_apart(url)
    if address is None:
        return params
    version = params.api_version or address.version
    if address.is_v1 and version is not None and is_dated(version):
        resource = taken_apart(address.root.removesuffix("/v1")) or address
        address = replace(resource, version=address.version)
    if address.is_project and not address.is_v1 and "api_version" not in here.given and version is None:
        v1 = url.partition("/openai")[0] + V1
        here.add("azure_endpoint", "is a project", f"{v1}, or api_version beside it", f"write {v1}")
        return replace(params, azure_endpoint=None)
    said = {"azure_deployment": address.deployment, "api_version": address.version}
    for key, value in said.items():
        if value is not None and key in here.given and getattr(params, key) not in (None, value):
            fix = f"leave out {key}, or that part of the URL"
            here.add("azure_endpoint", f"says another {key} than the setting does", "one of the two", fix)
    more = {key: value for key, value in said.items() if value is not None and key not in here.given}
    params = replace(params, azure_endpoint=address.root, **more)
    if url != address.root:
        here.warn("azure_endpoint", _what_was_cut(url, params))
    return params


def _what_was_cut(url: str, params: ParamsSettings) -> str:
    keys = ("azure_endpoint", "azure_deployment", "api_version")
    read = ", ".join(f"{key}: {value}" for key in keys if (value := getattr(params, key)) is not None)
    cut = url.removeprefix(params.azure_endpoint or "")
    return f"{cut} is left out, as the proxy adds what belongs there; it is read as {read}"


def azure_advice(params: ParamsSettings) -> Iterator[tuple[str, str]]:
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
