"""Everything that endpoints answer: which use case a request is for, and what it has to bring along for it."""

from litestar.types import HTTPScope, Receive, Send
from msgspec import structs

from adapters.http.exchange import Exchange
from adapters.http.guards import Guard, check_json, check_no_page, check_upgrade
from adapters.http.headers import by_name
from adapters.http.in_flight import InFlight
from adapters.http.intake import NO_FIELDS, Arrival, decoded, read_body, request_of
from adapters.http.routes import Route, find_route
from application.answers import Answer
from application.detached import Detached
from application.errors import InvalidRequest
from application.messages import Api, ProxyRequest
from application.model_call import AnswerModelCall
from application.ports import Clock, RequestLog
from application.stored import AnswerStored

_MODEL_OPTIONAL = frozenset({Api.MODERATIONS, Api.STORED, Api.RESPONSES})
"""Moderations have a default; the others may follow up on something that knows its model."""


class Surface:
    """The ASGI application behind these routes."""

    def __init__(
        self,
        model_call: AnswerModelCall,
        stored: AnswerStored,
        guard: Guard,
        clock: Clock,
        log: RequestLog,
        in_flight: InFlight,
        max_body_bytes: int,
        write_timeout_s: float,
    ) -> None:
        self._model_call = model_call
        self._stored = stored
        self._detached = Detached()
        self._guard = guard
        self._clock = clock
        self._log = log
        self._in_flight = in_flight
        self._max_body_bytes = max_body_bytes
        self._write_timeout_s = write_timeout_s

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send, self._clock, self._log, self._in_flight, self._write_timeout_s)
        await exchange.run(self._answer)

    async def _answer(self, exchange: Exchange) -> Answer:
        scope = exchange.scope
        raw_headers = list(scope["headers"])
        headers = by_name(raw_headers)
        self._guard.check(headers)
        check_no_page(headers)
        check_upgrade(headers)
        method = scope["method"]
        route = find_route(method, scope["raw_path"].decode("latin-1"))
        has_body = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
        if method == "POST" and (route.has_model or has_body):
            check_json(headers)
        body = await read_body(exchange.receive, headers, self._max_body_bytes)
        arrival = Arrival(
            method=method,
            query=scope["query_string"].decode("latin-1"),
            raw_headers=raw_headers,
            headers=headers,
            keep_credentials=not self._guard.needs_key,
            request_id=exchange.request_id,
            received=exchange.received,
        )
        request = request_of(route, arrival, body, decoded(body) if route.has_model else NO_FIELDS)
        check_model(route, request)
        exchange.request = request
        names_model = bool(request.model) or route.api is Api.MODERATIONS
        use_case = self._model_call if names_model else self._stored
        if not request.background:
            return await exchange.while_connected(use_case(request, exchange.trail))
        # Who waits for it, and how long, is no matter; a second attempt would be a second job.
        request = exchange.request = structs.replace(request, patience_s=None)
        return await exchange.while_connected(self._detached(use_case(request, exchange.trail)))


def check_model(route: Route, request: ProxyRequest) -> None:
    """Raises `InvalidRequest` when the request must name a model and does not."""
    if route.has_model and not request.model and route.api not in _MODEL_OPTIONAL:
        raise InvalidRequest("You must name a model: the body has no 'model'.", param="model")
