"""What can go wrong with an attempt, and what each kind means for the endpoint and for the request.

Which upstream answer is of which kind is decided where the provider's words are known (`adapters.upstreams`); what
follows from a kind is decided here, in one table.
"""

from collections.abc import Sequence
from enum import Enum, StrEnum

from msgspec import Struct


class FailureKind(StrEnum):
    """Why an attempt failed. The values are what logs and headers show."""

    CONNECT = "connect_failed"
    CONNECT_TIMEOUT = "connect_timeout"
    DNS = "dns_failed"
    TLS = "tls_failed"
    RESET = "connection_reset"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    DEADLINE = "deadline_exceeded"
    SLOW = "slow_for_client"
    LOCAL = "proxy_out_of_resources"
    NO_CREDENTIAL = "no_credential"
    TRUNCATED = "truncated"
    JUNK = "junk_reply"
    SERVER_ERROR = "server_error"
    REQUEST_TIMEOUT = "request_timeout"
    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate_limited"
    OVER_LIMIT = "request_over_limit"
    UNSERVABLE = "not_served_here"
    CONFLICT = "conflict"
    MONEY = "quota_exhausted"
    AUTH = "auth_failed"
    KEY = "key_refused"
    NOT_FOUND = "model_not_found"
    MISCONFIGURED = "misconfigured"
    PATH_REFUSED = "path_refused"
    STATE = "state_elsewhere"
    CLIENT = "client_error"
    UNKNOWN = "unknown_error"


class Blame(Enum):
    """Whose fault a failure is. An endpoint is held to account only for what is known to be its own."""

    ENDPOINT = "endpoint"  # it does not work now: fail over; it counts
    LIMIT = "limit"  # it is asked for more than it gives: fail over; its clock says for how long
    KEY = "key"  # it cannot work as it is configured or paid: fail over; somebody has to look
    REQUEST = "request"  # the request is wrong, or refused: the client reads the provider's own words
    UNKNOWN = "unknown"  # nothing tells: one other endpoint is asked, and what that says is relayed
    PROXY = "proxy"  # of our own making: the endpoint has no part in it


class Effect(Enum):
    NONE = "none"
    COUNT = "count"  # one more failure in a row; `allowed_fails` of them cool it
    FAULT = "fault"  # it cannot work as it is configured or paid: it cools at once and long, and somebody should look
    ACCOUNT_FAULT = "account fault"  # the same, for every endpoint with the same host and key
    CLOCK = "clock"  # it is to be left alone for as long as it says
    SUSPECT = "suspect"  # it counts only when nothing else comes: see `CooldownPolicy.after_unknown`


class Meaning(Struct, frozen=True):
    blame: Blame
    effect: Effect
    next_endpoint: bool = True  # may another endpoint be tried?
    same_endpoint: bool = True  # may the same endpoint be tried again for this request, after a wait?
    relayed: bool = False  # if no endpoint does better, does the client get the upstream's own status and body?


_BROKEN = (
    FailureKind.CONNECT, FailureKind.CONNECT_TIMEOUT, FailureKind.DNS, FailureKind.TLS, FailureKind.RESET,
    FailureKind.FIRST_BYTE_TIMEOUT, FailureKind.IDLE_TIMEOUT, FailureKind.TRUNCATED, FailureKind.JUNK,
    FailureKind.SERVER_ERROR, FailureKind.REQUEST_TIMEOUT,
)  # fmt: skip
_NOT_THIS_REQUEST = Meaning(Blame.REQUEST, Effect.NONE, same_endpoint=False, relayed=True)  # another may do it

