"""Endpoints that take Entra tokens: a provider that lets in only the newest, and an identity that hands them out."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import yaml
from aiohttp import web

from application.observing.reload_state import ReloadState
from application.state import access_tokens
from application.state.access_tokens import AccessToken, TokenUnavailable
from entrypoints.config import endpoints_section
from entrypoints.config.load import load_settings
from entrypoints.container import Container
from entrypoints.reload.generations import Generations
from simulator import SimulatedProvider
from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import config, endpoint, eventually

KEY = "sk-canary-upstream-key"
CLIENT_KEY = "sk-canary-client-key"
BODY = {"model": "gpt", "messages": [{"role": "user", "content": "hello"}]}


class Identity:
    """Hands out `canary-token-1`, `-2`, ... over HTTP as App Service's identity endpoint does (Microsoft Learn, "Use
    managed identities for App Service", REST endpoint reference)."""

    def __init__(self) -> None:
        self.life_s = 3600
        self.refuses = False
        self.asked: list[dict[str, str]] = []
        self.given: list[str] = []
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append({**request.query, "header": request.headers.get("x-identity-header", "")})
        if self.refuses:
            return web.json_response({"error": "invalid_scope", "error_description": "AADSTS70011"}, status=400)
        self.given.append(f"canary-token-{len(self.given) + 1}")
        expires = int(time.time()) + self.life_s
        return web.json_response(
            {
                "access_token": self.given[-1],
                "expires_on": str(expires),
                "resource": request.query["resource"],
                "token_type": "Bearer",
            }
        )

    @property
    def environ(self) -> dict[str, str]:
        """What makes `DefaultAzureCredential` find it, and nothing else."""
        return {
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{self.port}/msi/token",
            "IDENTITY_HEADER": "canary-identity-header",
            "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
        }


@pytest.fixture
async def identity() -> AsyncIterator[Identity]:
    identity = Identity()
    app = web.Application()
    app.router.add_get("/msi/token", identity.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    identity.port = runner.addresses[0][1]
    yield identity
    await runner.cleanup()


def entra(provider: SimulatedProvider, **changes: Any) -> dict[str, Any]:
    """A model whose tokens come from the default provider."""
    params = {"azure_ad_token_provider": "default", "base_url": f"{provider.url}/openai/v1"}
    return {"model": "gpt-sim", "params": params, **changes}


def lets_in(provider: SimulatedProvider, *keys: str) -> None:
    """Only these from now on."""
    provider.apply(msgspec.structs.replace(provider.settings, api_keys=keys))


async def ask(http: aiohttp.ClientSession, url: str, **body: Any) -> aiohttp.ClientResponse:
    headers = {"authorization": f"Bearer {CLIENT_KEY}"}
    async with http.post(f"{url}/v1/chat/completions", json={**BODY, **body}, headers=headers) as response:
        await response.read()
        return response


class TestWithAzureIdentity:
    """The proxy as a process, with the real library; skipped where it is not installed."""

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("azure.identity", reason="the optional azure-identity is not installed")

    async def test_a_token_of_the_machines_identity_reaches_the_endpoint_and_nobody_else(
        self, start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, identity: Identity
    ) -> None:
        provider = await start_provider(api_keys=("canary-token-1",))
        proxy = await start_proxy(config([entra(provider)], log_format="json"), identity.environ)
        reply = await ask(http, proxy.url)
        status = await (await http.get(f"{proxy.url}/status")).text()

        assert reply.status == 200
        assert provider.records[-1].header("authorization") == "Bearer canary-token-1"
        assert provider.records[-1].header("api-key") is None
        assert [asked["resource"] for asked in identity.asked] == ["https://ai.azure.com"]
        await eventually(lambda: proxy.log("token ready"))
        shown = proxy.errors + proxy.output + status + str(reply.headers)
        assert not [word for word in ("canary-token", "canary-identity", CLIENT_KEY) if word in shown]

    async def test_identities_that_refuse_are_told_once_and_in_safe_words(
        self, start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, identity: Identity
    ) -> None:
        provider = await start_provider()
        identity.refuses = True
        proxy = await start_proxy(config([entra(provider)], log_format="json", num_retries=0), identity.environ)
        await eventually(lambda: len(identity.asked) >= 2)
        reply = await ask(http, proxy.url)

        assert reply.status == 503
        assert provider.records == []
        assert len(proxy.log("token missing")) == 1
        assert all(line.startswith("{") for line in proxy.errors.splitlines())
        identity.refuses = False
        await eventually(lambda: proxy.log("token ready"), 30)
        assert (await ask(http, proxy.url)).status == 200


class FakeCredential:
    """Hands out `token-1`, `token-2`, ..., and tells the provider to let in the newest alone."""

    def __init__(self, provider: SimulatedProvider) -> None:
        self._provider = provider
        self.given = 0
        self.fails = False
        self.life_s = 3600.0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, scope: str) -> AccessToken:
        await self.gate.wait()
        if self.fails:
            raise TokenUnavailable("no identity")
        self.given += 1
        token = f"token-{self.given}"
        lets_in(self._provider, token)
        return AccessToken(access_tokens.Secret(token), time.time() + self.life_s)


