"""What holds between the settings of the model groups, and how they become endpoints."""

import importlib.util
from collections.abc import Collection, Sequence

from msgspec.structs import replace

from application.messages import PROVIDER_KEY_HEADERS
from entrypoints.config.azure_section import settle_azure_endpoint
from entrypoints.config.plain_http import check_plain_http
from entrypoints.config.reading.mistakes import Report
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
    settled = []
    for index, group in enumerate(groups):
        path = f"model_groups[{index}]"
        _check_unique(names, group.model_group, path, "model_group", report)
        models = []
        for number, model in enumerate(group.models):
            place = f"{path}.models[{number}]"
            _check_unique(ids, model.id, place, "id", report)
            params = _settle_params(model.params, f"{place}.params", report)
            check_plain_http(params, f"{place}.params", plain_http_hosts, report)
            models.append(replace(model, params=params))
        settled.append(replace(group, models=tuple(models)))
    return tuple(settled)


def build_groups(
    groups: Sequence[GroupSettings], general: GeneralSettings, report: Report
) -> tuple[GroupSettings, ...]:
    """The groups of a file without mistakes, with every default and timeout worked out."""
    return tuple(
        replace(
            group,
            models=tuple(
                _build_endpoint(model, f"model_groups[{index}].models[{number}]", general, report, default_id=default)
                for number, model in enumerate(group.models)
                for default in (f"{group.model_group}/{number + 1}",)
            ),
        )
        for index, group in enumerate(groups)
    )


def has_azure_identity() -> bool:
    """Is it there to be imported, and aiohttp, which it sends with? Nothing of them is."""
    try:
        return all(importlib.util.find_spec(name) is not None for name in ("azure.identity", "aiohttp"))
    except ImportError:
        return False


def _check_unique(seen: dict[str, str], name: str, section: str, key: str, report: Report) -> None:
    if name and (first := seen.setdefault(name, section)) != section:
        report.add(f"{section}.{key}", f"is the same as in {first}", f"every {key} once", "write another name")


def _settle_params(params: ParamsSettings, path: str, report: Report) -> ParamsSettings:
    given = report.given(path)
    params = settle_azure_endpoint(params, path, report)
    for one, other in _EXCLUSIVE:
        if one in given and other in given:
            report.add(f"{path}.{other}", f"excludes {one}", _ONE_OF_TWO, f"leave out {one} or {other}")
    if "azure_deployment" in given and "azure_endpoint" not in given:
        _report_half(path, "azure_deployment", "azure_endpoint", report)
    for key in ("api_version", "azure_ad_token", "azure_ad_token_provider"):
        if key in given and not given & {"azure_endpoint", "base_url"}:
            fix = f"write azure_endpoint beside it, or leave out {key}"
            report.add(f"{path}.{key}", "is Azure's and OpenAI would get it", "with azure_endpoint", fix)
    if "azure_ad_scope" in given and "azure_ad_token_provider" not in given:
        _report_half(path, "azure_ad_scope", "azure_ad_token_provider", report)
    if params.azure_ad_token_provider is not None:
        _check_token_provider(params, path, report)
    _check_headers(params, path, report)
    _check_api_version(params, path, report)
    return params


def _report_half(path: str, key: str, other: str, report: Report) -> None:
    report.add(f"{path}.{key}", f"is missing its {other}", "both, or neither", f"write {other} beside it")


def _check_token_provider(params: ParamsSettings, path: str, report: Report) -> None:
    path = f"{path}.azure_ad_token_provider"
    if any(name.lower() in PROVIDER_KEY_HEADERS for name in params.default_headers):
        problem = "excludes a credential among default_headers"
        report.add(path, problem, _ONE_OF_TWO, "leave out that header")
    if not has_azure_identity():
        packages = " ".join(f"'{each}'" for each in AZURE_PACKAGES)
        report.add(
            path,
            "needs the optional package azure-identity and the aiohttp below it, which are not both installed beside "
            "the proxy",
            "with both installed, or azure_ad_token",
            f"make setup-azure (or pip install {packages})",
        )


def _check_headers(params: ParamsSettings, path: str, report: Report) -> None:
    seen: set[str] = set()
    for name in params.default_headers:
        if name.lower() in seen:
            place = shown_path(f"{path}.default_headers", name)
            report.add(place, "stands twice, in different case", "once", "leave out one of the two")
        seen.add(name.lower())


def _check_api_version(params: ParamsSettings, path: str, report: Report) -> None:
    endpoint, version = params.azure_endpoint, params.api_version
    in_query = params.default_query.get("api-version")
    needs_version = endpoint is not None and not endpoint.endswith("/openai/v1")
    if needs_version and version is None and "api_version" not in report.given(path):
        report.add(
            f"{path}.azure_endpoint",
            "needs api_version beside it",
            "with api_version, or a URL that ends in /openai/v1",
            "write api_version: 2024-10-21 beside it",
        )
    if version is not None and in_query is not None and version != in_query:
        problem = "differs from default_query's api-version"
        report.add(f"{path}.api_version", problem, "one of them", "leave out api-version in default_query")


def _build_endpoint(
    model: EndpointSettings, path: str, general: GeneralSettings, report: Report, *, default_id: str
) -> EndpointSettings:
    timeout = model.params.timeout
    # One number is meant for the answer: 600 s of it must not become 600 s of waiting for a dead host.
    parts = timeout if isinstance(timeout, TimeoutParts) else TimeoutParts(read=timeout)
    connect = min(timeout, general.connect_timeout) if isinstance(timeout, int | float) else parts.connect
    defaults = {
        "id": default_id,
        "connect_timeout": general.connect_timeout if connect is None else connect,
        "first_byte_timeout": general.first_byte_timeout if parts.read is None else parts.read,
        "stream_idle_timeout": general.stream_idle_timeout,
        "request_timeout": general.request_timeout,
    }
    given = report.given(path)
    absent = {key: value for key, value in defaults.items() if key not in given}
    built = replace(model, params=_build_params(model.params), **absent)
    is_set = "first_byte_timeout" in given | report.given("general_settings") or parts.read is not None
    return replace(built, whole_reply_timeout=built.first_byte_timeout if is_set else built.request_timeout)


def _build_params(params: ParamsSettings) -> ParamsSettings:
    if params.base_url is not None or params.azure_endpoint is not None:
        return params
    region = params.data_residency
    host = "://" if region is None or region == "global" else f"://{region}."
    return replace(params, base_url=OPENAI_URL.replace("://", host))
