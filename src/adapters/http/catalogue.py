"""`GET /v1/models`, `GET /status` and the health routes, also with HEAD: answered from memory, no provider is asked."""

from typing import Any

import msgspec
from litestar import HttpMethod, MediaType, Request, Response, Router, route
from litestar.handlers import HTTPRouteHandler

from adapters.http.guards import Guard
from adapters.http.headers import by_name
from adapters.http.in_flight import InFlight
from application.catalogue import ListModels, ReportHealth
from application.errors import InvalidRequest
from application.status import ReportStatus, ReportStores

_METHODS = (HttpMethod.GET, HttpMethod.HEAD)
"""What watches whether something is up often asks with HEAD."""

MODELS_PATHS = ("/v1/models", "/models", "/openai/v1/models", "/openai/models")


def catalogue_routes(
    models: ListModels,
    health: ReportHealth,
    status: ReportStatus,
    stores: ReportStores,
    guard: Guard,
    in_flight: InFlight,
    started_unix: int,
) -> list[Router | HTTPRouteHandler]:
    """The handlers. `started_unix` is what every model says it was `created`."""

    def check(request: Request[Any, Any, Any], *, key: bool) -> None:
        guard.check(by_name(list(request.scope["headers"])), key=key)

    def card(name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": started_unix, "owned_by": "llmproxy"}

    @route(list(MODELS_PATHS), http_method=_METHODS, sync_to_thread=False)
    def list_models(request: Request[Any, Any, Any]) -> Response[bytes]:
        check(request, key=True)
        return _json({"object": "list", "data": [card(name) for name in models()]})

    @route([f"{path}/{{model:path}}" for path in MODELS_PATHS], http_method=_METHODS, sync_to_thread=False)
    def get_model(request: Request[Any, Any, Any]) -> Response[bytes]:
        check(request, key=True)
        name = request.path_params["model"].removeprefix("/")
        if name not in models():
            raise InvalidRequest(
                f"The model is not served here. Served: {', '.join(models())}.",
                param="model",
                code="model_not_found",
                status=404,
            )
        return _json(card(name))

    @route("/health", http_method=_METHODS, sync_to_thread=False)
    def report_health(request: Request[Any, Any, Any]) -> Response[bytes]:
        check(request, key=False)
        report = health()
        return _json(report, 503 if report.status == "unavailable" else 200)

    @route("/status", http_method=_METHODS, sync_to_thread=False)
    def report_status(request: Request[Any, Any, Any]) -> Response[bytes]:
        check(request, key=True)
        return _json({"groups": status(), "stores": stores()})

    @route("/health/live", http_method=_METHODS, sync_to_thread=False)
    def live(request: Request[Any, Any, Any]) -> Response[bytes]:
        check(request, key=False)
        return _json({"status": "ok"})

    @route("/health/ready", http_method=_METHODS, sync_to_thread=False)
    def ready(request: Request[Any, Any, Any]) -> Response[bytes]:
        check(request, key=False)
        return _json({"status": "draining"}, 503) if in_flight.draining else _json({"status": "ok"})

    return [list_models, get_model, report_health, report_status, live, ready]


def _json(body: object, status: int = 200) -> Response[bytes]:
    return Response(msgspec.json.encode(body), status_code=status, media_type=MediaType.JSON)
