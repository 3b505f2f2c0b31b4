"""What is told to whoever watches the proxy: the record of a request, and alarms. Adapters implement these."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from domain.endpoint import Endpoint
from domain.failure import Failure
from domain.rate_limit.token_estimate import Usage


class EndpointAlarm(Protocol):
    """Where trouble with an endpoint is told, once per change and not per request."""

    def cooling(self, endpoint: Endpoint, failure: Failure, seconds: float) -> None:
        """The endpoint failed and is left alone for about `seconds`."""

    def fault(self, endpoint: Endpoint, failure: Failure, seconds: float) -> None:
        """The endpoint cannot work as it is configured or paid; somebody should look."""

    def limited(self, endpoint: Endpoint, failure: Failure, seconds: float) -> None:
        """The provider's rate limit keeps the endpoint's bucket away for `seconds`."""

    def recovered(self, endpoint: Endpoint) -> None:
        """The endpoint answers again."""


class TokenAlarm(Protocol):
    """Where trouble with the tokens of a scope is told, once per change; times in seconds."""

    def ready(self, scope: str, left_s: float) -> None:
        """There is a token, the first or after trouble, good for `left_s`."""

    def failing(self, scope: str, reason: str, left_s: float) -> None:
        """It could not be renewed, and is good for `left_s` yet."""

    def missing(self, scope: str, reason: str) -> None:
        """There is none: the endpoints that need it are passed over until there is."""


class RequestRecord(Struct, frozen=True, gc=False, omit_defaults=True):
    """What is written down of one request, in the order in which a line of the log says it: no body, no key, no prompt.
    Times are milliseconds to two places, sizes bytes; of what the client chose there is what `shown_text` lets through.
    """

    request_id: str
    group: str
    """The model group; empty = the request did not get as far as naming one that exists."""
    api: str
    endpoint: str
    """The endpoint that answered, or was asked last; empty = none was asked."""
    attempts: int
    reasons: str
    """What came of each attempt."""
    status: int
    """What the client got; 499 = it left before anything was sent."""
    outcome: str
    """`ok`, `client_left`, `client_timed_out` (it left when the time was up that it had announced), `stream_broken`, or
    the code of the error the client was told."""
    stream: bool
    cache: str
    """What the cache did: `hit`, `miss`, `bypass`, `refresh` or `shared`."""
    total_ms: float
    first_byte_ms: float
    overhead_ms: float
    """The proxy's own part of `first_byte_ms`: without upstreams, backoff and waiting for limits."""
    bytes_in: int
    bytes_out: int
    client: str = ""
    """The address the connection came from, whatever headers say; empty = unknown."""
    model: str = ""
    """What the client called the model, whether it exists or not; empty = it named none, or was not let in."""
    client_request_id: str = ""
    """The client's own id of the request; empty = it sent none."""
    user_agent: str = ""
    """Empty = it sent none."""
    method: str = ""
    path: str = ""
    """Method and path, without query, where `api` does not say what was asked for; empty = it does."""
    key_name: str = ""
    """Of the proxy's own key that the client came with, never the key; empty = it has none, or none was asked for."""


class SocketEnd(Struct, frozen=True):
    """What is written down of a WebSocket that is closed: nothing of what was said on it."""

    request_id: str
    """Of the socket."""
    kind: str
    """`bridge`, `native`, `realtime`, or `other`: at a path that the proxy does not understand."""
    turns: int
    frames_in: int
    frames_out: int
    bytes_in: int
    bytes_out: int
    seconds: float
    close_code: int
    """1006 = it was lost."""
    closed_by: str
    """`peer` or `us`; where it was joined to an endpoint's it is `client`, `endpoint` or `proxy`."""
    handovers: int
    """How often the client was told to go on with another socket."""
    key_name: str = ""
    """Of the proxy's own key that the client came with, never the key."""
    endpoint: str = ""
    """The endpoint whose socket it was joined to; empty = its turns went wherever they were due."""


class SocketLog(Protocol):
    """Where sockets that are closed are written down."""

    def closed(self, end: SocketEnd) -> None:
        """Called once for each."""


class RequestLog(Protocol):
    """Where finished requests are written down."""

    def record(self, record: RequestRecord, is_probe: bool = False) -> None:
        """Called once per request, when all is over. Never blocks, never raises. `is_probe`: is it one of the questions
        that a watcher asks every few seconds, and did it get an answer?"""

    def crashed(self, request_id: str, error: BaseException) -> None:
        """The proxy itself failed. Only the kind of error and where it happened may be shown, not its text."""


CANCELLED = "cancelled"
"""What ended an attempt when its client left, or the proxy stopped."""
PROXY_FAILED = "proxy_error"
"""What ended an attempt when the proxy itself failed, or had no memory left for it."""


class AttemptSpan(Protocol):
    """The span of one call of an endpoint, from its making to `end`."""

    @property
    def context(self) -> tuple[tuple[str, str], ...]:
        """The headers by which the provider's spans would become children of this one (W3C Trace Context)."""

    def read(self, text: bytes) -> None:
        """What a good reply says: all of it, or the first and the last part of a stream."""

    def opened(self) -> None:
        """The first content of a stream has come."""

    def took(self, usage: Usage | None) -> None:
        """What the reply said that it took; None = it did not."""

    def end(self, status: int, error: str) -> None:
        """The attempt is over. `status` 0 = no reply came; `error` is the kind of its failure or
        one of the words above, empty = it went well."""


class RequestSpan(Protocol):
    """The span of one request, from its making to `end`. Its attempts may end later."""

    def attempt(self, endpoint: Endpoint, api: str, method: str, path: str, *, stream: bool) -> AttemptSpan:
        """An attempt begins, for a request of this API; `path` as in `ProxyRequest`."""

    def end(self, record: RequestRecord) -> None:
        """The request is over."""


class Tracing(Protocol):
    """Where spans are recorded, and the metrics that are made of them. Where there is nothing of the kind the
    application gets None in its place. Never blocks, never raises."""

    def request(self, headers: Mapping[bytes, bytes]) -> RequestSpan:
        """A request begins; `headers` are the client's, with the span that it is a child of, if it is one."""
