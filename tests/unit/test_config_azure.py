"""Azure addresses as people paste them: what the proxy adds itself is cut and told, the rest lands where it belongs."""

import json
from pathlib import Path
from typing import Any

import pytest

from entrypoints.config.azure_address import taken_apart
from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.settings import Settings
from entrypoints.wiring.endpoints import targets
from entrypoints.wiring.groups import model_groups

RESOURCE = "https://r.openai.azure.com"
FOUNDRY = "https://r.services.ai.azure.com"
PROJECT = f"{FOUNDRY}/api/projects/p"
VERSION = "2024-10-21"
CHAT = f"/openai/deployments/m/chat/completions?api-version={VERSION}"
DEPLOYED = f"/openai/deployments/d/chat/completions?api-version={VERSION}"


def load(folder: Path, **params: Any) -> Settings:
    path = folder / "llmproxy.yaml"
    models = [{"model": "m", "params": {"api_key": "k", **params}}]
    path.write_text(json.dumps({"model_groups": [{"model_group": "g", "models": models}]}), encoding="utf-8")
    return load_settings(path, {})


def refusal(folder: Path, **params: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, **params)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def chat_url(settings: Settings) -> str:
    return targets(settings, {})["g/1"].url("/chat/completions", "")


@pytest.mark.parametrize(
    ("endpoint", "more", "cut", "url"),
    [
        (f"{RESOURCE}/openai", {"api_version": VERSION}, "/openai", RESOURCE + CHAT),
        (f"{RESOURCE}/openai/", {"api_version": VERSION}, "/openai", RESOURCE + CHAT),
        (f"{RESOURCE}/openai/deployments", {"api_version": VERSION}, "/openai/deployments", RESOURCE + CHAT),
        (f"{RESOURCE}/openai/deployments/d", {"api_version": VERSION}, "/openai/deployments/d", RESOURCE + DEPLOYED),
        (f"{RESOURCE}/openai/deployments/d/", {"api_version": VERSION}, "/openai/deployments/d", RESOURCE + DEPLOYED),
        (RESOURCE + DEPLOYED, {}, DEPLOYED, RESOURCE + DEPLOYED),
        (RESOURCE + DEPLOYED, {"api_version": VERSION, "azure_deployment": "d"}, DEPLOYED, RESOURCE + DEPLOYED),
        (f"{RESOURCE}/openai/responses?api-version={VERSION}", {}, "/openai/responses?api-", RESOURCE + CHAT),
        (f"{RESOURCE}/openai/v1", {"api_version": VERSION}, "/openai/v1", RESOURCE + CHAT),
        (f"{RESOURCE}/openai/v1/responses?api-version={VERSION}", {}, "/openai/v1/responses?", RESOURCE + CHAT),
        (f"{RESOURCE}/openai/v1/responses", {}, "/responses", f"{RESOURCE}/openai/v1/chat/completions"),
        (f"{RESOURCE}/openai/v1/chat/completions", {}, "/chat", f"{RESOURCE}/openai/v1/chat/completions"),
        (PROJECT, {"api_version": VERSION}, "/api/projects/p", FOUNDRY + CHAT),
        (f"{PROJECT}/openai", {"api_version": VERSION}, "/api/projects/p/openai", FOUNDRY + CHAT),
        (f"{PROJECT}/openai/v1/responses", {}, "/responses", f"{PROJECT}/openai/v1/chat/completions"),
        (f"{PROJECT}/openai/v1", {"api_version": VERSION}, "/api/projects/p/openai/v1", FOUNDRY + CHAT),
        ("https://apim.example/a/openai", {"api_version": VERSION}, "/openai", "https://apim.example/a" + CHAT),
        ("http://127.0.0.1:9/openai", {"api_version": VERSION}, "/openai", "http://127.0.0.1:9" + CHAT),
    ],
)
def test_what_the_proxy_adds_itself_is_cut_from_an_azure_endpoint_and_told(
    tmp_path: Path, endpoint: str, more: dict[str, str], cut: str, url: str
) -> None:
    settings = load(tmp_path, azure_endpoint=endpoint, **more)

    assert chat_url(settings) == url
    assert len(settings.warnings) == 1
    assert f"params.azure_endpoint: {cut}" in settings.warnings[0]
    assert "is left out" in settings.warnings[0]
    assert f"read as azure_endpoint: {settings.groups[0].models[0].params.azure_endpoint}" in settings.warnings[0]


