"""Fault rules: which request is to go wrong, and how. Counting and choosing live here; performing does not.

A rule is tried in the order given. It is consulted when its `match` fits; the first that is due wins, and a rule
that is not due (skipped, spent, not its turn, dice against it) lets the next one try.
"""

from collections.abc import Sequence
from random import Random
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Moment = Literal["before_headers", "mid_body", "mid_stream"]


class Action(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", omit_defaults=True):
    """What happens to a request. `kind` in a scenario is the tag of the subclass."""

    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)


class Status(Action, tag="status", frozen=True):
    """Another status. A string body is sent verbatim, anything else as JSON."""

    status: Annotated[int, Meta(ge=200, le=599)]
    headers: dict[str, str] = {}
    body: Any = ""


class Junk(Action, tag="junk", frozen=True):
    """A 200 whose body is not an answer."""

    body: str
    content_type: str = "application/json"


class Empty(Action, tag="empty", frozen=True):
    """A 200 with `content-length: 0`."""


class Redirect(Action, tag="redirect", frozen=True):
    location: str
    status: Literal[301, 302, 303, 307, 308] = 302


class Latency(Action, tag="latency", frozen=True):
    """Seconds on top of the latency of the settings."""

    seconds: Seconds


class HugeHeaders(Action, tag="huge_headers", frozen=True):
    """The normal reply with `bytes` of padding in its headers."""

    size_bytes: Positive = field(name="bytes")


class StreamError(Action, tag="stream_error", frozen=True):
    """An error frame inside a 200 stream after that many events, then a clean end without `[DONE]`."""

    after_events: Count = 1
    frame: str | None = None
    """Sent verbatim; None: the error frame of the API that was called."""


class NoDone(Action, tag="no_done", frozen=True):
    """A stream that ends cleanly without its finishing events and without `[DONE]`."""


class Cut(Action, frozen=True):
    """Breaks a reply at some point: before its headers, or inside its body.

    `after_events` counts whole events of a stream, `after_bytes` bytes of the body. With neither, a stream breaks
    after its first event and any other body half way.
    """

    when: Moment = "before_headers"
    after_events: Count | None = None
    after_bytes: Count | None = None


class Reset(Cut, tag="reset", frozen=True):
    """TCP RST."""


class Close(Cut, tag="close", frozen=True):
    """TCP FIN."""


class Hang(Cut, tag="hang", frozen=True):
    """Silence until the client leaves, or until `seconds` have passed, which closes the connection."""

    seconds: Seconds | None = None


class Truncate(Action, tag="truncate", frozen=True):
    """`content-length` promises more than is sent, then FIN."""

    missing_bytes: Positive | None = None
    """How much of the body is kept back; None: half of it."""


class Overlong(Action, tag="overlong", frozen=True):
    """More bytes than `content-length` says; the connection stays open."""

    extra: str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nextra"


class Raw(Action, tag="raw", frozen=True):
    """A body sent literally, piece by piece."""

    chunks: tuple[str, ...]
    status: Annotated[int, Meta(ge=200, le=599)] = 200
    headers: dict[str, str] = {}
    delay_ms: Annotated[float, Meta(ge=0)] = 0
    then: Literal["end", "close", "reset", "hang"] = "end"
    framing: Literal["chunked", "close", "length"] = "chunked"


class Slow(Action, tag="slow", frozen=True):
    """Headers and body are dripped."""

    bytes_per_second: Positive


class Chop(Action, tag="chop", frozen=True):
    """The normal reply in pieces of `bytes`, `delay_ms` apart: splits frames and characters anywhere."""

    size_bytes: Positive = field(name="bytes")
    delay_ms: Annotated[float, Meta(ge=0)] = 1


class Refuse(Action, tag="refuse", frozen=True):
    """Connections are refused for that long; idle ones are dropped and this request is reset."""

    seconds: Seconds


class EarlyCloseIdle(Action, tag="early_close_idle", frozen=True):
    """Answers, and closes the kept-alive connection `ms` later without having announced it."""

    delay_ms: Annotated[float, Meta(ge=0)] = field(default=0, name="ms")


