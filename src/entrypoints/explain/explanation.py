"""What is explained: whom a request would be asked of, why, and what its client gets. Made for people and machines."""

import difflib
from collections.abc import Sequence

from msgspec import Struct

from adapters.http.error_headers import MAX_RETRY_AFTER_S
from adapters.http.server.error_body import status_of
from domain.group import ModelGroup
from domain.routing.affinity import Affinity
from domain.routing.availability import AMPLE, PICKED, Availability
from entrypoints.config.settings import Settings
from entrypoints.explain.live_status import LiveEndpoint, LiveLimit, LiveStatus
from entrypoints.explain.rehearsal import Candidate, Rehearsal, Rehearsed, Wanted
from entrypoints.wiring.groups import by_name, model_groups, stranger_group_of

NEXT_PICKS = 10
_NAMED = 5


class ModelUnknown(Exception):
    """No group takes the model; `str()` says which there are."""


class Explained(Struct, frozen=True):
    """One endpoint of the group."""

    endpoint: str
    order: int | None
    """Its place among those that are asked while each before it fails, from 1; None = it is not asked."""
    at_s: float | None
    """When it is, in seconds after the request came; None = it is not."""
    is_last_resort: bool
    """Is it asked only because nobody else can be?"""
    provider: str
    model: str
    weight: int
    tier: str
    """`first`, `priority 1` and so on, or `fallback`: only when no endpoint of an earlier one can take the request."""
    share: float
    """By weight, of what its tier gets while all of it are well, in percent."""
    share_now: float
    """Of requests like this one that come now, in percent."""
    availability: Availability
    opens_in_s: float | None
    """Seconds until what keeps it away is over; None = nothing does, or that is not known."""
    is_probe: bool
    """Is its cooldown over, so that the next request tries it?"""
    ramp: int
    """How many requests at a time it gets after a cooldown; 0 = as many as there are."""
    need_tokens: float
    """What the request is expected to take there."""
    requests: LiveLimit
    tokens: LiveLimit
    why: str
    """Why it rests, in the words of the running proxy; empty = it does not, or that is not known."""


class Outcome(Struct, frozen=True):
    kind: str
    """`asked` at once, `waits` for room, or `refused`."""
    after_s: float
    """How long that takes."""
    endpoint: str | None = None
    """The one that is asked first; None = none is."""
    status: int | None = None
    """What the client is told where none is, as its `code`, `message` and `retry-after` are."""
    code: str | None = None
    message: str | None = None
    retry_after_s: float | None = None


class Explanation(Struct, frozen=True):
    """All of it. No key is in it, and nothing that the client is known by."""

    file: str
    model: str
    group: str
    status: str | None
    """Where the state is from; None = that of a proxy which has just started."""
    prompt_tokens: int
    max_output_tokens: int | None
    has_affinity: bool
    """Is the request bound to one endpoint, if possible?"""
    outcome: Outcome
    candidates: Sequence[Explained]
    """Those that are asked first, in that order; then the others in the order of the file."""
    next: Sequence[str]
    """Where the next ten requests like this one go, were they all to come now; fewer where the rest has to wait."""
    notes: Sequence[str]


def explain(settings: Settings, wanted: Wanted, live: LiveStatus | None, source: str | None) -> Explanation:
    """Raises `ModelUnknown`. `live` is the state of a running proxy, from `source`; None = it has just started."""
    group = _group_of(settings, wanted.model)
    rehearsal = Rehearsal(settings, live, group.name, wanted)
    seen, dispatched = rehearsal.candidates(), rehearsal.dispatched()
    has_affinity = bool(wanted.affinity) and group.affinity is Affinity.PROMPT_CACHE_KEY
    return Explanation(
        file=str(settings.path),
        model=wanted.model,
        group=group.name,
        status=source,
        prompt_tokens=wanted.prompt_tokens,
        max_output_tokens=wanted.max_output_tokens,
        has_affinity=has_affinity,
        outcome=_outcome(dispatched),
        candidates=_explained(group, seen, dispatched, live, has_affinity=has_affinity),
        next=rehearsal.next_picks(NEXT_PICKS),
        notes=_notes(group, wanted, settings, live),
    )


def _group_of(settings: Settings, model: str) -> ModelGroup:
    groups = model_groups(settings)
    found = by_name(groups).get(model) or stranger_group_of(settings.general, groups)
    if found is not None:
        return found
    names = [group.name for group in groups]
    near = difflib.get_close_matches(model, names, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]}? " if near else ""
    more = "; to have unlisted models taken, set general_settings.passthrough_group"
    raise ModelUnknown(f"no model group is called '{model}'; {meant}valid: {', '.join(names)}{more}")


