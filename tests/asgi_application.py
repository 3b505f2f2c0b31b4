"""ASGI applications as the server wants them: tests are easily written as such."""

from collections.abc import Awaitable
from typing import Any

from adapters.http.server.asgi import scope_of
from adapters.http.server.client import Client
from application.ready import Ready

CLIENT = "client"
"""The ASGI extension that is the `Client`."""

_DONE = Ready(None)


class AsgiApplication:
    """An `Application` that hands requests to an ASGI one."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def begin(self, client: Client) -> Awaitable[None]:
        scope = scope_of(client)
        scope["extensions"][CLIENT] = client

        def send(message: dict[str, Any]) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                fields = [f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in headers]
                client.start(message["status"], fields)
            else:
                if message.get("body"):
                    client.send_chunk(message["body"])
                if not message.get("more_body", False):
                    client.finish()
            return client.drain() or _DONE

        waits: Awaitable[None] = self._app(scope, client.receive, send)
        return waits
