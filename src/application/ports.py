"""The outside world, as the use cases see it. Adapters implement these; only the container knows which."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol

from msgspec import Struct

from application.flow import Take, TakeFramed
from application.messages import Frame, Headers, ProxyRequest, UpstreamCall, Verdict, WholeReply
from domain.endpoint import Endpoint
from domain.failure import Failure
from domain.rate_limit.limit_reading import Readings
from domain.rate_limit.token_estimate import Usage

READ_AHEAD_BYTES = 64 * 1024  # about how much of a reply waits for its reader before the socket rests


class UpstreamFailed(Exception):
    """An attempt ended without a usable reply; `failure` says how."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


class UpstreamReply(Protocol):
    """A reply whose headers have come. It owns its connection until `close()`."""

    @property
    def status(self) -> int:
        """The final HTTP status; 1xx replies were skipped, redirects were not followed."""

    @property
    def headers(self) -> Headers:
        """All headers, as they came."""

    async def receive(self) -> bytes:
        """The next piece of the body, as it comes off the wire and not decoded; b"" = the body is complete.

        Raises `UpstreamFailed`: IDLE_TIMEOUT when nothing comes for the call's `idle_timeout_s`, RESET when the
        connection is reset, TRUNCATED when it ends before the body does, JUNK when the framing is broken.
        No more is read from the socket than the reader takes, but for a buffer of a bounded size.
        """

    def whole_now(self) -> bytes | None:
        """The whole body, if it has come and nothing of it was taken yet: the reply has let go of its connection then.
        None = there is more to wait for, or nobody knows; `receive` does."""

    async def flow(self, take: Take, take_framed: TakeFramed | None = None, /) -> bool:
        """Hand what comes to `take` at the moment it comes, without waking the task that waits here.

        True = the body is complete, False = `take` wants no more for now: what comes then waits for the next call, as
        for `receive`. Raises as `receive` does, and what `take` raises. Not every reply has chunks for `take_framed`.
        """

    def rest(self) -> None:
        """The client does not keep up: until more is asked for read nothing, and from then on little at a time. What it
        has not taken waits at the provider, not here."""

    def close(self) -> None:
        """Let go of the connection, at any time, more than once. A body read to its end leaves the connection to the
        pool; any other is cut, so that the provider stops generating."""


class Upstream(Protocol):
    """Sends bytes to a provider and gets bytes back: HTTP/1.1 with pools, and phase timeouts of our own.

    It alone keeps the times of a call until the headers have come; its caller sets no timer for them.

    A cancelled call closes its socket at once, in every phase. A connection from the pool that turns out to be dead
    before any byte of the reply has come is replaced by a fresh one, once and unseen, unless an `Upload` was read from
    by then. Nothing else is retried.

    Of an `Upload` no more is read than the endpoint takes, but for buffers of a bounded size. Once the endpoint has
    answered, nothing more is read: it may refuse a body before it has all of it.
    """

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        """Send the call and wait for the headers of the reply.

        Raises `UpstreamFailed`: DNS, CONNECT, CONNECT_TIMEOUT, TLS, RESET, FIRST_BYTE_TIMEOUT, JUNK (not HTTP, or
        headers too large), TRUNCATED (closed before the headers ended), LOCAL (no connection or file was left on our
        side, and the endpoint was not asked), MISCONFIGURED (the URL cannot be used), IDLE_TIMEOUT (an upload was not
        taken). What `Upload.read` raises comes through, and `ClientLeft` when it is silent for `idle_timeout_s`.
        """

    async def close(self) -> None:
        """Close all connections."""


class StreamScanner(Protocol):
    """Reads along with one event stream. It never changes a byte: what was fed comes out again, in order."""

    @property
    def began(self) -> bool:
        """Has any event or comment come?"""

    @property
    def is_event_stream(self) -> bool:
        """Is this an event stream, or could what has come so far still become one?"""

    @property
    def is_body(self) -> bool:
        """Is this no stream, but JSON in one piece?"""

    @property
    def noticed(self) -> bool:
        """Has anything come that says that the stream, or a part of it, ends: a choice's end, a terminal event?"""

    @property
    def ended(self) -> bool:
        """Has a terminal event come? What may still come adds nothing to the answer."""

    @property
    def is_done(self) -> bool:
        """Was it the one after which there is nothing more at all?"""

    @property
    def may_end(self) -> bool:
        """Would a clean end now make the stream complete: has a terminal event come, or all that was asked for?"""

    @property
    def failure(self) -> Failure | None:
        """What the provider reported inside the stream; None = nothing."""

    @property
    def is_told(self) -> bool:
        """Was that reported in a shape on which the official SDKs raise?"""

    @property
    def is_junk(self) -> bool:
        """Did an event come that is longer than any is? Then nothing more of the stream is worth reading."""

    @property
    def usage(self) -> Usage | None:
        """What the stream said that it took; None = it has not (yet)."""

    @property
    def pending_bytes(self) -> int:
        """How many of the last bytes fed belong to an event that is not whole yet."""

    def feed(self, chunk: bytes) -> Sequence[Frame]:
        """The events that are whole now, with their meaning: for the part of the stream that is decided on."""

    def relay(self, chunk: bytes) -> bytes:
        """The bytes of all events that are whole now: for the part that only passes."""

    def passing(self, take: Take, read: Take) -> Take:
        """A taker of what comes: whole events in which nothing matters go to `take`, all else to `read`."""

    def passing_framed(self, take: TakeFramed) -> TakeFramed:
        """The same of chunks: what is not whole events in which nothing matters is not taken."""

    def finish(self) -> bytes:
        """The body is over: take what came after the last blank line for an event, and return it."""

    def masked(self, events: bytes) -> bytes:
        """Events among which there is an error, without the endpoint's own credential."""

    def error_frame(self, message: str, code: str) -> bytes:
        """An event that makes the official SDKs raise, to end a broken stream with."""


