"""What is played: the endpoints with their limits, latency and troubles, and how often each group is asked for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from domain.endpoint import Endpoint
from domain.group import ModelGroup
from entrypoints.simulate.options import Latency, Limits, Trouble
from simulator.settings import HeaderStyle, ProviderSettings


class ScenarioError(Exception):
    """Options and configuration do not fit; `str(error)` says what was given and what is valid."""


class Plan(Struct, frozen=True):
    """How one endpoint's provider behaves."""

    bucket: str
    """Endpoints that are equal here share their limits."""
    provider: ProviderSettings
    """Limits, and how they are told."""
    is_told: bool
    """Were the limits said on the command line? Else they are those of the file, or there are none."""
    latency: Latency = Latency()
    troubles: tuple[Trouble, ...] = ()


class Scenario(Struct, frozen=True):
    """The groups that are asked for, each with its part of the requests (of 1); the plan of each endpoint, by id."""

    groups: tuple[tuple[ModelGroup, float], ...]
    plans: Mapping[str, Plan]
    streams: bool = False
    """Are the answers streamed?"""
    caches: bool = False
    """Are answers given again to requests that repeat others?"""


_Value = TypeVar("_Value")


def scenario_of(
    groups: Sequence[ModelGroup],
    models: Sequence[tuple[str, float]],
    limits: Sequence[tuple[str | None, Limits]] = (),
    latencies: Sequence[tuple[str | None, Latency]] = (),
    troubles: Sequence[Trouble] = (),
    *,
    streams: bool = False,
) -> Scenario:
    """`models` names the groups with their shares, of any sum; empty = the first group alone. What names no endpoint
    (None) holds for all that are not named, and the later wins. Raises `ScenarioError`."""
    asked = _asked(groups, models)
    endpoints = {endpoint.id: endpoint for group, _ in asked for endpoint in group.endpoints}
    for option, names in (
        ("--limits", (name for name, _ in limits)),
        ("--latency", (name for name, _ in latencies)),
        ("--outage or --429", (trouble.endpoint for trouble in troubles)),
    ):
        _check_known(option, names, list(endpoints))
    by_bucket: dict[str, list[str]] = {}
    for endpoint in endpoints.values():
        by_bucket.setdefault(endpoint.bucket, []).append(endpoint.id)
    plans = {}
    for endpoint in endpoints.values():
        sharing = by_bucket[endpoint.bucket]
        told = _latest(limits, sharing)
        of_file = (endpoints[name] for name in sharing)
        first = next((each for each in of_file if each.rpm is not None or each.tpm is not None), endpoint)
        chosen = Limits(first.rpm, first.tpm) if told is None else told
        style = chosen.style or _style(endpoint, chosen)
        ratio = chosen.output_ratio or (endpoint.output_token_ratio if style == "ptu" else 1.0)
        plans[endpoint.id] = Plan(
            endpoint.bucket,
            ProviderSettings(
                name=endpoint.id[:100],
                rpm=chosen.rpm,
                tpm=chosen.tpm,
                header_style=style,
                output_token_ratio=ratio,
            ),
            told is not None,
            _latest(latencies, [endpoint.id]) or Latency(),
            tuple(trouble for trouble in troubles if trouble.endpoint == endpoint.id),
        )
    return Scenario(asked, plans, streams)


def _style(endpoint: Endpoint, limits: Limits) -> HeaderStyle:
    if endpoint.is_provisioned and limits.tpm is not None:
        return "ptu"
    return "azure" if endpoint.provider == "azure" else "openai"


def _asked(groups: Sequence[ModelGroup], models: Sequence[tuple[str, float]]) -> tuple[tuple[ModelGroup, float], ...]:
    by_name = {group.name: group for group in groups}
    shares: dict[str, float] = dict(models) or {groups[0].name: 1.0}
    for name in shares:
        if name not in by_name:
            raise ScenarioError(f"--model: '{name}' is no model group of the file; valid: {', '.join(by_name)}")
    total = sum(shares.values())
    return tuple((by_name[name], share / total) for name, share in shares.items())


def _check_known(option: str, names: Iterable[str | None], endpoints: Sequence[str]) -> None:
    for name in names:
        if name is not None and name not in endpoints:
            raise ScenarioError(
                f"{option}: '{name}' is no endpoint of the groups that are asked for; valid: {', '.join(endpoints)}"
            )


def _latest(given: Sequence[tuple[str | None, _Value]], names: Sequence[str]) -> _Value | None:
    """What was said last of one of `names`, or else of all; None = nothing was."""
    own = [value for name, value in given if name in names]
    general = [value for name, value in given if name is None]
    return own[-1] if own else (general[-1] if general else None)
