"""URL and credential of our calls, held against those of openai-python's own clients with the same arguments."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AzureOpenAI, OpenAI

from adapters.upstreams.openai.target import Target
from entrypoints.config.load import load_settings
from entrypoints.config.settings import Settings
from entrypoints.wiring.endpoints import targets

KEY = "k-1"
MODEL = "gpt 4o/eu"  # a name that has to be escaped in a path
RESOURCE = "https://r.openai.azure.com"
DATED = {"api_key": KEY, "api_version": "2024-10-21"}
MESSAGES: Any = [{"role": "user", "content": "hi"}]
CREDENTIALS = ("authorization", "api-key", "ocp-apim-subscription-key")


Call = tuple[str, dict[str, str]]
"""URL and credentials."""


def as_the_client(params: dict[str, Any], kind: type[OpenAI]) -> dict[str, Call]:
    """A real client's calls, each caught on the point of leaving it."""
    caught: list[httpx2.Request] = []

    def leave(request: httpx2.Request) -> httpx2.Response:
        caught.append(request)
        return httpx2.Response(200, json={"data": [], "object": "list"})

    client = kind(**params, http_client=httpx2.Client(transport=httpx2.MockTransport(leave)), max_retries=0)
    for call in CALLS.values():
        call(client)
    return {
        route: (str(sent.url), credentials(sent.headers.items())) for route, sent in zip(CALLS, caught, strict=True)
    }


def credentials(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name in CREDENTIALS}


CALLS: dict[str, Any] = {
    "POST /chat/completions": lambda c: c.chat.completions.create(model=MODEL, messages=MESSAGES),
    "POST /completions": lambda c: c.completions.create(model=MODEL, prompt="x"),
    "POST /embeddings": lambda c: c.embeddings.create(model=MODEL, input="x", encoding_format="float"),
    "POST /images/generations": lambda c: c.images.generate(model=MODEL, prompt="x"),
    "POST /audio/transcriptions": lambda c: c.audio.transcriptions.create(model=MODEL, file=b"x"),
    "POST /audio/speech": lambda c: c.audio.speech.create(model=MODEL, voice="alloy", input="x"),
    "POST /responses": lambda c: c.responses.create(model=MODEL, input="x"),
    "GET /responses/resp_1": lambda c: c.responses.retrieve("resp_1"),
    "GET /models": lambda c: c.models.list(),
    "GET /files": lambda c: c.files.list(),
    "POST /moderations": lambda c: c.moderations.create(model=MODEL, input="x"),
}


def loaded(folder: Path, params: dict[str, Any], model: str = MODEL) -> Settings:
    path = folder / "llmproxy.yaml"
    models = [{"model": model, "params": params}]
    path.write_text(json.dumps({"model_groups": [{"model_group": "g", "models": models}]}), encoding="utf-8")
    return load_settings(path, {})


def target(folder: Path, params: dict[str, Any], model: str = MODEL) -> Target:
    return targets(loaded(folder, params, model), {})["g/1"]


def as_we_do(folder: Path, params: dict[str, Any]) -> dict[str, Call]:
    ours = target(folder, params)
    calls = {route: route.split(" ") for route in CALLS}
    return {
        route: (ours.url(path, "", method), credentials(ours.headers((), ())))
        for route, (method, path) in calls.items()
    }


