"""Whatever else endpoints serve: JSON, forms with files, downloads. What is large is not held, in either direction."""

from functools import partial

from litestar.types import HTTPScope, Receive, Send
from msgspec import structs

from adapters.http.exchange import Exchange
from adapters.http.guards import Guard, check_no_page, check_upgrade
from adapters.http.headers import by_name
from adapters.http.in_flight import InFlight
from adapters.http.intake import Arrival, decoded, read_body, request_of
from adapters.http.multipart_model import PEEKED_BYTES, boundary_of, find_model
from adapters.http.routes import other_route, unknown_path
from adapters.http.upload import ClientUpload
from application.answers import Answer
from application.messages import ProxyRequest
from application.pass_through import PassThrough
from application.ports import Clock, RequestLog

HELD_BYTES = 1024 * 1024
"""Bodies up to this size are read before they are sent on: then another endpoint can be sent them as well."""


class PassThroughCalls:
    """The ASGI application behind these routes."""

    def __init__(
        self,
        pass_through: PassThrough,
        guard: Guard,
        clock: Clock,
        log: RequestLog,
        in_flight: InFlight,
        max_body_bytes: int,
        write_timeout_s: float,
    ) -> None:
        """`max_body_bytes` is for JSON, which is held whole whatever its size: it has to be read for its model."""
        self._pass_through = pass_through
        self._guard = guard
        self._clock = clock
        self._log = log
        self._in_flight = in_flight
        self._max_body_bytes = max_body_bytes
        self._write_timeout_s = write_timeout_s

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        body = ClientUpload(receive, dict(scope["headers"]))
        exchange = Exchange(scope, body.receive, send, self._clock, self._log, self._in_flight, self._write_timeout_s)
        await exchange.run(partial(self._answer, body))
        await body.linger()

    async def _answer(self, body: ClientUpload, exchange: Exchange) -> Answer:
        scope = exchange.scope
        raw_headers = list(scope["headers"])
        headers = by_name(raw_headers)
        self._guard.check(headers)
        check_no_page(headers)
        check_upgrade(headers)
        route = other_route(scope["raw_path"].decode("latin-1"))
        if route is None:
            raise unknown_path()
        arrival = Arrival(
            method=scope["method"],
            query=scope["query_string"].decode("latin-1"),
            raw_headers=raw_headers,
            headers=headers,
            keep_credentials=not self._guard.needs_key,
            request_id=exchange.request_id,
            received=exchange.received,
        )
        request = request_of(route, arrival, b"")
        exchange.request = await self._with_body(structs.replace(request, stream=False), body, headers)
        try:
            return await exchange.while_connected(self._pass_through(exchange.request, exchange.trail))
        finally:
            body.let_go()

    async def _with_body(self, request: ProxyRequest, body: ClientUpload, headers: dict[bytes, bytes]) -> ProxyRequest:
        """The request with its body, or with what the body is going to come from, and the model that it names."""
        if body.is_over:
            return request
        is_plain = headers.get(b"content-encoding", b"identity").strip().lower() == b"identity"
        content_type = headers.get(b"content-type", b"")
        if is_plain and content_type.partition(b";")[0].strip().lower() == b"application/json":
            held = await read_body(body.receive_body, headers, self._max_body_bytes)
            name = decoded(held).model if held else None
            return structs.replace(request, body=held, body_model=name, model=request.model or name or "")
        boundary = boundary_of(content_type) if is_plain else None
        if boundary is not None:
            head = await body.peek(PEEKED_BYTES, lambda head: find_model(head, boundary) is not None)
            field = find_model(head, boundary)
            if field is not None:
                body.rename_with(field.renamed)
                request = structs.replace(request, body_model=field.name, model=request.model or field.name)
        if body.length is not None and body.length <= HELD_BYTES:
            await body.peek(HELD_BYTES)
        return structs.replace(request, upload=body)