class Running:
    """The application in this loop, with a fake credential, behind a plain ASGI client."""

    def __init__(self, container: Container, credential: FakeCredential) -> None:
        self.container = container
        self.credential = credential

    async def ask(self, stream: bool = False) -> tuple[int, dict[str, str], bytes]:
        sent: list[dict[str, Any]] = []
        body = json.dumps({**BODY, "stream": stream}).encode()
        inbox = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if inbox:
                return inbox.pop()
            return await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": "/v1/chat/completions", "raw_path": b"/v1/chat/completions", "query_string": b"", "root_path": "",
            "headers": [
                (b"host", b"127.0.0.1"), (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()), (b"authorization", f"Bearer {CLIENT_KEY}".encode()),
            ],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 4000), "state": {},
        }  # fmt: skip
        await self.container.app()(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.fixture
async def start(tmp_path: Path, start_provider: StartProvider, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    monkeypatch.setattr(endpoints_section, "has_azure_identity", lambda: True)
    started: list[Container] = []

    async def start(provider: SimulatedProvider, *others: dict[str, Any], fetch: bool = True) -> Running:
        path = tmp_path / "llmproxy.yaml"
        path.write_text(yaml.safe_dump(config([entra(provider), *others], num_retries=1)))
        container = Container(settings=load_settings(path, os.environ))
        credential = FakeCredential(provider)
        container.fetch_token.override(credential)
        started.append(container)
        if not fetch:
            credential.gate.clear()
        for source in container.tokens().values():
            source.start()
        return Running(container, credential)

    yield start
    for container in started:
        for source in container.tokens().values():
            await source.close()
        await container.upstream().close()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_token_that_the_provider_takes_no_more_is_renewed_and_the_client_sees_nothing_of_it(
    start: Any, start_provider: StartProvider, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr(access_tokens, "YOUNG_S", 0.0)
    provider = await start_provider()
    running = await start(provider)
    first = await running.ask(stream)
    lets_in(provider, "nobody")
    second = await running.ask(stream)

    assert (first[0], second[0]) == (200, 200)
    assert second[1]["x-llmproxy-attempts"] == "1"
    assert [record.header("authorization") for record in provider.records] == [
        "Bearer token-1",
        "Bearer token-1",
        "Bearer token-2",
    ]


async def test_a_burst_that_meets_a_refused_token_renews_it_once(
    start: Any, start_provider: StartProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = await start_provider()
    running = await start(provider)
    await running.ask()
    lets_in(provider, "nobody")
    running.container.tokens()["https://ai.azure.com/.default"]._ended -= access_tokens.YOUNG_S
    answers = await asyncio.gather(*(running.ask() for _ in range(30)))

    assert [answer[0] for answer in answers] == [200] * 30
    assert running.credential.given == 2


async def test_a_second_refusal_is_a_fault_of_the_endpoint_and_others_serve(
    start: Any, start_provider: StartProvider
) -> None:
    provider, other = await start_provider(), await start_provider(api_keys=(KEY,))
    running = await start(provider, endpoint(other, weight=0))
    await running.ask()
    lets_in(provider, "nobody")
    status, headers, _ = await running.ask()
    endpoints = running.container.groups()[0].endpoints

    assert status == 200
    assert headers["x-llmproxy-endpoint"] == "gpt/2"
    assert headers["x-llmproxy-attempts"] == "2"
    assert running.container.endpoint_states()[endpoints[0].id].shown(running.container.clock().now())[1] > 200
    assert running.credential.given == 1


async def test_a_request_before_the_first_token_waits_for_it(start: Any, start_provider: StartProvider) -> None:
    running = await start(await start_provider(), fetch=False)
    request = asyncio.ensure_future(running.ask())
    await asyncio.sleep(0.1)

    assert not request.done()
    running.credential.gate.set()
    assert (await request)[0] == 200


async def test_while_there_is_no_token_others_serve_at_once_and_the_endpoint_is_back_with_its_token(
    start: Any, start_provider: StartProvider
) -> None:
    provider, other = await start_provider(), await start_provider(api_keys=(KEY,))
    running = await start(provider, endpoint(other, weight=0), fetch=False)
    running.credential.fails = True
    running.credential.gate.set()
    answers = [await running.ask() for _ in range(3)]

    assert [headers["x-llmproxy-endpoint"] for _, headers, _ in answers] == ["gpt/2"] * 3
    assert provider.records == []
    running.credential.fails = False
    source = running.container.tokens()["https://ai.azure.com/.default"]
    await eventually(lambda: source.current is not None)
    assert (await running.ask())[1]["x-llmproxy-endpoint"] == "gpt/1"
    assert len(other.records) == 3


class NoServer:
    """Serves nobody."""

    def serve_with(self, app: object, free_a_file: object) -> None:
        """See `HttpServer`."""


async def test_a_reload_keeps_the_token_and_withholds_what_has_none(
    start: Any, start_provider: StartProvider, tmp_path: Path
) -> None:
    provider, other = await start_provider(), await start_provider(api_keys=(KEY,))
    running = await start(provider)
    await running.ask()
    generations = Generations(running.container, NoServer())  # type: ignore[arg-type]

    def reload(*models: dict[str, Any]) -> None:
        path = tmp_path / "llmproxy.yaml"
        path.write_text(yaml.safe_dump(config(list(models), num_retries=1)))
        generations.prepare(load_settings(path, os.environ))
        generations.commit(ReloadState())
        running.container = generations.current

    reload(endpoint(other), entra(provider, id="renamed"))
    (source,) = running.container.tokens().values()
    answers = {(await running.ask())[1]["x-llmproxy-endpoint"] for _ in range(4)}
    assert answers == {"gpt/1", "renamed"}
    assert running.credential.given == 1

    running.credential.fails = True
    source._expires = 0.0
    source._fail("nothing came")
    state = running.container.endpoint_states()["renamed"]
    assert state.is_withheld
    reload(endpoint(other), entra(provider, id="renamed", model="another"))
    assert running.container.endpoint_states()["renamed"] is not state
    assert running.container.endpoint_states()["renamed"].is_withheld

    reload(endpoint(other))
    await asyncio.sleep(0)
    assert source._running.cancelled()
    assert (await running.ask())[0] == 200
