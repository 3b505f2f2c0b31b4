"""The Litestar application: its handlers answer the pages, everything else goes to the routes that ask endpoints.

All of it runs in an `Exchange`, so that every request has its guards, its line in the log and its errors in the shape
the OpenAI SDKs read.
"""

from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, NoReturn
from urllib.parse import unquote

from litestar import Litestar, Request
from litestar.types import ControllerRouterHandler, LifeSpanReceive, LifeSpanScope, LifeSpanSend, Receive, Scope, Send

from adapters.http import cors, status_routes
from adapters.http.admission import Admission
from adapters.http.error_headers import WrongMethod
from adapters.http.exchange.exchange import Exchange
from adapters.http.openai_api import OpenAIRoutes
from adapters.http.pass_through_api import PassThroughCalls
from adapters.http.paths.routes import PATHS, is_other
from adapters.http.server.asgi import answered, scope_of
from adapters.http.server.client import Client
from adapters.http.sockets.routes import SocketRoutes
from adapters.http.status_routes import Page, find_model, is_text, page_of
from application.answers import Answer, WholeAnswer
from application.errors import InvalidRequest, UnknownModel
from application.messages import WholeReply

Lifespan = Callable[[], AbstractAsyncContextManager[None]]


class App(Litestar):
    """Litestar with an express way: for requests that meet their errors, their log line and their guards elsewhere, its
    own layers only cost time."""

    def __init__(
        self,
        admission: Admission,
        surface: OpenAIRoutes,
        others: PassThroughCalls,
        models: Collection[str],
        sockets: SocketRoutes,
        pages: Sequence[ControllerRouterHandler],
        lifespan: Lifespan,
        *,
        asks_for_models: bool,
    ) -> None:
        """`models` are the names of the groups. `lifespan` is entered before the first request and left after the last.
        `asks_for_models`: do models that are not listed exist, if an endpoint says so?"""
        super().__init__(
            route_handlers=pages,
            exception_handlers={Exception: _raise},
            lifespan=[lambda _: lifespan()],
            openapi_config=None,
            debug=False,
            logging_config=None,
        )
        self._admission = admission
        self._surface = surface
        self._others = others
        self._sockets = sockets
        self._models = models
        self._find_model = partial(find_model, models)
        self._asks_for_models = asks_for_models
        self._express = frozenset(PATHS)

    def __call__(
        self, scope: Scope | LifeSpanScope, receive: Receive | LifeSpanReceive, send: Send | LifeSpanSend
    ) -> Coroutine[Any, Any, None]:
        """ASGI's, for servers that speak nothing else."""
        http: Any = (scope, receive, send)
        return answered(self, *http) if http[0]["type"] == "http" else super().__call__(*http)

    def begin(self, client: Client) -> Awaitable[None] | None:
        head = client.head
        if self._admission.speaks_cors and cors.is_preflight(head.method, self._told_to_pages(client)):
            return Exchange(client, self._admission.context).begin(self._give_leave)
        if head.upgrades and self._sockets.serves(head):
            return self._sockets.begin(client)
        return self._surface.begin(client) if head.path in self._express else self._elsewhere(client)

    def _elsewhere(self, client: Client) -> Awaitable[None] | None:
        path = client.head.raw_path.decode("latin-1")
        page = page_of(path, client.head.by_name.get(b"accept", b""))
        if page is not None and not self._is_for_endpoints(page, client.head.method, path):
            return Exchange(client, self._admission.context).begin(partial(self._show, page))
        calls = self._others if page is not None or is_other(path) else self._surface
        return calls.begin(client)

    def _is_for_endpoints(self, page: Page, method: str, path: str) -> bool:
        """Is it about a model of theirs, such as one that was fine-tuned there?"""
        if page.model is None or not is_other(path) or self._find_model(page.model) is not None:
            return False
        return is_text(page.model) and (self._asks_for_models or method not in status_routes.METHODS)

    async def _show(self, page: Page, exchange: Exchange) -> Answer:
        client = exchange.client
        shows_all = self._admission.admit_to_page(exchange, page)
        name = None if page.model is None else self._find_model(page.model)
        if page.model is not None and name is None:
            if not is_text(page.model):
                raise InvalidRequest("The name of the model in the path is not UTF-8.", param="model")
            raise UnknownModel(unquote(page.model), self._models)
        if client.head.method not in status_routes.METHODS:
            raise WrongMethod(client.head.method, status_routes.METHODS)
        inner: Any = scope_of(client)
        # By which name the proxy may be reached is the guard's to say, which has; Litestar refuses some on its own.
        headers = [pair for pair in inner["headers"] if pair[0] != b"host"]
        inner |= {"path": page.path, "raw_path": page.path.encode(), "method": "GET", "headers": headers}
        inner["state"] = {"model": name, "shows_all": shows_all}
        receive: Any = client.receive
        sent: list[Any] = []

        async def take(message: Any) -> None:
            sent.append(message)

        await super().__call__(inner, receive, take)
        return WholeAnswer(_whole(*sent))

    def _told_to_pages(self, client: Client) -> dict[bytes, bytes]:
        """The request's headers, after the answer, whatever it will be, was made readable for the page it is for."""
        headers = client.head.by_name
        origin = headers.get(b"origin")
        client.added = cors.readable_by(origin if origin is not None and self._admission.may_call(origin) else None)
        return headers

    async def _give_leave(self, exchange: Exchange) -> Answer:
        headers = self._admission.admit_preflight(exchange)
        exchange.client.added = [*exchange.client.added, *cors.leave(headers)]
        return WholeAnswer(WholeReply(204, (), b""))


def _whole(start: Any, *pieces: Any) -> WholeReply:
    """What a handler has sent, as messages of ASGI."""
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"])
    return WholeReply(start["status"], headers, b"".join(piece.get("body", b"") for piece in pieces))


def _raise(_: Request[Any, Any, Any], error: Exception) -> NoReturn:
    """The exchange knows what to tell, and where."""
    raise error
