"""Everything that endpoints answer: which use case a request is for, and what it has to bring along for it."""

from collections.abc import Coroutine
from typing import Any

from litestar.types import HTTPScope, Receive, Send
from msgspec import structs

from adapters.http.exchange import Exchange
from adapters.http.front import Front
from adapters.http.guards import check_json
from adapters.http.intake import NO_FIELDS, check_text, decoded, request_of
from adapters.http.routes import Route, find_route
from application.answers import Answer
from application.detached import Detached
from application.errors import InvalidRequest
from application.messages import Api, ProxyRequest
from application.model_call import AnswerModelCall
from application.stored import AnswerStored

_MODEL_OPTIONAL = frozenset({Api.MODERATIONS, Api.STORED, Api.RESPONSES})
"""Moderations have a default; the others may follow up on something that knows its model."""


class Surface:
    """What answers these routes."""

    def __init__(self, front: Front, model_call: AnswerModelCall, stored: AnswerStored, detached: Detached) -> None:
        self._front = front
        self._model_call = model_call
        self._stored = stored
        self._detached = detached

    def answering(self, scope: HTTPScope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        """What answers one request when it is awaited, without a coroutine more than needed."""
        return self._front.exchange(scope, receive, send).run(self._answer)

    async def _answer(self, exchange: Exchange) -> Answer:
        arrival = self._front.admit(exchange)
        headers = arrival.headers
        route = find_route(arrival.method, exchange.scope["raw_path"].decode("latin-1"))
        has_body = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
        if arrival.method == "POST" and (route.has_model or has_body):
            check_json(headers)
        body = await self._front.body(exchange.receive, arrival, exchange)
        if route.has_model:
            fields = decoded(body)
        else:
            fields = NO_FIELDS
            check_text(body)
            if body and "model=" in arrival.query:
                decoded(body)  # a model is asked for: what goes with that is JSON, if anything does
        request = request_of(route, arrival, body, fields)
        check_model(route, request)
        exchange.request = request
        names_model = bool(request.model) or route.api is Api.MODERATIONS
        use_case = self._model_call if names_model else self._stored
        if not request.background:
            return await exchange.while_connected(use_case(request, exchange.trail))
        # Who waits for it, and how long, is no matter; a second attempt would be a second job.
        request = exchange.request = structs.replace(request, patience_s=None)
        return await exchange.while_connected(self._detached(use_case(request, exchange.trail), len(body)))


def check_model(route: Route, request: ProxyRequest) -> None:
    """Raises `InvalidRequest` when the request must name a model and does not."""
    if route.has_model and not request.model and route.api not in _MODEL_OPTIONAL:
        raise InvalidRequest("You must name a model: the body has no 'model'.", param="model")
