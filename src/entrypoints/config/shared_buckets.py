"""Which endpoints share one rate limit, and what they say of it: that is to be the same."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from application.messages import KEY_HEADERS
from entrypoints.config.azure_address import V1, taken_apart
from entrypoints.config.reading.mistakes import Report
from entrypoints.config.settings import EndpointSettings, GroupSettings
from entrypoints.config.settings_params import ParamsSettings

_LIMITS = ("rpm", "tpm")
_COUNTED = ("capacity", "output_token_ratio")


def bucket_of(model: EndpointSettings) -> tuple[str, str, str]:
    """Host, key and model; of Azure the deployment, as each has a limit of its own (Azure OpenAI quota guide).
    Endpoints that are equal here share one rate limit. Holds a secret."""
    return urlsplit(base_of(model.params)).netloc, key_of(model.params), _deployment(model) or model.model


def _deployment(model: EndpointSettings) -> str | None:
    """What the URL names, whatever the model is called; None = the model's name is what counts."""
    params, base = model.params, base_of(model.params)
    if params.azure_endpoint is not None and not base.endswith(V1) and params.azure_deployment is not None:
        return params.azure_deployment
    address = taken_apart(base)
    return None if address is None else address.deployment


def base_of(params: ParamsSettings) -> str:
    """The URL that an endpoint's requests go below."""
    base = params.azure_endpoint or params.base_url
    if base is None:
        raise ValueError("settings were not resolved: an endpoint has neither base_url nor azure_endpoint")
    return base


def key_of(params: ParamsSettings) -> str:
    """What stands for the account: key, token, its source, or a credential header; empty = the client's own."""
    if params.azure_ad_token_provider is not None:
        return f"{params.azure_ad_token_provider}\n{params.azure_ad_scope}"
    own = params.api_key or params.azure_ad_token
    if own is not None:
        return own.reveal()
    headers = (value.reveal() for name, value in params.default_headers.items() if name.lower() in KEY_HEADERS)
    return "\n".join(headers)


def check_shared_buckets(groups: Sequence[GroupSettings], report: Report) -> None:
    """Report a mistake where endpoints of one bucket have different `capacity` or `output_token_ratio`, as it is
    counted in one way only, and a warning where they have different `rpm` or `tpm`. The groups are settled."""
    seen: dict[tuple[str, str, str], tuple[str, EndpointSettings]] = {}
    for index, group in enumerate(groups):
        for number, model in enumerate(group.models):
            path = f"model_groups[{index}].models[{number}]"
            first_path, first = seen.setdefault(bucket_of(model), (path, model))
            shared = f"{first_path}, with which it shares host, key and model and so one rate limit"
            for key in _COUNTED:
                mine, other = getattr(model, key), getattr(first, key)
                if mine != other:
                    problem = f"is {_shown(mine)}, unlike that of {shared}"
                    fix = f"write {key}: {_shown(other)}, or {key}: {_shown(mine)} at {first_path}"
                    report.add(_place(path, key, report), problem, f"one {key} for each rate limit", fix)
                    break  # only provisioned capacity has a ratio
            for key in _LIMITS:
                mine, other = getattr(model, key), getattr(first, key)
                if mine != other:
                    told = f"leaves out {key}," if mine is None else f"is {mine},"
                    text = f"{told} unlike {other or 'none'} at {shared}: one of them holds for both"
                    report.warn(_place(path, key, report), text)


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _place(path: str, key: str, report: Report) -> str:
    """Of the setting, or of its section where it was left out."""
    return f"{path}.{key}" if key in report.at(path).given else path
