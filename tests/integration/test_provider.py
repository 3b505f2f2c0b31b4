"""The simulated provider on a real socket, used as its users do: the official SDK, the control API, the command."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI
from pydantic import BaseModel

from simulator import ProviderSettings, SimulatedProvider

MESSAGES: Any = [{"role": "user", "content": "hello"}]
KEY = "sk-abcdefghijklmnopqrstuvwxyz"


class Step(BaseModel):
    explanation: str
    number: int


class Plan(BaseModel):
    steps: list[Step]
    is_final: bool


@pytest.fixture
async def provider() -> AsyncIterator[SimulatedProvider]:
    async with SimulatedProvider(ProviderSettings(name="alpha")) as running:
        yield running


@pytest.fixture
async def client(provider: SimulatedProvider) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key=KEY, base_url=f"{provider.url}/v1", max_retries=0) as client:
        yield client


async def fetch(
    provider: SimulatedProvider, method: str, path: str, body: Any = None
) -> tuple[int, dict[str, str], Any]:
    """Status, headers and decoded body of one request on a connection of its own."""
    reader, writer = await asyncio.open_connection(provider.host, provider.port)
    content = b"" if body is None else json.dumps(body).encode()
    writer.write(
        f"{method} {path} HTTP/1.1\r\nhost: p\r\nconnection: close\r\ncontent-length: {len(content)}\r\n\r\n".encode()
        + content
    )
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    top, _, rest = answer.partition(b"\r\n\r\n")
    status_line, *lines = top.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(status_line.split()[1]), headers, json.loads(rest) if rest else None


async def until(condition: Any) -> None:
    """Lets the loop turn until the provider has noticed."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_sdk_gets_a_chat_completion(provider: SimulatedProvider, client: AsyncOpenAI) -> None:
    raw = await client.chat.completions.with_raw_response.create(model="gpt-5-mini", messages=MESSAGES, n=2)

    completion = raw.parse()
    assert (completion.choices[0].message.content or "").startswith("alpha/")
    assert len(completion.choices) == 2
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 32
    assert raw.headers["openai-version"] == "2020-10-01"
    assert raw.headers["x-request-id"].startswith("req_")
    record = provider.records[0]
    assert (record.path, record.model, record.status) == ("/v1/chat/completions", "gpt-5-mini", 200)
    assert record.header("Authorization") == f"Bearer {KEY}"


async def test_sdk_streams_a_chat_completion_with_usage(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="m", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )

    chunks = [chunk async for chunk in stream]

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.startswith("alpha/")
    assert len(text.split()) == 16
    assert chunks[-1].usage is not None


async def test_sdk_parses_structured_output_of_chat_and_responses(client: AsyncOpenAI) -> None:
    chat = await client.chat.completions.parse(model="m", messages=MESSAGES, response_format=Plan)
    response = await client.responses.parse(model="m", input="hi", text_format=Plan)

    assert isinstance(chat.choices[0].message.parsed, Plan)
    assert isinstance(response.output_parsed, Plan)


async def test_sdk_gets_tool_calls_whole_and_streamed(client: AsyncOpenAI) -> None:
    tool: Any = openai.pydantic_function_tool(Plan)
    whole = await client.chat.completions.create(model="m", messages=MESSAGES, tools=[tool], tool_choice="required")
    async with client.chat.completions.stream(
        model="m", messages=MESSAGES, tools=[tool], tool_choice="required"
    ) as stream:
        streamed = await stream.get_final_completion()

    for completion in (whole, streamed):
        assert completion.choices[0].finish_reason == "tool_calls"
        call: Any = (completion.choices[0].message.tool_calls or [])[0]
        assert call.function.name == "Plan"
        Plan.model_validate_json(call.function.arguments)


