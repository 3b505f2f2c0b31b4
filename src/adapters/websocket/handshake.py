"""The handshake of a WebSocket (RFC 6455, 4), over heads that somebody else reads and writes."""

from collections.abc import Sequence

from msgspec import Struct
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

Pairs = Sequence[tuple[str, str]]
"""Headers, names in any case."""

_OURS = frozenset({"upgrade", "connection", "sec-websocket-accept", "sec-websocket-protocol"})


class BadHandshake(Exception):
    """The other side does not keep to the handshake. The text says how."""


class Accepted(Struct, frozen=True):
    """What a server says to a client that may come in, with status 101."""

    fields: Sequence[str]
    """Headers, as `name: value`."""
    subprotocol: str
    """Empty = none."""


def accept(headers: Pairs, served: Sequence[str] = ()) -> Accepted:
    """The answer to a GET of HTTP/1.1 with these headers. `served`: subprotocols; the first of them that the client
    offers is taken, and none where it offers others only. Extensions are declined.

    Raises `BadHandshake`.
    """

    def choose(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return next((Subprotocol(name) for name in served if name in offered), None)

    protocol = ServerProtocol(select_subprotocol=choose, max_size=0)
    answer = protocol.accept(Request("/", Headers(headers)))
    if answer.status_code != 101:
        raise BadHandshake(str(protocol.handshake_exc))
    fields = [f"{name.lower()}: {value}" for name, value in answer.headers.raw_items() if name.lower() in _OURS]
    return Accepted(fields, protocol.subprotocol or "")


class Opening:
    """A client's side: what it asks with, and whether the answer is one."""

    def __init__(self, offered: Sequence[str] = ()) -> None:
        """`offered`: subprotocols."""
        names = [Subprotocol(name) for name in offered] or None
        uri = WebSocketURI(secure=False, host="unused", port=80, path="/", query="")
        self._protocol = ClientProtocol(uri, subprotocols=names, max_size=0)

    @property
    def fields(self) -> Pairs:
        """The headers of the request that belong to the handshake."""
        asked = self._protocol.connect().headers.raw_items()
        return [(name.lower(), value) for name, value in asked if name.lower() != "host"]

    def check(self, status: int, headers: Pairs) -> str:
        """The subprotocol that the server has chosen, empty = none. Raises `BadHandshake`, also for another status than
        101, and for what was not offered."""
        try:
            self._protocol.process_response(Response(status, "", Headers(headers)))
        except InvalidHandshake as error:
            raise BadHandshake(str(error)) from None
        return self._protocol.subprotocol or ""
