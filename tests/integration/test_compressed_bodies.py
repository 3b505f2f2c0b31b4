"""Clients that compress their bodies: providers get plain JSON, and the cache knows what was meant."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import brotli
import httpx
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from adapters.http.bodies.coding_libraries import zstd
from simulator import ProviderSettings, SimulatedProvider
from tests.integration.composed import Composed
from tests.integration.harness import endpoint

pytestmark = pytest.mark.asyncio(loop_scope="module")

MADE: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
    "gzip, zstd": lambda body: zstd.compress(gzip.compress(body)),
}
MAX_BODY_BYTES = 2 * 1024 * 1024
CHAT = "/v1/chat/completions"


class World(NamedTuple):
    proxy: Composed
    provider: SimulatedProvider
    http: httpx.AsyncClient

    async def post(self, body: bytes, coding: str, path: str = CHAT, **headers: str) -> httpx.Response:
        headers = {"content-type": "application/json", "content-encoding": coding} | headers
        return await self.http.post(self.proxy.url + path, content=body, headers=headers)


class Compressing(httpx.AsyncBaseTransport):
    """What Codex and gateways do: whatever the SDK sends is compressed on its way."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._wire = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = [(name, value) for name, value in request.headers.items() if name != "content-length"]
        if body := await request.aread():
            body = MADE[self._coding](body)
            headers.append(("content-encoding", self._coding))
        return await self._wire.handle_async_request(
            httpx.Request(request.method, request.url, headers=headers, content=body, extensions=request.extensions)
        )

    async def aclose(self) -> None:
        await self._wire.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(SimulatedProvider(ProviderSettings(name="alpha")))
        http = await stack.enter_async_context(httpx.AsyncClient())
        groups = [{"model_group": "gpt", "models": [endpoint(provider)]}]
        general = {"max_body_bytes": MAX_BODY_BYTES, "cache": True, "passthrough_group": "gpt"}
        proxy = Composed(tmp_path_factory.mktemp("coded"), {"model_groups": groups, "general_settings": general})
        stack.push_async_callback(proxy.stop)
        await proxy.start()
        yield World(proxy, provider, http)


@pytest.fixture
def world(running: World) -> World:
    running.provider.reset()
    return running


def question(**fields: Any) -> bytes:
    return json.dumps({"model": "gpt", "messages": [{"role": "user", "content": "Hello"}], **fields}).encode()


@pytest.mark.parametrize("coding", MADE)
async def test_an_sdk_that_compresses_is_answered_and_the_provider_reads_plain_json(world: World, coding: str) -> None:
    async with httpx.AsyncClient(transport=Compressing(coding)) as http:
        client = AsyncOpenAI(base_url=f"{world.proxy.url}/v1", api_key="sk-client", max_retries=0, http_client=http)
        chat = await client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "Hello"}])
        stream = await client.responses.create(model="gpt", input="Hello", stream=True)
        types = [event.type async for event in stream]
        vectors = await client.embeddings.create(model="gpt", input=["a", coding])

    assert chat.choices[0].message.content
    assert types[-1] == "response.completed"
    assert len(vectors.data) == 2
    assert len(world.provider.records) == 3
    for record in world.provider.records:
        assert json.loads(record.body)["model"] == "gpt-sim"
        headers = dict(record.raw_headers)
        assert b"content-encoding" not in headers
        assert int(headers[b"content-length"]) == len(record.body)


async def test_the_cache_knows_a_body_by_what_it_says(world: World) -> None:
    asked = question(temperature=0, seed=7)
    states = [(await world.post(MADE[coding](asked), coding)).headers["x-llmproxy-cache"] for coding in MADE]
    plain = await world.post(asked, "identity")

    assert states == ["miss", "hit", "hit", "hit", "hit"]
    assert plain.headers["x-llmproxy-cache"] == "hit"
    assert len(world.provider.records) == 1


async def test_json_that_passes_through_is_read_and_goes_on_plain(world: World) -> None:
    asked = json.dumps({"model": "gpt", "prompt": "a cat"}).encode()
    await world.post(gzip.compress(asked), "gzip", "/v1/images/generations")

    (record,) = world.provider.records
    assert json.loads(record.body) == {"model": "gpt-sim", "prompt": "a cat"}


async def test_an_upload_goes_on_as_it_came(world: World) -> None:
    form = gzip.compress(b"--b\r\ncontent-disposition: form-data; name=purpose\r\n\r\nbatch\r\n--b--\r\n")
    await world.post(form, "gzip", "/v1/uploads", **{"content-type": "multipart/form-data; boundary=b"})

    (record,) = world.provider.records
    assert record.body == form
    assert dict(record.raw_headers)[b"content-encoding"] == b"gzip"


@pytest.mark.parametrize("path", [CHAT, "/v1/responses", "/v1/embeddings", "/v1/images/generations"])
@pytest.mark.parametrize("coding", ["compress", "gzip, gzip, gzip", "aws-chunked"])
async def test_other_codings_are_refused_with_those_that_are_served(world: World, path: str, coding: str) -> None:
    refused = await world.post(gzip.compress(question()), coding, path)

    assert (refused.status_code, refused.json()["error"]["code"]) == (415, "unsupported_encoding")
    assert refused.headers["accept-encoding"] == "zstd, gzip, br, deflate"
    assert world.provider.records == []


@pytest.mark.parametrize("path", [CHAT, "/v1/images/generations"])
async def test_a_body_that_is_broken_or_too_large_is_refused_and_nothing_stays_held(world: World, path: str) -> None:
    broken = await world.post(gzip.compress(question())[:-9], "gzip", path)
    bomb = await world.post(zstd.compress(question(x="0" * 64 * 1024 * 1024)), "zstd", path)
    noisy = json.dumps({"model": "gpt", "x": [zlib.crc32(b"%d" % n) for n in range(250_000)]}).encode()
    large = await world.post(gzip.compress(noisy), "gzip", path)
    no_json = await world.post(gzip.compress(b"no json"), "gzip", path)

    assert [(each.status_code, each.json()["error"]["code"]) for each in (broken, bomb, large, no_json)] == [
        (400, "broken_encoding"), (413, "request_too_large"), (413, "request_too_large"), (400, "invalid_json"),
    ]  # fmt: skip
    assert world.provider.records == []
    assert world.proxy.container.held().held_bytes == 0