@pytest.mark.parametrize(
    ("endpoint", "more"),
    [
        (RESOURCE, {"api_version": VERSION}),
        (f"{RESOURCE}/", {"api_version": "preview"}),
        (f"{RESOURCE}/openai/v1", {}),
        (f"{RESOURCE}/openai/v1/", {}),
        (f"{PROJECT}/openai/v1", {}),
        ("https://apim.example/team-a", {"api_version": VERSION}),
    ],
)
def test_an_azure_endpoint_as_it_should_be_is_not_touched(tmp_path: Path, endpoint: str, more: dict[str, str]) -> None:
    settings = load(tmp_path, azure_endpoint=endpoint, **more)

    assert settings.groups[0].models[0].params.azure_endpoint == endpoint.rstrip("/")
    assert settings.warnings == ()


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"azure_endpoint": RESOURCE + DEPLOYED, "azure_deployment": "e"}, "says another azure_deployment than"),
        ({"azure_endpoint": RESOURCE + DEPLOYED, "api_version": "preview"}, "says another api_version than"),
        ({"azure_endpoint": f"{RESOURCE}/openai"}, "needs api_version beside it"),
        ({"azure_endpoint": PROJECT}, f"is a project; valid: {PROJECT}/openai/v1, or api_version beside it"),
        ({"azure_endpoint": f"{PROJECT}/openai"}, f"valid: {PROJECT}/openai/v1, or"),
        ({"azure_endpoint": f"https://apim.example?api-version={VERSION}"}, "leave out the query"),
        ({"azure_endpoint": f"https://apim.example/openai?api-version={VERSION}&k=hush"}, "leave out the query"),
        (
            {"azure_endpoint": f"{FOUNDRY}/models/chat/completions?api-version=2024-05-01-preview"},
            f"write base_url: {FOUNDRY}/openai/v1",
        ),
        ({"azure_endpoint": "https://h.example/chat/completions", "api_version": "v"}, "leave out /chat/completions"),
        (
            {"base_url": RESOURCE + DEPLOYED},
            f"write azure_endpoint: {RESOURCE}, azure_deployment: d, api_version: {VERSION}",
        ),
        (
            {"base_url": (RESOURCE + DEPLOYED).partition("?")[0]},
            f"write azure_endpoint: {RESOURCE}, azure_deployment: d, api_version: 2024-10-21",
        ),
        ({"base_url": f"{RESOURCE}/openai/v1/chat/completions"}, f"write base_url: {RESOURCE}/openai/v1"),
        ({"base_url": f"{PROJECT}/openai/v1/responses"}, f"write base_url: {PROJECT}/openai/v1"),
    ],
)
def test_what_cannot_be_put_right_is_refused_with_the_lines_to_write(
    tmp_path: Path, params: dict[str, str], told: str
) -> None:
    message = refusal(tmp_path, **params)

    assert told in message
    assert "hush" not in message


@pytest.mark.parametrize(
    ("params", "key", "told"),
    [
        ({"base_url": f"{RESOURCE}/openai/deployments/d"}, "base_url", "Azure answers 404 without an api-version"),
        (
            {"base_url": f"{RESOURCE}/openai/deployments/d", "api_version": VERSION},
            "base_url",
            f"for the others write azure_endpoint: {RESOURCE}, azure_deployment: d",
        ),
        ({"base_url": f"{RESOURCE}/openai"}, "base_url", f"write {RESOURCE}/openai/v1 for the v1 API"),
        ({"base_url": RESOURCE}, "base_url", f"write {RESOURCE}/openai/v1"),
        ({"base_url": PROJECT}, "base_url", f"write {PROJECT}/openai/v1"),
        (
            {"base_url": f"{RESOURCE}/openai/v1", "api_version": VERSION},
            "base_url",
            f"400 to a dated api-version on /openai/v1; remove it, or write azure_endpoint: {RESOURCE}",
        ),
        ({"base_url": f"{PROJECT}/openai/v1", "api_version": "preview"}, "base_url", "answer 400 to api-version"),
        ({"azure_endpoint": f"{RESOURCE}/openai/v1", "api_version": "preview"}, "azure_endpoint", "answer 400 to"),
        (
            {"azure_endpoint": f"{FOUNDRY}/models", "api_version": VERSION},
            "azure_endpoint",
            f"a resource has no path: write {FOUNDRY}",
        ),
        (
            {"azure_endpoint": f"{RESOURCE}/openai/v1", "azure_deployment": "d"},
            "azure_deployment",
            "has no effect on /openai/v1",
        ),
    ],
)
def test_what_azure_will_probably_refuse_is_warned_about(
    tmp_path: Path, params: dict[str, str], key: str, told: str
) -> None:
    warnings = load(tmp_path, **params).warnings

    assert len(warnings) == 1
    assert f"params.{key}: " in warnings[0]
    assert told in warnings[0]


@pytest.mark.parametrize(
    "host",
    ["r.openai.azure.us", "r.openai.azure.cn", "r.cognitiveservices.azure.com", "eastus.api.cognitive.microsoft.com"],
)
def test_other_hosts_of_azures_are_known_too(tmp_path: Path, host: str) -> None:
    settings = load(tmp_path, base_url=f"https://{host}/openai", default_query={"api-version": VERSION})

    assert targets(settings, {})["g/1"].headers((), ()) == (("api-key", "k"),)
    assert model_groups(settings)[0].endpoints[0].provider == "azure"
    assert f"write https://{host}/openai/v1 for the v1 API" in settings.warnings[0]


@pytest.mark.parametrize(
    "url", ["https://h.example/v1", RESOURCE, "https://h.example/openai/x", "https://h.example/api/projects/p/x"]
)
def test_other_paths_are_not_azures(url: str) -> None:
    assert taken_apart(url) is None
