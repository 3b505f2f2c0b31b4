"""Models that are no group's name: for `passthrough_group` where the configuration names one, else unknown."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from simulator import ProviderSettings, SimulatedProvider
from tests.integration.composed import composed

CALLS = {
    "/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/completions": {"prompt": "once"},
    "/responses": {"input": "hi"},
    "/embeddings": {"input": "hi"},
    "/moderations": {"input": "hi"},
    "/responses/input_tokens": {"input": "hi"},
    "/responses/compact": {"input": "hi"},
}
STREAMED = ("/chat/completions", "/completions", "/responses")
SHAPES = [(path, False) for path in CALLS] + [(path, True) for path in STREAMED]


@pytest.fixture
async def providers() -> AsyncIterator[list[SimulatedProvider]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(SimulatedProvider(ProviderSettings(name=name))) for name in "ab"]


def openai_at(provider: SimulatedProvider) -> dict[str, Any]:
    return {"model": "own", "params": {"api_key": "sk-up", "base_url": f"{provider.url}/v1"}}


def azure_at(provider: SimulatedProvider) -> dict[str, Any]:
    return {"model": "own", "params": {"api_key": "sk-up", "azure_endpoint": provider.url, "api_version": "2024-10-21"}}


def two_groups(first: dict[str, Any], second: dict[str, Any], **general: Any) -> dict[str, Any]:
    groups = [{"model_group": "gpt", "models": [first]}, {"model_group": "rest", "models": [second]}]
    return {"model_groups": groups, "general_settings": general}


async def ask(url: str, path: str, model: str, *, stream: bool = False) -> tuple[int, bytes]:
    body = (
        CALLS[path.removeprefix("/openai/deployments/rest")] | {"model": model} | ({"stream": True} if stream else {})
    )
    root = "" if path.startswith("/openai") else "/v1"
    async with aiohttp.ClientSession() as http, http.post(f"{url}{root}{path}", json=body) as answer:
        return answer.status, await answer.read()


async def states(url: str) -> list[str]:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/health") as answer:
        return [endpoint["state"] for group in (await answer.json())["groups"] for endpoint in group["endpoints"]]


@pytest.mark.parametrize(("path", "stream"), SHAPES)
async def test_an_unlisted_model_goes_to_the_passthrough_group_under_its_own_name(
    providers: list[SimulatedProvider], tmp_path: Path, path: str, stream: bool
) -> None:
    settings = two_groups(*map(openai_at, providers), passthrough_group="rest")
    async with composed(tmp_path, settings) as proxy:
        status, _ = await ask(proxy.url, path, "o9-mini", stream=stream)
        named, _ = await ask(proxy.url, path, "rest", stream=stream)

    assert (status, named) == (200, 200)
    assert providers[0].records == []
    assert [record.model for record in providers[1].records] == ["o9-mini", "own"]


@pytest.mark.parametrize(("path", "stream"), SHAPES)
async def test_nobody_is_blamed_for_an_unlisted_model_that_its_provider_does_not_have(
    providers: list[SimulatedProvider], tmp_path: Path, path: str, stream: bool
) -> None:
    providers[1].change(models=["own"])
    settings = two_groups(*map(openai_at, providers), passthrough_group="rest")
    async with composed(tmp_path, settings) as proxy:
        status, said = await ask(proxy.url, path, "o9-mini", stream=stream)
        after = await states(proxy.url)

    assert (status, len(providers[1].records)) == (404, 1)
    assert b"The model `o9-mini` does not exist" in said
    assert after == ["closed", "closed"]


@pytest.mark.parametrize("groups", [1, 2])
async def test_without_a_passthrough_group_an_unlisted_model_is_unknown(
    providers: list[SimulatedProvider], tmp_path: Path, groups: int
) -> None:
    settings = two_groups(*map(openai_at, providers))
    settings["model_groups"] = settings["model_groups"][:groups]
    async with composed(tmp_path, settings) as proxy:
        status, said = await ask(proxy.url, "/chat/completions", "o9-mini")

    assert status == 404
    assert b"'o9-mini' is not served here" in said
    assert providers[0].records == []


async def test_a_deployment_that_only_the_path_names_is_unknown(
    providers: list[SimulatedProvider], tmp_path: Path
) -> None:
    settings = two_groups(*map(openai_at, providers), passthrough_group="rest")
    body = CALLS["/chat/completions"]
    async with (
        composed(tmp_path, settings) as proxy,
        aiohttp.ClientSession() as http,
        http.post(f"{proxy.url}/openai/deployments/o9-mini/chat/completions", json=body) as answer,
    ):
        assert answer.status == 404
        assert (await answer.json())["error"]["code"] == "model_not_found"

    assert providers[1].records == []


@pytest.mark.parametrize(
    ("path", "reaches"),
    [
        ("/chat/completions", "/openai/deployments/o9%20mini/chat/completions?api-version=2024-10-21"),
        ("/embeddings", "/openai/deployments/o9%20mini/embeddings?api-version=2024-10-21"),
        ("/responses", "/openai/responses?api-version=2024-10-21"),
    ],
)
async def test_at_azure_an_unlisted_model_is_the_deployment(
    providers: list[SimulatedProvider], tmp_path: Path, path: str, reaches: str
) -> None:
    settings = two_groups(*map(azure_at, providers), passthrough_group="rest")
    async with composed(tmp_path, settings) as proxy:
        status, _ = await ask(proxy.url, path, "o9 mini")

    assert status == 200
    assert [record.path for record in providers[1].records] == [reaches]


async def test_the_cache_tells_an_unlisted_model_from_the_endpoints_own(
    providers: list[SimulatedProvider], tmp_path: Path
) -> None:
    settings = two_groups(*map(openai_at, providers), passthrough_group="rest", cache=True)
    async with composed(tmp_path, settings) as proxy:
        for _ in range(2):
            await ask(proxy.url, "/openai/deployments/rest/embeddings", "o9-mini")
            await ask(proxy.url, "/embeddings", "o9-mini")

    assert [record.model for record in providers[1].records] == ["own", "o9-mini"]
