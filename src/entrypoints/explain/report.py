"""An explanation in words, and as a document for machines."""

from typing import TextIO

import msgspec

from domain.routing.availability import Availability
from entrypoints.cli.tables import print_columns, printable
from entrypoints.explain.explanation import Explained, Explanation, Outcome
from entrypoints.explain.live_status import LiveLimit

_HEADERS = ("endpoint", "order", "weight", "share", "now", "requests left", "tokens left", "why")
_WORDS = {
    Availability.READY: "takes it",
    Availability.LATER_TIER: "tier: takes it only while no endpoint of an earlier tier can",
    Availability.FALLBACK: "takes it only while no endpoint with a weight can",
    Availability.SCARCE: "little room left: only where no other has more",
    Availability.THROTTLED: "its provider said 429",
    Availability.NO_REQUESTS: "no room for one more request",
    Availability.NO_TOKENS: "no room for so many tokens",
    Availability.COOLING: "cooling",
    Availability.PROBING: "a request tries it after its cooldown",
    Availability.RAMPING: "recovering, and has as many requests as it gets at a time",
    Availability.NO_CREDENTIAL: "no access token",
    Availability.TRIED: "failed already",
}


def as_json(explanation: Explanation) -> str:
    """One document; docs/explain.md says what is in it."""
    return msgspec.json.format(msgspec.json.encode(explanation)).decode()


def print_explanation(told: Explanation, stream: TextIO) -> None:
    """The verdict, the table, the next picks and the notes."""
    size = f"{told.prompt_tokens} prompt tokens"
    if told.max_output_tokens is not None:
        size += f" and at most {told.max_output_tokens} of output"
    state = "as after a start" if told.status is None else f"by the status from {told.status}"
    print(printable(f"A request for '{told.model}' of {size}, {state}: {_verdict(told.outcome)}"), file=stream)
    print_columns("Candidates", _HEADERS, [_row(each) for each in told.candidates], stream, last_may_fold=True)
    if told.next:
        print(f"The next {len(told.next)} like it, all at once: {', '.join(told.next)}", file=stream)
    for note in told.notes:
        print(printable(f"note: {note}"), file=stream)


def _verdict(outcome: Outcome) -> str:
    if outcome.kind == "asked":
        return f"{outcome.endpoint} is asked."
    if outcome.kind == "waits":
        return f"it waits {outcome.after_s:.1f} s for room, then {outcome.endpoint} is asked."
    again = "" if outcome.retry_after_s is None else f", retry-after {outcome.retry_after_s:.1f} s"
    when = f" after {outcome.after_s:.1f} s" if outcome.after_s else ""
    return f"nobody can be asked. The client gets {outcome.status} {outcome.code}{again}{when}: {outcome.message}"


def _row(each: Explained) -> tuple[str, ...]:
    return (
        each.endpoint,
        "-" if each.order is None else str(each.order),
        str(each.weight),
        f"{each.share:.4g} % of {each.tier}",
        f"{each.share_now:.4g} %",
        _left(each.requests),
        _left(each.tokens),
        _why(each),
    )


def _why(each: Explained) -> str:
    parts = [_WORDS[each.availability]]
    if each.availability is Availability.NO_TOKENS:
        parts[0] += f" (needs {each.need_tokens:,.0f})"
    if each.opens_in_s is not None:
        parts[0] += f", for {each.opens_in_s:.1f} s more"
    if each.is_probe:
        parts.append("its cooldown is over: this request tries it")
    elif each.ramp:
        parts.append(f"recovering: {each.ramp} at a time")
    if each.is_last_resort:
        parts.append("asked as a last resort")
    if each.at_s:
        parts.append(f"asked after {each.at_s:.1f} s")
    if each.why:
        parts.append(each.why)
    return "; ".join(parts)


def _left(limit: LiveLimit) -> str:
    if limit.remaining is None:
        return ""
    of = "" if limit.limit is None else f" of {limit.limit:,.0f}"
    back = f", full in {limit.reset_s:.0f} s" if limit.reset_s else ""
    return f"{limit.remaining:,.0f}{of}{back}"