async def test_sdk_uses_responses_with_their_state(client: AsyncOpenAI) -> None:
    first = await client.responses.create(model="m", input="hello")
    second = await client.responses.create(model="m", input="go on", previous_response_id=first.id)
    again = await client.responses.retrieve(second.id)
    items = await client.responses.input_items.list(second.id)
    await client.responses.delete(first.id)

    assert first.output_text.startswith("alpha/")
    assert again.output_text == second.output_text
    assert [item.type for item in items.data] == ["message"]
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(first.id)
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="m", input="go on", previous_response_id=first.id)
    assert caught.value.code == "previous_response_not_found"


async def test_sdk_streams_a_response_and_its_function_call(client: AsyncOpenAI) -> None:
    tool: Any = {"type": "function", "name": "look_up", "parameters": Plan.model_json_schema(), "strict": True}
    async with client.responses.stream(model="m", input="hi") as stream:
        text = await stream.get_final_response()
    async with client.responses.stream(model="m", input="use the tool", tools=[tool]) as stream:
        call = await stream.get_final_response()

    assert text.output_text.startswith("alpha/")
    assert call.output[0].type == "function_call"
    Plan.model_validate_json(call.output[0].arguments)


async def test_embeddings_are_equal_in_both_encodings(client: AsyncOpenAI) -> None:
    inputs = ["a", "b"]
    decoded = await client.embeddings.create(model="e", input=inputs, dimensions=8)  # the SDK asks for base64
    plain = await client.embeddings.create(model="e", input=inputs, dimensions=8, encoding_format="float")

    assert [d.embedding for d in decoded.data] == [d.embedding for d in plain.data]
    assert decoded.data[0].embedding != decoded.data[1].embedding
    assert sum(value * value for value in plain.data[0].embedding) == pytest.approx(1.0)


async def test_sdk_lists_models_and_moderates(client: AsyncOpenAI) -> None:
    models = [model.id async for model in client.models.list()]
    moderation = await client.moderations.create(input="hi", model="omni-moderation-latest")

    assert "gpt-5-mini" in models
    assert not moderation.results[0].flagged


async def test_azure_sdk_is_answered_as_azure_does(provider: SimulatedProvider) -> None:
    async with AsyncAzureOpenAI(
        api_key=KEY, azure_endpoint=provider.url, api_version="2024-10-21", max_retries=0
    ) as azure:
        raw = await azure.chat.completions.with_raw_response.create(model="dep", messages=MESSAGES)
        stream = await azure.chat.completions.create(model="dep", messages=MESSAGES, stream=True)
        chunks = [chunk async for chunk in stream]
        response = await azure.responses.create(model="dep", input="hi")

    assert raw.headers["x-ms-region"] == "East US 2"
    assert "openai-version" not in raw.headers
    assert chunks[0].choices == []
    assert response.output_text.startswith("alpha/")
    assert [record.path for record in provider.records] == [
        "/openai/deployments/dep/chat/completions?api-version=2024-10-21",
        "/openai/deployments/dep/chat/completions?api-version=2024-10-21",
        "/openai/responses?api-version=2024-10-21",
    ]
    assert provider.records[0].header("api-key") == KEY


async def test_synchronous_clients_work_too(provider: SimulatedProvider) -> None:
    def talk() -> list[str]:
        with OpenAI(api_key=KEY, base_url=provider.url, max_retries=0) as client:
            whole = client.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content
            chunks = list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))
        with AzureOpenAI(api_key=KEY, azure_endpoint=provider.url, api_version="2024-10-21") as azure:
            other = azure.chat.completions.create(model="d", messages=MESSAGES).choices[0].message.content
        return [whole or "", chunks[1].choices[0].delta.content or "", other or ""]

    assert all(text.startswith("alpha/") for text in await asyncio.to_thread(talk))


