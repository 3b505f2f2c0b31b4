"""Whose fault it is that a client did not get its answer."""

from collections.abc import Sequence

from msgspec import Struct

from bench.chaos.faults import SITE_FAULTS, UNAUTHORIZED
from bench.chaos.history import History
from bench.chaos.questions import CUT, STATUS, TOLD, WHOLE

_OWNER_RESTS_S, _KEY_RESTS_S = 30.0, 305.0
"""How long a site may be left alone after a fault of its own, and after its key was refused."""
_MARGIN_S = 0.5
REFUSED, TIMEOUT = "refused", "timeout"
"""Further things that a client may see: no connection, no answer in time."""
_FROM_NGINX = "no_answer"


class Sight(Struct, frozen=True):
    """What a client saw of one try. Times in seconds since the load began."""

    question: int
    """The number of its question."""
    kind: str
    owner: str | None
    since_s: float
    until_s: float
    seen: str
    status: int = 0
    code: str = ""
    site: str = ""
    """Whose answer it was, as the proxy says."""
    replica: str = ""
    """Which one answered, by its name; empty = none did."""
    text: str = ""
    """The end of what came."""


class Verdict(Struct, frozen=True):
    """What follows. `is_ours`: should the proxy have answered?"""

    is_ours: bool
    why: str


ANSWERED = Verdict(is_ours=False, why="answered")


def judge(sight: Sight, history: History) -> Verdict:
    """Whatever nothing else explains is the proxy's."""
    since_s, until_s = sight.since_s - _MARGIN_S, sight.until_s + _MARGIN_S
    if sight.seen == WHOLE:
        return ANSWERED
    if sight.seen == TOLD:
        faults = history.of_site(sight.site, since_s, until_s) if sight.site else []
        if any(SITE_FAULTS[fault.kind].breaks_streams for fault in faults):
            return Verdict(is_ours=False, why="the provider broke the stream, and the client was told")
    if sight.seen in (CUT, REFUSED) or sight.code == _FROM_NGINX:
        killed = history.killed(since_s, until_s)
        if sight.replica in killed or (killed and not sight.replica):
            return Verdict(is_ours=False, why="the worker that answered was killed")
    is_bound = sight.owner is not None and sight.seen == STATUS and sight.status in (429, 500, 502, 503, 504)
    if is_bound and _was_ill(sight.owner or "", since_s, until_s, history):
        return Verdict(is_ours=False, why="the only account that could go on was failing, or resting for that")
    well = history.well(sight.since_s, sight.until_s)
    said = f"{sight.seen} {sight.status or ''} {sight.code}".strip()
    return Verdict(is_ours=True, why=f"{said}, while {_listed(well)} well and {_listed(_on(history, sight))} on")


def _was_ill(site: str, since_s: float, until_s: float, history: History) -> bool:
    recent = history.of_site(site, since_s - _OWNER_RESTS_S, until_s)
    return bool(recent) or any(
        fault.kind == UNAUTHORIZED for fault in history.of_site(site, since_s - _KEY_RESTS_S, until_s)
    )


def _on(history: History, sight: Sight) -> Sequence[str]:
    return [str(fault) for fault in history.during(sight.since_s - 1.0, sight.until_s)]


def _listed(names: Sequence[str]) -> str:
    verb = "was" if len(names) == 1 else "were"
    return f"{', '.join(names) or 'nothing'} {verb}" if names else "nothing was"
