"""What the provider remembers about the requests it got: the last ones in full, all of them as counts."""

import base64
from collections import Counter, deque
from typing import Any

import msgspec
from msgspec import Struct

MAX_RECORDS = 10_000
MAX_BODIES_BYTES = 256 * 1024 * 1024

IN_FLIGHT = "in_flight"
SWITCHED = 101
COMPLETE = "complete"
CLIENT_CLOSED = "client_closed"


class Record(Struct, kw_only=True, gc=False):
    """One request, exactly as it came, and what became of it. Times are unix seconds."""

    n: int
    method: str
    path: str
    """With the query."""
    raw_headers: list[tuple[bytes, bytes]]
    """Names in lower case, otherwise as sent and in that order."""
    body: bytes
    model: str | None
    stream: bool
    started_s: float
    connection: int
    """Serial number of the TCP connection it came on."""
    ended_s: float | None = None
    status: int | None = None
    """None: no headers were sent."""
    outcome: str = IN_FLIGHT
    """`complete`, `client_closed`, `fault:<kind>` or `in_flight`."""
    limited: bool = False
    epoch: int = 0
    """Which reset it came after."""
    messages: list[bytes] = msgspec.field(default_factory=list)
    """What the client said on a socket."""
    close_code: int | None = None
    """With which a socket was closed, by whichever side was first; None: it is none, or is open."""

    @property
    def held_bytes(self) -> int:
        """Of its body and its messages."""
        return len(self.body) + sum(map(len, self.messages))

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.raw_headers]

    def header(self, name: str) -> str | None:
        """The first value under that name (any case), None when it was not sent."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key == wanted), None)

    def json(self) -> Any:
        """The decoded body."""
        return msgspec.json.decode(self.body)

    def as_dict(self, *, with_body: bool) -> dict[str, Any]:
        """What the control API shows. A body that is not UTF-8 comes in base64 as `body_base64`."""
        shown: dict[str, Any] = {
            "n": self.n,
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            "model": self.model,
            "stream": self.stream,
            "started_s": self.started_s,
            "ended_s": self.ended_s,
            "status": self.status,
            "outcome": self.outcome,
            "connection": self.connection,
            "limited": self.limited,
        }
        if self.status == SWITCHED:
            shown["close_code"] = self.close_code
        if with_body:
            if self.messages:
                shown["messages"] = [message.decode("utf-8", "replace") for message in self.messages]
            try:
                shown["body"] = self.body.decode()
            except UnicodeDecodeError:
                shown["body_base64"] = base64.b64encode(self.body).decode()
        return shown


class Counts(Struct, frozen=True):
    """Since the start or the last reset. `received` is the sum of complete, client_closed, faulted, in_flight."""

    received: int
    in_flight: int
    max_in_flight: int
    complete: int
    client_closed: int
    faulted: int
    limited: int
    connections_opened: int
    connections_open: int
    by_status: dict[int, int]


class Records:
    """The last `MAX_RECORDS` requests, fewer when their bodies exceed `MAX_BODIES_BYTES`."""

    def __init__(self) -> None:
        self.connections_opened = 0
        self.connections_open = 0
        self._epoch = 0
        self.clear()

    def clear(self) -> None:
        """Forget all. Requests in flight end unnoticed: they belong to what is forgotten."""
        self._epoch += 1
        self.kept: deque[Record] = deque()
        self._bodies_bytes = 0
        self._serial = 0
        self._ended = 0
        self._max_in_flight = 0
        self._outcomes: Counter[str] = Counter()
        self._statuses: Counter[int] = Counter()
        self._limited = 0
        self.connections_opened = self.connections_open

    def begin(
        self,
        method: str,
        path: str,
        raw_headers: list[tuple[bytes, bytes]],
        body: bytes,
        model: str | None,
        stream: bool,
        started_s: float,
        connection: int,
    ) -> Record:
        """A request has come in whole."""
        self._serial += 1
        record = Record(
            n=self._serial,
            method=method,
            path=path,
            raw_headers=raw_headers,
            body=body,
            model=model,
            stream=stream,
            started_s=started_s,
            connection=connection,
            epoch=self._epoch,
        )
        self.kept.append(record)
        self._hold(len(body))
        self._max_in_flight = max(self._max_in_flight, self._serial - self._ended)
        return record

    def heard(self, record: Record, message: bytes) -> None:
        """The client said that on its socket."""
        if record.epoch == self._epoch:
            record.messages.append(message)
            self._hold(len(message))

    def _hold(self, more_bytes: int) -> None:
        self._bodies_bytes += more_bytes
        while len(self.kept) > MAX_RECORDS or (self._bodies_bytes > MAX_BODIES_BYTES and len(self.kept) > 1):
            self._bodies_bytes -= self.kept.popleft().held_bytes

    def answered(self, record: Record, status: int, *, limited: bool = False) -> None:
        """Headers with this status are on their way."""
        record.status = status
        record.limited = limited
        if record.epoch == self._epoch:
            self._statuses[status] += 1
            self._limited += limited

    def end(self, record: Record, outcome: str, ended_s: float) -> None:
        """Nothing more will be sent."""
        record.outcome = outcome
        record.ended_s = ended_s
        if record.epoch == self._epoch:
            self._ended += 1
            self._outcomes[outcome] += 1

    def counts(self) -> Counts:
        complete = self._outcomes[COMPLETE]
        client_closed = self._outcomes[CLIENT_CLOSED]
        return Counts(
            received=self._serial,
            in_flight=self._serial - self._ended,
            max_in_flight=self._max_in_flight,
            complete=complete,
            client_closed=client_closed,
            faulted=self._ended - complete - client_closed,
            limited=self._limited,
            connections_opened=self.connections_opened,
            connections_open=self.connections_open,
            by_status=dict(self._statuses),
        )
