"""What the server's reader makes of some bytes."""

from typing import Any, cast

from adapters.http.server.asgi import scope_of
from adapters.http.server.client import Client
from adapters.http.server.error_body import status_of
from adapters.http.server.request.head import RequestHead
from adapters.http.server.request.known_heads import KnownHeads
from adapters.http.server.request.reader import RequestReader
from application.errors import InvalidRequest


class Request:
    """One that arrived, and what of its body."""

    def __init__(self, head: RequestHead, length: int | None) -> None:
        self.head = head
        self.length = length
        self.addresses = {"type": "http"}
        self.keeps = head.keeps
        self.waits_for_100 = head.waits_for_100
        self.pieces: list[bytes] = []
        self.is_complete = False

    def feed(self, piece: bytes) -> None:
        assert piece
        assert not self.is_complete
        self.pieces.append(piece)

    def complete(self) -> None:
        assert not self.is_complete
        self.is_complete = True

    @property
    def scope(self) -> dict[str, Any]:
        """As ASGI describes it, but for what only a server adds."""
        scope = scope_of(cast("Client", self))
        del scope["extensions"]
        return scope

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def told(self) -> tuple[object, ...]:
        """All that an application could see."""
        scope = self.scope
        names = ("method", "raw_path", "path", "query_string", "http_version")
        return *(scope[name] for name in names), tuple(scope["headers"]), self.body, self.is_complete, self.keeps


class Read:
    """What a reader makes of some bytes."""

    def __init__(self, *pieces: bytes, heads: KnownHeads | None = None) -> None:
        self.requests: list[Request] = []
        self.refusal: InvalidRequest | None = None
        self.reader = RequestReader(self, KnownHeads() if heads is None else heads)
        self.behind: bytes | None = None
        """What has come behind a request that upgrades; None = there is none."""
        for piece in pieces:
            if self.behind is not None:
                self.behind += piece
                continue
            self.refusal = self.reader.feed(piece)
            if self.refusal is not None:
                break
            if not self.has_room():
                self.behind = self.reader.close()

    def has_room(self) -> bool:
        return not (self.requests and self.requests[-1].head.upgrades)

    def arrived(self, head: RequestHead, length: int | None, body: bytes | None = None) -> Request:
        assert all(each.is_complete for each in self.requests)
        request = Request(head, length)
        self.requests.append(request)
        if body is not None:
            if body:
                request.feed(body)
            request.complete()
        return request

    @property
    def only(self) -> Request:
        assert self.refusal is None
        (request,) = self.requests
        return request

    def told(self) -> object:
        return [each.told() for each in self.requests], self.refusal and status_of(self.refusal)


def get(target: bytes = b"/", version: bytes = b"1.1", headers: bytes = b"host: here\r\n") -> bytes:
    return b"GET %b HTTP/%b\r\n%b\r\n" % (target, version, headers)


def post(headers: bytes, body: bytes) -> bytes:
    return b"POST /v1/files HTTP/1.1\r\nhost: here\r\n%b\r\n%b" % (headers, body)


def sized(body: bytes) -> bytes:
    return post(b"content-length: %d\r\n" % len(body), body)