def _outcome(dispatched: Rehearsed) -> Outcome:
    if dispatched.asked:
        first = dispatched.asked[0]
        return Outcome("waits" if first.at_s else "asked", round(first.at_s, 3), first.endpoint)
    error = dispatched.error
    if error is None:
        raise RuntimeError("a request was neither sent nor refused")
    retry_after_s = None if error.retry_after_s is None else round(min(MAX_RETRY_AFTER_S, error.retry_after_s), 1)
    return Outcome(
        "refused", round(dispatched.after_s, 3), None, status_of(error), error.code, str(error), retry_after_s
    )


def _explained(
    group: ModelGroup, seen: Sequence[Candidate], dispatched: Rehearsed, live: LiveStatus | None, *, has_affinity: bool
) -> list[Explained]:
    asked = {each.endpoint: (order, each) for order, each in enumerate(dispatched.asked, 1)}
    first = dispatched.asked[0].endpoint if dispatched.asked else None
    shares_now = _shares_now(group, seen, first, has_affinity=has_affinity)
    told = {each.id: each for each in live.endpoints} if live else {}
    explained = []
    members = zip(group.endpoints, group.tier_names(), group.tier_shares(), seen, shares_now, strict=True)
    for endpoint, tier, share, candidate, share_now in members:
        order, attempt = asked.get(endpoint.id, (None, None))
        health = candidate.health
        explained.append(
            Explained(
                endpoint=endpoint.id,
                order=order,
                at_s=None if attempt is None else round(attempt.at_s, 3),
                is_last_resort=attempt is not None and attempt.is_last_resort,
                provider=endpoint.provider,
                model=endpoint.model,
                weight=endpoint.weight,
                tier=tier,
                share=round(100 * share, 2),
                share_now=round(100 * share_now, 2),
                availability=candidate.availability,
                opens_in_s=None if candidate.opens_in_s is None else round(candidate.opens_in_s, 1),
                is_probe=candidate.availability in PICKED and health.open_until > 0,
                ramp=health.ramp,
                need_tokens=round(candidate.need, 1),
                requests=_rounded(candidate.requests),
                tokens=_rounded(candidate.tokens),
                why=told.get(endpoint.id, LiveEndpoint("")).why,
            )
        )
    return sorted(explained, key=lambda each: each.order or len(explained) + 1)


def _shares_now(group: ModelGroup, seen: Sequence[Candidate], first: str | None, *, has_affinity: bool) -> list[float]:
    """Of requests that come now and are alike. Where no turns are taken all go where the first one does."""
    tiers = group.tiers()
    used = min((tier for each, tier in zip(seen, tiers, strict=True) if each.availability in AMPLE), default=None)
    if has_affinity or used is None:
        return [float(candidate.endpoint == first) for candidate in seen]
    weights = [
        (weight or 1) if tier == used and candidate.availability in AMPLE else 0
        for candidate, tier, weight in zip(seen, tiers, group.weights(), strict=True)
    ]
    return [weight / sum(weights) for weight in weights]


def _notes(group: ModelGroup, wanted: Wanted, settings: Settings, live: LiveStatus | None) -> list[str]:
    notes = []
    if wanted.model != group.name:
        notes.append(f"'{wanted.model}' is no group's: passthrough_group '{group.name}' takes it, under that very name")
    if wanted.affinity and group.affinity is Affinity.NONE:
        notes.append(f"the client's key changes nothing: '{group.name}' has no affinity (affinity: prompt_cache_key)")
    if any(not endpoint.owns_credential for endpoint in group.endpoints):
        notes.append("where clients bring their own keys, each has limits of its own, which are not known here")
    if len(group.endpoints) > group.retry.max_attempts:
        notes.append(f"num_retries ends it: no more than {group.retry.max_attempts} endpoints are asked")
    if group.max_wait_for_tier_s and any(group.tiers()):
        wait = f"{group.max_wait_for_tier_s:g} s"
        notes.append(f"max_wait_for_tier: each may wait {wait} for an earlier tier; shares are told as if none did")
    if live is None:
        notes.append("limits and cooldowns are those after a start; --status takes those of a proxy that runs")
        return notes
    notes.append("whose turn it is no status says: turns are counted as after a start, shares are exact")
    waiting = sum(told.waiting for told in live.groups if told.model_group == group.name)
    if waiting:
        notes.append(f"{waiting} request(s) wait for a rate limit already, and go first")
    configured = {endpoint.id for each in model_groups(settings) for endpoint in each.endpoints}
    told_of = {endpoint.id for endpoint in live.endpoints}
    if unknown := sorted(told_of - configured):
        notes.append(f"the status is of another configuration: this one has no {_some(unknown)}")
    if missing := [endpoint.id for endpoint in group.endpoints if endpoint.id not in told_of]:
        notes.append(f"the status does not have {_some(missing)}: nothing is known of that")
    return notes


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _rounded(limit: LiveLimit) -> LiveLimit:
    def one(number: float | None) -> float | None:
        return None if number is None else round(max(0.0, number), 1)

    return LiveLimit(one(limit.limit), one(limit.remaining), one(limit.reset_s))
