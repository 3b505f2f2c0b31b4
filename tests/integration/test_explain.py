"""What `llmproxy explain` makes of the `/status` of a proxy that runs is what the proxy then does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from entrypoints.config.load import load_settings
from entrypoints.explain.command import main
from entrypoints.explain.explanation import Explanation, explain
from entrypoints.explain.live_status import StatusUnreadable, read_status
from entrypoints.explain.rehearsal import Wanted
from tests.contracts.scripted_server import Peer, ScriptedServer, reply
from tests.integration.composed import Composed, composed
from tests.integration.harness import config, endpoint
from tests.integration.raw_http import JSON

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = b'{"model":"gpt","max_tokens":10,"messages":[{"role":"user","content":"hello"}]}'
ANSWER = b'{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}'
TROUBLE = b'{"error":{"message":"m","type":"server_error"}}'


class Provider:
    """Answers every request as it is told."""

    def __init__(self) -> None:
        self.reply = reply(ANSWER, JSON.decode())

    async def __call__(self, peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(self.reply)

    def fails(self) -> None:
        self.reply = reply(TROUBLE, JSON.decode(), status="503 Busy")

    def limits(self, seconds: int) -> None:
        self.reply = reply(TROUBLE, JSON.decode(), f"retry-after: {seconds}", status="429 Slow down")

    def has_left(self, requests: int, tokens: int) -> None:
        told = (("requests", 100, requests), ("tokens", 10_000, tokens))
        fields = [f"x-ratelimit-limit-{name}: {limit}" for name, limit, _ in told]
        fields += [f"x-ratelimit-remaining-{name}: {left}" for name, _, left in told]
        fields += [f"x-ratelimit-reset-{name}: {60 * (limit - left) / limit:.1f}s" for name, limit, left in told]
        self.reply = reply(ANSWER, JSON.decode(), *fields)


class World:
    """A proxy in front of providers that do as they are told."""

    def __init__(self, proxy: Composed, providers: dict[str, Provider], file: Path) -> None:
        self.proxy = proxy
        self.providers = providers
        self.settings = load_settings(file, {})

    async def ask(self) -> tuple[int, str | None]:
        """The status, and whose answer it is."""
        answer = await self.proxy.ask("POST", "/v1/chat/completions", JSON, body=CHAT)
        return answer.status, answer.one("x-llmproxy-endpoint")

    async def explained(self) -> Explanation:
        """By what a status that is really served says."""
        url = f"{self.proxy.url}/status"
        live = await asyncio.to_thread(read_status, url, None)
        return await asyncio.to_thread(explain, self.settings, Wanted("gpt", 20, 10), live, url)


@pytest_asyncio.fixture(loop_scope="module")
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        providers = {name: Provider() for name in ("a", "b", "c")}
        models = []
        for name, weight in (("a", 1), ("b", 1), ("c", 0)):
            server = await stack.enter_async_context(ScriptedServer(providers[name]))
            models.append(endpoint(server.url("/v1"), id=name, weight=weight))
        settings = config(models, max_wait=1)
        file = tmp_path / "explained.yaml"
        file.write_text(yaml.safe_dump(settings))
        yield World(await stack.enter_async_context(composed(tmp_path, settings)), providers, file)


def said(told: Explanation) -> dict[str, str]:
    return {each.endpoint: each.availability.value for each in told.candidates}


async def test_who_is_explained_to_be_asked_answers_while_others_cool(world: World) -> None:
    world.providers["a"].fails()
    assert await world.ask() == (200, "b")
    told = await world.explained()

    assert said(told) == {"b": "ready", "c": "fallback", "a": "cooling"}
    assert told.candidates[2].why.startswith("server_error")
    assert (told.outcome.kind, told.outcome.endpoint) == ("asked", "b")
    assert await world.ask() == (200, "b")


async def test_what_a_reply_says_is_left_decides_as_it_does_in_the_proxy(world: World) -> None:
    world.providers["a"].has_left(requests=0, tokens=5000)
    world.providers["b"].has_left(requests=50, tokens=3)
    assert {await world.ask(), await world.ask()} == {(200, "a"), (200, "b")}
    told = await world.explained()
    left = {each.endpoint: (each.requests.remaining, each.tokens.remaining) for each in told.candidates}

    assert said(told) == {"c": "fallback", "a": "no room for requests", "b": "no room for tokens"}
    assert (left["a"][0] or 0) < 3 and (left["b"][1] or 0) < 300
    assert told.outcome.endpoint == "c"
    assert await world.ask() == (200, "c")


async def test_failover_goes_on_to_the_fallback_as_explained(world: World) -> None:
    world.providers["a"].limits(200)
    assert await world.ask() == (200, "b")
    told = await world.explained()
    asked = [each.endpoint for each in told.candidates if each.order]

    assert said(told) == {"b": "ready", "c": "fallback", "a": "throttled"}
    assert asked == ["b", "c"]
    world.providers["b"].fails()
    assert await world.ask() == (200, "c")


async def test_where_nobody_can_be_asked_the_client_gets_what_is_explained(world: World) -> None:
    for provider in world.providers.values():
        provider.limits(200)
    assert (await world.ask())[0] == 429
    told = await world.explained()
    answer = await world.proxy.ask("POST", "/v1/chat/completions", JSON, body=CHAT)

    assert said(told) == dict.fromkeys("abc", "throttled")
    assert (told.outcome.kind, told.outcome.status, told.outcome.code) == (
        "refused",
        answer.status,
        answer.error["code"],
    )
    assert told.outcome.retry_after_s == 60.0 == float(answer.one("retry-after") or 0)


async def test_where_all_fail_the_last_resort_is_asked_as_explained(world: World) -> None:
    for provider in world.providers.values():
        provider.fails()
    assert (await world.ask())[0] == 502
    for provider in world.providers.values():
        provider.reply = reply(ANSWER, JSON.decode())
    told = await world.explained()

    assert said(told) == dict.fromkeys("abc", "cooling")
    assert told.candidates[0].is_last_resort and told.outcome.kind == "asked"
    assert await world.ask() == (200, told.outcome.endpoint)


async def test_a_proxy_with_keys_wants_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = config([endpoint("http://127.0.0.1:9/v1", id="a")], api_keys=["sk-canary-own-key"])
    file = tmp_path / "explained.yaml"
    file.write_text(yaml.safe_dump(settings))
    async with composed(tmp_path, settings) as proxy:

        def run(*more: str) -> tuple[int, str, str]:
            code = main([str(file), "--model", "gpt", "--status", proxy.url, *more], "llmproxy explain")
            return (code, *capsys.readouterr())

        without = await asyncio.to_thread(run)
        given = await asyncio.to_thread(run, "--key", "sk-canary-own-key", "--format", "json")

    assert without[0] == 2 and "answered 401; fix: give one of the proxy's keys" in without[2]
    assert given[0] == 0 and json.loads(given[1])["status"] == proxy.url
    assert "canary" not in "".join((*without[1:], *given[1:]))


async def test_the_key_does_not_follow_a_redirect() -> None:
    asked: list[Any] = []

    async def elsewhere(peer: Peer) -> None:
        asked.append(await peer.request())

    async with ScriptedServer(elsewhere) as other:

        async def moved(peer: Peer) -> None:
            await peer.request()
            await peer.send(reply(b"", f"location: {other.url('/status')}", status="302 Found"))

        async with ScriptedServer(moved) as first:
            with pytest.raises(StatusUnreadable, match="answered 302"):
                await asyncio.to_thread(read_status, first.url("/status"), "k")

    assert asked == []
