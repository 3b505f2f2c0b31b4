"""What passes between the proxy's edges and its use cases: requests as they came, replies as they go."""

from collections.abc import Sequence
from enum import Enum, StrEnum
from typing import Any, Protocol

from msgspec import Struct

from application.telemetry_ports import RequestSpan
from domain.caching.cache_key import CacheControl, CacheState
from domain.failure import Failure
from domain.rate_limit.token_estimate import Usage

Headers = tuple[tuple[str, str], ...]  # lower-case names and values (latin-1), in order, repeated ones kept


Pieces = tuple[bytes | memoryview, ...]  # a large body as it lies in memory: joining it would be one more copy

KEY_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "x-goog-api-key", "ocp-apim-subscription-key"})
"""Headers in which one provider or gateway or another takes its key."""
PROVIDER_KEY_HEADERS = frozenset({"authorization", "api-key"})  # OpenAI's and Azure's; others go along, for a gateway


class Api(StrEnum):
    """Which of the OpenAI APIs a request speaks: decides how its reply is read."""

    CHAT = "chat"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    COMPLETIONS = "completions"
    MODERATIONS = "moderations"
    REALTIME = "realtime"  # a WebSocket on which both sides talk
    STORED = "stored"  # what a provider keeps: one response, conversation or stored completion, and what is below it
    OTHER = "other"  # any other path: passed through without being understood


class Upload(Protocol):
    """One run through a body that is too large to be held: it comes from the client while it goes to the endpoint."""

    @property
    def length(self) -> int | None:
        """Its size in bytes, exactly; None = the client did not say."""

    @property
    def begun(self) -> bool:
        """Has any of it been read? What has been read cannot be sent a second time."""

    async def read(self) -> bytes:
        """The next piece; b"" = that was all. Raises `ClientLeft`, and `ProxyError` for a client that is too slow."""


class ClientBody(Protocol):
    """What an upload comes from: the body of a client that is still sending it."""

    @property
    def begun(self) -> bool:
        """Has so much of it been sent on that it cannot be sent to anybody else?"""

    @property
    def taken_bytes(self) -> int:
        """How much of it has come so far."""

    def upload(self, model: str) -> Upload:
        """A run through it from its start, while it has not `begun`. `model` is put in place of the name that a form
        has for the model, where that is found; empty = the body stays as it is."""


class ClientLeft(Exception):
    """The client broke off in the middle of its body."""


_MOST_OF_IT = 0.9  # the part of a client's patience after which its leaving is taken for its time-out


class Binding(Struct, frozen=True):
    """What a request builds on that a provider account keeps, and where it may be answered: what the owners of things
    are found to be, beside what the client sent."""

    ids: tuple[str, ...] = ()  # of what it builds on: an account that does not know that cannot answer it
    kept: tuple[str, ...] = ()  # those of them that the account it is pinned to is known to keep
    unclaimed: tuple[str, ...] = ()  # those of them that nobody is known to keep
    gone: str = ""  # one that was deleted through the proxy: the account that denies it is right; empty = there is none
    pinned: frozenset[str] | None = None  # ids of the only endpoints that may answer; None = any of the group may
    is_denied: bool = False  # has an account denied knowing this? The account that answers then owns it


FREE = Binding()  # of a request that builds on nothing


