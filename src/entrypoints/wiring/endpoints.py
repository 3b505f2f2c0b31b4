"""From settings to each endpoint: what routes sees of it, its address and its credential."""

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from urllib.parse import urlsplit

from msgspec import structs

from adapters.upstreams.openai.azure_target import azure_base_target, azure_target
from adapters.upstreams.openai.target import Extras, Target, openai_target
from application.state.access_tokens import TokenSource
from domain.cost import Price
from domain.endpoint import Endpoint
from entrypoints.config.azure_address import is_azure_host
from entrypoints.config.settings import EndpointSettings, Settings, models_of
from entrypoints.config.settings_price import PriceSettings
from entrypoints.config.shared_buckets import base_of, bucket_of, key_of

_PORTS = {"http": 80, "https": 443}


def targets(settings: Settings, tokens: Mapping[str, TokenSource]) -> Mapping[str, Target]:
    """The address and credential of every endpoint, by endpoint id. `tokens` by scope."""
    return {
        model.id: structs.replace(
            _target(model, tokens[model.params.azure_ad_scope] if model.params.azure_ad_token_provider else None),
            outbound_proxy=None if model.outbound_proxy is None else model.outbound_proxy.reveal(),
        )
        for _, model in models_of(settings.groups)
    }


def host_of(model: EndpointSettings) -> str:
    """The host (and port, if the URL names one) that an endpoint's requests go to."""
    return urlsplit(base_of(model.params)).netloc


def address_of(model: EndpointSettings) -> tuple[str, int]:
    """The host and port that an endpoint's requests go to."""
    url = urlsplit(base_of(model.params))
    return url.hostname or "", url.port or _PORTS.get(url.scheme, 0)


def price_of(price: PriceSettings | None) -> Price | None:
    """None = the configuration does not say."""
    if price is None:
        return None
    if price.per_hour is not None:
        return Price(per_hour=_exact(price.per_hour))
    cached, written = price.cached_input, price.cache_write
    return Price.per_million(
        _exact(price.input or 0),
        _exact(price.output or 0),
        None if cached is None else _exact(cached),
        None if written is None else _exact(written),
    )


def _exact(number: float) -> Decimal:
    """As it stands in the file."""
    return Decimal(str(number))


def endpoint_of(model: EndpointSettings) -> Endpoint:
    params = model.params
    url = urlsplit(base_of(params))
    key = key_of(params)
    api_version = params.api_version or params.default_query.get("api-version", "")
    path = f"{url.path}/{params.azure_deployment or ''}"
    # Behind another proxy it is another endpoint: one may be reached and the other not.
    way = () if model.outbound_proxy is None else (model.outbound_proxy.reveal(),)
    return Endpoint(
        id=model.id,
        model=model.model,
        provider="azure" if params.is_azure or is_azure_host(url.hostname or "") else "openai",
        weight=model.weight,
        bucket=_digest("bucket", *bucket_of(model)),
        account=_digest("account", url.netloc, key, params.organization or "", params.project or ""),
        identity=_digest("endpoint", url.netloc, path, model.model, api_version, key, *way),
        owns_credential=not params.passes_client_credential,
        rpm=model.rpm,
        tpm=model.tpm,
        connect_timeout_s=model.connect_timeout,
        first_byte_timeout_s=model.first_byte_timeout,
        whole_reply_timeout_s=model.whole_reply_timeout,
        stream_idle_timeout_s=model.stream_idle_timeout,
        request_timeout_s=model.request_timeout,
        priority=model.priority,
        is_provisioned=model.capacity == "provisioned",
        output_token_ratio=model.output_token_ratio,
    )


def _target(model: EndpointSettings, token: TokenSource | None) -> Target:
    params = model.params
    more: Extras = {
        "organization": params.organization,
        "project": params.project,
        "default_headers": params.default_headers.items(),
        "default_query": params.default_query.items(),
        "token": token,
    }
    base, version, key, ad_token = base_of(params), params.api_version, params.api_key, params.azure_ad_token
    if not params.is_azure:
        return openai_target(base, key or ad_token, **more)
    if params.azure_endpoint is not None:
        deployment = params.azure_deployment or model.model
        return azure_target(base, deployment, version, api_key=key, ad_token=ad_token, **more)
    # Without api_version these are the OpenAI client's arguments, and that one adds nothing to the path.
    deployed = None if version is None else model.model
    return azure_base_target(base, deployed, version, api_key=key, ad_token=ad_token, **more)


def _digest(*parts: str) -> str:
    """Equal for equal parts, on every replica; keys cannot be read back from it (BLAKE2b, RFC 7693)."""
    digest = hashlib.blake2b(digest_size=16, person=b"llmproxy")
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()
