"""The figures of a run. `Report` is also the JSON document; docs/simulate.md says what each field means."""

from collections.abc import Mapping, Sequence
from math import ceil

import msgspec
from msgspec import Struct, structs

from domain.failure import FailureKind
from domain.group import ModelGroup
from entrypoints.simulate.report.tiers import TierFigures, tiers_of
from entrypoints.simulate.run import Played
from entrypoints.simulate.scenario import Plan, Scenario
from entrypoints.simulate.world.journal import BINS, Cooldown, EndpointBooks, Journal

SCHEMA = 1
"""Raised when a field changes its meaning or goes."""


class Source(Struct, frozen=True):
    config: str
    seed: int
    traffic: str
    minutes: float


class Waits(Struct, frozen=True):
    """Times of some requests, in seconds; all 0 where there are none."""

    count: int
    p50_s: float
    p99_s: float
    max_s: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Waits":
        """Percentiles are the smallest value that so many are not above (nearest rank)."""
        ordered = sorted(seconds)
        if not ordered:
            return cls(0, 0.0, 0.0, 0.0)
        p50, p99 = (ordered[ceil(len(ordered) * part) - 1] for part in (0.5, 0.99))
        return cls(len(ordered), round(p50, 3), round(p99, 3), round(ordered[-1], 3))


class Group(Struct, frozen=True):
    """One group, as its clients saw it."""

    group: str
    requests: int
    answered: int
    errors: Mapping[str, int]
    """By the code that clients were told."""
    client_429s: int
    attempts: int
    retries: int
    """Attempts after the first of a request."""


class EndpointFigures(Struct, frozen=True):
    group: str
    endpoint: str
    weight: int
    tier: str
    wanted_share: float
    """Of the group's answers, by the weights, in percent; of later tiers than the first none is wanted."""
    got_share: float
    requests: int
    """That it answered."""
    attempts: int
    failures: Mapping[str, int]
    """Attempts that failed, by kind."""
    received_429s: int
    cooldowns: int
    cooling_s: float
    rpm: int | None
    tpm: int | None
    limits_from: str
    """`options`, `file`, or `none`."""
    peak_rpm: int
    """The most requests that its provider let in within a minute of the run."""
    peak_tpm: int
    """The most tokens that its provider charged, likewise."""
    given_tokens_per_minute: float
    answered_tokens_per_minute: float


class Totals(Struct, frozen=True):
    requests: int
    answered: int
    client_errors: int
    client_429s: int
    received_429s: int
    """By the proxy, from providers."""
    avoided_429s: int
    """Requests that waited for room, or were routed round a limit."""
    routed_round: int
    blind_429s: int
    """What the same requests would have met by weights alone, each sent once."""
    attempts: int
    retries: int


class EndpointLine(Struct, frozen=True):
    """What the timeline has of one endpoint, part for part."""

    endpoint: str
    answered: Sequence[int]
    received_429s: Sequence[int]
    room_left: Sequence[float]
    """The part of its scarcer limit that was left, of 1, on average after its requests."""


class Timeline(Struct, frozen=True):
    """The run in equal parts."""

    part_s: float
    endpoints: Sequence[EndpointLine]
    waiting: Sequence[int]
    """The most requests that waited at once."""
    client_errors: Sequence[int]


class Report(Struct, frozen=True):
    schema: int
    source: Source
    totals: Totals
    waits: Waits
    """Of requests that waited for room."""
    durations: Waits
    """Of requests that were answered, from arrival to answer."""
    groups: Sequence[Group]
    tiers: Sequence[TierFigures]
    """Of groups with several, in the order in which they are used."""
    endpoints: Sequence[EndpointFigures]
    cooldowns: Sequence[Cooldown]
    timeline: Timeline

    def as_json(self) -> bytes:
        """The document, the same for the same run."""
        return msgspec.json.format(msgspec.json.encode(self)) + b"\n"


