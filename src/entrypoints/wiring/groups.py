"""From settings to the groups that requests go to: those of the file, and those that take what names none of them."""

from collections.abc import Sequence

from msgspec import structs

from domain.cost import dearest
from domain.endpoint import Endpoint
from domain.group import ModelGroup
from domain.health.cooldown import CooldownPolicy
from domain.retry import RetryPolicy
from domain.routing.affinity import Affinity
from entrypoints.config.settings import GeneralSettings, GroupSettings, Settings
from entrypoints.wiring.endpoints import endpoint_of, price_of

ACCOUNTS = "all accounts "  # the name of the group of all accounts; no model can be called so, as a space ends it


def model_groups(settings: Settings) -> tuple[ModelGroup, ...]:
    return tuple(_group(group, settings.general) for group in settings.groups)


def accounts_group(groups: Sequence[ModelGroup]) -> ModelGroup:
    """One endpoint of each account, in the order of the file: for what names no model but belongs to one of them."""
    first: dict[str, Endpoint] = {}
    for group in groups:
        for endpoint in group.endpoints:
            first.setdefault(endpoint.account, endpoint)
    return ModelGroup(ACCOUNTS, tuple(first.values()), groups[0].cooldown, groups[0].retry)


def creating_group(start_group: ModelGroup | None) -> ModelGroup | None:
    """The start group, with the others there only to stand in for its first account: what is created without a model
    (files, vector stores, batches) has to end up in one place, or nothing could be made of two of them."""
    if start_group is None:
        return None
    tiers = zip(start_group.endpoints, start_group.tiers(), strict=True)
    account = next(endpoint for endpoint, tier in tiers if not tier).account
    weights = (
        w if e.account == account else 0 for e, w in zip(start_group.endpoints, start_group.weights(), strict=True)
    )
    endpoints = tuple(structs.replace(e, weight=w) for e, w in zip(start_group.endpoints, weights, strict=True))
    return structs.replace(start_group, name=f"{start_group.name} ", endpoints=endpoints)


def by_name(groups: Sequence[ModelGroup]) -> dict[str, ModelGroup]:
    return {group.name: group for group in groups}


def start_group_of(general: GeneralSettings, groups: Sequence[ModelGroup]) -> ModelGroup | None:
    """The group that takes what names no model; None = there is none."""
    if general.passthrough == "off":
        return None
    return stranger_group_of(general, groups) or (groups[0] if len(groups) == 1 else None)


def stranger_group_of(general: GeneralSettings, groups: Sequence[ModelGroup]) -> ModelGroup | None:
    """The group that takes models that are no group's; None, unless the configuration names one itself."""
    return None if general.passthrough_group is None else by_name(groups)[general.passthrough_group]


def routed(groups: Sequence[ModelGroup], *others: ModelGroup | None) -> tuple[ModelGroup, ...]:
    """All that there are; None among `others` = there is no such group."""
    return (*groups, *(group for group in others if group is not None))


def _group(group: GroupSettings, general: GeneralSettings) -> ModelGroup:
    priced = [(endpoint_of(model), price_of(model.price)) for model in group.models]
    prices = {endpoint.id: price for endpoint, price in priced}
    baseline = prices[group.price_baseline] if group.price_baseline else dearest(prices.values())
    endpoints = tuple(
        structs.replace(endpoint, price=price, baseline=None if price == baseline else baseline)
        for endpoint, price in priced
    )
    cooldown = CooldownPolicy(
        allowed_fails=general.allowed_fails,
        cooldown_s=general.cooldown_time,
        # A probe lives until its first byte at the longest: its lease must not end before.
        probe_lease_s=max(
            endpoint.connect_timeout_s + max(endpoint.first_byte_timeout_s, endpoint.whole_reply_timeout_s)
            for endpoint in endpoints
        ),
    )
    retry = RetryPolicy(num_retries=general.num_retries)
    return ModelGroup(
        group.model_group, endpoints, cooldown, retry, Affinity(group.affinity), general.max_wait_for_tier
    )