async def test_only_configured_keys_are_let_in(provider: SimulatedProvider) -> None:
    provider.change(api_keys=["sk-right"])

    async with AsyncOpenAI(api_key=KEY, base_url=f"{provider.url}/v1", max_retries=0) as wrong:
        with pytest.raises(openai.AuthenticationError) as caught:
            await wrong.chat.completions.create(model="m", messages=MESSAGES)
    azure_status, _, azure_body = await fetch(provider, "GET", "/openai/v1/models")
    async with AsyncOpenAI(api_key="sk-right", base_url=f"{provider.url}/v1", max_retries=0) as right:
        await right.chat.completions.create(model="m", messages=MESSAGES)

    assert "Incorrect API key provided: sk-ab***wxyz." in str(caught.value)
    assert (azure_status, azure_body["error"]["code"]) == (401, "401")
    assert provider.counts().by_status == {401: 2, 200: 1}


async def test_request_limit_is_enforced_for_each_model_and_told(
    provider: SimulatedProvider, client: AsyncOpenAI
) -> None:
    provider.change(rpm=2)

    raw = await client.chat.completions.with_raw_response.create(model="m", messages=MESSAGES)
    await client.chat.completions.create(model="m", messages=MESSAGES)
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(model="m", messages=MESSAGES)
    await client.chat.completions.create(model="other", messages=MESSAGES)

    assert raw.headers["x-ratelimit-remaining-requests"] == "1"
    assert caught.value.code == "rate_limit_exceeded"
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 30
    assert (provider.counts().limited, provider.counts().received) == (1, 4)
    assert [record.limited for record in provider.records] == [False, False, True, False]
    provider.reset()
    await client.chat.completions.create(model="m", messages=MESSAGES)


async def test_token_limit_refuses_what_can_never_fit(provider: SimulatedProvider, client: AsyncOpenAI) -> None:
    provider.change(tpm=200)

    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(model="m", messages=MESSAGES, max_tokens=500)
    stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    await stream.close()

    assert "Request too large" in str(caught.value)
    assert int(stream.response.headers["x-ratelimit-remaining-tokens"]) > 100


async def test_a_client_that_leaves_is_noticed_at_every_stage(provider: SimulatedProvider) -> None:
    provider.change(latency=30)
    body = json.dumps({"model": "m", "messages": MESSAGES, "stream": True}).encode()
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: p\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)

    _, before_headers = await asyncio.open_connection(provider.host, provider.port)
    before_headers.write(request)
    await until(lambda: provider.counts().in_flight == 1)
    before_headers.close()
    await before_headers.wait_closed()
    await until(lambda: provider.counts().client_closed == 1)
    provider.change(latency=0, tokens_per_second=0.1)
    reader, mid_stream = await asyncio.open_connection(provider.host, provider.port)
    mid_stream.write(request)
    await reader.readuntil(b'"role":"assistant"')
    mid_stream.close()
    await mid_stream.wait_closed()

    await until(lambda: provider.counts().client_closed == 2)
    assert [(record.outcome, record.status) for record in provider.records] == [
        ("client_closed", None),
        ("client_closed", 200),
    ]
    await until(lambda: provider.counts().connections_open == 0)


async def test_a_stream_waits_for_a_client_that_does_not_read(provider: SimulatedProvider) -> None:
    provider.change(answer_tokens=100_000)
    body = json.dumps({"model": "m", "messages": MESSAGES, "stream": True}).encode()
    reader, writer = await asyncio.open_connection(provider.host, provider.port, limit=1024)

    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: p\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    await until(lambda: any(connection.is_paused for connection in provider._connections))

    assert provider.counts().in_flight == 1
    async with asyncio.timeout(30):
        while not (await reader.read(1 << 20)).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"):
            pass
    await until(lambda: provider.counts().complete == 1)
    writer.close()
    await writer.wait_closed()


