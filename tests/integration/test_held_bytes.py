"""What a worker holds for its clients stays below one budget, whatever they do, and all of it is given back.

The proxy is the real one on a real socket; the budget is 2 MiB, of which large things may take 1.75 MiB.
"""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from application.messages import ProxyRequest
from tests.contracts.scripted_server import Peer, ScriptedServer
from tests.integration.composed import Composed, composed
from tests.integration.harness import config, endpoint, eventually
from tests.integration.raw_http import JSON, Reply
from tests.integration.slow_client import Client

pytestmark = pytest.mark.asyncio(loop_scope="module")

KIB, MIB = 1024, 1024 * 1024
BUDGET = 2 * MIB
LARGE = BUDGET - BUDGET // 8
CHAT = "/v1/chat/completions"
GOOD = b'{"choices":[{"index":0,"message":{"content":"%b"},"finish_reason":"stop"}]}'
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def head(body: bytes, kind: bytes = b"application/json", status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n" % (status, kind, len(body))


class Provider:
    """Does what the path below the version, or the model's `user`, asks for."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.asked = 0

    async def __call__(self, peer: Peer) -> None:
        while True:
            request = await peer.request()
            self.asked += 1
            do = next((value for name, value in request.headers if name.lower() == b"x-do"), b"answer")
            await getattr(self, do.decode())(peer)

    async def answer(self, peer: Peer) -> None:
        body = GOOD % b"hi"
        await peer.send(head(body) + body)

    async def large(self, peer: Peer) -> None:
        body = GOOD % (b"x" * 600 * KIB)
        await peer.send(head(body), body)

    async def half(self, peer: Peer) -> None:
        """Of a large answer, and then nothing until it is told to go on."""
        body = GOOD % (b"x" * 600 * KIB)
        await peer.send(head(body), body[: 300 * KIB])
        await self.go_on.wait()
        await peer.send(body[300 * KIB :])

    async def hang(self, peer: Peer) -> None:
        await self.go_on.wait()
        await self.answer(peer)

    async def broken(self, peer: Peer) -> None:
        body = b'{"error":{"message":"%b"}}' % (b"x" * 300 * KIB)
        await peer.send(head(body, status=b"500 No") + body)

    async def cut(self, peer: Peer) -> None:
        body = GOOD % (b"x" * 300 * KIB)
        await peer.send(head(body) + body[: 200 * KIB])
        peer.reset()

    async def stream(self, peer: Peer, size: int = 20 * KIB) -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in (*[EVENT % (b"x" * size)] * 40, END):
            await peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await peer.send(b"0\r\n\r\n")

    async def long_stream(self, peer: Peer) -> None:
        """More than the kernel takes for a client that does not read."""
        await self.stream(peer, 200 * KIB)

    async def download(self, peer: Peer) -> None:
        body = bytes(8 * MIB)
        await peer.send(head(body, b"application/octet-stream"), body)

    async def first_event(self, peer: Peer) -> None:
        """A stream whose first event does not end."""
        await self._unended(peer)

    async def second_event(self, peer: Peer) -> None:
        await self._unended(peer, EVENT % b"hi")

    async def _unended(self, peer: Peer, first: bytes = b"") -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + first)
        await peer.send(b'data: {"choices":[{"index":0,"delta":{"content":"', *[b"x" * 64 * KIB] * 5)
        await self.go_on.wait()
        await peer.send(b'"}}]}\n\n' + END)
        raise ConnectionResetError


class World(NamedTuple):
    """The proxy and its provider."""

    proxy: Composed
    provider: Provider
    clients: AsyncExitStack

    @property
    def held(self) -> int:
        held: int = self.proxy.container.held().held_bytes
        return held

    async def client(self) -> Client:
        return await self.clients.enter_async_context(Client(self.proxy.port))

    async def all_given_back(self) -> None:
        await eventually(lambda: self.held == 0 and self.proxy.container.detached().count == 0)

    async def is_well(self) -> None:
        """Are others answered?"""
        reply = await self.proxy.ask("POST", CHAT, JSON, body=question())
        assert reply.status == 200


def question(size: int = 0, **fields: Any) -> bytes:
    return json.dumps({"model": "gpt", "messages": [{"role": "user", "content": "x" * size}], **fields}).encode()


@pytest_asyncio.fixture(params=["http1", "httpx"], scope="module", loop_scope="module")
async def served(request: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Composed, Provider]]:
    provider = Provider()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ScriptedServer(provider))
        general: dict[str, Any] = {
            "max_body_bytes": MIB, "max_held_bytes": BUDGET, "upstream_client": request.param, "cache": True,
            "num_retries": 1, "allowed_fails": 1000,
        }  # fmt: skip
        folder = tmp_path_factory.mktemp(request.param)
        settings = config([endpoint(server.url("/v1"))], **general)
        settings["model_groups"] += config([endpoint(server.url("/v1"), first_byte_timeout=0.2)], "quick")[
            "model_groups"
        ]
        settings["general_settings"]["passthrough_group"] = "gpt"
        yield await stack.enter_async_context(composed(folder, settings)), provider


@pytest_asyncio.fixture(loop_scope="module")
async def world(served: tuple[Composed, Provider]) -> AsyncIterator[World]:
    proxy, provider = served
    provider.go_on.clear()
    provider.asked = 0
    async with AsyncExitStack() as clients:
        world = World(proxy, provider, clients)
        await world.all_given_back()
        yield world
        provider.go_on.set()
    await world.all_given_back()


def check_refused(reply: Reply) -> None:
    assert (reply.status, reply.error["code"], reply.error["type"]) == (503, "proxy_out_of_memory", "server_error")
    assert reply.one("retry-after") == "2"
    assert "max_held_bytes" in reply.error["message"]
    assert reply.one("x-llmproxy-request-id")


async def test_unfinished_bodies(world: World) -> None:
    part = b"x" * 300 * KIB
    clients = [await world.client() for _ in range(12)]
    for number, client in enumerate(clients[:5]):
        client.send(CHAT, part, length=400 * KIB)
        await eventually(lambda number=number: world.held >= (number + 1) * len(part))
    for client in clients[5:]:
        check_refused(await client.send(CHAT, part, length=400 * KIB).reply())

    assert 5 * len(part) <= world.held <= LARGE
    await world.is_well()
    for client in clients:
        client.leave()
    await world.all_given_back()


async def test_unfinished_bodies_of_no_announced_length(world: World) -> None:
    clients = [await world.client() for _ in range(12)]
    for client in clients:
        client.writer.write(
            b"POST %b HTTP/1.1\r\nhost: localhost\r\n%b\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n"
            % (CHAT.encode(), JSON, 300 * KIB, b"x" * 300 * KIB)
        )
    refused = [client for client in clients if await answered(client)]

    assert len(refused) >= 12 - LARGE // (300 * KIB)
    for client in refused:
        check_refused(await client.reply())
    assert world.held <= LARGE
    await world.is_well()


async def answered(client: Client) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            while not client.reader._buffer:  # type: ignore[attr-defined] # looked at, and not taken
                await asyncio.sleep(0.01)
            return True
    return False


async def test_what_is_announced_and_cannot_fit_is_refused_before_any_of_it_comes(world: World) -> None:
    first = await world.client()
    first.send(CHAT, b"x" * 900 * KIB, length=MIB)
    await eventually(lambda: world.held >= 900 * KIB)

    late = await world.client()
    check_refused(await late.send(CHAT, b"", length=MIB).reply())
    waiting = await world.client()
    check_refused(await waiting.send(CHAT, b"", b"expect: 100-continue", length=MIB).reply())


async def test_what_is_announced_and_does_not_come_takes_nothing_from_anybody(world: World) -> None:
    for _ in range(20):
        (await world.client()).send(CHAT, b"", length=MIB)
    await asyncio.sleep(0.05)

    assert world.held == 0
    reply = await world.proxy.ask("POST", CHAT, JSON, body=question(900 * KIB))
    assert reply.status == 200


async def test_many_small_bodies_are_bounded_as_well(world: World) -> None:
    clients = [await world.client() for _ in range(60)]
    for client in clients:
        client.send(CHAT, b"x" * 50 * KIB, length=60 * KIB)
        await asyncio.sleep(0.005)
    await eventually(lambda: world.held > BUDGET - 120 * KIB)

    assert world.held <= BUDGET
    check_refused(await clients[-1].reply())


@pytest.mark.parametrize("path", [CHAT, "/v1/batches", "/v1/responses/resp_1/cancel"])
async def test_requests_that_wait_for_their_answers(world: World, path: str) -> None:
    body = question(300 * KIB, input="x")
    clients = [await world.client() for _ in range(8)]
    for client in clients[:5]:
        client.send(path, body, b"x-do: hang")
        await eventually(lambda: world.provider.asked >= 1)
    await eventually(lambda: world.held == 5 * len(body))
    check_refused(await clients[5].send(path, body, b"x-do: hang").reply())

    clients[0].leave()
    await eventually(lambda: world.held == 4 * len(body))
    world.provider.go_on.set()
    for client in clients[1:5]:
        assert (await client.reply()).status == 200


async def test_abandoned_background_requests(world: World) -> None:
    body = question(300 * KIB, input="x", background=True)
    clients = [await world.client() for _ in range(8)]
    for number, client in enumerate(clients[:5], 1):
        client.send("/v1/responses", body, b"x-do: hang")
        await eventually(lambda number=number: world.provider.asked == number)
        client.leave()
        await eventually(lambda number=number: world.proxy.container.detached().count == number)

    assert world.held == 5 * len(body)
    check_refused(await clients[5].send("/v1/responses", body).reply())
    await world.is_well()
    status = json.loads((await world.proxy.ask("GET", "/status")).body)["held"]
    assert (status["bytes"], status["detached"], status["max_bytes"]) == (5 * len(body), 5, BUDGET)
    assert status["refused"] >= 1


@pytest.mark.parametrize("stream", [False, True])
async def test_cached_answers_that_nobody_takes(world: World, stream: bool) -> None:
    """Which of them are cut is decided by who has taken nothing for longest."""
    body = question(temperature=0, user="stream" if stream else "large", stream=stream)
    do = b"x-do: stream" if stream else b"x-do: large"
    assert (await world.proxy.ask("POST", CHAT, JSON, do, body=body)).status == 200
    clients = [await world.client() for _ in range(12)]
    most = 0
    for client in clients:
        client.send(CHAT, body, do)
        await asyncio.sleep(0.05)
        most = max(most, world.held)
    cut = [client for client in clients if await is_cut(client)]

    assert 500 * KIB < most <= LARGE + 64 * KIB
    assert world.held <= LARGE
    await world.is_well()
    assert len(cut) < len(clients)


async def is_cut(client: Client) -> bool:
    """Or answered already, in few bytes."""
    return client.writer.transport.is_closing() or client.reader.at_eof() or client.reader.exception() is not None


async def test_streams_that_nobody_takes(world: World) -> None:
    """Beside what is unsent, what has been read ahead counts."""
    clients = [await world.client() for _ in range(12)]
    most = 0
    for client in clients:
        client.send(CHAT, question(stream=True), b"x-do: long_stream")
        for _ in range(5):
            await asyncio.sleep(0.01)
            most = max(most, world.held)
    await eventually(lambda: world.held > 200 * KIB)
    for _ in range(50):
        await asyncio.sleep(0.01)
        most = max(most, world.held)

    assert world.held <= LARGE < most + 700 * KIB
    assert most <= LARGE + 700 * KIB
    await world.is_well()


@pytest.mark.parametrize("do", [b"half", b"first_event", b"second_event"])
async def test_replies_that_are_not_complete(world: World, do: bytes) -> None:
    is_stream = do != b"half"
    body = question(stream=is_stream)
    clients = [await world.client() for _ in range(12)]
    for client in clients:
        client.send(CHAT, body, b"x-do: " + do)
        await asyncio.sleep(0.05)

    assert 600 * KIB < world.held <= LARGE + len(body) * len(clients)
    await world.is_well()
    world.provider.go_on.set()
    replies = [await client.reply() for client in clients]
    refused = [reply for reply in replies if reply.status == 503 or b"proxy_out_of_memory" in reply.body]
    assert 0 < len(refused) < len(clients)


async def test_a_form_whose_model_comes_last_and_uploads(world: World) -> None:
    form = b"content-type: multipart/form-data; boundary=b"
    part = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"x" * 300 * KIB
    clients = [await world.client() for _ in range(8)]
    for client in clients:
        client.send("/v1/audio/transcriptions", part, form, length=MIB - 1)
        await asyncio.sleep(0.05)

    assert len(part) <= world.held <= LARGE
    refused = [client for client in clients if await answered(client)]
    assert refused
    for client in refused:
        check_refused(await client.reply())
    await world.is_well()


Way = Callable[[World], Awaitable[Any]]
LEAVE = 0.1


def asking(path: str, body: bytes, *headers: bytes) -> Way:
    async def way(world: World) -> None:
        reply = await (await world.client()).send(path, body, *headers).reply()
        assert reply.status

    return way


def leaving(path: str, body: bytes, *headers: bytes, length: int = -1) -> Way:
    async def way(world: World) -> None:
        client = await world.client()
        client.send(path, body, *headers, length=length)
        await eventually(lambda: world.held > 0)
        client.leave()

    return way


async def leaving_in_a_head(world: World) -> None:
    client = await world.client()
    for piece in (b"GET / HTTP/1.1\r\n", b"x: %b\r\n" % (b"x" * 8 * KIB), b"y: z\r\n"):
        client.writer.write(piece)
        await asyncio.sleep(0.01)
    await eventually(lambda: world.held > 8 * KIB)
    client.leave()


LARGE_CHAT = question(300 * KIB)
LARGE_STREAM = question(300 * KIB, stream=True)
FORM = b"content-type: multipart/form-data; boundary=b"
WAYS: dict[str, Way] = {
    "good": asking(CHAT, LARGE_CHAT),
    "small": asking(CHAT, question()),
    "large answer": asking(CHAT, LARGE_CHAT, b"x-do: large"),
    "stream": asking(CHAT, LARGE_STREAM, b"x-do: stream"),
    "cached": asking(CHAT, question(100 * KIB, temperature=0), b"x-do: large"),
    "cached stream": asking(CHAT, question(100 * KIB, temperature=0, stream=True), b"x-do: stream"),
    "failure": asking(CHAT, LARGE_CHAT, b"x-do: broken"),
    "cut": asking(CHAT, LARGE_CHAT, b"x-do: cut"),
    "no JSON": asking(CHAT, b"x" * 300 * KIB),
    "too large": asking(CHAT, b"x" * 2 * MIB),
    "unknown model": asking(CHAT, LARGE_CHAT.replace(b'"gpt"', b'"gtp"')),
    "background": asking("/v1/responses", question(300 * KIB, background=True)),
    "upload": asking("/v1/files", b"--b\r\n" + b"x" * 900 * KIB, FORM),
    "stored": asking("/v1/responses/resp_1/cancel", b'{"a":"%b"}' % (b"x" * 300 * KIB)),
    "left in the body": leaving(CHAT, b"x" * 300 * KIB, length=400 * KIB),
    "left in an upload": leaving("/v1/files", b"--b\r\n" + b"x" * 300 * KIB, FORM, length=900 * KIB),
    "left before the answer": leaving(CHAT, LARGE_CHAT, b"x-do: hang"),
    "left in the answer": leaving(CHAT, LARGE_CHAT, b"x-do: half"),
    "left in a stream": leaving(CHAT, LARGE_STREAM, b"x-do: second_event"),
    "left before a stream": leaving(CHAT, LARGE_STREAM, b"x-do: first_event"),
    "left a cached answer": leaving(CHAT, question(300 * KIB, temperature=0, user="1"), b"x-do: half"),
    "left an unread stream": leaving(CHAT, question(stream=True), b"x-do: long_stream"),
    "timed out": asking(CHAT, LARGE_CHAT.replace(b'"gpt"', b'"quick"'), b"x-do: hang"),
    "left an unread download": leaving("/v1/batches", b'{"a":1}', b"x-do: download"),
    "left in a head": leaving_in_a_head,
}


@pytest.mark.parametrize("way", WAYS)
async def test_all_is_given_back(world: World, way: str) -> None:
    gc.collect()
    gc.disable()
    try:
        await WAYS[way](world)

        await world.all_given_back()
        requests = [each for each in gc.get_objects() if type(each) is ProxyRequest]
    finally:
        gc.enable()
    assert not requests, "what no collection has found yet is held, and counted no longer"
    await world.is_well()