AZURE_PARAMS: list[dict[str, Any]] = [
    {**DATED, "azure_endpoint": RESOURCE},
    {**DATED, "azure_endpoint": f"{RESOURCE}/"},
    {**DATED, "azure_endpoint": "https://apim.example/team-a"},
    {**DATED, "azure_endpoint": RESOURCE, "azure_deployment": "dep"},
    {**DATED, "azure_endpoint": RESOURCE, "default_query": {"x": "1", "api-version": "2024-10-21"}},
    {**DATED, "azure_endpoint": RESOURCE, "default_headers": {"Ocp-Apim-Subscription-Key": "s"}},
    {"azure_ad_token": "t", "api_version": "2024-10-21", "azure_endpoint": RESOURCE},
    {"azure_ad_token": "t", "api_version": "preview", "base_url": f"{RESOURCE}/openai"},
    {"azure_ad_token": "t", "api_version": "2024-10-21", "base_url": f"{RESOURCE}/openai/deployments/x"},
    {**DATED, "base_url": f"{RESOURCE}/openai/deployments/x"},
    {**DATED, "base_url": f"{RESOURCE}/openai/deployments/x/"},
    {**DATED, "base_url": f"{RESOURCE}/openai"},
    {**DATED, "base_url": RESOURCE},
    {**DATED, "base_url": "https://gateway.example/azure"},
    {**DATED, "base_url": "https://gateway.example/deployments/x", "default_query": {"x": "1"}},
    {**DATED, "base_url": f"{RESOURCE}/openai", "organization": "o", "default_headers": {"X-Team": "a"}},
]
OPENAI_PARAMS: list[dict[str, Any]] = [
    {"api_key": KEY},
    {"api_key": KEY, "base_url": "https://gateway.example/v1"},
    {"api_key": KEY, "base_url": f"{RESOURCE}/openai/v1"},
    {"api_key": KEY, "base_url": f"{RESOURCE}/openai/v1/", "default_query": {"api-version": "preview"}},
    {"api_key": KEY, "base_url": "https://r.services.ai.azure.com/api/projects/p/openai/v1"},
    {"api_key": KEY, "base_url": "https://gateway.example/v1", "default_query": {"api-version": "2024-10-21"}},
    {"api_key": KEY, "base_url": "https://apim.example/v1", "default_headers": {"Ocp-Apim-Subscription-Key": "s"}},
    {"api_key": KEY, "data_residency": "eu"},
]


@pytest.mark.parametrize("params", AZURE_PARAMS, ids=str)
def test_with_azures_arguments_calls_are_those_of_the_azure_client(tmp_path: Path, params: dict[str, Any]) -> None:
    assert as_we_do(tmp_path, params) == as_the_client(params, AzureOpenAI)


@pytest.mark.parametrize("params", OPENAI_PARAMS, ids=str)
def test_with_openais_arguments_calls_are_those_of_the_openai_client(tmp_path: Path, params: dict[str, Any]) -> None:
    assert as_we_do(tmp_path, params) == as_the_client(params, OpenAI)


# Where the clients' own calls are known to be refused, ours are those that Azure takes.


@pytest.mark.parametrize("base", [f"{RESOURCE}/openai/v1", "https://gateway.example/v1"])
def test_a_version_beside_a_v1_root_is_sent_and_leaves_the_path_alone(tmp_path: Path, base: str) -> None:
    ours = target(tmp_path, {"api_key": KEY, "api_version": "preview", "base_url": base})

    assert ours.url("/chat/completions", "") == f"{base}/chat/completions?api-version=preview"
    assert ours.headers((), ()) == (("api-key", KEY),)


@pytest.mark.parametrize("base", ["https://gateway.example/openai/deployments/x", f"{RESOURCE}/openai/deployments/x"])
def test_a_key_on_a_dated_path_travels_in_api_key_though_only_the_query_says_the_version(
    tmp_path: Path, base: str
) -> None:
    ours = target(tmp_path, {"api_key": KEY, "base_url": base, "default_query": {"api-version": "2024-10-21"}})

    assert ours.url("/chat/completions", "") == f"{base}/chat/completions?api-version=2024-10-21"
    assert ours.headers((), ()) == (("api-key", KEY),)


def test_an_entra_token_on_a_dated_path_travels_as_bearer_though_only_the_query_says_the_version(
    tmp_path: Path,
) -> None:
    base = f"{RESOURCE}/openai/deployments/x"
    ours = target(tmp_path, {"azure_ad_token": "t", "base_url": base, "default_query": {"api-version": "2024-10-21"}})

    assert ours.headers((), ()) == (("authorization", "Bearer t"),)


def test_a_key_in_azures_own_header_stands_in_for_api_key(tmp_path: Path) -> None:
    base = f"{RESOURCE}/openai/deployments/x"
    params = {"api_key": "dummy", "base_url": base, "default_headers": {"API-Key": KEY}}
    ours = target(tmp_path, {**params, "default_query": {"api-version": "2024-10-21"}})

    assert ours.headers((), ()) == (("api-key", KEY),)
