"""What holds between the settings of the model groups, and how they become endpoints."""

import importlib.util
from collections.abc import Callable, Collection, Sequence, Set

from msgspec.structs import replace

from application.messages import PROVIDER_KEY_HEADERS
from entrypoints.config.azure_section import settle_azure_endpoint
from entrypoints.config.plain_http import check_plain_http
from entrypoints.config.reading.mistakes import Place, Report
from entrypoints.config.reading.shown import shown_path
from entrypoints.config.settings import EndpointSettings, GeneralSettings, GroupSettings
from entrypoints.config.settings_params import ParamsSettings, TimeoutParts

OPENAI_URL = "https://api.openai.com/v1"
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


def settle_groups(
    groups: Sequence[GroupSettings], plain_http_hosts: Collection[str], report: Report
) -> tuple[GroupSettings, ...]:
    """The groups, with pasted Azure addresses put right. Reports what is wrong between settings that are each valid by
    themselves."""
    names: dict[str, str] = {}
    ids: dict[str, str] = {}
    for index, group in enumerate(groups):
        _check_unique(names, group.model_group, "model_group", report.at(f"model_groups[{index}]"))

    def settled(group: GroupSettings, number: int, path: str) -> EndpointSettings:
        model = group.models[number]
        _check_unique(ids, model.id, "id", report.at(path))
        here = report.at(f"{path}.params")
        params = _settle_params(model.params, here)
        check_plain_http(params, plain_http_hosts, here)
        return replace(model, params=params, id=model.id or f"{group.model_group}/{number + 1}")

    return _with_models(groups, settled)


def build_groups(
    groups: Sequence[GroupSettings], general: GeneralSettings, report: Report
) -> tuple[GroupSettings, ...]:
    """The groups of a file without mistakes, with every default and timeout worked out."""
    given = report.at("general_settings").given
    return _with_models(
        groups,
        lambda group, number, path: _build_endpoint(group.models[number], general, report.at(path).given, given),
    )


def _with_models(
    groups: Sequence[GroupSettings], change: Callable[[GroupSettings, int, str], EndpointSettings]
) -> tuple[GroupSettings, ...]:
    """The groups with what `change` makes of each model, which it gets by its number and path."""
    return tuple(
        replace(
            group,
            models=tuple(change(group, n, f"model_groups[{index}].models[{n}]") for n in range(len(group.models))),
        )
        for index, group in enumerate(groups)
    )


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
    params = settle_azure_endpoint(params, here)
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


def _build_endpoint(
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
    absent = {key: value for key, value in defaults.items() if key not in given}
    built = replace(model, params=_build_params(model.params), **absent)
    is_set = "first_byte_timeout" in given | general_given or parts.read is not None
    return replace(built, whole_reply_timeout=built.first_byte_timeout if is_set else built.request_timeout)


def _build_params(params: ParamsSettings) -> ParamsSettings:
    if params.base_url is not None or params.azure_endpoint is not None:
        return params
    region = params.data_residency
    host = "://" if region is None or region == "global" else f"://{region}."
    return replace(params, base_url=OPENAI_URL.replace("://", host))