class ProxyRequest(Struct, frozen=True):
    """One client request, decoded only as far as the proxy acts on it."""

    api: Api
    path: str  # below the version root, such as `/chat/completions`; percent-encoded as it came
    query: str  # the client's query as it came, without `?`; empty = none
    headers: Headers  # what goes on to any endpoint: end-to-end headers without the client's credentials
    credentials: Headers  # the client's own credentials; sent on only by endpoints that have none of their own
    body: bytes
    model: str  # the model group asked for; empty = it names none, and the body goes on as it is
    body_model: str | None  # what the body calls the model; None = it names none (as Azure's deployment URLs)
    stream: bool
    request_id: str
    received: float  # when the request came, in seconds of the monotonic clock
    client: str = ""  # digest of a credential that is sent on, to tell rate limits apart; empty = none is
    tenant: str = ""
    """A digest of the client's credential, whether the proxy or the provider checks it. Equal ones share answers.
    Where keys are kept apart, whose key it is: what it stores is kept under this."""
    cache_control: CacheControl = CacheControl()
    choices: int = 1  # how many answers were asked for (`n`): a stream is complete when each has ended
    max_output_tokens: int | None = None  # the most output that was asked for; None = the request sets no limit
    patience_s: float | None = None  # how long the client said it waits; None = it did not say
    affinity: str = ""  # what it shares a prompt cache by, in the client's own words, so never logged; empty = nothing
    method: str = "POST"
    upload: ClientBody | None = None  # a body that is not in `body`; once begun there is no second attempt
    background: bool = False  # does the provider go on when its client has left?
    is_kept: bool = False  # does the provider keep some part of the answer, though the API keeps nothing?
    temperature: Any = None  # what the body says of it, whatever that is; None = nothing
    store: Any = None  # likewise
    has_plain_key: bool = False
    """Is it known that the word `"model"` stands in the body once at most, and no key is that in other letters?"""
    outline: bytes = b""
    """That of `body`, see `elide_long_strings`; empty = nobody made it yet, and the body itself is to be searched."""
    binding: Binding = FREE
    form: tuple[tuple[str, str], ...] = ()  # names and texts of its form's fields, where keys are kept apart

    def has_run_out(self, now: float) -> bool:
        """Has the client waited for as long as it said? Its time-out began a little before the request arrived."""
        return self.patience_s is not None and now - self.received >= _MOST_OF_IT * self.patience_s


class UpstreamCall(Struct, frozen=True):
    """One HTTP request to one endpoint, complete but for `host`, `content-length` and `connection`.

    Timeouts are seconds. Each is a deadline of its phase: `connect_timeout_s` covers name, TCP and TLS together,
    `first_byte_timeout_s` runs from the start of the call to the end of the reply's headers, `idle_timeout_s` is the
    longest silence while the body comes. While an `Upload` goes out, `idle_timeout_s` is the longest time without
    progress; then `first_byte_timeout_s` begins anew.
    """

    method: str
    url: str  # absolute, percent-encoded, sent exactly as it stands here
    headers: Headers
    body: bytes | Pieces | Upload
    connect_timeout_s: float
    first_byte_timeout_s: float
    idle_timeout_s: float
    outbound_proxy: str | None = None  # the URL of the endpoint's own proxy, "" = none; None = no say


class WholeReply(Struct, frozen=True, gc=False):
    status: int
    headers: Headers
    body: bytes


class Verdict(Struct, frozen=True, gc=False):
    failure: Failure | None = None  # None = it is a good answer
    usage: Usage | None = None  # what it says that it took; None = it does not say


class FrameKind(Enum):
    """What one event of a stream means for the decision which endpoint answers."""

    PREAMBLE = "preamble"  # what another endpoint could send as well: a comment, a role, Azure's empty choices
    CONTENT = "content"
    END = "end"  # the stream is complete with this event
    ERROR = "error"


class Frame(Struct, frozen=True):
    """One event of a stream: its bytes with the blank line that ends it, and what it means."""

    data: bytes
    kind: FrameKind
    failure: Failure | None = None  # what an ERROR frame says; None for all others


class Attempt(Struct, frozen=True, gc=False):
    """One upstream call of a request, for the log."""

    endpoint: str
    outcome: str  # `ok`, or the failure in a few safe words


class RequestTrace(Struct):
    """What happened to one request on its way; filled in as it goes, read when it is logged."""

    attempts: list[Attempt] = []
    upstream_s: float = 0.0  # time spent waiting: for upstreams, backoff, limits; the rest is the proxy's own
    cache: CacheState = CacheState.BYPASS
    span: RequestSpan | None = None
    """None = no traces are recorded."""
    cost: int | None = None
    """What the reply cost, in picos, see `domain.cost`; None = not known (yet)."""

    @property
    def endpoint(self) -> str | None:
        """The endpoint that was asked last; None = none was."""
        return self.attempts[-1].endpoint if self.attempts else None


def header(headers: Headers, name: str) -> str | None:
    """The first value of a header; None = it is not there. `name` in lower case."""
    for key, value in headers:
        if key == name:
            return value
    return None


def reasons(attempts: Sequence[Attempt]) -> str:
    """The attempts in one line: `gpt/1: connection_reset; gpt/2: ok`."""
    if len(attempts) == 1:
        return f"{attempts[0].endpoint}: {attempts[0].outcome}"
    return "; ".join([f"{attempt.endpoint}: {attempt.outcome}" for attempt in attempts])