def report_of(source: Source, scenario: Scenario, played: Played) -> Report:
    groups = [_group(group, played) for group, _ in scenario.groups]
    endpoints = [figures for group, _ in scenario.groups for figures in _endpoints(group, scenario.plans, played)]
    journal, outcomes = played.journal, played.outcomes
    received = sum(sum(books.refused) for books in journal.books.values())
    kept_away = outcomes.routed_round + len(outcomes.waits_s)
    totals = Totals(
        requests=sum(group.requests for group in groups),
        answered=sum(group.answered for group in groups),
        client_errors=sum(sum(group.errors.values()) for group in groups),
        client_429s=sum(group.client_429s for group in groups),
        received_429s=received,
        avoided_429s=kept_away,
        routed_round=outcomes.routed_round,
        blind_429s=played.blind_429s,
        attempts=sum(group.attempts for group in groups),
        retries=sum(group.retries for group in groups),
    )
    return Report(
        SCHEMA,
        source,
        totals,
        Waits.of(outcomes.waits_s),
        Waits.of(outcomes.durations_s),
        groups,
        [tier for group, _ in scenario.groups for tier in tiers_of(group, scenario.plans, played)],
        endpoints,
        [_cooldown(each) for each in journal.cooldowns],
        _timeline(journal, scenario),
    )


def _group(group: ModelGroup, played: Played) -> Group:
    outcomes, name = played.outcomes, group.name
    errors = {code: count for (of, code), count in sorted(outcomes.errors.items()) if of == name}
    return Group(
        name,
        outcomes.requests[name],
        outcomes.answered[name],
        errors,
        sum(errors.get(code, 0) for code in _LIMITED),
        outcomes.attempts[name],
        outcomes.retries[name],
    )


_LIMITED = ("rate_limit_exceeded", FailureKind.RATE_LIMITED.value)
"""Codes with which a client is told 429."""


def _endpoints(group: ModelGroup, plans: Mapping[str, Plan], played: Played) -> list[EndpointFigures]:
    books_of = played.journal.books
    total = sum(sum(books_of[endpoint.id].answered) for endpoint in group.endpoints) or 1
    found = []
    for endpoint, share, tier in zip(group.endpoints, group.shares(), group.tier_names(), strict=True):
        plan, books, state = plans[endpoint.id], books_of[endpoint.id], played.states[endpoint.id]
        cooldowns = [each for each in played.journal.cooldowns if each.endpoint == endpoint.id]
        answered, limits = sum(books.answered), plan.provider
        is_limited = limits.rpm is not None or limits.tpm is not None
        found.append(
            EndpointFigures(
                group.name,
                endpoint.id,
                endpoint.weight,
                tier,
                round(100 * share, 2),
                round(100 * answered / total, 2),
                answered,
                state.tally.attempts,
                dict(sorted(state.tally.failures.items())),
                sum(books.refused),
                len(cooldowns),
                round(sum(_length_s(each, played) for each in cooldowns), 1),
                limits.rpm,
                limits.tpm,
                "options" if plan.is_told else ("file" if is_limited else "none"),
                max(books.let_in_requests.values(), default=0),
                max(books.charged_tokens.values(), default=0),
                _a_minute(books.given_tokens, played),
                _a_minute(books.answered_tokens, played),
            )
        )
    return found


def _length_s(cooldown: Cooldown, played: Played) -> float:
    return (played.ended_s if cooldown.until_s is None else cooldown.until_s) - cooldown.from_s


def _a_minute(tokens: int, played: Played) -> float:
    return round(tokens * 60 / played.length_s, 1)


def _cooldown(cooldown: Cooldown) -> Cooldown:
    until_s = None if cooldown.until_s is None else round(cooldown.until_s, 3)
    return structs.replace(cooldown, from_s=round(cooldown.from_s, 3), until_s=until_s)


def _timeline(journal: Journal, scenario: Scenario) -> Timeline:
    """Endpoints by their tiers, so that what is spilled lies on top of the rest."""
    tier_of = {
        endpoint.id: tier
        for group, _ in scenario.groups
        for endpoint, tier in zip(group.endpoints, group.tiers(), strict=True)
    }
    lines = [_line(name, journal.books[name]) for name in sorted(journal.books, key=tier_of.__getitem__)]
    return Timeline(round(journal.bin_s, 6), lines, journal.waiting[:BINS], journal.failed[:BINS])


def _line(name: str, books: EndpointBooks) -> EndpointLine:
    room_left = [round(left, 3) for left in books.room_left[:BINS]]
    return EndpointLine(name, books.answered[:BINS], books.refused[:BINS], room_left)
