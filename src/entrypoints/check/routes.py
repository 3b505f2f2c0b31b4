"""The effective routing table: which endpoints a configuration comes to, with the share, limits and key of each."""

from collections.abc import Mapping

from msgspec import Struct, structs

from application.messages import KEY_HEADERS
from entrypoints.config.reading.secret_files import PREFIX
from entrypoints.config.reading.shown import shown_path
from entrypoints.config.settings import Settings
from entrypoints.config.settings_params import ParamsSettings
from entrypoints.config.settings_price import PriceSettings
from entrypoints.wiring.endpoints import host_of
from entrypoints.wiring.groups import model_groups

_TIMEOUTS = ("connect_timeout", "first_byte_timeout", "stream_idle_timeout", "request_timeout")
IN_FILE = "in the file"
OF_CLIENT = "the client's own"


class Route(Struct, frozen=True):
    """One endpoint of one group. Holds no key."""

    group: str
    endpoint: str
    provider: str  # `openai` or `azure`
    host: str  # with the port where the URL names one
    model: str  # as the endpoint knows it; of Azure's dated API the deployment
    weight: int
    share: float  # of the group's requests while all are well, in percent
    tier: str  # `first`, `priority 1` and so on, or `fallback`: only when no endpoint of an earlier one can
    rpm: int | None  # requests a minute; None = only replies tell
    tpm: int | None
    price: Mapping[str, float]  # what the file says of it; empty = nothing
    timeouts: Mapping[str, float]  # those that differ from general_settings, in seconds
    key: str  # where it is from, never what it is


def routes_of(settings: Settings, variables: Mapping[str, str]) -> list[Route]:
    """In the order of the file. `variables`: see `Report.variables`."""
    routes, general = [], settings.general
    groups = zip(model_groups(settings), settings.groups, strict=True)
    for index, (group, configured) in enumerate(groups):
        members = zip(group.endpoints, group.shares(), group.tier_names(), configured.models, strict=True)
        for number, (endpoint, share, tier, model) in enumerate(members):
            own = {name: getattr(model, name) for name in _TIMEOUTS}
            route = Route(
                group=group.name,
                endpoint=endpoint.id,
                provider=endpoint.provider,
                host=host_of(model),
                model=model.params.azure_deployment or model.model,
                weight=model.weight,
                share=round(100 * share, 2),
                tier=tier,
                rpm=model.rpm,
                tpm=model.tpm,
                price=_price(model.price),
                timeouts={name: value for name, value in own.items() if value != getattr(general, name)},
                key=_key(model.params, f"model_groups[{index}].models[{number}].params", variables),
            )
            routes.append(route)
    return routes


def _price(price: PriceSettings | None) -> Mapping[str, float]:
    told = {} if price is None else structs.asdict(price)
    return {name: amount for name, amount in told.items() if amount is not None}


def _key(params: ParamsSettings, path: str, variables: Mapping[str, str]) -> str:
    def origin(key: str) -> str:
        variable = variables.get(f"{path}.{key}")
        if variable is None:
            return IN_FILE
        return variable if variable.startswith(PREFIX) else f"os.environ/{variable}"

    if params.azure_ad_token_provider is not None:
        return f"Entra, {params.azure_ad_scope}"
    if params.api_key is not None:
        return origin("api_key")
    if params.azure_ad_token is not None:
        return f"Entra token, {origin('azure_ad_token')}"
    header = next((name for name in params.default_headers if name.lower() in KEY_HEADERS), None)
    if header is not None:
        return f"header {header}, {origin(shown_path('default_headers', header))}"
    return OF_CLIENT
