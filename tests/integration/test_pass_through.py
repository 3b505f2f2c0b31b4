"""What the proxy does not understand passes through it: bodies of any size, both ways, and neither is held."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI

from tests.contracts.scripted_server import PATIENCE_S, Peer, Script, ScriptedServer, answering, chunked, reply
from tests.integration.conftest import StartProxy
from tests.integration.harness import Proxy, config, endpoint, eventually

MEGABYTE = 1024 * 1024
LARGE = 100 * MEGABYTE
PIECE = bytes(range(256)) * 256
JSON = "content-type: application/json"
WAV = "audio.wav", b"RIFF" + bytes(100_000), "audio/wav"
NOTHING_FOUND = reply(b'{"error":{"message":"No such File","type":"invalid_request_error"}}', JSON, status="404 Not")
BROKEN = reply(b'{"error":{"message":"Out of order","type":"server_error"}}', JSON, status="503 Out")

StartUpstream = Callable[..., Awaitable[ScriptedServer]]
Connect = Callable[..., Any]


@pytest.fixture
async def start_upstream() -> AsyncIterator[StartUpstream]:
    """Starts a server that follows scripts."""
    async with AsyncExitStack() as stack:

        async def start(*scripts: Script) -> ScriptedServer:
            return await stack.enter_async_context(ScriptedServer(*scripts))

        yield start


@pytest.fixture
async def client() -> AsyncIterator[Connect]:
    """Makes SDK clients of a proxy: `client(proxy)`, or of another class."""
    async with AsyncExitStack() as stack:

        def connect(proxy: Proxy, kind: Any = AsyncOpenAI, **options: Any) -> Any:
            made = kind(**{"base_url": f"{proxy.url}/v1", "api_key": "sk-client", "max_retries": 0} | options)
            stack.push_async_callback(made.close)
            return made

        yield connect


def at(upstream: ScriptedServer, **changes: Any) -> dict[str, Any]:
    return endpoint(upstream.url("/v1"), **changes)


def two_groups(first: ScriptedServer, second: ScriptedServer, **general: Any) -> dict[str, Any]:
    """Groups `gpt` and `whisper`, whose models are called otherwise at their endpoints."""
    groups = [
        {"model_group": "gpt", "models": [at(first)]},
        {"model_group": "whisper", "models": [at(second, model="whisper-at-home")]},
    ]
    return {"model_groups": groups, "general_settings": general}


async def raw(proxy: Proxy, head: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request on a socket of its own, without its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=MEGABYTE)
    writer.write(f"{head}\r\nhost: 127.0.0.1\r\n\r\n".encode())
    return reader, writer


def memory_kb(proxy: Proxy, field: str) -> int:
    """`VmRSS` (now) or `VmHWM` (the most there ever was) of all workers."""
    lines = [line for pid in proxy.worker_pids() for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def json_in_chunks(value: object) -> bytes:
    """A JSON reply of unknown length."""
    text = json.dumps(value).encode()
    return chunked(text[:10], text[10:]).replace(b"\r\n", f"\r\n{JSON}\r\n".encode(), 1)


def fields_of(body: bytes) -> dict[str, bytes]:
    """A multipart form, read by its own boundary."""
    parts = body.split(body[: body.index(b"\r\n")])[1:-1]
    heads = [part.partition(b"\r\n\r\n") for part in parts]
    return {head.split(b'name="')[1].split(b'"')[0].decode(): value[:-2] for head, _, value in heads}


# Size.


async def counting(peer: Peer) -> None:
    """Reads a body to its end without keeping it, and says how long it was."""
    while True:
        head = await peer.head()
        left = next(int(value) for name, value in head.headers if name.lower() == b"content-length")
        size = left
        while left:
            left -= len(await peer.take(min(left, 65_536)))
        await peer.send(reply(b'{"size":%d}' % size, JSON))


async def pouring(peer: Peer) -> None:
    """Downloads: small, or large and of known length, or large and in chunks."""
    while True:
        request = await peer.request()
        size = MEGABYTE if b"small" in request.line else LARGE
        is_known = b"chunks" not in request.line
        framing = f"content-length: {size}" if is_known else "transfer-encoding: chunked"
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n{framing}\r\n"
        await peer.send(f'{head}content-disposition: attachment; filename="a.bin"\r\n\r\n'.encode())
        for _ in range(size // len(PIECE)):
            await peer.send(PIECE if is_known else b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
        if not is_known:
            await peer.send(b"0\r\n\r\n")


async def test_a_hundred_megabytes_go_up_in_a_few(
    start_upstream: StartUpstream, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    proxy = await start_proxy(config([at(await start_upstream(counting))]), process=True)

    async def pieces(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // len(PIECE)):
            yield PIECE

    async def upload(size: int) -> Any:
        headers = {"content-type": "application/octet-stream", "content-length": str(size)}
        async with http.post(f"{proxy.url}/v1/files", data=pieces(size), headers=headers) as answer:
            return await answer.json()

    await upload(MEGABYTE)
    before = memory_kb(proxy, "VmRSS")

    assert await upload(LARGE) == {"size": LARGE}
    assert memory_kb(proxy, "VmHWM") - before < 20 * 1024
    await eventually(lambda: proxy.log() and proxy.log()[-1]["bytes_in"] == LARGE)


@pytest.mark.parametrize("file", ["large", "large-in-chunks"])
async def test_a_hundred_megabytes_come_down_in_a_few(
    start_upstream: StartUpstream, start_proxy: StartProxy, http: aiohttp.ClientSession, file: str
) -> None:
    proxy = await start_proxy(config([at(await start_upstream(pouring))]), process=True)
    async with http.get(f"{proxy.url}/v1/files/small/content") as answer:
        await answer.read()
    before = memory_kb(proxy, "VmRSS")
    size = 0
    async with http.get(f"{proxy.url}/v1/files/{file}/content") as answer:
        async for piece in answer.content.iter_any():
            size += len(piece)
            if size < 10 * MEGABYTE:
                await asyncio.sleep(0.01)  # a slow reader: the proxy must not run ahead of it

    assert size == LARGE
    assert memory_kb(proxy, "VmHWM") - before < 20 * 1024
    assert answer.headers.get("content-length") == (str(LARGE) if file == "large" else None)
    assert answer.headers["content-disposition"] == 'attachment; filename="a.bin"'
    assert "x-accel-buffering" not in answer.headers


async def test_a_client_sends_no_faster_than_the_upstream_takes(
    start_upstream: StartUpstream, start_proxy: StartProxy
) -> None:
    go_on = asyncio.Event()

    async def hesitant(peer: Peer) -> None:
        await go_on.wait()
        await counting(peer)

    proxy = await start_proxy(config([at(await start_upstream(hesitant))]))
    reader, writer = await raw(proxy, f"POST /v1/files HTTP/1.1\r\ncontent-length: {LARGE}")
    sent = 0

    async def send_all() -> None:
        nonlocal sent
        while sent < LARGE:
            writer.write(PIECE)
            await writer.drain()
            sent += len(PIECE)

    sending = asyncio.create_task(send_all())
    await asyncio.sleep(2)
    sent_before = sent
    go_on.set()
    await sending
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert sent_before < LARGE / 2
    assert head.startswith(b"HTTP/1.1 200")


# Breaks.


async def closes(upstream: ScriptedServer, writer: asyncio.StreamWriter) -> float:
    """Leave; how long it takes until the upstream knows."""
    began = time.monotonic()
    writer.transport.abort()
    await upstream.over(0)
    return time.monotonic() - began


async def left(proxy: Proxy) -> None:
    """The log says so, and the endpoint is not blamed for it."""
    await eventually(lambda: proxy.log() and proxy.log()[-1]["outcome"] == "client_left")
    async with aiohttp.ClientSession() as http, http.get(f"{proxy.url}/health") as answer:
        assert (await answer.json())["groups"][0]["endpoints"][0]["state"] == "closed"


async def take_all(peer: Peer) -> None:
    await peer.head()
    await peer.rest()


@pytest.mark.parametrize("framing", ["content-length: 100000000", "transfer-encoding: chunked"])
async def test_a_client_that_leaves_in_its_upload(
    start_upstream: StartUpstream, start_proxy: StartProxy, framing: str
) -> None:
    upstream = await start_upstream(take_all)
    proxy = await start_proxy(config([at(upstream)]))
    _, writer = await raw(proxy, f"POST /v1/files HTTP/1.1\r\n{framing}")
    for _ in range(100):
        writer.write(PIECE if "length" in framing else b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
        await writer.drain()
    await upstream.peer()

    assert await closes(upstream, writer) < 5
    await left(proxy)


async def test_a_client_that_leaves_before_its_upload_is_answered(
    start_upstream: StartUpstream, start_proxy: StartProxy
) -> None:
    all_there = asyncio.Event()

    async def silent(peer: Peer) -> None:
        await peer.request()
        all_there.set()
        await peer.rest()

    upstream = await start_upstream(silent)
    proxy = await start_proxy(config([at(upstream)]))
    _, writer = await raw(proxy, f"POST /v1/files HTTP/1.1\r\ncontent-length: {2 * MEGABYTE}")
    writer.write(bytes(2 * MEGABYTE))
    await all_there.wait()

    assert await closes(upstream, writer) < 5
    await left(proxy)


async def test_a_client_that_leaves_in_its_download(start_upstream: StartUpstream, start_proxy: StartProxy) -> None:
    async def slow(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n" + PIECE)
        await peer.rest()

    upstream = await start_upstream(slow)
    proxy = await start_proxy(config([at(upstream)]))
    reader, writer = await raw(proxy, "GET /v1/files/a/content HTTP/1.1")
    await reader.readexactly(10_000)

    assert await closes(upstream, writer) < 5
    await left(proxy)


@pytest.mark.parametrize("framing", ["content-length: 100000000", "transfer-encoding: chunked"])
@pytest.mark.parametrize("end", [Peer.finish, Peer.reset])
async def test_half_a_download_is_not_taken_for_the_whole(
    start_upstream: StartUpstream,
    start_proxy: StartProxy,
    http: aiohttp.ClientSession,
    framing: str,
    end: Callable[[Peer], None],
) -> None:
    async def breaking(peer: Peer) -> None:
        await peer.request()
        piece = PIECE if "length" in framing else b"%x\r\n%b\r\n" % (len(PIECE), PIECE)
        await peer.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode() + piece)
        await asyncio.sleep(0.2)
        end(peer)

    proxy = await start_proxy(config([at(await start_upstream(breaking))]))
    async with http.get(f"{proxy.url}/v1/files/a/content") as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()

    await eventually(lambda: proxy.log() and proxy.log()[-1]["outcome"] == "stream_broken")


async def test_a_shutdown_does_not_end_a_download_as_if_it_were_whole(
    start_upstream: StartUpstream, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
        await peer.rest()

    proxy = await start_proxy(config([at(await start_upstream(endless))], drain_timeout=0.5))
    async with http.get(f"{proxy.url}/v1/files/a/content") as answer:
        await answer.content.readexactly(1)
        stopped = asyncio.create_task(proxy.stop())
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()

    assert await stopped == 0


@pytest.mark.parametrize("lingers", [True, False])
async def test_an_upload_that_is_refused_early_gets_the_reason(
    start_upstream: StartUpstream, start_proxy: StartProxy, client: Connect, lingers: bool
) -> None:
    async def refuse(peer: Peer) -> None:
        await peer.head()
        await peer.take(1000)
        await peer.send(reply(b'{"error":{"message":"Too large.","code":"odd"}}', JSON, status="413 Content Too Large"))
        if lingers:
            await peer.rest()

    upstream = await start_upstream(refuse)
    proxy = await start_proxy(config([at(upstream)]))
    with pytest.raises(openai.APIStatusError) as refused:
        await client(proxy).files.create(file=("a.bin", bytes(30 * MEGABYTE)), purpose="user_data")

    assert (refused.value.status_code, refused.value.code) == (413, "odd")
    assert len(upstream.peers) == 1


async def test_an_upload_with_the_wrong_key_gets_the_reason(
    start_upstream: StartUpstream, start_proxy: StartProxy, client: Connect
) -> None:
    upstream = await start_upstream(answering(reply()))
    proxy = await start_proxy(config([at(upstream)], api_keys=["sk-proxy"]))
    with pytest.raises(openai.AuthenticationError):
        await client(proxy).files.create(file=("a.bin", bytes(30 * MEGABYTE)), purpose="user_data")

    assert upstream.peers == []


# Failing over.


def failing(status: str) -> Script:
    return answering(reply(b'{"error":{"message":"m","type":"server_error"}}', JSON, status=status))


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/images/generations", {"json": {"model": "gpt", "prompt": "x"}}),
        ("/audio/transcriptions", {"data": b"small", "headers": {"content-type": "audio/wav"}}),
    ],
)
async def test_small_bodies_go_to_another_endpoint_when_one_fails(
    start_upstream: StartUpstream, start_proxy: StartProxy, http: aiohttp.ClientSession, path: str, options: Any
) -> None:
    bad, good = await start_upstream(failing("500 Oops")), await start_upstream(answering(reply(b"{}", JSON)))
    proxy = await start_proxy(config([at(bad), at(good)]))
    async with http.post(f"{proxy.url}/v1{path}", **options) as answer:
        assert (answer.status, await answer.read()) == (200, b"{}")

    assert bad.requests[0].body == good.requests[0].body != b""


async def test_large_bodies_go_to_another_endpoint_as_long_as_nothing_of_them_is_lost(
    start_upstream: StartUpstream, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    good = await start_upstream(counting)
    proxy = await start_proxy(config([endpoint("http://127.0.0.1:1/v1"), at(good)]))
    async with http.post(f"{proxy.url}/v1/files", data=BytesIO(bytes(5 * MEGABYTE))) as answer:
        assert await answer.json() == {"size": 5 * MEGABYTE}
        assert answer.headers["x-llmproxy-attempts"] == "2"


async def test_a_large_body_that_was_sent_on_is_not_sent_again(
    start_upstream: StartUpstream, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    bad, good = await start_upstream(failing("500 Oops")), await start_upstream(counting)
    proxy = await start_proxy(config([at(bad), at(good, weight=0)]))
    async with http.post(f"{proxy.url}/v1/files", data=BytesIO(bytes(5 * MEGABYTE))) as answer:
        assert answer.status == 502
        assert "x-should-retry" not in answer.headers

    assert good.peers == []


@pytest.mark.parametrize(
    ("status", "error", "seen"),
    [
        ("403 Forbidden", {"message": "Missing scopes: api.files.read", "code": "missing_scope"}, 502),
        ("401 Unauthorized", {"message": "You have insufficient permissions for this operation."}, 502),
        ("404 Not Found", {"message": "The model does not exist.", "code": "model_not_found"}, 404),
        ("302 Found", {}, 502),
    ],
)
async def test_what_an_endpoint_cannot_do_is_not_held_against_what_it_can(
    start_upstream: StartUpstream,
    start_proxy: StartProxy,
    http: aiohttp.ClientSession,
    status: str,
    error: dict[str, str],
    seen: int,
) -> None:
    upstream = await start_upstream(answering(reply(json.dumps({"error": error}).encode(), JSON, status=status)))
    proxy = await start_proxy(config([at(upstream)]))
    async with http.get(f"{proxy.url}/v1/files") as answer:
        assert answer.status == seen

    async with http.get(f"{proxy.url}/health") as answer:
        assert (await answer.json())["groups"][0]["endpoints"][0]["state"] == "closed"


# Routing.


async def test_the_sdk_transcribes_by_the_group_that_its_form_names(
    start_upstream: StartUpstream, start_proxy: StartProxy, client: Connect
) -> None:
    other, whisper = (
        await start_upstream(failing("500 No")),
        await start_upstream(answering(reply(b'{"text":"Hi"}', JSON))),
    )
    proxy = await start_proxy(two_groups(other, whisper))
    for size in (100_000, 3 * MEGABYTE):
        heard = await client(proxy).audio.transcriptions.create(model="whisper", file=("a.wav", bytes(size)))

        assert heard.text == "Hi"
        fields = fields_of(whisper.requests[-1].body)
        assert (fields["model"], fields["file"]) == (b"whisper-at-home", bytes(size))


async def test_the_sdk_keeps_files(start_upstream: StartUpstream, start_proxy: StartProxy, client: Connect) -> None:
    file = {"id": "file-abc123", "object": "file", "bytes": 3, "created_at": 1, "filename": "a", "purpose": "batch"}
    binary = b"\x00\xff" * 1000
    upstream = await start_upstream(
        answering(
            reply(json.dumps(file).encode(), JSON),
            json_in_chunks({"object": "list", "data": [file]}),
            reply(binary, "content-type: application/octet-stream"),
            reply(b'{"id":"file-abc123","object":"file","deleted":true}', JSON),
        )
    )
    sdk = client(await start_proxy(config([at(upstream)])))

    assert (await sdk.files.create(file=("a", b"abc"), purpose="batch")).id == "file-abc123"
    assert [kept.id for kept in (await sdk.files.list()).data] == ["file-abc123"]
    assert (await sdk.files.content("file-abc123")).content == binary
    assert (await sdk.files.delete("file-abc123")).deleted
    assert [request.line for request in upstream.requests] == [
        b"POST /v1/files HTTP/1.1",
        b"GET /v1/files HTTP/1.1",
        b"GET /v1/files/file-abc123/content HTTP/1.1",
        b"DELETE /v1/files/file-abc123 HTTP/1.1",
    ]


async def test_the_sdk_makes_and_edits_images_and_speaks(
    start_upstream: StartUpstream, start_proxy: StartProxy, client: Connect
) -> None:
    image = {"created": 1, "data": [{"b64_json": "A" * 2 * MEGABYTE}]}
    upstream = await start_upstream(
        answering(
            reply(json.dumps(image).encode(), JSON),
            json_in_chunks(image),
            reply(b"ID3" + PIECE, "content-type: audio/mpeg"),
        )
    )
    sdk = client(await start_proxy(config([at(upstream)])))
    made = await sdk.images.generate(model="gpt", prompt="x")
    edited = await sdk.images.edit(model="gpt", image=("a.png", PIECE, "image/png"), prompt="x")
    spoken = await sdk.audio.speech.create(model="gpt", voice="alloy", input="Hi")

    assert made.data == edited.data != []
    assert spoken.content == b"ID3" + PIECE
    assert json.loads(upstream.requests[0].body)["model"] == "gpt-sim"
    assert fields_of(upstream.requests[1].body)["model"] == b"gpt-sim"


async def test_events_pass_as_they_come(
    start_upstream: StartUpstream, start_proxy: StartProxy, client: Connect
) -> None:
    heard = asyncio.Event()

    async def speaking(peer: Peer) -> None:
        await peer.request()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        await peer.send(head + b'data: {"type":"transcript.text.delta","delta":"Hi"}\n\n')
        async with asyncio.timeout(PATIENCE_S):
            await heard.wait()
        await peer.send(b'data: {"type":"transcript.text.done","text":"Hi"}\n\n')

    sdk = client(await start_proxy(config([at(await start_upstream(speaking))])))
    seen = []
    async for event in await sdk.audio.transcriptions.create(model="gpt", file=WAV, stream=True):
        seen.append(event.type)
        heard.set()

    assert seen == ["transcript.text.delta", "transcript.text.done"]


async def test_a_file_is_asked_for_where_it_is_kept(
    start_upstream: StartUpstream, start_proxy: StartProxy, client: Connect
) -> None:
    def keeping(name: str) -> Script:
        file = json.dumps({"id": name, "object": "file", "bytes": 1, "created_at": 1, "filename": "a", "purpose": "b"})

        async def script(peer: Peer) -> None:
            while True:
                request = await peer.request()
                is_here = request.line.startswith(b"POST") or name.encode() in request.line
                await peer.send(reply(file.encode(), JSON) if is_here else NOTHING_FOUND)

        return script

    upstreams = [await start_upstream(keeping(f"file-{n}abcdef")) for n in (1, 2)]
    sdk = client(await start_proxy(config([at(upstream) for upstream in upstreams])))
    names = [(await sdk.files.create(file=("a", b"x"), purpose="batch")).id, "file-2abcdef"]
    assert (await sdk.files.retrieve(names[1])).id == names[1]
    asked = [len(upstream.requests) for upstream in upstreams]
    for name in names * 3:
        assert (await sdk.files.retrieve(name)).id == name

    assert names == ["file-1abcdef", "file-2abcdef"]
    assert [len(upstream.requests) for upstream in upstreams] == [count + 3 for count in asked]


async def test_a_small_body_in_chunks_is_asked_of_another_account_as_well(
    start_upstream: StartUpstream, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    upstreams = [await start_upstream(answering(NOTHING_FOUND)), await start_upstream(answering(reply(b"{}", JSON)))]
    proxy = await start_proxy(config([at(upstream) for upstream in upstreams]))

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"a", b"b"):
            yield piece

    async with http.post(f"{proxy.url}/v1/uploads/upload_1abcdef/parts", data=pieces()) as answer:
        assert (answer.status, answer.headers["x-llmproxy-attempts"]) == (200, "2")

    assert [upstream.requests[0].body for upstream in upstreams] == [b"ab", b"ab"]


async def test_what_is_created_without_a_model_ends_up_in_one_account_and_in_the_next_when_that_is_down(
    start_upstream: StartUpstream, start_proxy: StartProxy, client: Connect
) -> None:
    def keeping(name: str, most: int) -> Script:
        file = json.dumps({"id": name, "object": "file", "bytes": 1, "created_at": 1, "filename": "a", "purpose": "b"})
        kept = 0

        async def script(peer: Peer) -> None:
            nonlocal kept
            while True:
                await peer.request()
                kept += 1
                await peer.send(reply(file.encode(), JSON) if kept <= most else BROKEN)

        return script

    upstreams = [await start_upstream(keeping("file-1abcdef", 6)), await start_upstream(keeping("file-2abcdef", 9))]
    sdk = client(await start_proxy(config([at(upstreams[0], weight=1), at(upstreams[1], weight=5)])))
    made = [(await sdk.files.create(file=("a", b"x"), purpose="batch")).id for _ in range(6)]
    after = [(await sdk.files.create(file=("a", b"x"), purpose="batch")).id for _ in range(2)]

    assert made == ["file-1abcdef"] * 6
    assert after == ["file-2abcdef"] * 2


async def test_what_names_no_group_goes_to_the_passthrough_group_as_it_is(
    start_upstream: StartUpstream, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    other, chosen = await start_upstream(failing("500 No")), await start_upstream(answering(reply(b"{}", JSON)))
    proxy = await start_proxy(two_groups(other, chosen, passthrough_group="whisper"))
    body = b'{"model" : "dall-e-3","prompt":"x"}'
    for path, options in (("/images/generations", {"data": body, "headers": {"content-type": "application/json"}}),
                          ("/batches/b/cancel", {})):  # fmt: skip
        async with http.post(f"{proxy.url}/v1{path}", **options) as answer:  # type: ignore[arg-type]
            assert answer.status == 200

    assert [request.body for request in chosen.requests] == [body, b""]


@pytest.mark.parametrize("size", [1000, 300_000, 3 * MEGABYTE])
async def test_a_form_may_name_its_model_after_its_file(
    start_upstream: StartUpstream, start_proxy: StartProxy, http: aiohttp.ClientSession, size: int
) -> None:
    other, whisper = (
        await start_upstream(failing("500 No")),
        await start_upstream(answering(reply(b'{"text":"Hi"}', JSON))),
    )
    proxy = await start_proxy(two_groups(other, whisper))
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(bytes(size)), filename="a.wav")
    form.add_field("model", "whisper")
    async with http.post(f"{proxy.url}/v1/audio/transcriptions", data=form) as answer:
        assert answer.status == 200

    sent = whisper.requests[0].body
    assert b'name="model"\r\n\r\nwhisper-at-home\r\n' in sent
    assert bytes(size) in sent


async def test_not_modified_is_an_answer(
    start_upstream: StartUpstream, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    upstreams = [await start_upstream(answering(reply(b"", 'etag: "a"\r\n', status="304 Same"))) for _ in range(2)]
    proxy = await start_proxy(config([at(upstream) for upstream in upstreams]))
    async with http.get(f"{proxy.url}/v1/files/file-1234567890/content", headers={"if-none-match": '"a"'}) as answer:
        assert answer.status == 304
        assert answer.headers["etag"] == '"a"'

    assert sum(len(upstream.requests) for upstream in upstreams) == 1


async def test_a_list_of_stored_completions_is_asked_for_by_the_groups_model(
    start_upstream: StartUpstream, start_proxy: StartProxy, client: Connect
) -> None:
    page = b'{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}'
    other, whisper = await start_upstream(failing("500 No")), await start_upstream(answering(reply(page, JSON)))
    sdk = client(await start_proxy(two_groups(other, whisper)))
    listed = await sdk.chat.completions.list(model="whisper", limit=3)

    assert listed.data == []
    assert whisper.requests[0].line.startswith(b"GET /v1/chat/completions?")
    assert b"model=whisper-at-home" in whisper.requests[0].line
    assert b"limit=3" in whisper.requests[0].line


async def test_without_a_passthrough_group_the_client_is_told_how_to_configure_one(
    start_upstream: StartUpstream, start_proxy: StartProxy, client: Connect
) -> None:
    upstream = await start_upstream(answering(reply()))
    proxy = await start_proxy(two_groups(upstream, upstream))
    with pytest.raises(openai.NotFoundError, match="passthrough_group"):
        await client(proxy).files.create(file=("a.bin", bytes(3 * MEGABYTE)), purpose="batch")

    assert upstream.peers == []


async def test_all_spellings_of_a_path(
    start_upstream: StartUpstream, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    upstream = await start_upstream(answering(reply(b"{}", JSON)))
    proxy = await start_proxy(config([at(upstream)]))
    for path in ("/v1/files", "/files", "/openai/files", "/openai/v1/files", "/openai/deployments/gpt/files"):
        async with http.get(f"{proxy.url}{path}?limit=1") as answer:
            assert answer.status == 200

    assert {request.line for request in upstream.requests} == {b"GET /v1/files?limit=1 HTTP/1.1"}


async def test_an_azure_client_transcribes_by_its_deployment(
    start_upstream: StartUpstream, start_proxy: StartProxy, client: Connect
) -> None:
    other, whisper = (
        await start_upstream(failing("500 No")),
        await start_upstream(answering(reply(b'{"text":"Hi"}', JSON))),
    )
    proxy = await start_proxy(two_groups(other, whisper))
    options = {"base_url": None, "azure_endpoint": proxy.url, "api_version": "2025-04-01-preview"}
    azure = client(proxy, AsyncAzureOpenAI, **options)
    heard = await azure.audio.transcriptions.create(model="whisper", file=WAV)

    assert heard.text == "Hi"
    assert whisper.requests[0].line == b"POST /v1/audio/transcriptions HTTP/1.1"
    assert fields_of(whisper.requests[0].body)["model"] == b"whisper-at-home"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/v1/files/../../admin", {}, 404),
        ("GET", "/v1/files/%2e%2e/%2E%2E/admin", {}, 404),
        ("GET", "/v1/responses/..%2f..%2fadmin", {}, 404),
        ("GET", "/elsewhere", {}, 404),
        ("GET", "/v1", {}, 404),
        ("GET", "/v1x/files", {}, 404),
        ("GET", "/openai/deployments", {}, 404),
        ("GET", "/v1/files", {"origin": "https://evil.example"}, 403),
        ("GET", "/v1/files", {"sec-fetch-site": "cross-site"}, 403),
        ("GET", "/v1/files", {"host": "evil.example"}, 403),
        ("GET", "/v1/files", {"upgrade": "websocket", "connection": "upgrade"}, 400),
    ],
)
async def test_what_does_not_pass(
    start_upstream: StartUpstream, start_proxy: StartProxy, method: str, path: str, headers: Any, status: int
) -> None:
    upstream = await start_upstream(answering(reply()))
    proxy = await start_proxy(config([at(upstream)]))
    lines = [f"{name}: {value}" for name, value in {"host": "127.0.0.1", **headers}.items()]
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert head.split(b" ")[1] == b"%d" % status
    assert upstream.peers == []


async def test_the_clients_key_and_the_endpoints_are_kept_apart(
    start_upstream: StartUpstream, start_proxy: StartProxy, client: Connect
) -> None:
    upstream = await start_upstream(answering(reply(b"{}", JSON)))
    await client(await start_proxy(config([at(upstream)]))).files.create(file=("a", b"x"), purpose="batch")

    sent = [value for name, value in upstream.requests[0].headers if name.lower() == b"authorization"]
    assert sent == [b"Bearer sk-canary-upstream-key"]
