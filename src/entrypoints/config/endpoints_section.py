"""What holds between the settings of the model groups, and how they become endpoints."""

import importlib.util
from collections.abc import Sequence, Set

from msgspec.structs import replace

from application.messages import PROVIDER_KEY_HEADERS
from entrypoints.config.azure_address import V1, is_dated, taken_apart
from entrypoints.config.plain_http import check_plain_http
from entrypoints.config.prices_section import check_baseline, check_price
from entrypoints.config.reading.mistakes import Place, Report
from entrypoints.config.reading.shown import shown_path
from entrypoints.config.settings import EndpointSettings, GeneralSettings, GroupSettings
from entrypoints.config.settings_params import ParamsSettings, TimeoutParts

AZURE_PACKAGES = ("azure-identity>=1.25,<2", "aiohttp>=3.14.5")
_EXCLUSIVE = (  # as the OpenAI client refuses them
    ("base_url", "azure_endpoint"),
    ("base_url", "data_residency"),
    ("azure_endpoint", "data_residency"),
    ("api_key", "azure_ad_token"),
    ("api_key", "azure_ad_token_provider"),
    ("azure_ad_token", "azure_ad_token_provider"),
)
_ONE_OF_TWO = "only one of the two"
_OF_PROVISIONED = "with capacity: provisioned, whose output tokens count for several input tokens"


def settle_groups(
    groups: Sequence[GroupSettings], general: GeneralSettings, report: Report
) -> tuple[GroupSettings, ...]:
    """The groups with every default worked out. Reports what is wrong between settings that are valid by themselves."""
    names: dict[str, str] = {}
    ids: dict[str, str] = {}
    general_given = report.at("general_settings").given
    settled: list[GroupSettings] = []
    for index, group in enumerate(groups):
        path = f"model_groups[{index}]"
        _check_unique(names, group.model_group, "model_group", report.at(path))
        models = []
        for number, model in enumerate(group.models):
            here, in_params = report.at(f"{path}.models[{number}]"), report.at(f"{path}.models[{number}].params")
            _check_unique(ids, model.id, "id", here)
            if model.price is not None:
                check_price(report.at(f"{path}.models[{number}].price"))
            if "output_token_ratio" in here.given and model.capacity != "provisioned":
                fix = "write capacity: provisioned beside it, or leave it out"
                here.add("output_token_ratio", f"is of no use with {model.capacity} capacity", _OF_PROVISIONED, fix)
            params = _settle_params(model.params, in_params)
            check_plain_http(params, general.plain_http_hosts, in_params)
            endpoint_id = model.id or f"{group.model_group}/{number + 1}"
            timed = _with_timeouts(model, general, here.given, general_given)
            models.append(replace(timed, id=endpoint_id, params=_with_base_url(params)))
        settled.append(replace(group, models=tuple(models)))
        check_baseline(settled[-1], report.at(path))
    return tuple(settled)


def has_azure_identity() -> bool:
    """Is it there to be imported, and aiohttp, which it sends with? Nothing of them is."""
    try:
        return all(importlib.util.find_spec(name) is not None for name in ("azure.identity", "aiohttp"))
    except ImportError:
        return False


def _check_unique(seen: dict[str, str], name: str, key: str, here: Place) -> None:
    if name and (first := seen.setdefault(name, here.path)) != here.path:
        here.add(key, f"is the same as in {first}", f"every {key} once", "write another name")


def _settle_params(params: ParamsSettings, here: Place) -> ParamsSettings:
    params = _settle_azure_endpoint(params, here)
    for one, other in _EXCLUSIVE:
        if {one, other} <= here.given:
            here.add(other, f"excludes {one}", _ONE_OF_TWO, f"leave out {one} or {other}")
    for key, other in (("azure_deployment", "azure_endpoint"), ("azure_ad_scope", "azure_ad_token_provider")):
        if key in here.given and other not in here.given:
            here.add(key, f"is missing its {other}", "both, or neither", f"write {other} beside it")
    for key in ("api_version", "azure_ad_token", "azure_ad_token_provider"):
        if key in here.given and not here.given & {"azure_endpoint", "base_url"}:
            fix = f"write azure_endpoint beside it, or leave out {key}"
            here.add(key, "is Azure's and OpenAI would get it", "with azure_endpoint", fix)
    if params.azure_ad_token_provider is not None:
        _check_token_provider(params, here)
    _check_headers(params, here)
    _check_api_version(params, here)
    return params


def _settle_azure_endpoint(params: ParamsSettings, here: Place) -> ParamsSettings:
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


def _check_token_provider(params: ParamsSettings, here: Place) -> None:
    key = "azure_ad_token_provider"
    if any(name.lower() in PROVIDER_KEY_HEADERS for name in params.default_headers):
        here.add(key, "excludes a credential among default_headers", _ONE_OF_TWO, "leave out that header")
    if not has_azure_identity():
        packages = " ".join(f"'{each}'" for each in AZURE_PACKAGES)
        needed = "the optional package azure-identity and the aiohttp below it"
        problem = f"needs {needed}, which are not both installed beside the proxy"
        fix = f"make setup-azure (or pip install {packages})"
        here.add(key, problem, "with both installed, or azure_ad_token", fix)


def _check_headers(params: ParamsSettings, here: Place) -> None:
    seen: set[str] = set()
    for name in params.default_headers:
        if name.lower() in seen:
            key = shown_path("default_headers", name)
            here.add(key, "stands twice, in different case", "once", "leave out one of the two")
        seen.add(name.lower())


def _check_api_version(params: ParamsSettings, here: Place) -> None:
    endpoint, version = params.azure_endpoint, params.api_version
    in_query = params.default_query.get("api-version")
    needs_version = endpoint is not None and not endpoint.endswith("/openai/v1")
    if needs_version and version is None and "api_version" not in here.given:
        valid = "with api_version, or a URL that ends in /openai/v1"
        here.add("azure_endpoint", "needs api_version beside it", valid, "write api_version: 2024-10-21 beside it")
    if version is not None and in_query is not None and version != in_query:
        fix = "leave out api-version in default_query"
        here.add("api_version", "differs from default_query's api-version", "one of them", fix)


def _with_base_url(params: ParamsSettings) -> ParamsSettings:
    if params.base_url is not None or params.azure_endpoint is not None:
        return params
    region = "" if params.data_residency in (None, "global") else f"{params.data_residency}."
    return replace(params, base_url=f"https://{region}api.openai.com/v1")


def _with_timeouts(
    model: EndpointSettings, general: GeneralSettings, given: Set[str], general_given: Set[str]
) -> EndpointSettings:
    timeout = model.params.timeout
    # One number is meant for the answer: 600 s of it must not become 600 s of waiting for a dead host.
    parts = timeout if isinstance(timeout, TimeoutParts) else TimeoutParts(read=timeout)
    connect = min(timeout, general.connect_timeout) if isinstance(timeout, int | float) else parts.connect
    defaults = {
        "connect_timeout": general.connect_timeout if connect is None else connect,
        "first_byte_timeout": general.first_byte_timeout if parts.read is None else parts.read,
        "stream_idle_timeout": general.stream_idle_timeout,
        "request_timeout": general.request_timeout,
    }
    model = replace(model, **{key: value for key, value in defaults.items() if key not in given})
    is_set = "first_byte_timeout" in given | general_given or parts.read is not None
    return replace(model, whole_reply_timeout=model.first_byte_timeout if is_set else model.request_timeout)
