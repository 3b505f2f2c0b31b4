"""What holds between the settings of the model groups, and how they become endpoints."""

import importlib.util
from collections.abc import Collection, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from application.messages import PROVIDER_KEY_HEADERS
from domain.secret import Secret
from entrypoints.config.azure_section import azure_advice, settle_azure_endpoint
from entrypoints.config.names import group_advice, model_advice
from entrypoints.config.plain_http import check_plain_http, clear_text_advice
from entrypoints.config.reading.mistakes import Report
from entrypoints.config.reading.reader import Section
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


def check_groups(groups: Sequence[Section], plain_http_hosts: Collection[str], report: Report) -> None:
    """Report what is wrong between settings that are each valid by themselves."""
    names: dict[str, str] = {}
    ids: dict[str, str] = {}
    for group in groups:
        _check_unique(names, group, "model_group", report)
        for model in group.values.get("models", ()):
            _check_unique(ids, model, "id", report)
            if isinstance(params := model.values.get("params"), Section):
                _check_params(params, report)
                check_plain_http(params, plain_http_hosts, report)


def build_groups(
    groups: Sequence[Section], general: GeneralSettings, given: Collection[str]
) -> tuple[GroupSettings, ...]:
    """The groups of a file without mistakes, with every default and timeout worked out.

    `given` are the keys of general_settings that the file names.
    """
    return tuple(
        GroupSettings(
            model_group=group.values["model_group"],
            models=tuple(
                _build_endpoint(model, f"{group.values['model_group']}/{number}", general, given)
                for number, model in enumerate(group.values["models"], start=1)
            ),
            affinity=group.values.get("affinity", "none"),
        )
        for group in groups
    )


def warn_about_groups(groups: Sequence[GroupSettings], general: GeneralSettings, report: Report) -> None:
    """Warn about what is valid and yet seldom meant."""
    for index, group in enumerate(groups):
        path = f"model_groups[{index}]"
        if (advice := group_advice(group)) is not None:
            report.warn(f"{path}.model_group", advice)
        if all(model.weight == 0 for model in group.models):
            report.warn(f"{path}.models", "all weights are 0, so all of them are used as if they were equal")
        if group.affinity != "none" and len(group.models) == 1:
            report.warn(f"{path}.affinity", "has no effect in a group of one model")
        for place, first in _twins(group):
            report.warn(
                f"{path}.models[{place}]",
                f"the same endpoint as models[{first}]: the same endpoint twice shares one rate limit",
            )
        for place, model in enumerate(group.models):
            if (advice := model_advice(model)) is not None:
                report.warn(f"{path}.models[{place}].model", advice)
            _warn_about_params(model.params, f"{path}.models[{place}].params", general, report)


def _check_unique(seen: dict[str, str], section: Section, key: str, report: Report) -> None:
    name = section.values.get(key)
    if name is None:
        return
    if name in seen:
        report.add(section.place(key), f"is the same as in {seen[name]}; valid: every {key} once")
    else:
        seen[name] = section.path


def _check_params(params: Section, report: Report) -> None:
    given = params.given
    settle_azure_endpoint(params, report)
    for one, other in _EXCLUSIVE:
        if one in given and other in given:
            report.add(params.place(other), f"excludes {one}; valid: only one of the two")
    if "azure_deployment" in given and "azure_endpoint" not in given:
        report.add(params.place("azure_deployment"), "is missing its azure_endpoint; valid: both, or neither")
    for key in ("api_version", "azure_ad_token", "azure_ad_token_provider"):
        if key in given and not given & {"azure_endpoint", "base_url"}:
            report.add(params.place(key), "is Azure's and OpenAI would get it; valid: with azure_endpoint")
    _check_token_provider(params, report)
    _check_api_version(params, report)


def has_azure_identity() -> bool:
    """Is it there to be imported, and aiohttp, which it sends with? Nothing of them is."""
    try:
        return all(importlib.util.find_spec(name) is not None for name in ("azure.identity", "aiohttp"))
    except ImportError:
        return False


def _check_token_provider(params: Section, report: Report) -> None:
    if "azure_ad_scope" in params.given and "azure_ad_token_provider" not in params.given:
        report.add(params.place("azure_ad_scope"), "is missing its azure_ad_token_provider; valid: both, or neither")
    if "azure_ad_token_provider" not in params.values:
        return
    if any(name.lower() in PROVIDER_KEY_HEADERS for name in params.values.get("default_headers", ())):
        report.add(
            params.place("azure_ad_token_provider"),
            "excludes a credential among default_headers; valid: only one of the two",
        )
    if not has_azure_identity():
        packages = " ".join(f"'{each}'" for each in AZURE_PACKAGES)
        report.add(
            params.place("azure_ad_token_provider"),
            "needs the optional package azure-identity and the aiohttp below it, which are not both installed beside "
            f"the proxy; valid: make setup-azure (or pip install {packages}), or azure_ad_token",
        )


