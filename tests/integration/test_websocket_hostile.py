"""Hostile clients of sockets, byte by byte, at the composed proxy: each is refused as the RFC says, and costs
little."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from adapters.websocket.connection import WebSocket
from simulator import ProviderSettings, SimulatedProvider
from tests.integration.composed import Composed, composed
from tests.integration.harness import config, endpoint, eventually
from tests.websocket_frames import BINARY, CLOSE, CONT, PING, TEXT, Frame, closing

KEY = "sk-of-the-proxy"
MAX_BODY_BYTES = 300_000
MOST_BYTES = 1024 * 1024
"""What a client may cost that never reads."""

OPENING = {
    "host": "127.0.0.1", "upgrade": "websocket", "connection": "Upgrade", "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "authorization": f"Bearer {KEY}",
}  # fmt: skip


def head(path: str = "/v1/responses", **changes: str | None) -> bytes:
    """A handshake; None = without that header. Names with `_` for `-`."""
    fields = OPENING | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()


def turn(text: str = "x", **more: object) -> bytes:
    return json.dumps({"type": "response.create", "model": "gpt", "input": text, "store": False} | more).encode()


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[SimulatedProvider]:
    async with SimulatedProvider(ProviderSettings(answer_tokens=200_000)) as running:
        yield running


@pytest_asyncio.fixture
async def proxy(tmp_path: Path, provider: SimulatedProvider) -> AsyncIterator[Composed]:
    async with AsyncExitStack() as stack:
        settings = config([endpoint(provider)], api_keys=[KEY], max_body_bytes=MAX_BODY_BYTES)
        running = await stack.enter_async_context(composed(tmp_path, settings))
        yield running
        await eventually(lambda: running.container.behind().open == 0)
        await eventually(lambda: len(running.container.in_flight()) == 0)
        await eventually(lambda: running.container.held().held_bytes == 0)


@pytest.mark.parametrize(
    ("opening", "status", "code"),
    [
        (head(origin="https://evil.example"), 403, "origin_not_allowed"),
        (head(origin="null"), 403, "origin_not_allowed"),
        (head(sec_fetch_site="cross-site"), 403, "origin_not_allowed"),
        (head(authorization=None), 401, "invalid_api_key"),
        (head(authorization="Bearer sk-another"), 401, "invalid_api_key"),
        (head(sec_websocket_key=None), 400, "malformed_request"),
        (head(sec_websocket_key="c2hvcnQ="), 400, "malformed_request"),
        (head(sec_websocket_version=None), 400, "malformed_request"),
        (head(sec_websocket_version="8"), 400, "malformed_request"),
    ],
)
async def test_an_upgrade_that_may_not_be_is_answered_with_an_error_and_the_connection_ends(
    proxy: Composed, opening: bytes, status: int, code: str
) -> None:
    raw = await proxy.talk(opening + Frame(TEXT, turn()).to("server"))
    reply, _, body = raw.partition(b"\r\n\r\n")

    assert reply.startswith(b"HTTP/1.1 %d " % status)
    assert raw.count(b"HTTP/1.1 ") == 1
    assert json.loads(body)["error"]["code"] == code


async def test_a_foreign_host_is_refused_where_no_key_is_needed(tmp_path: Path) -> None:
    async with (
        SimulatedProvider(ProviderSettings()) as provider,
        composed(tmp_path, config([endpoint(provider)])) as proxy,
    ):
        raw = await proxy.talk(head(host="evil.example"))

    assert raw.startswith(b"HTTP/1.1 403 ")
    assert b'"host_not_allowed"' in raw


BROKEN: list[tuple[list[Frame], int]] = [
    ([Frame(TEXT, turn(), is_wrongly_masked=True)], 1002),
    ([Frame(PING, b"a", is_last=False), Frame(CONT, b"b")], 1002),
    ([Frame(CLOSE, b"\x03\xe8", is_last=False)], 1002),
    ([Frame(PING, b"a" * 126)], 1002),
    ([Frame(TEXT, b"a", reserved=4)], 1002),
    ([Frame(3, b"a")], 1002),
    ([Frame(11, b"a")], 1002),
    ([Frame(CONT, b"a")], 1002),
    ([Frame(TEXT, b"a", is_last=False), Frame(TEXT, b"b")], 1002),
    ([closing(1005)], 1002),
    ([Frame(CLOSE, b"\x03")], 1002),
    ([closing(1000, b"\xff")], 1007),
    ([Frame(TEXT, b'{"type":"\xff"}')], 1007),
    ([Frame(TEXT, b"\xf0\x9f", is_last=False), Frame(CONT, b"\x98\x80\xed\xa0\x80", is_last=False)], 1007),
    ([Frame(TEXT, length=MAX_BODY_BYTES + 1)], 1009),
    ([Frame(TEXT, length=2**62)], 1009),
    ([Frame(TEXT, b"a" * 200_000, is_last=False), Frame(CONT, b"a" * 200_000)], 1009),
    ([Frame(PING)] * 200, 1008),
    ([Frame(TEXT, b"", is_last=False), *[Frame(CONT, b"", is_last=False)] * 1100], 1008),
]
"""Frames that break a rule, and the code that says so."""


def codes(raw: bytes) -> list[int]:
    """What stands in a reply where a close frame may begin."""
    return [struct.unpack("!H", raw[at + 2 : at + 4])[0] for at in range(len(raw) - 3) if raw[at] == 0x80 | CLOSE]


@pytest.mark.parametrize(("frames", "code"), [*BROKEN, ([Frame(BINARY, b"a")], 1003)])
async def test_a_frame_that_breaks_a_rule_ends_the_socket_with_the_code_for_it(
    proxy: Composed, frames: list[Frame], code: int
) -> None:
    raw = await proxy.talk(head() + b"".join(frame.to("server") for frame in frames))

    assert raw.startswith(b"HTTP/1.1 101 ")
    assert code in codes(raw.partition(b"\r\n\r\n")[2])
    assert not proxy.log("request"), "nothing was asked"


@pytest.mark.parametrize(("frames", "code"), BROKEN)
async def test_the_same_holds_for_realtime_and_the_provider_is_told_to_go(
    proxy: Composed, provider: SimulatedProvider, frames: list[Frame], code: int
) -> None:
    raw = await proxy.talk(head("/v1/realtime?model=gpt") + b"".join(frame.to("server") for frame in frames))

    assert raw.startswith(b"HTTP/1.1 101 ")
    assert code in codes(raw.partition(b"\r\n\r\n")[2])
    # Where the message was not complete the provider's library takes any close for a mistake, and says 1002.
    await eventually(lambda: [record.close_code for record in provider.records] in ([1001], [1002]))
    await eventually(lambda: [line["closed_by"] for line in proxy.log("websocket closed")] == ["proxy"])


class Mute:
    """A client that never reads, over the smallest buffer there is."""

    def __init__(self, proxy: Composed) -> None:
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.setblocking(False)
        self.most = 0
        """Bytes that it cost at worst."""

    async def open(self) -> None:
        await self._loop.sock_connect(self._socket, ("127.0.0.1", self._proxy.port))
        await self._loop.sock_sendall(self._socket, head())
        await eventually(lambda: self._proxy.container.behind().open == 1)

    async def say(self, data: bytes, times: int) -> None:
        """As often as it is taken, up to so many times, and look at what it costs."""
        for _ in range(times):
            try:
                async with asyncio.timeout(0.3):
                    await self._loop.sock_sendall(self._socket, data)
            except TimeoutError:
                break
            self._look()
        for _ in range(20):
            await asyncio.sleep(0.02)
            self._look()

    def _look(self) -> None:
        for guest in self._proxy.generations._server._guests:
            transport = cast("WebSocket", guest)._transport
            assert transport is not None
            unsent = transport.get_write_buffer_size()
            self.most = max(self.most, unsent + self._proxy.container.held().held_bytes)

    def leave(self) -> None:
        self._socket.close()


NEVER_READS: dict[str, tuple[Callable[[], bytes], int]] = {
    "a turn with a long answer": (lambda: Frame(TEXT, turn()).to("server"), 1),
    "messages that are answered with errors": (lambda: Frame(TEXT, b"{}").to("server") * 500, 200),
    "empty messages": (lambda: Frame(TEXT).to("server") * 40_000, 10),
    "warm-ups": (lambda: Frame(TEXT, turn(generate=False)).to("server") * 100, 200),
    "pings": (lambda: Frame(TEXT, b"{}").to("server") * 3000 + Frame(PING, b"a" * 125).to("server") * 50, 100),
}


@pytest.mark.parametrize(("data", "times"), NEVER_READS.values(), ids=NEVER_READS.keys())
async def test_a_client_that_never_reads_costs_at_most_a_mebibyte(
    proxy: Composed, data: Callable[[], bytes], times: int
) -> None:
    client = Mute(proxy)
    await client.open()
    await client.say(data(), times)
    client.leave()

    assert client.most < MOST_BYTES
