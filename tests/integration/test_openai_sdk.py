"""The official SDK, changed in nothing but its base URL, through a real proxy process to simulated providers.

One proxy serves the whole file. What fails on purpose has a group, and a model name at the provider, of its own.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel

from simulator import ProviderSettings, SimulatedProvider
from simulator.records import Record
from tests.free_port import free_port
from tests.integration.composed import composed
from tests.integration.harness import Proxy, ProxyProcess, config, endpoint, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

UPSTREAM_KEY = "sk-canary-upstream-key"
CLIENT_KEY = "sk-canary-client-key"
PROXY_KEY = "sk-canary-proxy-key"
PROMPT = "canary in the prompt"
MESSAGES: Any = [{"role": "user", "content": PROMPT}]
NUM_RETRIES = 1

UPSTREAM_400 = {"error": {"message": "No such thing.", "type": "invalid_request_error", "param": "n", "code": "odd"}}
REFUSED = {
    "error": {
        "message": "Your key does not have access to this.",
        "type": "invalid_request_error",
        "param": None,
        "code": "forbidden",
    }
}
UPSTREAM_ERROR = {"error": {"message": "It broke.", "type": "server_error", "param": None, "code": None}}
CONTENT = {
    "id": "c1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": "alpha/"}, "finish_reason": None}],
}
FAULTS: dict[str, dict[str, Any]] = {
    "upstream-400": {"kind": "status", "status": 400, "body": UPSTREAM_400},
    "upstream-422": {"kind": "status", "status": 422, "body": UPSTREAM_400},
    "upstream-429": {"kind": "status", "status": 429, "headers": {"retry-after": "86400"}},
    "upstream-500": {"kind": "status", "status": 500},
    "upstream-503": {
        "kind": "status",
        "status": 503,
        "headers": {"retry-after": "120"},
        "body": {"error": {"message": "Overloaded.", "type": "service_unavailable_error", "code": "slow_down"}},
    },
    "upstream-401": {
        "kind": "status",
        "status": 401,
        "body": {"error": {"message": f"Incorrect API key provided: {UPSTREAM_KEY}.", "code": "invalid_api_key"}},
    },
    "upstream-403": {"kind": "status", "status": 403, "body": REFUSED},
    "silent": {"kind": "hang"},
    "breaking": {"kind": "reset", "when": "mid_stream", "after_events": 4},
    # With a pause: an error that comes along with the first content is still failed over.
    "failing-inside": {
        "kind": "raw",
        "headers": {"content-type": "text/event-stream"},
        "chunks": [f"data: {json.dumps(CONTENT)}\n\n", f"data: {json.dumps(UPSTREAM_ERROR)}\n\n"],
        "delay_ms": 500,
    },
}


class Step(BaseModel):
    explanation: str
    number: int


class Plan(BaseModel):
    steps: list[Step]
    is_final: bool


TOOL: Any = openai.pydantic_function_tool(Plan)


class World(NamedTuple):
    """The proxy and what stands behind it."""

    proxy: Proxy
    alpha: SimulatedProvider
    keyed: SimulatedProvider

    def client(self, **changes: Any) -> AsyncOpenAI:
        """As an application would make it; retries off unless a test is about them."""
        options: dict[str, Any] = {"api_key": CLIENT_KEY, "base_url": f"{self.proxy.url}/v1", "max_retries": 0}
        return AsyncOpenAI(**(options | changes))

    def calls(self, model: str) -> list[Record]:
        """The requests alpha got under that model name."""
        return [record for record in self.alpha.records if record.model == model]


def groups(alpha: SimulatedProvider, keyed: SimulatedProvider) -> list[dict[str, Any]]:
    """A group for each fault, each with one endpoint; and those that answer."""

    def one(name: str, *models: dict[str, Any]) -> dict[str, Any]:
        return {"model_group": name, "models": list(models)}

    def failing(name: str) -> dict[str, Any]:
        # A key of its own: the account of a refused key rests as a whole.
        patience = {"first_byte_timeout": 0.3} if name == "silent" else {}
        return endpoint(alpha, model=name, params={"api_key": f"{UPSTREAM_KEY}-{name}"}, **patience)

    return [
        one("gpt", endpoint(alpha, model="gpt-sim")),
        one("same-name", endpoint(alpha, model="same-name")),
        one("own-key", {"model": "own-key", "params": {"base_url": f"{keyed.url}/v1"}}),
        one("own-key-403", {"model": "upstream-403", "params": {"base_url": f"{alpha.url}/v1"}}),
        one("silent-then-well", failing("silent"), endpoint(alpha, model="gpt-sim", weight=0)),
        one("unreachable", endpoint(f"http://127.0.0.1:{free_port()}/v1")),
        *[one(name, failing(name)) for name in FAULTS],
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        alpha = await stack.enter_async_context(SimulatedProvider(ProviderSettings(name="alpha")))
        keyed = await stack.enter_async_context(
            SimulatedProvider(ProviderSettings(name="keyed", api_keys=(CLIENT_KEY,)))
        )
        alpha.set_faults([{"match": {"model": name}, "action": action} for name, action in FAULTS.items()])
        general = {"num_retries": NUM_RETRIES}
        settings = {"model_groups": groups(alpha, keyed), "general_settings": general}
        proxy = ProxyProcess(tmp_path_factory.mktemp("openai"), settings)
        stack.push_async_callback(proxy.stop)
        await proxy.start()
        yield World(proxy, alpha, keyed)


@pytest.fixture
def world(running: World) -> World:
    running.alpha.reset()
    running.keyed.reset()
    return running


def bare(chunk: ChatCompletionChunk) -> dict[str, Any]:
    """Without what differs between two answers to the same question."""
    return {key: value for key, value in chunk.to_dict().items() if key not in ("id", "created")}


# What works.


@pytest.mark.parametrize("root", ["/v1", "", "/v1/", "/openai/v1"])
async def test_only_the_base_url_changes_with_and_without_v1(world: World, root: str) -> None:
    async with world.client(base_url=world.proxy.url + root) as client:
        completion = await client.chat.completions.create(model="gpt", messages=MESSAGES)
        models = [model.id async for model in client.models.list()]

    assert (completion.choices[0].message.content or "").startswith("alpha/")
    assert completion.usage is not None
    assert models[0] == "gpt"
    assert [record.path for record in world.alpha.records] == ["/v1/chat/completions"]


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}, {"n": 2}, {"max_tokens": 3}])
async def test_a_stream_has_the_chunks_the_provider_gives_without_a_proxy(
    world: World, options: dict[str, Any]
) -> None:
    async def chunks(client: AsyncOpenAI) -> list[dict[str, Any]]:
        async with client:
            stream = await client.chat.completions.create(model="same-name", messages=MESSAGES, stream=True, **options)
            return [bare(chunk) async for chunk in stream]

    through = await chunks(world.client())
    straight = await chunks(world.client(base_url=f"{world.alpha.url}/v1"))

    assert through == straight
    assert len(through) > 4
    assert ("usage" in through[-1]) == ("stream_options" in options)
    first, second = world.alpha.records
    assert first.body == second.body


async def test_the_stream_helper_collects_a_whole_completion_and_its_usage(world: World) -> None:
    async with (
        world.client() as client,
        client.chat.completions.stream(
            model="gpt", messages=MESSAGES, stream_options={"include_usage": True}
        ) as stream,
    ):
        kinds = {event.type async for event in stream}
        completion = await stream.get_final_completion()

    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert (completion.choices[0].message.content or "").startswith("alpha/")
    assert completion.usage is not None
    assert completion.usage.total_tokens > 0


async def test_tools_are_called_whole_and_streamed(world: World) -> None:
    async with world.client() as client:
        whole = await client.chat.completions.create(
            model="gpt", messages=MESSAGES, tools=[TOOL], tool_choice="required"
        )
        async with client.chat.completions.stream(
            model="gpt", messages=MESSAGES, tools=[TOOL], tool_choice="required"
        ) as stream:
            streamed = await stream.get_final_completion()

    for completion in (whole, streamed):
        assert completion.choices[0].finish_reason == "tool_calls"
        call: Any = (completion.choices[0].message.tool_calls or [])[0]
        assert call.function.name == "Plan"
        Plan.model_validate_json(call.function.arguments)
    assert [record.stream for record in world.alpha.records] == [False, True]


async def test_structured_output_is_parsed_into_the_model(world: World) -> None:
    async with world.client() as client:
        completion = await client.chat.completions.parse(model="gpt", messages=MESSAGES, response_format=Plan)

    assert isinstance(completion.choices[0].message.parsed, Plan)
    assert world.alpha.records[0].header("x-stainless-helper-method") == "chat.completions.parse"


async def test_two_choices_come_back_whole(world: World) -> None:
    async with world.client() as client:
        completion = await client.chat.completions.create(model="gpt", messages=MESSAGES, n=2)

    assert [choice.index for choice in completion.choices] == [0, 1]
    assert completion.choices[0].message.content != completion.choices[1].message.content


async def test_raw_responses_show_the_providers_headers_and_the_proxys(world: World) -> None:
    async with world.client() as client:
        whole = await client.chat.completions.with_raw_response.create(model="gpt", messages=MESSAGES)
        async with client.chat.completions.with_streaming_response.create(
            model="gpt", messages=MESSAGES, stream=True
        ) as stream:
            lines = [line async for line in stream.iter_lines()]

    for headers in (whole.headers, stream.headers):
        assert headers["x-request-id"].startswith("req_")
        assert headers["x-request-id"] != headers["x-llmproxy-request-id"]
        assert headers["openai-version"] == "2020-10-01"
        assert headers["x-llmproxy-endpoint"] == "gpt/1"
        assert headers["x-llmproxy-attempts"] == "1"
        assert headers["x-llmproxy-cache"] == "bypass"
        assert float(headers["x-llmproxy-overhead-ms"]) >= 0
    assert whole.parse()._request_id == whole.headers["x-request-id"]
    assert "data: [DONE]" in lines


async def test_extra_headers_query_and_body_reach_the_provider_unchanged(world: World) -> None:
    async with world.client() as client:
        await client.chat.completions.create(
            model="same-name",
            messages=MESSAGES,
            extra_headers={"X-Trace": "a=b, c", "X-Client-Request-Id": "call-7", "OpenAI-Beta": "x=v1"},
            extra_query={"flag": "1", "q": "a b&c=ü"},
            extra_body={"provider_option": {"deep": [1, None, "ü"]}, "prompt_cache_key": "k"},
        )

    (record,) = world.alpha.records
    assert record.path == "/v1/chat/completions?flag=1&q=a+b%26c%3D%C3%BC"
    sent = {name: record.header(name) for name in ("x-trace", "x-client-request-id", "openai-beta")}
    assert sent == {"x-trace": "a=b, c", "x-client-request-id": "call-7", "openai-beta": "x=v1"}
    assert record.json()["provider_option"] == {"deep": [1, None, "ü"]}
    assert record.json()["prompt_cache_key"] == "k"
    assert (record.header("user-agent") or "").startswith("AsyncOpenAI/Python")
    assert record.header("x-stainless-lang") == "python"


async def test_models_are_the_groups(world: World) -> None:
    async with world.client() as client:
        listed = [model.id async for model in client.models.list()]
        one = await client.models.retrieve("gpt")
        with pytest.raises(openai.NotFoundError) as caught:
            await client.models.retrieve("gpt-sim")

    assert listed[:3] == ["gpt", "same-name", "own-key"]
    assert (one.id, one.object) == ("gpt", "model")
    assert caught.value.code == "model_not_found"
    assert world.alpha.records == []


async def test_the_synchronous_client_works_too(world: World) -> None:
    def talk() -> tuple[list[str], openai.BadRequestError]:
        with OpenAI(api_key=CLIENT_KEY, base_url=world.proxy.url, max_retries=0) as client:
            whole = client.chat.completions.create(model="gpt", messages=MESSAGES)
            chunks = list(client.chat.completions.create(model="gpt", messages=MESSAGES, stream=True))
            parsed = client.chat.completions.parse(model="gpt", messages=MESSAGES, response_format=Plan)
            with client.chat.completions.stream(model="gpt", messages=MESSAGES) as stream:
                collected = stream.get_final_completion()
            with pytest.raises(openai.BadRequestError) as caught:
                client.chat.completions.create(model="upstream-400", messages=MESSAGES)
        assert parsed.choices[0].message.parsed is not None
        joined = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        texts = [whole.choices[0].message.content, joined, collected.choices[0].message.content]
        return [text or "" for text in texts], caught.value

    texts, error = await asyncio.to_thread(talk)

    assert all(text.startswith("alpha/") and len(text.split()) == 16 for text in texts)
    assert error.code == "odd"


# Keys and secrets.


async def test_keys_are_swapped_and_what_names_the_client_stays_here(world: World) -> None:
    async with world.client(organization="org-client", project="proj-client") as client:
        await client.chat.completions.create(
            model="gpt",
            messages=MESSAGES,
            extra_headers={
                "Cookie": "session=1",
                "X-Forwarded-For": "10.0.0.1",
                "X-Forwarded-Host": "inside",
                "Forwarded": "for=10.0.0.1",
                "X-Real-IP": "10.0.0.1",
                "api-key": CLIENT_KEY,
            },
        )

    (record,) = world.alpha.records
    assert record.header("authorization") == f"Bearer {UPSTREAM_KEY}"
    assert CLIENT_KEY not in str(record.headers)
    names = {name for name, _ in record.headers}
    assert not names & {"cookie", "forwarded", "x-real-ip", "api-key", "openai-organization", "openai-project"}
    assert not [name for name in names if name.startswith(("x-forwarded", "x-llmproxy"))]
    assert [name for name, _ in record.headers].count("host") == 1


async def test_without_a_key_of_its_own_an_endpoint_gets_the_clients(world: World) -> None:
    async with world.client(organization="org-client", project="proj-client") as client:
        await client.chat.completions.create(model="own-key", messages=MESSAGES)

    (record,) = world.keyed.records
    assert record.header("authorization") == f"Bearer {CLIENT_KEY}"
    assert (record.header("openai-organization"), record.header("openai-project")) == ("org-client", "proj-client")


async def test_no_key_and_no_prompt_is_ever_told_or_logged(world: World) -> None:
    told = ""
    async with world.client() as client:
        whole = await client.chat.completions.with_raw_response.create(model="gpt", messages=MESSAGES)
        told += f"{whole.headers} {whole.text}"
        for model in ("upstream-401", "upstream-400", "upstream-500", "unreachable", "breaking", "nobody"):
            with pytest.raises(openai.APIError) as caught:
                async for chunk in await client.chat.completions.create(model=model, messages=MESSAGES, stream=True):
                    told += str(chunk)
            headers = caught.value.response.headers if isinstance(caught.value, openai.APIStatusError) else ""
            told += f"{caught.value} {caught.value.body} {headers}"

    seen = told + world.proxy.output + world.proxy.errors
    assert "upstream_auth_failed" in told
    assert not [secret for secret in (UPSTREAM_KEY, CLIENT_KEY, PROMPT) if secret in seen]


# What fails, as the SDK's own error classes.


async def failure(client: AsyncOpenAI, model: str, **options: Any) -> openai.APIStatusError:
    """The error of a request that must fail before anything of its answer came."""
    async with client:
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(model=model, messages=MESSAGES, **options)
    return caught.value


@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstreams_400_is_a_bad_request_with_its_own_words(world: World, stream: bool) -> None:
    error = await failure(world.client(), "upstream-400", stream=stream)

    assert isinstance(error, openai.BadRequestError)
    assert error.body == UPSTREAM_400["error"]
    assert (error.code, error.param, error.type) == ("odd", "n", "invalid_request_error")
    assert len(world.calls("upstream-400")) == 1


async def test_an_upstreams_422_is_unprocessable(world: World) -> None:
    assert isinstance(await failure(world.client(), "upstream-422"), openai.UnprocessableEntityError)


async def test_a_request_without_a_model_is_a_bad_request_that_reaches_nobody(world: World) -> None:
    error = await failure(world.client(), "")

    assert isinstance(error, openai.BadRequestError)
    assert error.param == "model"
    assert world.alpha.records == []


async def test_an_unknown_model_is_not_found_and_the_known_ones_are_named(world: World) -> None:
    error = await failure(world.client(), "gpt-sim")

    assert isinstance(error, openai.NotFoundError)
    assert (error.code, error.param, error.type) == ("model_not_found", "model", "invalid_request_error")
    assert "same-name" in str(error)
    assert world.alpha.records == []


async def test_a_group_at_its_limit_is_a_rate_limit_error_with_a_delay_an_sdk_accepts(world: World) -> None:
    first = await failure(world.client(), "upstream-429")
    second = await failure(world.client(), "upstream-429")

    for error in (first, second):
        assert isinstance(error, openai.RateLimitError)
        assert error.code == "rate_limit_exceeded"
        assert 1 <= int(error.response.headers["retry-after"]) <= 60
        assert 1 <= int(error.response.headers["retry-after-ms"]) <= 60_000
    assert len(world.calls("upstream-429")) == 1


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("upstream-500", 502, "upstream_error"),
        ("unreachable", 502, "upstream_error"),
        ("upstream-401", 502, "upstream_auth_failed"),
        ("upstream-403", 502, "upstream_auth_failed"),
        ("upstream-503", 503, "upstream_overloaded"),
        ("silent", 504, "upstream_timeout"),
    ],
)
async def test_broken_endpoints_are_an_internal_server_error_that_says_whose(
    world: World, model: str, status: int, code: str
) -> None:
    error = await failure(world.client(), model)

    assert isinstance(error, openai.InternalServerError)
    assert (error.status_code, error.code, error.type) == (status, code, "server_error")
    assert f"{model}/1" in str(error)
    assert error.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("model", ["upstream-500", "silent"])
async def test_the_sdks_own_retries_do_not_multiply_the_proxys(world: World, model: str) -> None:
    error = await failure(world.client(max_retries=2), model)

    assert isinstance(error, openai.InternalServerError)
    assert len(world.calls(model)) == 1 + NUM_RETRIES
    assert {record.header("x-stainless-retry-count") for record in world.calls(model)} == {"0"}


@pytest.mark.parametrize("model", ["breaking", "failing-inside"])
async def test_a_stream_that_breaks_after_content_raises_and_is_not_begun_again(world: World, model: str) -> None:
    words = ""
    async with world.client(max_retries=2) as client:
        stream = await client.chat.completions.create(model=model, messages=MESSAGES, stream=True)
        with pytest.raises(openai.APIError) as caught:
            async for chunk in stream:
                words += chunk.choices[0].delta.content or ""

    assert words.startswith("alpha/")
    assert not isinstance(caught.value, openai.APIConnectionError)  # it was told, and not just cut off
    assert caught.value.type == "server_error"
    assert len(world.calls(model)) == 1


async def test_a_client_with_two_seconds_of_patience_is_answered_by_the_second_endpoint(world: World) -> None:
    async with world.client(timeout=2) as client:
        raw = await client.chat.completions.with_raw_response.create(model="silent-then-well", messages=MESSAGES)

    assert (raw.parse().choices[0].message.content or "").startswith("alpha/")
    assert raw.headers["x-llmproxy-endpoint"] == "silent-then-well/2"
    assert "silent-then-well/1: first_byte_timeout" in raw.headers["x-llmproxy-reasons"]


async def test_a_clients_own_wrong_key_is_its_own_authentication_error(world: World) -> None:
    error = await failure(world.client(api_key="sk-wrong-key-of-the-client"), "own-key")
    async with world.client() as client:
        again = await client.chat.completions.create(model="own-key", messages=MESSAGES)

    assert isinstance(error, openai.AuthenticationError)
    assert error.code == "invalid_api_key"
    assert (again.choices[0].message.content or "").startswith("keyed/")


async def test_what_a_clients_key_may_not_do_is_permission_denied_in_the_providers_words(world: World) -> None:
    error = await failure(world.client(), "own-key-403")

    assert isinstance(error, openai.PermissionDeniedError)
    assert error.body == REFUSED["error"]


async def test_a_web_pages_request_is_permission_denied(world: World) -> None:
    error = await failure(world.client(), "gpt", extra_headers={"Origin": "https://page.example"})

    assert isinstance(error, openai.PermissionDeniedError)
    assert error.code == "origin_not_allowed"
    assert world.alpha.records == []


async def test_a_proxy_with_keys_lets_nobody_else_in_and_shows_them_to_no_provider(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = config([endpoint(world.alpha)], api_keys=["sk-another", PROXY_KEY])
    async with composed(tmp_path_factory.mktemp("keys"), settings) as proxy:
        error = await failure(world.client(base_url=f"{proxy.url}/v1"), "gpt")
        async with world.client(base_url=f"{proxy.url}/v1", api_key=PROXY_KEY) as client:
            answer = await client.chat.completions.create(model="gpt", messages=MESSAGES)
            models = [model.id async for model in client.models.list()]
        async with world.client(base_url=f"{proxy.url}/v1") as client:
            with pytest.raises(openai.AuthenticationError):
                await client.models.retrieve("gpt")

    assert isinstance(error, openai.AuthenticationError)
    assert error.code == "invalid_api_key"
    assert (answer.choices[0].message.content or "").startswith("alpha/")
    assert models == ["gpt"]
    (record,) = world.alpha.records
    assert record.header("authorization") == f"Bearer {UPSTREAM_KEY}"
    assert PROXY_KEY not in f"{record.headers}{proxy.output}{proxy.errors}"


async def test_a_stream_the_client_closes_is_closed_at_the_provider(world: World) -> None:
    world.alpha.change(tokens_per_second=2)
    try:
        async with world.client() as client:
            stream = await client.chat.completions.create(model="gpt", messages=MESSAGES, stream=True)
            async for chunk in stream:
                if chunk.choices[0].delta.content:
                    break
            await stream.close()
        await eventually(lambda: world.alpha.counts().client_closed == 1)
    finally:
        world.alpha.change(tokens_per_second=None)

    assert world.alpha.counts().in_flight == 0
