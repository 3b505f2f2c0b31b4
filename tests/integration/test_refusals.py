"""What providers refuse or say in words of their own, through the whole proxy: the real SDK reads the provider's words,
and one prompt takes nobody out of service. One proxy for each adapter serves the whole file."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import aiohttp
import openai
import pytest
import pytest_asyncio

from simulator import ProviderSettings, SimulatedProvider
from tests.integration.composed import Composed
from tests.integration.harness import Proxy, endpoint, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}
POLICY = {"type": "invalid_request", "code": "cyber_policy", "message": "This request was refused."}
FLAGGED = {"error": {"code": 403, "message": "The input was flagged"}}
PAGE = "<html><h1>Request blocked</h1></html>"
ROLE = 'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
HELLO = 'data: {"choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n'


def event(data: object) -> str:
    return f"data: {json.dumps(data)}\n\n"


def failed(error: object) -> dict[str, Any]:
    return {
        "type": "response.failed",
        "response": {"id": "r", "object": "response", "status": "failed", "error": error},
    }


def body(data: object, status: int = 200) -> dict[str, Any]:
    return {"kind": "status", "status": status, "headers": JSON, "body": json.dumps(data)}


def stream(*chunks: str) -> dict[str, Any]:
    return {"kind": "raw", "headers": EVENTS, "chunks": chunks}


class Case(NamedTuple):
    """What both endpoints answer, and how many of them are asked."""

    action: dict[str, Any]
    calls: int
    status: int = 200


WHOLE: Mapping[str, Case] = {
    "refused": Case(body({"error": POLICY}), 1),
    "failed-response": Case(body({"object": "response", "status": "failed", "output": [], "error": POLICY}), 1),
    "numeric": Case(body({"error": {"code": 400, "message": "no"}}), 1),
    "textual": Case(body({"error": {"code": "422", "message": "no"}}), 1),
    "class-name": Case(body({"error": {"type": "BadRequestError", "message": "no"}}), 1),
    "unsaid": Case(body({"error": {"message": "Something odd"}}), 2),
    "flagged": Case(body(FLAGGED, 403), 2, 403),
    "page": Case({"kind": "status", "status": 403, "headers": {"content-type": "text/html"}, "body": PAGE}, 2, 403),
    "no-image": Case(
        body({"error": {"code": 404, "message": "No endpoints found that support image input"}}, 404), 2, 404
    ),
    "wrapped": Case(body({"error": {"code": "content_policy_violation", "message": "no"}}, 500), 1, 500),
    "other-api": Case(
        body({"error": {"message": "This model is only supported in v1/responses.", "param": "model"}}, 404), 2, 404
    ),
    "no-such-model": Case(
        body({"error": {"message": "Model Not Exist", "code": "invalid_request_error"}}, 400), 2, 400
    ),
    "failed-dependency": Case(body({"error": {"message": "Something odd"}}, 424), 2, 424),
    "too-large": Case(
        {"kind": "status", "status": 413, "headers": {"content-type": "text/html"}, "body": PAGE}, 2, 413
    ),
}
STREAMED: Mapping[str, Case] = {
    "event": Case(stream(event({"type": "error", "error": POLICY})), 1),
    "event-failed": Case(stream(event(failed({"code": "bio_policy", "message": "no"}))), 1),
    "event-chat": Case(stream(ROLE + event({"error": {"code": 400, "message": "no"}})), 1),
    "event-late": Case(stream(HELLO, event({"error": POLICY})), 1),
    "event-unsaid": Case(stream(event({"error": {"message": "Something odd"}})), 2),
    "event-403": Case(stream(event(FLAGGED)), 2),
}
CASES = {**WHOLE, **STREAMED}


class World(NamedTuple):
    proxy: Proxy
    http: aiohttp.ClientSession
    providers: tuple[SimulatedProvider, SimulatedProvider]

    @property
    def calls(self) -> int:
        return sum(provider.counts().received for provider in self.providers)

    async def states(self, group: str) -> set[str]:
        async with self.http.get(f"{self.proxy.url}/health") as reply:
            report = await reply.json()
        return {e["state"] for g in report["groups"] if g["model_group"] == group for e in g["endpoints"]}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["http1", "httpx"])
async def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with (
        SimulatedProvider(ProviderSettings(name="one")) as one,
        SimulatedProvider(ProviderSettings(name="two")) as two,
        aiohttp.ClientSession() as http,
    ):
        for provider in (one, two):
            provider.set_faults([{"match": {"model": name}, "action": case.action} for name, case in CASES.items()])
        groups = [
            {
                "model_group": name,
                "models": [endpoint(p, model=name, params={"api_key": f"k-{name}"}) for p in (one, two)],
            }
            for name in CASES
        ]
        general = {"upstream_client": request.param}
        proxy = Composed(tmp_path_factory.mktemp("refusals"), {"model_groups": groups, "general_settings": general})
        try:
            await proxy.start()
            yield World(proxy, http, (one, two))
        finally:
            await proxy.stop()


@pytest.fixture
def world(running: World) -> World:
    for provider in running.providers:
        provider.reset()
    return running


@pytest.mark.parametrize("path", ["chat/completions", "responses", "completions"])
@pytest.mark.parametrize("name", CASES)
async def test_the_client_reads_the_providers_own_words_and_nobody_is_held_to_account(
    world: World, name: str, path: str
) -> None:
    case = CASES[name]
    asked = {"model": name, "stream": name in STREAMED, "input": "Hi", "prompt": "Hi", "messages": []}
    for _ in range(4):
        before = world.calls
        async with world.http.post(f"{world.proxy.url}/v1/{path}", json=asked) as reply:
            text = await reply.text()

        said = "".join(case.action["chunks"]) if name in STREAMED else case.action["body"]
        assert (reply.status, text) == (case.status, said)
        assert world.calls - before == case.calls
    assert await world.states(name) == {"closed"}


async def test_sdks_raise_on_a_refusal_in_a_stream_as_they_do_without_the_proxy(world: World) -> None:
    async with openai.AsyncOpenAI(api_key="k", base_url=f"{world.proxy.url}/v1", max_retries=0) as client:
        with pytest.raises(openai.APIError) as told:
            async for _ in await client.responses.create(model="event", input="Hi", stream=True):
                pass
        assert told.value.code == "cyber_policy"
        with pytest.raises(openai.PermissionDeniedError) as flagged:
            await client.chat.completions.create(model="flagged", messages=[])
        assert "The input was flagged" in str(flagged.value)


async def test_the_log_says_what_it_was_and_not_that_something_broke(world: World) -> None:
    names: dict[str, str] = {}
    for model, stream in (("event", True), ("unsaid", False)):
        body = {"model": model, "stream": stream}
        async with world.http.post(f"{world.proxy.url}/v1/responses", json=body) as reply:
            await reply.read()
            names[reply.headers["x-llmproxy-request-id"]] = model

    def outcomes() -> dict[str, str]:
        lines = [line for line in world.proxy.log() if line["request_id"] in names]
        return {names[line["request_id"]]: line["outcome"] for line in lines}

    await eventually(lambda: len(outcomes()) == len(names))
    assert outcomes() == {"event": "client_error", "unsaid": "unknown_error"}
