"""AzureOpenAI clients with the proxy as their azure_endpoint, and endpoints that are reached in Azure's way.

The two are independent: either kind of client may meet either kind of endpoint.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import openai
import pytest
import pytest_asyncio
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI
from pydantic import BaseModel

from simulator import ProviderSettings, SimulatedProvider
from simulator.records import Record
from tests.integration.composed import Composed, composed
from tests.integration.harness import Proxy, endpoint, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

UPSTREAM_KEY = "sk-canary-upstream-key"
CLIENT_KEY = "sk-canary-client-key"
ENTRA_TOKEN = "canary-entra-token"
CLIENT_VERSION = "2023-12-01-preview"
ENDPOINT_VERSION = "2024-10-21"
MESSAGES: Any = [{"role": "user", "content": "canary in the prompt"}]


class Verdict(BaseModel):
    reason: str
    is_good: bool


class World(NamedTuple):
    """The proxy and the provider behind all of its endpoints."""

    proxy: Proxy
    provider: SimulatedProvider

    def azure(self, **changes: Any) -> AsyncAzureOpenAI:
        """As an application would make it, with the proxy in the place of the resource."""
        return AsyncAzureOpenAI(**(self.options() | changes))

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "api_key": CLIENT_KEY,
            "azure_endpoint": self.proxy.url,
            "api_version": CLIENT_VERSION,
            "max_retries": 0,
        }

    def plain(self) -> AsyncOpenAI:
        """A client that knows nothing of Azure."""
        return AsyncOpenAI(api_key=CLIENT_KEY, base_url=f"{self.proxy.url}/v1", max_retries=0)

    @property
    def last(self) -> Record:
        """The request the provider got last."""
        return self.provider.records[-1]


def groups(url: str) -> list[dict[str, Any]]:
    """One group for each way to reach an endpoint."""

    def one(name: str, params: dict[str, Any], model: str = "my deployment") -> dict[str, Any]:
        return {"model_group": name, "models": [{"model": model, "params": params}]}

    resource = {"azure_endpoint": url, "api_version": ENDPOINT_VERSION}
    return [
        {"model_group": "openai-style", "models": [endpoint(f"{url}/v1")]},
        one("azure-style", resource | {"api_key": UPSTREAM_KEY}),
        one("named", resource | {"api_key": UPSTREAM_KEY, "azure_deployment": "pinned"}),
        one("entra", resource | {"azure_ad_token": ENTRA_TOKEN}),
        one("own-key", resource),
        one("azure-v1", {"base_url": f"{url}/openai/v1", "api_key": UPSTREAM_KEY}, model="v1-deployment"),
        one("preview", {
            "base_url": f"{url}/openai/v1", "api_key": UPSTREAM_KEY, "default_query": {"api-version": "preview"},
        }),
        one("by-base-url", {
            "base_url": f"{url}/openai/deployments/d", "api_key": UPSTREAM_KEY, "api_version": ENDPOINT_VERSION,
        }),
        one("by-query", {
            "base_url": f"{url}/openai/deployments/d", "api_key": UPSTREAM_KEY,
            "default_query": {"api-version": ENDPOINT_VERSION},
        }),
        one("pasted", {
            "azure_endpoint": f"{url}/openai/deployments/d/chat/completions?api-version={ENDPOINT_VERSION}",
            "api_key": UPSTREAM_KEY,
        }),
        one("project", {
            "azure_endpoint": f"{url}/api/projects/p", "api_version": ENDPOINT_VERSION, "api_key": UPSTREAM_KEY,
        }, model="d"),
        one("missing", resource | {"api_key": f"{UPSTREAM_KEY}-2"}, model="missing"),
        one("filtered", resource | {"api_key": UPSTREAM_KEY}, model="filtered"),
    ]  # fmt: skip


FILTERED = {
    "error": {
        "message": "The response was filtered.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}},
    }
}
MISSING = {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with SimulatedProvider(ProviderSettings(name="alpha", region="Sweden Central")) as provider:
        provider.set_faults(
            [
                {"match": {"model": "filtered"}, "action": {"kind": "status", "status": 400, "body": FILTERED}},
                {"match": {"model": "missing"}, "action": {"kind": "status", "status": 404, "body": MISSING}},
            ]
        )
        proxy = Composed(tmp_path_factory.mktemp("azure"), {"model_groups": groups(provider.url)})
        try:
            await proxy.start()
            yield World(proxy, provider)
        finally:
            await proxy.stop()


@pytest.fixture
def world(running: World) -> World:
    running.provider.reset()
    return running


def starts_well(completion: Any) -> bool:
    return (completion.choices[0].message.content or "").startswith("alpha/")


# What goes to the provider.


async def test_an_azure_client_meets_an_openai_style_endpoint(world: World) -> None:
    async with world.azure() as client:
        completion = await client.chat.completions.create(model="openai-style", messages=MESSAGES)

    assert starts_well(completion)
    assert world.last.path == "/v1/chat/completions"
    assert world.last.json()["model"] == "gpt-sim"
    assert world.last.header("authorization") == f"Bearer {UPSTREAM_KEY}"
    assert world.last.header("api-key") is None
    assert CLIENT_KEY not in str(world.last.headers)


@pytest.mark.parametrize("kind", ["azure", "plain"])
async def test_an_azure_style_endpoint_gets_its_own_deployment_version_and_key(world: World, kind: str) -> None:
    async with world.azure() if kind == "azure" else world.plain() as client:
        completion = await client.chat.completions.create(model="azure-style", messages=MESSAGES)

    assert starts_well(completion)
    assert world.last.path == f"/openai/deployments/my%20deployment/chat/completions?api-version={ENDPOINT_VERSION}"
    assert world.last.json()["model"] == "my deployment"
    assert world.last.header("api-key") == UPSTREAM_KEY
    assert world.last.header("authorization") is None
    assert CLIENT_KEY not in str(world.last.headers)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("group", ["by-base-url", "by-query", "pasted", "project"])
async def test_an_endpoint_told_in_another_way_is_called_as_azure_wants_it(
    world: World, group: str, stream: bool
) -> None:
    async with world.plain() as client:
        answer = await client.chat.completions.create(model=group, messages=MESSAGES, stream=stream)
        if stream:
            assert [chunk async for chunk in answer]

    (record,) = world.provider.records
    assert record.status == 200
    assert record.path == f"/openai/deployments/d/chat/completions?api-version={ENDPOINT_VERSION}"
    assert (record.header("api-key"), record.header("authorization")) == (UPSTREAM_KEY, None)


@pytest.mark.parametrize("group", ["pasted", "project"])
async def test_the_responses_api_of_such_an_endpoint_stands_beside_its_deployments(world: World, group: str) -> None:
    async with world.plain() as client:
        response = await client.responses.create(model=group, input="hi")

    assert response.output_text.startswith("alpha/")
    assert world.last.path == f"/openai/responses?api-version={ENDPOINT_VERSION}"


async def test_azure_deployment_names_the_path(world: World) -> None:
    async with world.azure() as client:
        await client.chat.completions.create(model="named", messages=MESSAGES)

    assert world.last.path == f"/openai/deployments/pinned/chat/completions?api-version={ENDPOINT_VERSION}"


async def test_an_entra_token_of_the_endpoint_travels_as_bearer(world: World) -> None:
    async with world.azure() as client:
        await client.chat.completions.create(model="entra", messages=MESSAGES)

    assert world.last.header("authorization") == f"Bearer {ENTRA_TOKEN}"
    assert world.last.header("api-key") is None


async def test_without_a_key_of_its_own_an_azure_endpoint_gets_the_clients_key_or_token(world: World) -> None:
    async with world.azure() as client:
        await client.chat.completions.create(model="own-key", messages=MESSAGES)
    async with world.azure(api_key=None, azure_ad_token="client-token") as client:
        await client.chat.completions.create(model="own-key", messages=MESSAGES)

    first, second = world.provider.records
    assert (first.header("api-key"), first.header("authorization")) == (CLIENT_KEY, None)
    assert (second.header("api-key"), second.header("authorization")) == (None, "Bearer client-token")


async def test_azures_v1_path_carries_no_version_but_one_that_is_configured(world: World) -> None:
    async with world.azure() as client:
        await client.chat.completions.create(model="azure-v1", messages=MESSAGES)
        await client.chat.completions.create(model="preview", messages=MESSAGES)

    first, second = world.provider.records
    assert first.path == "/openai/v1/chat/completions"
    assert first.json()["model"] == "v1-deployment"
    assert second.path == "/openai/v1/chat/completions?api-version=preview"


async def test_an_azure_client_with_a_pinned_deployment_means_the_group_of_that_name(world: World) -> None:
    async with world.azure(azure_deployment="azure-style") as client:
        completion = await client.chat.completions.create(model="anything", messages=MESSAGES)

    assert starts_well(completion)
    assert world.last.path.startswith("/openai/deployments/my%20deployment/")
    assert world.last.json()["model"] == "my deployment"


async def test_other_query_parameters_pass_and_the_clients_version_does_not(world: World) -> None:
    async with world.azure() as client:
        await client.chat.completions.create(model="azure-style", messages=MESSAGES, extra_query={"flag": "1"})
        await client.chat.completions.create(model="openai-style", messages=MESSAGES, extra_query={"flag": "1"})

    first, second = world.provider.records
    assert first.path.partition("?")[2] == f"api-version={ENDPOINT_VERSION}&flag=1"
    assert second.path == "/v1/chat/completions?flag=1"


# What comes back.


async def test_azures_answers_and_headers_come_through(world: World) -> None:
    async with world.azure() as client:
        raw = await client.chat.completions.with_raw_response.create(model="azure-style", messages=MESSAGES)

    assert raw.headers["x-ms-region"] == "Sweden Central"
    assert raw.headers["x-llmproxy-endpoint"] == "azure-style/1"
    assert "prompt_filter_results" in raw.parse().to_dict()


@pytest.mark.parametrize("group", ["azure-style", "openai-style"])
async def test_streams_are_those_the_provider_gives_without_a_proxy(world: World, group: str) -> None:
    model = "my deployment" if group == "azure-style" else "gpt-sim"

    async def chunks(client: AsyncAzureOpenAI | AsyncOpenAI, model: str) -> list[dict[str, Any]]:
        async with client:
            stream = await client.chat.completions.create(
                model=model, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
            )
            return [{**chunk.to_dict(), "id": "", "created": 0} async for chunk in stream]

    through = await chunks(world.azure(), group)
    straight_client: AsyncAzureOpenAI | AsyncOpenAI = (
        world.azure(azure_endpoint=world.provider.url)
        if group == "azure-style"
        else AsyncOpenAI(api_key=CLIENT_KEY, base_url=f"{world.provider.url}/v1")
    )
    straight = await chunks(straight_client, model)

    assert through == straight
    assert (through[0]["choices"] == []) == (group == "azure-style")
    first, second = world.provider.records
    assert first.body == second.body


async def test_the_stream_helper_and_structured_output_work(world: World) -> None:
    async with world.azure() as client:
        async with client.chat.completions.stream(model="azure-style", messages=MESSAGES) as stream:
            collected = await stream.get_final_completion()
        parsed = await client.chat.completions.parse(model="azure-style", messages=MESSAGES, response_format=Verdict)

    assert starts_well(collected)
    assert isinstance(parsed.choices[0].message.parsed, Verdict)


async def test_the_synchronous_azure_client_works_too(world: World) -> None:
    def talk() -> list[str]:
        with AzureOpenAI(**world.options()) as client:
            whole = client.chat.completions.create(model="azure-style", messages=MESSAGES)
            chunks = list(client.chat.completions.create(model="openai-style", messages=MESSAGES, stream=True))
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        return [whole.choices[0].message.content or "", streamed]

    assert all(text.startswith("alpha/") for text in await asyncio.to_thread(talk))
    assert len(world.provider.records) == 2


async def test_models_are_listed_to_azure_clients(world: World) -> None:
    async with world.azure() as client:
        models = [model.id async for model in client.models.list()]

    assert models[:2] == ["openai-style", "azure-style"]
    assert world.provider.records == []


# Errors.


@pytest.mark.parametrize("stream", [False, True])
async def test_a_content_filter_is_a_bad_request_with_azures_own_verdict(world: World, stream: bool) -> None:
    async with world.azure() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="filtered", messages=MESSAGES, stream=stream)

    assert caught.value.body == FILTERED["error"]
    assert caught.value.code == "content_filter"
    assert len(world.provider.records) == 1


async def test_a_deployment_no_endpoint_has_is_not_found_in_azures_words(world: World) -> None:
    async with world.azure() as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="missing", messages=MESSAGES)

    assert caught.value.code == "DeploymentNotFound"
    assert caught.value.response.headers["x-should-retry"] == "false"


async def test_a_deployment_that_is_no_group_is_not_found(world: World) -> None:
    async with world.azure() as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="my deployment", messages=MESSAGES)

    assert caught.value.code == "model_not_found"
    assert world.provider.records == []


async def test_a_proxy_with_keys_takes_them_from_azures_header_and_passes_them_to_nobody(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = {"model_groups": groups(world.provider.url)[:2], "general_settings": {"api_keys": [CLIENT_KEY]}}
    async with composed(tmp_path_factory.mktemp("keys"), settings) as proxy:
        async with world.azure(azure_endpoint=proxy.url) as client:
            completion = await client.chat.completions.create(model="azure-style", messages=MESSAGES)
        async with world.azure(azure_endpoint=proxy.url, api_key="sk-wrong") as client:
            with pytest.raises(openai.AuthenticationError) as caught:
                await client.chat.completions.create(model="azure-style", messages=MESSAGES)

    assert starts_well(completion)
    assert caught.value.code == "invalid_api_key"
    assert [record.header("api-key") for record in world.provider.records] == [UPSTREAM_KEY]
    assert CLIENT_KEY not in proxy.errors + proxy.output


async def test_no_key_no_token_and_no_prompt_is_logged(world: World) -> None:
    async with world.azure() as client:
        for model in ("azure-style", "entra", "own-key"):
            raw = await client.chat.completions.with_raw_response.create(model=model, messages=MESSAGES)
            shown = f"{raw.headers} {raw.text}"
            assert not [s for s in (UPSTREAM_KEY, CLIENT_KEY, ENTRA_TOKEN, "canary in the prompt") if s in shown]

    await eventually(lambda: len([line for line in world.proxy.log() if line["group"] == "own-key"]) >= 1)
    written = world.proxy.errors + world.proxy.output
    assert not [s for s in (UPSTREAM_KEY, CLIENT_KEY, ENTRA_TOKEN, "canary in the prompt") if s in written]
