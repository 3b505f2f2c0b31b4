"""The simulated provider is as strict as Azure about addresses and credentials, and takes the calls of a proxy that was
told of it in any usual way."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from entrypoints.config.load import load_settings
from entrypoints.wiring.endpoints import targets
from simulator import ProviderSettings, SimulatedProvider

KEY = "0123456789abcdef0123456789abcdef"
OPENAI_KEY = "sk-canary-key"
VERSION = "2024-10-21"
BODY = {"model": "d", "messages": [{"role": "user", "content": "hi"}]}
CHAT = "/openai/deployments/d/chat/completions"
DENIED = "Access denied due to invalid subscription key"
NO_VERSION_ON_V1 = "api-version query parameter is not allowed when using /v1 path"
Answer = tuple[int, str, str]
"""Status, the error's code, and its message."""


async def ask(url: str, headers: dict[str, str], method: str = "POST") -> Answer:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=headers, json=None if method == "GET" else BODY) as reply,
    ):
        error = (await reply.json()).get("error") or {}
        return reply.status, error.get("code", ""), error.get("message", "")


BEARER, API_KEY = {"authorization": f"Bearer {KEY}"}, {"api-key": KEY}


@pytest.mark.parametrize(
    ("path", "headers", "status", "code", "told"),
    [
        (f"{CHAT}?api-version={VERSION}", API_KEY, 200, "", ""),
        (f"{CHAT}?api-version={VERSION}", BEARER, 401, "401", DENIED),
        (f"{CHAT}?api-version={VERSION}", {}, 401, "401", DENIED),
        (f"{CHAT}?api-version={VERSION}", {"api-key": "wrong"}, 401, "401", DENIED),
        (f"{CHAT}?api-version={VERSION}", {"authorization": "Bearer entra"}, 200, "", ""),
        (f"/openai/responses?api-version={VERSION}", BEARER, 401, "401", DENIED),
        ("/openai/v1/chat/completions", API_KEY, 200, "", ""),
        ("/openai/v1/chat/completions", BEARER, 200, "", ""),
        ("/openai/v1/chat/completions", {"authorization": "Bearer entra"}, 200, "", ""),
        ("/openai/v1/chat/completions", {"authorization": "Bearer other"}, 401, "401", DENIED),
        ("/openai/v1/chat/completions?api-version=preview", API_KEY, 200, "", ""),
        (f"/openai/v1/chat/completions?api-version={VERSION}", API_KEY, 400, "BadRequest", "API version not supported"),
        ("/api/projects/p/openai/v1/chat/completions", API_KEY, 200, "", ""),
        (
            "/api/projects/p/openai/v1/chat/completions?api-version=preview",
            API_KEY,
            400,
            "BadRequest",
            NO_VERSION_ON_V1,
        ),
        (
            f"/api/projects/p/openai/v1/chat/completions?api-version={VERSION}",
            API_KEY,
            400,
            "BadRequest",
            NO_VERSION_ON_V1,
        ),
        (f"/api/projects/p{CHAT}?api-version={VERSION}", API_KEY, 404, "404", "Resource not found"),
        (CHAT, API_KEY, 404, "404", "Resource not found"),
        (f"{CHAT}?api-version=preview", API_KEY, 404, "404", "Resource not found"),
        (f"/openai/chat/completions?api-version={VERSION}", API_KEY, 404, "404", "Resource not found"),
        (f"/openai/openai/deployments/d/chat/completions?api-version={VERSION}", API_KEY, 404, "404", "Resource not"),
        (f"/openai/deployments/d/responses?api-version={VERSION}", API_KEY, 404, "404", "Resource not found"),
        (f"/openai/v1{CHAT}?api-version=preview", API_KEY, 404, "404", "Resource not found"),
        (
            f"/openai/deployments/gone/chat/completions?api-version={VERSION}",
            API_KEY,
            404,
            "DeploymentNotFound",
            "The API deployment for this resource does not exist",
        ),
        ("/v1/chat/completions", BEARER, 200, "", ""),
        ("/v1/chat/completions", API_KEY, 200, "", ""),
    ],
)
async def test_the_provider_takes_on_azures_paths_what_azure_takes(
    path: str, headers: dict[str, str], status: int, code: str, told: str
) -> None:
    settings = ProviderSettings(api_keys=(KEY,), entra_tokens=("entra",), models=("d",))
    async with SimulatedProvider(settings) as provider:
        answer = await ask(provider.url + path, headers)

    assert answer[:2] == (status, code)
    assert told in answer[2]


@pytest.mark.parametrize("key", [OPENAI_KEY, KEY, "a1B2" * 21])
async def test_a_provider_that_lets_everybody_in_takes_no_key_as_bearer_on_dated_paths_either(key: str) -> None:
    async with SimulatedProvider() as provider:
        url = f"{provider.url}{CHAT}?api-version={VERSION}"
        answers = [await ask(url, headers) for headers in ({"authorization": f"Bearer {key}"}, {"api-key": key}, {})]

    assert [status for status, _, _ in answers] == [401, 200, 200]


WAYS: list[dict[str, Any]] = [
    {"azure_endpoint": "", "api_version": VERSION},
    {"azure_endpoint": "/openai/", "api_version": VERSION},
    {"azure_endpoint": "/openai/deployments/d", "api_version": VERSION},
    {"azure_endpoint": f"{CHAT}?api-version={VERSION}"},
    {"azure_endpoint": "/openai/v1"},
    {"azure_endpoint": "/openai/v1/", "api_version": VERSION},
    {"azure_endpoint": "/api/projects/p", "api_version": VERSION},
    {"azure_endpoint": "/api/projects/p/openai/v1/responses"},
    {"azure_endpoint": "/api/projects/p/openai/v1", "api_version": VERSION},
    {"base_url": "/openai/deployments/d", "api_version": VERSION},
    {"base_url": "/openai", "api_version": VERSION},
    {"base_url": "/openai/v1", "api_version": "preview"},
    {"base_url": "/openai/v1"},
    {"base_url": "/openai/v1", "default_query": {"api-version": "preview"}},
    {"base_url": "/api/projects/p/openai/v1"},
    {"base_url": "/openai/deployments/d", "default_query": {"api-version": VERSION}},
    {
        "base_url": "/openai/deployments/d",
        "default_query": {"api-version": VERSION},
        "default_headers": {"api-key": KEY},
        "api_key": "dummy",
    },
]


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_an_endpoint_told_in_any_usual_way_is_reached(tmp_path: Path, way: dict[str, Any]) -> None:
    async with SimulatedProvider(ProviderSettings(api_keys=(KEY,), models=("d",))) as provider:
        address = next(key for key in ("azure_endpoint", "base_url") if key in way)
        params = {"api_key": KEY, **way, address: provider.url + way[address]}
        path = tmp_path / "llmproxy.yaml"
        models = [{"model": "d", "params": params}]
        await asyncio.to_thread(path.write_text, json.dumps({"model_groups": [{"model_group": "g", "models": models}]}))
        target = targets(load_settings(path, {}), {})["g/1"]
        answer = await ask(target.url("/chat/completions", ""), dict(target.headers((), ())))

    assert answer == (200, "", "")
