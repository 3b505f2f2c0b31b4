"""Every kind of fault, seen from the other end of the wire."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from simulator import ProviderSettings, SimulatedProvider
from simulator.faults.rules import AnyAction

LONG_S = 10.0
DONE = b"data: [DONE]\n\n"
LAST_CHUNK = b"\r\n0\r\n\r\n"


@pytest.fixture
async def provider() -> AsyncIterator[SimulatedProvider]:
    async with SimulatedProvider(ProviderSettings(name="alpha")) as running:
        yield running


class Wire:
    """A client that only sees bytes."""

    def __init__(self, provider: SimulatedProvider) -> None:
        self._provider = provider

    async def __aenter__(self) -> "Wire":
        self._reader, self._writer = await asyncio.open_connection(self._provider.host, self._provider.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    def ask(self, *, stream: bool = False, path: str = "/v1/chat/completions", headers: str = "") -> None:
        asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "input": "hi", "stream": stream}
        body = json.dumps(asked).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: p\r\n{headers}content-length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)

    async def until_end(self) -> tuple[bytes, str]:
        """Everything that comes, and how it ended: `eof` or `reset`."""
        received = b""
        async with asyncio.timeout(LONG_S):
            while True:
                try:
                    data = await self._reader.read(65536)
                except ConnectionResetError:
                    return received, "reset"
                if not data:
                    return received, "eof"
                received += data

    async def reply(self) -> tuple[bytes, bytes]:
        """Head and body of one reply that has a `content-length`."""
        async with asyncio.timeout(LONG_S):
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            return head, await self._reader.readexactly(int(length.split(b":")[1]))

    async def until(self, end: bytes) -> bytes:
        async with asyncio.timeout(LONG_S):
            return await self._reader.readuntil(end)

    async def is_silent(self) -> bool:
        """Nothing comes, not even an end, for a moment."""
        try:
            async with asyncio.timeout(0.05):
                await self._reader.read(1)
        except TimeoutError:
            return True
        return False


def fail(provider: SimulatedProvider, kind: str, **fields: Any) -> None:
    provider.set_faults([{"action": {"kind": kind, **fields}}])


async def outcome(provider: SimulatedProvider) -> str:
    """Of the last request, once it has ended."""
    async with asyncio.timeout(LONG_S):
        while provider.records[-1].outcome == "in_flight":
            await asyncio.sleep(0.001)
    return provider.records[-1].outcome


async def broken(provider: SimulatedProvider, kind: str, *, stream: bool = False, **fields: Any) -> tuple[bytes, str]:
    """What one request gets that breaks the connection, and how that ends."""
    fail(provider, kind, **fields)
    async with Wire(provider) as wire:
        wire.ask(stream=stream)
        received = await wire.until_end()
    assert await outcome(provider) == f"fault:{kind}"
    return received


def payload(received: bytes) -> bytes:
    """The body of a chunked reply as far as it came."""
    body, rest = b"", received.partition(b"\r\n\r\n")[2]
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body


@pytest.mark.parametrize(
    ("body", "content_type", "sent"),
    [
        ({"error": {"message": "no"}}, b"application/json", b'{"error":{"message":"no"}}'),
        ("<html>", b"text/plain; charset=utf-8", b"<html>"),
    ],
)
async def test_status(provider: SimulatedProvider, body: Any, content_type: bytes, sent: bytes) -> None:
    fail(provider, "status", status=529, headers={"Retry-After": "3"}, body=body)

    async with Wire(provider) as wire:
        for _ in range(2):  # the connection stays usable
            wire.ask()
            head, received = await wire.reply()

            assert head.startswith(b"HTTP/1.1 529 ")
            assert b"content-type: %b\r\n" % content_type in head
            assert b"retry-after: 3\r\n" in head
            assert received == sent
    assert provider.counts().faulted == 2


async def test_junk_empty_and_redirect(provider: SimulatedProvider) -> None:
    async with Wire(provider) as wire:
        fail(provider, "junk", body="<!doctype html>", content_type="text/html")
        wire.ask()
        junk = await wire.reply()
        fail(provider, "empty")
        wire.ask()
        empty = await wire.reply()
        fail(provider, "redirect", location="http://127.0.0.1:1/")
        wire.ask()
        redirect = await wire.reply()

    assert junk[0].startswith(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n")
    assert junk[1] == b"<!doctype html>"
    assert empty[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert empty[1] == b""
    assert redirect[0].startswith(b"HTTP/1.1 302 Found\r\n")
    assert b"location: http://127.0.0.1:1/\r\n" in redirect[0]


@pytest.mark.parametrize(("kind", "end"), [("reset", "reset"), ("close", "eof")])
async def test_reset_and_close_before_headers(provider: SimulatedProvider, kind: str, end: str) -> None:
    assert await broken(provider, kind) == (b"", end)
    assert provider.records[-1].status is None


@pytest.mark.parametrize(("kind", "end"), [("reset", "reset"), ("close", "eof")])
async def test_reset_and_close_mid_body(provider: SimulatedProvider, kind: str, end: str) -> None:
    received, ended = await broken(provider, kind, when="mid_body", after_bytes=10)

    head, _, body = received.partition(b"\r\n\r\n")
    assert ended == end
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert body == b'{"id":"cha'


@pytest.mark.parametrize(("kind", "end"), [("reset", "reset"), ("close", "eof")])
async def test_reset_and_close_mid_stream(provider: SimulatedProvider, kind: str, end: str) -> None:
    received, ended = await broken(provider, kind, when="mid_stream", after_events=3, stream=True)

    assert ended == end
    assert payload(received).count(b"data: ") == 3
    assert not received.endswith(LAST_CHUNK)


async def test_a_stream_can_be_cut_inside_an_event(provider: SimulatedProvider) -> None:
    received, _ = await broken(provider, "close", when="mid_stream", after_bytes=300, stream=True)

    assert len(payload(received)) == 300


async def test_a_stream_can_lose_nothing_but_its_last_chunk(provider: SimulatedProvider) -> None:
    received, _ = await broken(provider, "close", when="mid_stream", after_events=100, stream=True)

    assert payload(received).endswith(DONE)
    assert not received.endswith(LAST_CHUNK)


async def test_hang_before_headers_until_the_client_leaves(provider: SimulatedProvider) -> None:
    fail(provider, "hang")

    async with Wire(provider) as wire:
        wire.ask()
        assert await wire.is_silent()
        assert provider.records[-1].outcome == "in_flight"

    assert await outcome(provider) == "client_closed"


async def test_hang_mid_stream_and_mid_body(provider: SimulatedProvider) -> None:
    fail(provider, "hang", when="mid_stream", after_events=2)
    async with Wire(provider) as wire:
        wire.ask(stream=True)
        await wire.until(b'"content":"alpha/')
        await wire.until(b"\n\n\r\n")
        assert await wire.is_silent()
    fail(provider, "hang", when="mid_body", after_bytes=0)
    async with Wire(provider) as wire:
        wire.ask()
        await wire.until(b"\r\n\r\n")
        assert await wire.is_silent()

    assert await outcome(provider) == "client_closed"


async def test_hang_for_a_time_ends_by_closing(provider: SimulatedProvider) -> None:
    assert await broken(provider, "hang", seconds=0.05) == (b"", "eof")


async def test_truncate_promises_more_than_it_sends(provider: SimulatedProvider) -> None:
    received, ended = await broken(provider, "truncate", missing_bytes=7)

    head, _, body = received.partition(b"\r\n\r\n")
    assert ended == "eof"
    assert b"content-length: %d" % (len(body) + 7) in head


async def test_overlong_sends_more_than_it_promised(provider: SimulatedProvider) -> None:
    fail(provider, "overlong", extra="HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")

    async with Wire(provider) as wire:
        wire.ask()
        _, body = await wire.reply()
        smuggled = await wire.reply()

    assert json.loads(body)["object"] == "chat.completion"
    assert smuggled[1] == b"hi"


@pytest.mark.parametrize(
    ("path", "part"), [("/v1/chat/completions", b'data: {"error":'), ("/v1/responses", b"event: error\ndata: ")]
)
async def test_stream_error_ends_a_stream_cleanly_without_done(
    provider: SimulatedProvider, path: str, part: bytes
) -> None:
    fail(provider, "stream_error", after_events=2)

    async with Wire(provider) as wire:
        wire.ask(stream=True, path=path)
        received = await wire.until(LAST_CHUNK)

    assert payload(received).count(b"\n\n") == 3
    assert part in payload(received).split(b"\n\n", 2)[2]
    assert DONE not in received


async def test_stream_error_makes_the_sdk_raise(provider: SimulatedProvider) -> None:
    fail(provider, "stream_error", after_events=0)

    async with AsyncOpenAI(api_key="k", base_url=provider.url, max_retries=0) as client:
        stream = await client.chat.completions.create(model="m", messages=[], stream=True)
        with pytest.raises(openai.APIError, match="The server had an error"):
            _ = [chunk async for chunk in stream]


async def test_no_done_ends_a_stream_cleanly_without_finish(provider: SimulatedProvider) -> None:
    fail(provider, "no_done")

    async with Wire(provider) as wire:
        wire.ask(stream=True)
        received = await wire.until(LAST_CHUNK)

    assert payload(received).count(b"data: ") == 17
    assert b'"finish_reason":"stop"' not in received
    assert DONE not in received


@pytest.mark.parametrize(
    ("framing", "then", "body", "end"),
    [
        ("chunked", "close", b"3\r\na\n\n\r\n2\r\n\xc3\xbc\r\n", "eof"),
        ("chunked", "reset", b"3\r\na\n\n\r\n2\r\n\xc3\xbc\r\n", "reset"),
        ("close", "end", b"a\n\n\xc3\xbc", "eof"),
        ("length", "close", b"a\n\n\xc3\xbc", "eof"),
    ],
)
async def test_raw_sends_exactly_what_it_is_given(
    provider: SimulatedProvider, framing: str, then: str, body: bytes, end: str
) -> None:
    received, ended = await broken(
        provider,
        "raw",
        status=207,
        headers={"Content-Type": "text/event-stream", "X-One": "1"},
        chunks=["a\n\n", "ü"],
        delay_ms=1,
        framing=framing,
        then=then,
    )

    head, _, received_body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 207 Multi-Status\r\ncontent-type: text/event-stream\r\nx-one: 1\r\n")
    assert received_body == body
    assert ended == end


async def test_raw_can_end_well_and_can_hang(provider: SimulatedProvider) -> None:
    async with Wire(provider) as wire:
        fail(provider, "raw", chunks=["one"])
        wire.ask()
        assert (await wire.until(b"0\r\n\r\n")).endswith(b"3\r\none\r\n0\r\n\r\n")
        fail(provider, "raw", chunks=["two"], then="hang")
        wire.ask()
        assert (await wire.until(b"two\r\n")).endswith(b"3\r\ntwo\r\n")
        assert await wire.is_silent()


@pytest.mark.parametrize(
    ("kind", "fields"), [("slow", {"bytes_per_second": 20_000}), ("chop", {"bytes": 7, "delay_ms": 0})]
)
async def test_slow_and_chop_change_nothing_but_the_pieces(
    provider: SimulatedProvider, kind: str, fields: dict[str, Any]
) -> None:
    fail(provider, kind, **fields)

    async with Wire(provider) as wire:
        wire.ask()
        whole = await wire.reply()
        wire.ask(stream=True)
        stream = await wire.until(LAST_CHUNK)

    assert json.loads(whole[1])["object"] == "chat.completion"
    assert payload(stream).endswith(DONE)
    assert await outcome(provider) == f"fault:{kind}"


async def test_latency_comes_on_top(provider: SimulatedProvider) -> None:
    fail(provider, "latency", seconds=0.1)

    async with Wire(provider) as wire:
        wire.ask()
        assert await wire.is_silent()
        await wire.reply()

    record = provider.records[0]
    assert (record.ended_s or 0) - record.started_s >= 0.09


async def test_huge_headers(provider: SimulatedProvider) -> None:
    fail(provider, "huge_headers", bytes=100_000)

    async with Wire(provider) as wire:
        wire.ask()
        received = b""
        while b"\r\n\r\n" not in received:
            received += await wire._reader.read(65536)

    assert len(received.partition(b"\r\n\r\n")[0]) > 100_000


async def test_refuse_drops_idle_connections_and_new_ones_for_a_time(provider: SimulatedProvider) -> None:
    provider.set_faults([{"times": 1, "action": {"kind": "refuse", "seconds": 0.3}}])
    async with Wire(provider) as idle, Wire(provider) as wire:
        wire.ask()

        assert await wire.until_end() == (b"", "reset")
        assert await idle.until_end() == (b"", "eof")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(provider.host, provider.port)

    async with asyncio.timeout(LONG_S):
        while provider._server is None:
            await asyncio.sleep(0.01)
    async with Wire(provider) as wire:
        wire.ask()
        assert (await wire.reply())[0].startswith(b"HTTP/1.1 200 OK")


async def test_a_provider_can_be_stopped_while_it_refuses(provider: SimulatedProvider) -> None:
    provider.refuse(60)
    await asyncio.sleep(0)

    await provider.stop()

    assert await provider.start(port=provider.port) == provider.port


async def test_early_close_idle_answers_and_closes_unannounced(provider: SimulatedProvider) -> None:
    fail(provider, "early_close_idle", ms=1)

    async with Wire(provider) as wire:
        wire.ask()
        head, _ = await wire.reply()

        assert b"connection: close" not in head
        assert await wire.until_end() == (b"", "eof")


async def test_faults_leave_control_and_other_requests_alone(provider: SimulatedProvider) -> None:
    provider.set_faults([{"match": {"header": ["x-fault", "yes"]}, "action": {"kind": "reset"}}])

    async with Wire(provider) as wire:
        wire.ask()
        assert (await wire.reply())[0].startswith(b"HTTP/1.1 200 OK")
        wire.ask(headers="X-Fault: yes\r\n")
        assert await wire.until_end() == (b"", "reset")
    async with Wire(provider) as wire:
        wire.ask(path="/_control/reset")
        assert (await wire.reply())[0].startswith(b"HTTP/1.1 200 OK")


async def test_a_replaced_reply_is_not_charged(provider: SimulatedProvider) -> None:
    provider.change(rpm=1)
    provider.set_faults([{"times": 1, "action": {"kind": "status", "status": 500}}])

    async with Wire(provider) as wire:
        statuses = []
        for _ in range(3):
            wire.ask()
            statuses.append((await wire.reply())[0].split()[1])

    assert statuses == [b"500", b"200", b"429"]


async def test_requests_sent_ahead_are_answered_in_order(provider: SimulatedProvider) -> None:
    fail(provider, "latency", seconds=0.02)

    async with Wire(provider) as wire:
        wire.ask()
        wire.ask(path="/v1/embeddings")
        objects = [json.loads((await wire.reply())[1])["object"] for _ in range(2)]

    assert objects == ["chat.completion", "list"]


def test_every_kind_of_fault_is_tested_here() -> None:
    kinds = {str(kind.__struct_config__.tag) for kind in AnyAction.__args__}
    source = Path(__file__).read_text(encoding="utf-8")

    assert {kind for kind in kinds if f'"{kind}"' not in source} == set()


@pytest.mark.parametrize(
    ("fields", "said", "end"),
    [
        ({"code": 1013, "reason": "busy"}, [], (1013, "busy")),
        ({"after_events": 1, "code": 4001}, ["session.created"], (4001, "")),
        ({"after_events": 1, "then": "drop"}, ["session.created"], (1006, "")),
        ({"frame": '{"type":"error"}', "then": "close", "code": 3000}, ["error"], (3000, "")),
        ({"after_events": 1, "frame": '{"type":"error"}', "then": "go_on"}, ["session.created", "error"], None),
        ({"then": "silent"}, [], None),
    ],
)
async def test_socket(
    provider: SimulatedProvider, fields: dict[str, Any], said: list[str], end: tuple[int, str] | None
) -> None:
    fail(provider, "socket", **fields)
    url = f"ws://{provider.host}:{provider.port}/v1/realtime?model=m"

    async with connect(url) as socket:
        kinds = []
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(0.2 if end is None else LONG_S):
                while True:
                    kinds.append(json.loads(await socket.recv())["type"])
        ended = None if end is None else (socket.close_code, socket.close_reason)

    assert (kinds, ended) == (said, end)


async def test_a_rule_about_sockets_passes_over_other_requests(provider: SimulatedProvider) -> None:
    fail(provider, "socket")

    async with Wire(provider) as wire:
        wire.ask()
        assert (await wire.reply())[0].startswith(b"HTTP/1.1 200")
