"""The Litestar application: routes to handlers, and every error in the shape the OpenAI SDKs read."""

from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, cast

from litestar import HttpMethod, Litestar, MediaType, Request, Response, asgi, route
from litestar.config.cors import CORSConfig
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import (
    ASGIApp,
    ControllerRouterHandler,
    LifeSpanReceive,
    LifeSpanScope,
    LifeSpanSend,
    Receive,
    Scope,
    Send,
)

from adapters.http.errors import error_body, error_headers
from adapters.http.pass_through import PassThroughCalls
from adapters.http.routes import FURTHER_PATHS, METHODS, PATHS, other_route
from adapters.http.surface import Surface
from application.errors import InvalidRequest, ProxyError
from application.ports import RequestLog

Lifespan = Callable[[], AbstractAsyncContextManager[None]]


class App(Litestar):
    """Litestar with an express way to the surface: for requests that meet their errors, their log line and their guards
    there, its own layers only cost time."""

    def __init__(self, surface: Surface, express: Collection[str], **options: Any) -> None:
        """`express`: the paths that go to the surface at once."""
        super().__init__(**options)
        self._surface = surface
        self._express = frozenset(express)

    def __call__(
        self, scope: Scope | LifeSpanScope, receive: Receive | LifeSpanReceive, send: Send | LifeSpanSend
    ) -> Coroutine[Any, Any, None]:
        http: Any = scope
        if http["type"] == "http" and http["path"] in self._express:
            express: Any = (receive, send)
            return self._surface.answering(http, *express)
        return super().__call__(scope, receive, send)


def build_app(
    surface: Surface,
    others: PassThroughCalls,
    routes: Sequence[ControllerRouterHandler],
    lifespan: Lifespan,
    log: RequestLog,
    allowed_origins: Sequence[str] = (),
) -> Litestar:
    """The application. `lifespan` is entered before the first request and left after the last.

    Pages of `allowed_origins` may read answers (CORS); that others may not even ask is the guard's doing.
    """

    @asynccontextmanager
    async def run(_: Litestar) -> AsyncIterator[None]:
        async with lifespan():
            yield

    return App(
        surface,
        express=() if allowed_origins else PATHS,  # Litestar speaks CORS, which the surface does not
        route_handlers=[
            asgi(list(PATHS), copy_scope=False)(surface.__call__),
            _further(surface, others),
            *routes,
        ],
        exception_handlers={Exception: partial(_answer_error, log)},
        lifespan=[run],
        cors_config=CORSConfig(allow_origins=list(allowed_origins)) if allowed_origins else None,
        openapi_config=None,
        debug=False,
        logging_config=None,
    )


def _further(surface: Surface, others: PassThroughCalls) -> HTTPRouteHandler:
    """Mounts would do, but Litestar 2.25 finds nothing in a mount that a path with parameters leads through."""

    @route(list(FURTHER_PATHS), http_method=[HttpMethod(method) for method in METHODS], sync_to_thread=False)
    def choose(request: Request[Any, Any, Any]) -> ASGIApp:
        path = request.scope["raw_path"].decode("latin-1")
        return cast(ASGIApp, surface if other_route(path) is None else others)

    return choose


def _answer_error(log: RequestLog, _: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    told = _told(error)
    if told.status >= 500:
        log.crashed("", error)
    headers = {name.decode(): value.decode() for name, value in error_headers(told)}
    return Response(error_body(told), status_code=told.status, headers=headers, media_type=MediaType.JSON)


def _told(error: Exception) -> ProxyError:
    if isinstance(error, ProxyError):
        return error
    if isinstance(error, HTTPException) and error.status_code == 404:
        return InvalidRequest("There is nothing under this path.", code="unknown_path", status=404)
    if isinstance(error, HTTPException) and error.status_code == 405:
        return InvalidRequest("This path is not served with this method.", code="method_not_allowed", status=405)
    if isinstance(error, HTTPException) and error.status_code < 500:
        return InvalidRequest("The request cannot be understood.", status=error.status_code)
    return ProxyError("The proxy failed to handle this request.")
