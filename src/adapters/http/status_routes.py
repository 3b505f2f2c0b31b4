"""`GET /v1/models`, `/status`, `/metrics`, `/openapi.json`, the health routes: pages that are answered from memory, no
provider is asked.

Their handlers are Litestar's. Who may see a page, and that it is written down, is the application's doing.
"""

import asyncio
import hashlib
from collections.abc import Collection, Iterable
from typing import Any
from urllib.parse import unquote

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from adapters.http.exchange.in_flight import InFlight
from adapters.http.paths.routes import below_root
from adapters.http.status_page.document import Document
from application.use_cases.catalogue import ReportHealth
from application.use_cases.overview import overview_of
from application.use_cases.proxy_report import MetricsText, ReportProxy

METHODS = ("GET", "HEAD")
"""What watches whether something is up often asks with HEAD."""

_ITSELF = 1
"""How many of the requests in flight only ask how many there are."""
_MODEL = "/v1/models/one"
_STATUS_FIELDS = (("cache-control", "no-cache"), ("vary", "accept"))
_DESCRIPTION_FIELDS = (("cache-control", "no-cache"),)


class Page(Struct, frozen=True):
    path: str
    """Of its handler."""
    model: str | None = None
    """The model it is about, percent-encoded as it came; None = it is about none."""
    needs_key: bool = True
    is_for_any_host: bool = False
    """Is it shown by whatever name the proxy was reached? Load balancers ask by addresses."""
    is_probe: bool = False
    """Is it asked for every few seconds, by what watches the proxy?"""
    is_metrics: bool = False
    """Does the setting `metrics` say who may see it?"""


PAGES = {
    "/health": Page("/health", needs_key=False, is_probe=True),
    "/health/live": Page("/health/live", needs_key=False, is_for_any_host=True, is_probe=True),
    "/health/ready": Page("/health/ready", needs_key=False, is_probe=True),
    "/status": Page("/status", is_probe=True),
    "/metrics": Page("/metrics", needs_key=False, is_probe=True, is_metrics=True),
    "/openapi.json": Page("/openapi.json"),
}
_MODELS = Page("/v1/models")
_FOR_BROWSERS = Page("/status/page", needs_key=False, is_probe=True)
"""The status for people. It holds no figures: its script asks for those, with a key where one is needed."""


def page_of(path: str, accept: bytes = b"") -> Page | None:
    """The page under a path, which is percent-encoded; None = there is none. `accept` is the header of that name."""
    name = "/" + path.strip("/")
    if b"text/html" in accept and b"application/json" not in accept and name in {"/", "/status"}:
        return _FOR_BROWSERS
    found = PAGES.get(name)
    if found is not None:
        return found
    below = below_root(path)
    if below is None or not below.path.startswith("/models"):
        return None
    if below.path == "/models":
        return _MODELS
    return Page(_MODEL, below.path.removeprefix("/models/")) if below.path.startswith("/models/") else None


def find_model(models: Collection[str], encoded: str) -> str | None:
    """The name of a model that a path holds, whatever characters it has; None = no such model. Most clients encode a
    name once, some not at all; what is listed decides."""
    for spelt in (encoded, encoded.strip("/")):
        for name in (unquote(spelt), spelt):
            if name in models:
                return name
    return None


def is_text(encoded: str) -> bool:
    """Can a model be called so? What is percent-encoded in it has to be UTF-8."""
    try:
        unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        return False
    return True


def catalogue_routes(
    models: Collection[str],
    health: ReportHealth,
    report: ReportProxy,
    metrics_text: MetricsText,
    document: Document,
    description: bytes,
    in_flight: InFlight,
    started_unix: int,
) -> list[HTTPRouteHandler]:
    """The handlers. `description`: what is served, as OpenAPI; `started_unix` is what every model says it was
    `created`."""

    def card(name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": started_unix, "owned_by": "llmproxy"}

    @get(_MODELS.path, sync_to_thread=False)
    def list_models() -> Response[bytes]:
        return _json({"object": "list", "data": [card(name) for name in models]})

    @get(_MODEL, sync_to_thread=False)
    def get_model(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _json(card(request.scope["state"]["model"]))

    @get("/health", sync_to_thread=False)
    def report_health(request: Request[Any, Any, Any]) -> Response[bytes]:
        found = health()
        told = found if request.scope["state"]["shows_all"] else {"status": found.status}
        return _json(told, 503 if found.status == "unavailable" else 200)

    @get("/status", sync_to_thread=False)
    def report_status(request: Request[Any, Any, Any]) -> Response[bytes]:
        body = msgspec.json.encode(overview_of(report(_ITSELF), draining=in_flight.draining))
        return _unless_known(request, body, MediaType.JSON, _STATUS_FIELDS)

    @get("/metrics")
    async def report_metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        # In a thread: of many endpoints it takes long enough for requests to notice.
        accept = request.headers.get("accept", "")
        content_type, text = await asyncio.to_thread(metrics_text, report(_ITSELF), accept)
        # As a media_type Litestar names the charset once more, and Prometheus refuses a parameter that comes twice.
        return Response(text, headers={"content-type": content_type, "vary": "accept"})

    @get(_FOR_BROWSERS.path, sync_to_thread=False)
    def show_status(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _unless_known(request, document.html, MediaType.HTML, document.headers)

    @get("/openapi.json", sync_to_thread=False)
    def describe(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _unless_known(request, description, MediaType.JSON, _DESCRIPTION_FIELDS)

    @get("/health/live", sync_to_thread=False)
    def live() -> Response[bytes]:
        return _json({"status": "ok"})

    @get("/health/ready", sync_to_thread=False)
    def ready() -> Response[bytes]:
        return _json({"status": "draining"}, 503) if in_flight.draining else _json({"status": "ok"})

    return [list_models, get_model, report_health, report_status, report_metrics, show_status, describe, live, ready]


def _unless_known(
    request: Request[Any, Any, Any], body: bytes, media_type: MediaType, headers: Iterable[tuple[str, str]]
) -> Response[bytes]:
    """304 where the client has these very bytes already (RFC 9110, 13.1.2)."""
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    told = {**dict(headers), "etag": tag}
    known = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    if tag in known:
        return Response(b"", status_code=304, headers=told, media_type=media_type)
    return Response(body, headers=told, media_type=media_type)


def _json(body: object, status: int = 200) -> Response[bytes]:
    return Response(msgspec.json.encode(body), status_code=status, media_type=MediaType.JSON)