async def test_a_paced_stream_comes_whole(provider: SimulatedProvider, client: AsyncOpenAI) -> None:
    provider.change(tokens_per_second=2000, answer_tokens=200)

    stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    texts = [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert len("".join(texts).split()) == 200


async def test_hundreds_of_streams_at_once_all_complete(provider: SimulatedProvider) -> None:
    provider.change(tokens_per_second=100, latency=0.2)
    body = json.dumps({"model": "m", "messages": MESSAGES, "stream": True}).encode()
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: p\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"

    async def one() -> bytes:
        reader, writer = await asyncio.open_connection(provider.host, provider.port)
        writer.write(request % (len(body), body))
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    answers = await asyncio.gather(*(one() for _ in range(300)))

    assert all(answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n") for answer in answers)
    assert provider.counts().max_in_flight > 1


async def test_chunked_bodies_and_expect_continue_are_understood(provider: SimulatedProvider) -> None:
    reader, writer = await asyncio.open_connection(provider.host, provider.port)

    writer.write(
        b"POST /v1/embeddings HTTP/1.1\r\nhost: p\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b'b\r\n{"model":"m\r\n')
    writer.write(b'd\r\n","input":[]}\r\n0\r\n\r\n')

    assert await reader.readuntil(b"\r\n") == b"HTTP/1.1 200 OK\r\n"
    assert provider.records[0].body == b'{"model":"m","input":[]}'
    writer.close()
    await writer.wait_closed()


async def test_control_api_shows_and_changes_everything(provider: SimulatedProvider) -> None:
    rule = {"match": {"model": "m"}, "times": 1, "action": {"kind": "status", "status": 503, "body": {"a": 1}}}

    assert (await fetch(provider, "PUT", "/_control/faults", [rule]))[0] == 200
    status, _, body = await fetch(provider, "POST", "/v1/chat/completions?x=1", {"model": "m", "messages": []})
    assert (status, body) == (503, {"a": 1})
    _, _, faults = await fetch(provider, "GET", "/_control/faults")
    assert (faults["faults"][0]["action"]["kind"], faults["acted"]) == ("status", [1])
    _, _, settings = await fetch(provider, "PATCH", "/_control/settings", {"latency": 0.01, "rpm": 60})
    assert (settings["latency"], settings["rpm"], settings["name"]) == (0.01, 60, "alpha")
    _, _, records = await fetch(provider, "GET", "/_control/requests")
    assert [(record["path"], record["outcome"]) for record in records] == [("/v1/chat/completions?x=1", "fault:status")]
    assert json.loads(records[0]["body"]) == {"model": "m", "messages": []}
    assert "body" not in (await fetch(provider, "GET", "/_control/requests?bodies=0"))[2][0]
    _, _, counts = await fetch(provider, "GET", "/_control/counts")
    assert (counts["received"], counts["faulted"], counts["by_status"]) == (1, 1, {"503": 1})
    await fetch(provider, "POST", "/_control/reset")
    await fetch(provider, "DELETE", "/_control/faults")
    assert (await fetch(provider, "GET", "/_control/counts"))[2]["received"] == 0
    assert provider.faults.rules == ()


@pytest.mark.parametrize(
    ("method", "path", "body", "place"),
    [
        ("PUT", "faults", [{"action": {"kind": "explode"}}], "$[0].action"),
        ("PUT", "faults", {"faults": [{}]}, "$.faults[0]"),
        ("PATCH", "settings", {"rpm": 0}, "$.rpm"),
        ("PATCH", "settings", {"speed": 1}, "speed"),
    ],
)
async def test_control_api_names_the_place_of_a_mistake(
    provider: SimulatedProvider, method: str, path: str, body: Any, place: str
) -> None:
    status, _, answer = await fetch(provider, method, f"/_control/{path}", body)

    assert status == 400
    assert place in answer["error"]


async def test_a_stopped_provider_frees_its_port_and_can_start_again(provider: SimulatedProvider) -> None:
    port = provider.port
    reader, writer = await asyncio.open_connection(provider.host, port)

    await provider.stop()

    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(provider.host, port)
    assert await provider.start(port=port) == port
    assert (await fetch(provider, "GET", "/v1/models"))[0] == 200
