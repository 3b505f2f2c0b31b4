"""The application behind a server that speaks ASGI and nothing else: httpx's own, and the SDK's calls through it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from simulator import SimulatedProvider
from tests.integration.composed import Composed, composed
from tests.integration.conftest import StartProvider
from tests.integration.harness import config, endpoint, eventually


@pytest.fixture
async def provider(start_provider: StartProvider) -> SimulatedProvider:
    return await start_provider(name="alpha")


@pytest.fixture
async def proxy(tmp_path: Path, provider: SimulatedProvider) -> AsyncIterator[Composed]:
    async with composed(tmp_path, config([endpoint(provider)], cache=True)) as running:
        yield running


@pytest.fixture
async def client(proxy: Composed) -> AsyncIterator[openai.AsyncOpenAI]:
    transport = httpx.ASGITransport(app=proxy.container.app())
    async with httpx.AsyncClient(transport=transport) as http:
        yield openai.AsyncOpenAI(api_key="k", base_url="http://localhost/v1", http_client=http, max_retries=0)


async def test_calls_of_the_sdk_whole_and_streamed(client: openai.AsyncOpenAI, proxy: Composed) -> None:
    whole = await client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "hi"}])
    stream = await client.chat.completions.create(
        model="gpt", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    response = await client.responses.create(model="gpt", input="hi")

    assert str(whole.choices[0].message.content).startswith("alpha/")
    assert text.startswith("alpha/")
    assert (await client.responses.retrieve(response.id)).id == response.id
    assert len((await client.embeddings.create(model="gpt", input=["a", "b"])).data) == 2
    assert [model.id async for model in await client.models.list()] == ["gpt"]
    assert [line["outcome"] for line in proxy.requests()] == ["ok"] * 6


async def test_uploads_and_what_is_passed_through(client: openai.AsyncOpenAI) -> None:
    file = await client.files.create(file=("a.jsonl", b"{}\n" * 50_000), purpose="batch")

    assert (await client.files.content(file.id)).content == b"{}\n" * 50_000
    assert (await client.files.delete(file.id)).deleted


async def test_hits_and_errors_too(client: openai.AsyncOpenAI) -> None:
    states = []
    for _ in range(2):
        raw = await client.chat.completions.with_raw_response.create(
            model="gpt", messages=[{"role": "user", "content": "same"}], temperature=0
        )
        states.append(raw.headers["x-llmproxy-cache"])
    with pytest.raises(openai.NotFoundError, match="nothing"):
        await client.models.retrieve("nothing")
    with pytest.raises(openai.BadRequestError):
        await client.post("/chat/completions", body={"messages": []}, cast_to=object)

    assert states == ["miss", "hit"]


async def test_a_client_that_leaves_is_noticed_and_its_upstream_closed(
    proxy: Composed, provider: SimulatedProvider
) -> None:
    provider.set_faults([{"action": {"kind": "latency", "seconds": 60}}])
    left, sent = asyncio.Event(), []
    messages = [{"type": "http.request", "body": b'{"model":"gpt",', "more_body": True}]
    messages.append({"type": "http.request", "body": b'"messages":[]}', "more_body": False})

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"29")]
    scope: Any = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/v1/chat/completions", "raw_path": b"/v1/chat/completions", "query_string": b"", "root_path": "",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {}, "extensions": {},
    }  # fmt: skip
    before = len(asyncio.all_tasks())
    asking = asyncio.ensure_future(proxy.container.app()(scope, receive, send))
    await eventually(lambda: provider.counts().in_flight == 1)
    left.set()
    async with asyncio.timeout(20):
        await asking

    await eventually(lambda: provider.counts().client_closed == 1)
    await eventually(lambda: len(asyncio.all_tasks()) <= before)
    assert not sent
    assert proxy.requests()[-1]["outcome"] == "client_left"
