"""POSTs that name a model: chat completions, responses, embeddings, completions, moderations."""

from litestar.types import HTTPScope, Receive, Send

from adapters.http.exchange import Exchange
from adapters.http.guards import Guard, check_json
from adapters.http.headers import by_name
from adapters.http.in_flight import InFlight
from adapters.http.intake import model_request, read_body
from adapters.http.routes import find_route
from application.answers import Answer
from application.errors import InvalidRequest
from application.model_call import AnswerModelCall
from application.ports import Clock, RequestLog


class ModelCalls:
    """The ASGI application behind all spellings of these routes."""

    def __init__(
        self,
        answer: AnswerModelCall,
        guard: Guard,
        clock: Clock,
        log: RequestLog,
        in_flight: InFlight,
        max_body_bytes: int,
        write_timeout_s: float,
    ) -> None:
        self._call = answer
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
        route = find_route(scope["raw_path"].decode("latin-1"))
        if scope["method"] != "POST":
            raise InvalidRequest(
                f"{scope['method']} is not served here; use POST.", code="method_not_allowed", status=405
            )
        check_json(headers)
        body = await read_body(exchange.receive, headers, self._max_body_bytes)
        exchange.request = model_request(
            route,
            body,
            raw_headers,
            headers,
            query=scope["query_string"].decode("latin-1"),
            keep_credentials=not self._guard.needs_key,
            request_id=exchange.request_id,
            received=exchange.received,
        )
        return await exchange.while_connected(self._call(exchange.request, exchange.trail))