class SocketFault(Action, tag="socket", frozen=True):
    """What happens on a socket after so many events of the provider; 0 = before the first."""

    after_events: Count = 0
    turn: Count = 0
    """Of a Responses socket: the turn whose events are counted, from 1 on; 0 = all events are."""
    frame: str | None = None
    """A text message sent verbatim first, such as an error; None: nothing is."""
    then: Literal["close", "drop", "silent", "go_on", "end_turn", "wait"] = "close"
    """A close frame; RST without one; nothing is said any more; as if nothing had been; or the same, but that a turn
    which was to begin is not answered, or that the client has to speak before the first event of a Realtime socket."""
    code: Annotated[int, Meta(ge=1000, le=4999)] = 1011
    reason: str = ""


AnyAction = (
    Status
    | Junk
    | Empty
    | Redirect
    | Latency
    | HugeHeaders
    | StreamError
    | NoDone
    | Reset
    | Close
    | Hang
    | Truncate
    | Overlong
    | Raw
    | Slow
    | Chop
    | Refuse
    | EarlyCloseIdle
    | SocketFault
)


class Match(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which requests a rule is about; what is left out fits all."""

    path: str | None = None
    """Part of path and query as they came."""
    model: str | None = None
    stream: bool | None = None
    header: tuple[str, str] | None = None
    """Name (any case) and exact value."""


class Rule(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """When `match` fits: let `skip` pass, then act on each `every`th, `times` times, with `probability`."""

    action: AnyAction
    match: Match = Match()
    skip: Count = 0
    times: Positive | None = None
    every: Positive = 1
    probability: Annotated[float, Meta(ge=0, le=1)] | None = None


class Arrival(Struct, frozen=True):
    """What rules may look at in a request. Header names are lower case."""

    path: str
    model: str | None
    stream: bool
    headers: Sequence[tuple[bytes, bytes]]
    is_socket: bool = False


def fits(match: Match, arrival: Arrival) -> bool:
    if match.path is not None and match.path not in arrival.path:
        return False
    if match.model is not None and match.model != arrival.model:
        return False
    if match.stream is not None and match.stream != arrival.stream:
        return False
    if match.header is not None:
        name, value = match.header
        return (name.lower().encode("latin-1"), value.encode("latin-1", "replace")) in arrival.headers
    return True


def needs_socket(action: Action) -> bool:
    """True for what can only happen on a socket: such a rule passes over other requests by itself."""
    return isinstance(action, SocketFault)


def needs_stream(action: Action) -> bool:
    """True for what can only happen to a stream: such a rule passes over other requests by itself."""
    return isinstance(action, StreamError | NoDone) or (isinstance(action, Cut) and action.when == "mid_stream")


class FaultPlan:
    """The rules in force and how often each has been consulted and has acted."""

    def __init__(self, rules: Sequence[Rule] = (), seed: int = 0) -> None:
        self.rules = tuple(rules)
        self.consulted = [0] * len(self.rules)
        self.acted = [0] * len(self.rules)
        self._dice = Random(seed)  # noqa: S311 - repeatable on purpose

    def choose(self, arrival: Arrival) -> AnyAction | None:
        """The action for this request, None when nothing goes wrong. Counts the request."""
        for index, rule in enumerate(self.rules):
            if needs_stream(rule.action) and not arrival.stream:
                continue
            if needs_socket(rule.action) and not arrival.is_socket:
                continue
            if fits(rule.match, arrival) and self._is_due(index, rule):
                self.acted[index] += 1
                return rule.action
        return None

    def _is_due(self, index: int, rule: Rule) -> bool:
        self.consulted[index] += 1
        turn = self.consulted[index] - rule.skip
        if turn < 1 or turn % rule.every:
            return False
        if rule.times is not None and self.acted[index] >= rule.times:
            return False
        return rule.probability is None or self._dice.random() < rule.probability
