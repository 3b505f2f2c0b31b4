"""`POST /v1/chat/completions`, also without `/v1` and as AzureOpenAI clients spell it."""

from urllib.parse import unquote

from litestar.types import HTTPScope, Receive, Send

from adapters.http.exchange import Exchange
from adapters.http.guards import Guard, check_json
from adapters.http.headers import by_name
from adapters.http.in_flight import InFlight
from adapters.http.intake import chat_request, read_body
from application.answers import Answer
from application.chat import AnswerChat
from application.errors import InvalidRequest
from application.ports import Clock, RequestLog

PATHS = ("/v1/chat/completions", "/chat/completions", "/openai/v1/chat/completions", "/openai/chat/completions")
DEPLOYMENTS_MOUNT = "/openai/deployments"
"""Mounted, as Litestar 2.25 fails on path parameters of an ASGI handler."""

_ROUTE = "/chat/completions"


class ChatEndpoint:
    """The ASGI application behind all spellings of the chat route."""

    def __init__(
        self,
        chat: AnswerChat,
        guard: Guard,
        clock: Clock,
        log: RequestLog,
        in_flight: InFlight,
        max_body_bytes: int,
        write_timeout_s: float,
    ) -> None:
        self._chat = chat
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
        path_model = _deployment(scope["raw_path"].decode("latin-1"))
        if scope["method"] != "POST":
            raise InvalidRequest(
                f"{scope['method']} is not served here; use POST.", code="method_not_allowed", status=405
            )
        check_json(headers)
        body = await read_body(exchange.receive, headers, self._max_body_bytes)
        exchange.request = chat_request(
            body,
            raw_headers,
            headers,
            path=_ROUTE,
            query=scope["query_string"].decode("latin-1"),
            path_model=path_model,
            keep_credentials=not self._guard.needs_key,
            request_id=exchange.request_id,
            received=exchange.received,
        )
        return await exchange.while_connected(self._chat(exchange.request, exchange.trail))


def _deployment(path: str) -> str | None:
    """The deployment an Azure URL names; None = the URL is not of that kind. Raises `InvalidRequest` (404)."""
    if not path.startswith(DEPLOYMENTS_MOUNT):
        return None
    deployment, slash, route = path.removeprefix(DEPLOYMENTS_MOUNT).removeprefix("/").partition("/")
    if not deployment or slash + route != _ROUTE:
        raise InvalidRequest("There is nothing under this path.", code="unknown_path", status=404)
    return unquote(deployment)
