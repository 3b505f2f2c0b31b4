"""Everything that endpoints answer: which use case a request is for, and what it has to bring along for it."""

from collections.abc import Awaitable

from msgspec import structs

from adapters.http.access.guards import check_json, is_json
from adapters.http.admission import Admission
from adapters.http.bodies.content_codings import content_codings
from adapters.http.bodies.decode_request import NO_FIELDS, Arrival, check_text, decoded, request_of
from adapters.http.exchange.exchange import Exchange
from adapters.http.paths.routes import Route, find_route
from adapters.http.server.client import Client
from application.answers import Answer
from application.errors import InvalidRequest
from application.messages import Api, ProxyRequest
from application.ready import Ready
from application.state.detached import Detached
from application.use_cases.by_account import AnswerStored
from application.use_cases.model_call import AnswerModelCall

MODEL_OPTIONAL = frozenset({Api.MODERATIONS, Api.STORED, Api.RESPONSES})
"""Moderations have a default; the others may follow up on something that knows its model."""


class OpenAIRoutes:
    def __init__(
        self, admission: Admission, model_call: AnswerModelCall, stored: AnswerStored, detached: Detached
    ) -> None:
        self._admission = admission
        self._model_call = model_call.__call__
        self._stored = stored
        self._detached = detached

    def begin(self, client: Client) -> Awaitable[None] | None:
        return Exchange(client, self._admission.context).begin(self._answer)

    def _answer(self, exchange: Exchange) -> Awaitable[Answer]:
        admission, client = self._admission, exchange.client
        arrival = admission.admit(exchange)
        route = arrival.route or _route_of(arrival, exchange)
        if not arrival.is_json and arrival.method == "POST" and (route.has_model or client.length != 0):
            check_json(arrival.headers)
            if b"content-encoding" in arrival.headers:
                return self._receive_coded(exchange, arrival, route)
        body = client.body_now()
        if body is None:
            return self._receive(exchange, arrival, route)
        if len(body) > admission.uncounted_bytes:
            admission.hold(body, exchange)
        return self._ask(exchange, arrival, route, body)

    async def _receive(self, exchange: Exchange, arrival: Arrival, route: Route) -> Answer:
        body = await self._admission.body(exchange.client.receive, exchange)
        return await self._ask(exchange, arrival, route, body)

    async def _receive_coded(self, exchange: Exchange, arrival: Arrival, route: Route) -> Answer:
        body = await self._admission.plain_body(exchange.client.receive, exchange, content_codings(arrival.headers))
        return await self._ask(exchange, arrival.without_coding(), route, body)

    def _ask(self, exchange: Exchange, arrival: Arrival, route: Route, body: bytes) -> Awaitable[Answer]:
        if route.has_model:
            fields, outline, has_plain_key = decoded(body)
        else:
            fields, outline, has_plain_key = NO_FIELDS, b"", False
            check_text(body)
            if body and "model=" in arrival.query:
                decoded(body)  # a model is asked for: what goes with that is JSON, if anything does
        request = request_of(
            route, arrival, body, fields, exchange.request_id, exchange.received, outline, has_plain_key
        )
        if not request.model:
            check_model(route, request)
        exchange.request = request
        use_case = self._model_call if request.model or route.api is Api.MODERATIONS else self._stored
        if not request.background:
            found: Awaitable[Answer] | Ready[Answer] = use_case(request, exchange.trace)
            return found if type(found) is Ready else exchange.while_connected(found)
        # The client's patience is no matter here; a second attempt would be a second job.
        request = exchange.request = structs.replace(request, patience_s=None)
        return exchange.while_connected(self._detached(use_case(request, exchange.trace), len(body)))


def _route_of(arrival: Arrival, exchange: Exchange) -> Route:
    """Once for each head."""
    route = arrival.route = find_route(arrival.method, exchange.head.raw_path.decode("latin-1"))
    arrival.is_json = is_json(arrival.headers) and b"content-encoding" not in arrival.headers
    return route


def check_model(route: Route, request: ProxyRequest) -> None:
    """Raises `InvalidRequest` when the request must name a model and does not."""
    if route.has_model and not request.model and route.api not in MODEL_OPTIONAL:
        raise InvalidRequest("You must name a model: the body has no 'model'.", param="model")