MEANINGS: dict[FailureKind, Meaning] = {
    **dict.fromkeys(_BROKEN, Meaning(Blame.ENDPOINT, Effect.COUNT)),
    FailureKind.OVERLOADED: Meaning(Blame.LIMIT, Effect.CLOCK),
    FailureKind.RATE_LIMITED: Meaning(Blame.LIMIT, Effect.CLOCK),
    FailureKind.MONEY: Meaning(Blame.KEY, Effect.ACCOUNT_FAULT, same_endpoint=False, relayed=True),
    FailureKind.AUTH: Meaning(Blame.KEY, Effect.FAULT, same_endpoint=False),
    FailureKind.KEY: Meaning(Blame.KEY, Effect.ACCOUNT_FAULT, same_endpoint=False),
    FailureKind.NOT_FOUND: Meaning(Blame.KEY, Effect.FAULT, same_endpoint=False, relayed=True),
    FailureKind.MISCONFIGURED: Meaning(Blame.KEY, Effect.FAULT, same_endpoint=False),
    FailureKind.PATH_REFUSED: Meaning(Blame.KEY, Effect.NONE, same_endpoint=False),
    FailureKind.OVER_LIMIT: _NOT_THIS_REQUEST,
    FailureKind.UNSERVABLE: _NOT_THIS_REQUEST,
    FailureKind.STATE: _NOT_THIS_REQUEST,
    FailureKind.CONFLICT: Meaning(Blame.REQUEST, Effect.NONE, relayed=True),
    FailureKind.CLIENT: Meaning(Blame.REQUEST, Effect.NONE, next_endpoint=False, same_endpoint=False, relayed=True),
    FailureKind.UNKNOWN: Meaning(Blame.UNKNOWN, Effect.SUSPECT, same_endpoint=False, relayed=True),
    FailureKind.DEADLINE: Meaning(Blame.PROXY, Effect.NONE, next_endpoint=False, same_endpoint=False),
    FailureKind.SLOW: Meaning(Blame.PROXY, Effect.NONE),
    FailureKind.LOCAL: Meaning(Blame.PROXY, Effect.NONE, same_endpoint=False),
    FailureKind.NO_CREDENTIAL: Meaning(Blame.PROXY, Effect.NONE),
}
"""What an error means decides everything else, so it stands in one table."""

_OF_ITS_PURPOSE = frozenset({Effect.COUNT, Effect.FAULT, Effect.SUSPECT})  # how well it does what it is there for

_REFUSING = frozenset({Blame.REQUEST, Blame.KEY, Blame.UNKNOWN})

NEVER_SENT = frozenset({
    FailureKind.CONNECT, FailureKind.CONNECT_TIMEOUT, FailureKind.DNS, FailureKind.TLS, FailureKind.LOCAL,
    FailureKind.NO_CREDENTIAL,
})  # fmt: skip
"""Kinds after which the provider has seen nothing of the request: it cost no part of a rate limit."""

HICCUPS = frozenset({FailureKind.SERVER_ERROR, FailureKind.RESET, FailureKind.TRUNCATED, FailureKind.JUNK})
"""Kinds of an endpoint that is there: what often goes well a moment later."""


class Failure(Struct, frozen=True):
    """One failed attempt, in words that may be shown: never a body, a key or a prompt."""

    kind: FailureKind
    reason: str = ""  # a few safe words for logs and error messages, such as `500 server_error` or `connection refused`
    is_error_reply: bool = False  # False = there was no reply, or a good one that holds the error
    retry_after_s: float | None = None  # how long the upstream asked to be left alone; None = it did not say
    hint: str | None = None  # what somebody could do about it, for the log; None = nothing known
    disowns: bool = False  # does the account know neither credential nor id? Then it keeps nothing of ours

    @property
    def meaning(self) -> Meaning:
        return MEANINGS[self.kind]

    def effect(self, *, is_beside: bool) -> Effect:
        """What it does to the endpoint; beside its purpose (files, stored things) only a failed connection counts."""
        effect = self.meaning.effect
        if not is_beside or (effect is Effect.COUNT and self.kind in NEVER_SENT):
            return effect
        return Effect.NONE if effect in _OF_ITS_PURPOSE else effect

    @property
    def is_refusal(self) -> bool:
        """Was it answered with a no, rather than busy or broken? Inside a good reply it is none: that took tokens."""
        return self.is_error_reply and self.meaning.blame in _REFUSING

    def __str__(self) -> str:
        return f"{self.kind.value} ({self.reason})" if self.reason else self.kind.value


def most_telling(failures: Sequence[Failure]) -> int:
    """Which of what a request's attempts came to, of which there is at least one, its client is told.

    It is the last, but one endpoint's own refusal speaks for all only when all refuse: a deployment that is missing on
    one says nothing to a client whose request another one just dropped. What a provider said that may be about the
    request says more than any sentence of the proxy's.
    """
    last = len(failures) - 1
    asked = [index for index, failure in enumerate(failures) if not failure.disowns]
    if asked and all(failures[index].kind is FailureKind.STATE for index in asked):
        return asked[-1]  # an account that refuses the question is not the one that keeps the thing
    if failures[last].kind is FailureKind.CLIENT:
        return last
    unknown = [index for index, failure in enumerate(failures) if failure.kind is FailureKind.UNKNOWN]
    if unknown:
        return unknown[-1]
    transient = [index for index, failure in enumerate(failures) if not failure.meaning.relayed]
    return transient[-1] if transient and failures[last].meaning.next_endpoint else last
