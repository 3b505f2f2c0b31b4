"""What an exchange sends at once, and what it leaves out."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import pytest

from adapters.http.exchange import in_flight as in_flight_module
from adapters.http.exchange.exchange import Exchange
from adapters.http.exchange.exchange_report import ExchangeContext
from adapters.http.exchange.in_flight import InFlight
from adapters.http.server.client import Client
from adapters.http.server.reply_head import reply_head
from adapters.http.server.request.head import RequestHead
from application.answers import Answer, WholeAnswer
from application.errors import InvalidRequest
from application.held_bytes import HeldBytes
from application.messages import Headers, WholeReply
from application.observing.request_counts import RequestCounts
from application.ready import Ready
from tests.fakes import FakeClock, RecordingLog


class Taking:
    """A client that takes whatever can be sent."""

    def __init__(self, method: str) -> None:
        self.head = RequestHead(method, "1.1", b"/v1/x", "/v1/x", b"", [(b"user-agent", b"me")], keeps=True)
        self.length = 0
        self.added = ()
        self.addresses = {"client": ("10.0.0.1", 1)}
        self.sent_bytes = 0
        self.told: list[tuple[int, list[str], bytes]] = []

    def on_disconnect(self, tell: Callable[[], None] | None) -> None: ...

    def reply(self, status: int, fields: Sequence[str], body: bytes) -> Awaitable[None] | None:
        reply_head(status, fields, is_http10=False, keeps=True)
        self.sent_bytes = len(body)
        self.told.append((status, list(fields), body))
        return None


async def exchanged(answer: Any, method: str = "POST") -> tuple[Taking, RecordingLog]:
    client, log, clock = Taking(method), RecordingLog(), FakeClock()
    in_flight, counts = InFlight(1.0, HeldBytes()), RequestCounts((), clock)
    context = ExchangeContext(clock, log, in_flight, counts, counts.went_well, counts.ended, 1.0)
    exchange = Exchange(cast("Client", client), context)
    assert exchange.begin(answer) is None
    assert len(log.records) == 1
    return client, log


def ready(headers: Headers, body: bytes = b"{}") -> Callable[[Exchange], Awaitable[Answer]]:
    return lambda _: Ready(WholeAnswer(WholeReply(200, headers, body)))


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ((("x-a", "a"), ("set-cookie", "c")), ["x-a: a"]),
        ((("x-a", "a\x01"), ("x-b", "b\tc"), ("x-c", "\xe9")), ["x-b: b\tc", "x-c: \xe9"]),
        ((("x-a", "a\r\nx-evil: 1"), ("x-b", "b")), ["x-b: b"]),
        ((("connection", "x-a"), ("x-a", "a"), ("x-b", "b")), ["x-b: b"]),
        ((("connection", "keep-alive"), ("x-a", "a")), ["x-a: a"]),
        ((("x-a", "1"), ("x-a", "2")), ["x-a: 1", "x-a: 2"]),
    ],
)
async def test_of_an_answer_that_is_here_what_can_be_sent_is_sent_at_once(headers: Headers, kept: list[str]) -> None:
    client, log = await exchanged(ready(headers))

    ((status, fields, body),) = client.told
    assert (status, body) == (200, b"{}")
    assert [field for field in fields if not field.startswith("x-llmproxy-")] == [*kept, "content-length: 2"]
    assert (log.records[0].status, log.records[0].outcome, log.records[0].bytes_out) == (200, "ok", 2)


async def test_of_an_answer_without_its_body_the_length_is_the_providers() -> None:
    client, _ = await exchanged(ready((("content-length", "7"),), b""), "HEAD")

    assert "content-length: 7" in client.told[0][1]


async def test_a_refusal_is_told_at_once_and_a_mistake_of_the_proxys_is_not_explained() -> None:
    def refuses(_: Exchange) -> Awaitable[Answer]:
        raise InvalidRequest("No.", code="no")

    def fails(_: Exchange) -> Awaitable[Answer]:
        raise ZeroDivisionError("the prompt")

    client, log = await exchanged(refuses)
    assert (client.told[0][0], log.records[0].outcome, log.records[0].status) == (400, "no", 400)

    client, log = await exchanged(fails)
    assert client.told[0][0] == 500
    assert b"the prompt" not in client.told[0][2]
    assert [type(error) for error in log.crashes] == [ZeroDivisionError]
    assert (log.records[0].client, log.records[0].user_agent, log.records[0].path) == ("10.0.0.1", "me", "/v1/x")


async def test_who_comes_when_the_time_of_a_shutdown_is_up_has_a_little_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(in_flight_module, "LATE_S", 0.0)

    class Late:
        is_streaming = False
        interrupted = 0

        def interrupt(self) -> None:
            self.interrupted += 1

    in_flight, early, late, quick = InFlight(0.0, HeldBytes()), Late(), Late(), Late()
    in_flight.add(early)
    in_flight.drain()
    await asyncio.sleep(0.001)
    in_flight.add(late)
    in_flight.add(quick)
    in_flight.remove(quick)
    assert not late.interrupted
    await asyncio.sleep(0.001)

    assert (early.interrupted, late.interrupted, quick.interrupted) == (1, 1, 0)