def _check_api_version(params: Section, report: Report) -> None:
    endpoint = params.values.get("azure_endpoint")
    in_query = params.values.get("default_query", {}).get("api-version")
    version = params.values.get("api_version")
    if (
        endpoint is not None
        and not endpoint.endswith("/openai/v1")
        and version is None
        and not params.given & {"api_version"}
    ):
        report.add(
            params.place("azure_endpoint"),
            "needs api_version beside it, e.g. 2024-10-21; valid without: a URL that ends in /openai/v1",
        )
    if version is not None and in_query is not None and version != in_query:
        report.add(params.place("api_version"), "differs from default_query's api-version; valid: one of them")


def _build_endpoint(
    model: Section, default_id: str, general: GeneralSettings, given: Collection[str]
) -> EndpointSettings:
    values: dict[str, Any] = {"id": default_id, "weight": 1}
    params = _build_params(model.values.get("params"))
    values |= {
        "stream_idle_timeout": general.stream_idle_timeout,
        "request_timeout": general.request_timeout,
        "connect_timeout": _connect_timeout(params, general),
        "first_byte_timeout": _first_byte_timeout(params, general),
    }
    values |= model.values
    is_set = "first_byte_timeout" in (*model.given, *given) or _says_first_byte(params)
    values["whole_reply_timeout"] = values["first_byte_timeout" if is_set else "request_timeout"]
    return EndpointSettings(**(values | {"params": params}))


def _build_params(section: Section | None) -> ParamsSettings:
    values = dict(section.values) if section is not None else {}
    if isinstance(parts := values.get("timeout"), Section):
        values["timeout"] = TimeoutParts(**parts.values)
    params = ParamsSettings(**values)
    if params.base_url is not None or params.azure_endpoint is not None:
        return params
    region = params.data_residency
    if region is None or region == "global":
        return replace(params, base_url=OPENAI_URL)
    return replace(params, base_url=OPENAI_URL.replace("://", f"://{region}."))


def _connect_timeout(params: ParamsSettings, general: GeneralSettings) -> float:
    match params.timeout:
        case TimeoutParts(connect=connect):
            return general.connect_timeout if connect is None else connect
        case None:
            return general.connect_timeout
        # One number is meant for the answer: 600 s of it must not become 600 s of waiting for a dead host.
        case seconds:
            return min(seconds, general.connect_timeout)


def _says_first_byte(params: ParamsSettings) -> bool:
    return params.timeout.read is not None if isinstance(params.timeout, TimeoutParts) else params.timeout is not None


def _first_byte_timeout(params: ParamsSettings, general: GeneralSettings) -> float:
    match params.timeout:
        case TimeoutParts(read=read):
            return general.first_byte_timeout if read is None else read
        case None:
            return general.first_byte_timeout
        case seconds:
            return seconds


class _Address(Struct, frozen=True):
    """What makes two endpoints the same for the provider."""

    url: str | None
    deployment: str | None
    model: str
    credential: Any
    outbound_proxy: Secret | None


def _twins(group: GroupSettings) -> Iterator[tuple[int, int]]:
    """Pairs of positions: an endpoint, and the first one that is the same."""
    seen: dict[_Address, int] = {}
    for place, endpoint in enumerate(group.models):
        params = endpoint.params
        headers = frozenset((name.lower(), value) for name, value in params.default_headers.items())
        address = _Address(
            url=(params.base_url or params.azure_endpoint or "").lower(),
            deployment=params.azure_deployment,
            model=endpoint.model,
            credential=(
                params.api_key,
                params.azure_ad_token,
                params.azure_ad_token_provider,
                params.azure_ad_scope,
                headers,
            ),
            outbound_proxy=endpoint.outbound_proxy,
        )
        first = seen.setdefault(address, place)
        if first != place:
            yield place, first


def _warn_about_params(params: ParamsSettings, path: str, general: GeneralSettings, report: Report) -> None:
    for key, url in (("base_url", params.base_url), ("azure_endpoint", params.azure_endpoint)):
        if url is not None and (advice := clear_text_advice(url, general.plain_http_hosts)):
            report.warn(f"{path}.{key}", advice)
    host = urlsplit(params.base_url or "")
    if (host.hostname or "").endswith("api.openai.com") and not host.path:
        report.warn(f"{path}.base_url", "OpenAI's base URL ends in /v1; without it every call answers 404")
    for key, advice in azure_advice(params):
        report.warn(f"{path}.{key}", advice)
    if params.max_retries is not None:
        report.warn(f"{path}.max_retries", "has no effect: general_settings.num_retries says how often to retry")
    parts = params.timeout
    if isinstance(parts, TimeoutParts) and (parts.write is not None or parts.pool is not None):
        report.warn(f"{path}.timeout", "write and pool have no effect; connect and read have")
    if params.passes_client_credential and general.api_keys:
        report.warn(
            path,
            "has no api_key, and the client's, being one of this proxy's api_keys, is not sent on: it will be refused",
        )
