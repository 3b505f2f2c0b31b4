"""What each tier of a group answered, and how well those before were used when a later one answered."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from domain.group import ModelGroup
from entrypoints.simulate.run import Played
from entrypoints.simulate.scenario import Plan
from entrypoints.simulate.world.journal import EndpointBooks

_MINUTE_S = 60


class TierFigures(Struct, frozen=True):
    """One tier of a group that has several."""

    group: str
    tier: str
    """`first`, `priority 1` and so on, or `fallback`."""
    endpoints: Sequence[str]
    requests: int
    """That it answered; of each tier but the first they are the spill."""
    share: float
    """Of the group's answers, in percent."""
    used_at_spill: float | None
    """How much of its limit a minute its providers let in, requests or tokens, whichever is more, in percent: over the
    whole minutes in which a later tier was asked. None = there was none, or not all of its endpoints have a limit."""


def tiers_of(group: ModelGroup, plans: Mapping[str, Plan], played: Played) -> list[TierFigures]:
    """In the order in which they are used; none where the group has one tier."""
    names: dict[int, str] = dict(sorted(zip(group.tiers(), group.tier_names(), strict=True)))
    if len(names) == 1:
        return []
    members = {
        tier: [e.id for e, its in zip(group.endpoints, group.tiers(), strict=True) if its == tier] for tier in names
    }
    books = played.journal.books
    total = sum(sum(books[endpoint.id].answered) for endpoint in group.endpoints) or 1
    found = []
    for tier, name in names.items():
        later = [books[each] for after in names if after > tier for each in members[after]]
        minutes = {minute for each in later for minute in each.let_in_requests}
        whole = [minute for minute in sorted(minutes) if (minute + 1) * _MINUTE_S <= played.length_s]
        answered = sum(sum(books[each].answered) for each in members[tier])
        share = round(100 * answered / total, 2)
        used = _used(
            {plans[each].bucket: plans[each] for each in members[tier]}, [books[e] for e in members[tier]], whole
        )
        found.append(TierFigures(group.name, name, members[tier], answered, share, used))
    return found


def _used(plans: Mapping[str, Plan], books: Sequence[EndpointBooks], minutes: Sequence[int]) -> float | None:
    """In percent of both limits, the higher; `plans` by bucket, as a limit that is shared counts once."""
    limits = [plan.provider for plan in plans.values()]
    parts = (
        _part((each.let_in_requests for each in books), [limit.rpm for limit in limits], minutes),
        _part((each.charged_tokens for each in books), [limit.tpm for limit in limits], minutes),
    )
    known = [part for part in parts if part is not None]
    return round(100 * max(known), 2) if known else None


def _part(taken: Iterable[Counter[int]], limits: Sequence[int | None], minutes: Sequence[int]) -> float | None:
    known = [limit for limit in limits if limit is not None]
    if not minutes or len(known) < len(limits):
        return None
    return sum(each[minute] for each in taken for minute in minutes) / (sum(known) * len(minutes))
