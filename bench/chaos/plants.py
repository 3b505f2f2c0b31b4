"""Faults to plant in a replica, so that it is known what a run would notice: a pass of a harness that cannot fail is
worthless. Each changes a class, and so holds after reloads as well."""

import sys
from collections.abc import Awaitable, Callable
from itertools import count

from msgspec import structs

from adapters.http.app import App
from adapters.http.server.client import Client
from adapters.upstreams.http1.client import Http1Upstream
from adapters.upstreams.http1.reply import Http1Reply
from application.messages import UpstreamCall

ONE_IN = 25
"""So many requests meet the planted fault once, in each worker."""

NO_FAILOVER = "no-failover"
"""Planted in the configuration."""


def drop_one() -> None:
    """Answers begin and never end: the connection is closed."""
    numbers = count(1)
    begin = App.begin

    def begin_or_drop(self: App, client: Client) -> Awaitable[None] | None:
        if client.head.method == "POST" and next(numbers) % ONE_IN == 0:
            return _dropped(client)
        return begin(self, client)

    App.begin = begin_or_drop  # type: ignore[method-assign]


async def _dropped(client: Client) -> None:
    client.start(200, ("content-type: application/json",))
    raise ConnectionAbortedError("planted")


def mix_answers() -> None:
    """An endpoint is asked what another request asked before, so that a client gets somebody else's answer."""
    numbers = count(1)
    send = Http1Upstream.send
    before: dict[str, UpstreamCall] = {}

    async def send_or_mix(self: Http1Upstream, call: UpstreamCall) -> Http1Reply:
        other = before.get(call.url)
        before[call.url] = call
        if other is not None and next(numbers) % ONE_IN == 0:
            call = structs.replace(call, body=other.body)
        return await send(self, call)

    Http1Upstream.send = send_or_mix  # type: ignore[method-assign]


def tell_keys() -> None:
    """The headers of some requests get into the log."""
    numbers = count(1)
    begin = App.begin

    def begin_and_tell(self: App, client: Client) -> Awaitable[None] | None:
        if next(numbers) % ONE_IN == 0:
            print('{"level": "info", "event": "planted", "headers":', client.head.headers, "}", file=sys.stderr)
        return begin(self, client)

    App.begin = begin_and_tell  # type: ignore[method-assign]


_PLANTS: dict[str, Callable[[], None]] = {
    "drop-one": drop_one,
    "mix-answers": mix_answers,
    "tell-keys": tell_keys,
}
PLANTS = (*_PLANTS, NO_FAILOVER)


def plant(kind: str) -> None:
    """Before the first request. Raises KeyError for what is none of `PLANTS`."""
    if kind != NO_FAILOVER:
        _PLANTS[kind]()