class Providers(Protocol):
    """How each endpoint's provider is spoken to, and what its answers mean."""

    def call(self, endpoint: Endpoint, request: ProxyRequest, first_byte_s: float) -> UpstreamCall:
        """The request as the endpoint wants it: URL, credential, model. Its headers may take `first_byte_s` seconds."""

    def readings(self, headers: Headers) -> Readings:
        """What a reply's headers say about its rate limits; of any reply, good or not."""

    def is_spilled(self, headers: Headers) -> bool:
        """Do a reply's headers say that the provider had another deployment answer it than the one that was asked?"""

    def judge(self, endpoint: Endpoint, request: ProxyRequest, reply: WholeReply) -> Verdict:
        """What a whole reply to this request means. Also finds errors and junk under status 200."""

    def masked(self, endpoint: Endpoint, reply: WholeReply) -> WholeReply:
        """A reply that is an error as a client may see it: without the endpoint's own credential."""

    def state_ids(self, text: bytes) -> Sequence[str]:
        """The ids in a path or a request of what only one provider account knows, each once, in order."""

    def made_ids(self, text: bytes) -> Sequence[str]:
        """The ids in a reply: those of what it is about as well, whatever they look like."""

    def scanner(self, endpoint: Endpoint, request: ProxyRequest) -> StreamScanner:
        """A reader for the stream that answers this request."""

    def plain(self, reply: UpstreamReply) -> UpstreamReply:
        """The reply without the content coding it may have come in, bytes and headers; closing it closes `reply`.

        Raises `UpstreamFailed` for a coding that cannot be undone."""


class Named(Struct, frozen=True):
    """What a request names, each once."""

    ids: tuple[str, ...]  # what refers to something that a provider keeps
    whole: tuple[str, ...] = ()  # names of items that the request has in full: these refer to nothing


class Things(Protocol):
    """What requests and replies say of things that are kept, where it matters whose those are: nothing is guessed."""

    def named(self, body: bytes) -> Named:
        """What a body of JSON names. Raises `ValueError` or `RecursionError` for what is no JSON."""

    def in_form(self, fields: Sequence[tuple[str, str]]) -> Sequence[str]:
        """The ids that the fields of a form name. Raises as `named`."""

    def in_query(self, query: str) -> Sequence[str]:
        """The ids in a query."""

    def made(self, text: bytes, *, is_dialogue: bool) -> Sequence[str]:
        """The ids of what a reply, or a part of a stream, says that it made. `is_dialogue`: does it hold items?"""


class Timeout(Protocol):
    """Cancels the work in its `with` block when its time is up, and raises `TimeoutError` instead. Entered once."""

    def __enter__(self) -> "Timeout": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def reschedule(self, when: float) -> None:
        """It ends at that time instead; inf = not at all."""


class Timer(Protocol):
    """Something that is going to be called."""

    def cancel(self) -> object:
        """It is not. A second call does nothing, nor one that comes too late."""


class Clock(Protocol):
    """Time, for everything that decides by it, and for everything that ends by it."""

    def now(self) -> float:
        """Seconds of the monotonic clock the event loop also uses."""

    async def sleep(self, seconds: float) -> None:
        """Wait; 0 lets others run."""

    def timeout_at(self, when: float) -> Timeout:
        """A limit for the running task, in a time of `now`; inf = none. Only what waits is cancelled."""

    def call_at(self, when: float, work: Callable[[], object]) -> Timer:
        """Have `work` called by the event loop, at a time of `now`."""

    def unix(self) -> float:
        """Unix seconds, for what outlives this process. May jump; never used to measure."""


Draw = Callable[[], float]  # a random number in [0, 1)
