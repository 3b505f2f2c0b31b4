"""What the simulated provider keeps, and that another one knows nothing of it: seen through the official SDK."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI

from simulator import ProviderSettings, SimulatedProvider

MESSAGES: Any = [{"role": "user", "content": "hello"}]
HELLO: Any = [{"type": "message", "role": "user", "content": "hello"}]
REASONING: Any = ["reasoning.encrypted_content"]


@pytest.fixture
async def provider() -> AsyncIterator[SimulatedProvider]:
    async with SimulatedProvider(ProviderSettings(name="alpha")) as running:
        yield running


@pytest.fixture(params=["openai", "azure", "azure-dated"])
async def client(provider: SimulatedProvider, request: pytest.FixtureRequest) -> AsyncIterator[AsyncOpenAI]:
    made: AsyncOpenAI
    if request.param == "azure-dated":
        made = AsyncAzureOpenAI(
            api_key="k", azure_endpoint=provider.url, api_version="2025-04-01-preview", max_retries=0
        )
    else:
        root = {"openai": "/v1", "azure": "/openai/v1"}[request.param]
        made = AsyncOpenAI(api_key="k", base_url=provider.url + root, max_retries=0)
    async with made as client:
        yield client


@pytest.fixture
async def stranger() -> AsyncIterator[AsyncOpenAI]:
    """A client of another provider."""
    async with (
        SimulatedProvider(ProviderSettings(name="beta")) as other,
        AsyncOpenAI(api_key="k", base_url=f"{other.url}/v1", max_retries=0) as client,
    ):
        yield client


async def test_a_conversation_is_created_changed_and_deleted(client: AsyncOpenAI, stranger: AsyncOpenAI) -> None:
    made = await client.conversations.create(items=HELLO, metadata={"topic": "x"})
    changed = await client.conversations.update(made.id, metadata={"topic": "y"})
    seen = await client.conversations.retrieve(made.id)
    deleted = await client.conversations.delete(made.id)

    assert made.id.startswith("conv_")
    assert (made.metadata, changed.metadata, seen.metadata) == ({"topic": "x"}, {"topic": "y"}, {"topic": "y"})
    assert deleted.deleted
    for gone in (client, stranger):
        with pytest.raises(openai.NotFoundError, match="Conversation with id"):
            await gone.conversations.retrieve(made.id)


async def test_items_of_a_conversation_are_listed_page_by_page(client: AsyncOpenAI) -> None:
    made = await client.conversations.create(items=HELLO)
    added = await client.conversations.items.create(made.id, items=HELLO * 4)
    newest_first: list[Any] = [item.id async for item in client.conversations.items.list(made.id, limit=2)]
    oldest_first = [item.id async for item in client.conversations.items.list(made.id, limit=2, order="asc")]
    one: Any = await client.conversations.items.retrieve(newest_first[0], conversation_id=made.id)
    await client.conversations.items.delete(newest_first[0], conversation_id=made.id)
    with pytest.raises(openai.NotFoundError, match="Item with id"):
        await client.conversations.items.retrieve(newest_first[0], conversation_id=made.id)

    assert len(added.data) == 4
    assert newest_first == oldest_first[::-1]
    assert len(set(newest_first)) == 5
    assert all(name.startswith("msg_") for name in newest_first)
    assert one.content[0].text == "hello"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_adds_what_was_said_to_its_conversation(client: AsyncOpenAI, stream: bool) -> None:
    made = await client.conversations.create()
    if stream:
        events = await client.responses.create(model="m", input="one", conversation=made.id, stream=True)
        response: Any = [event async for event in events][-1]
        response = response.response
    else:
        response = await client.responses.create(model="m", input="one", conversation={"id": made.id})
    said: list[Any] = [item async for item in client.conversations.items.list(made.id, order="asc")]

    assert response.conversation.id == made.id
    assert [item.role for item in said] == ["user", "assistant"]
    assert said[1].content[0].text == response.output_text


async def test_what_another_account_keeps_cannot_be_built_on(client: AsyncOpenAI, stranger: AsyncOpenAI) -> None:
    conversation = await client.conversations.create()
    first = await client.responses.create(model="m", input="one", include=REASONING)
    reasoning: Any = first.output[0]
    attempts: list[tuple[dict[str, Any], int, str | None]] = [
        ({"input": "x", "previous_response_id": first.id}, 400, "previous_response_not_found"),
        ({"input": "x", "conversation": conversation.id}, 404, None),
        ({"input": [reasoning.to_dict()]}, 400, "invalid_encrypted_content"),
        ({"input": [{"type": "item_reference", "id": reasoning.id}]}, 404, None),
    ]

    for asked, status, code in attempts:
        await client.responses.create(model="m", **asked)
        with pytest.raises(openai.APIStatusError) as caught:
            await stranger.responses.create(model="m", **asked)
        assert (caught.value.status_code, caught.value.code) == (status, code)


async def test_an_input_is_counted_and_compacted(client: AsyncOpenAI, stranger: AsyncOpenAI) -> None:
    count = await client.responses.input_tokens.count(model="m", input="hello " * 100)
    compacted = await client.responses.compact(model="m", input=[*HELLO, {"role": "assistant", "content": "hi"}])
    items: Any = [item.to_dict(warnings=False) for item in compacted.output]  # the SDK takes them for answers
    await client.responses.create(model="m", input=items)

    assert count.input_tokens > 100
    assert [item["type"] for item in items] == ["message", "compaction"]
    with pytest.raises(openai.BadRequestError) as caught:
        await stranger.responses.create(model="m", input=items)
    assert caught.value.code == "invalid_encrypted_content"


@pytest.mark.parametrize("stream", [False, True])
async def test_chat_completions_are_kept_if_asked_for(client: AsyncOpenAI, stranger: AsyncOpenAI, stream: bool) -> None:
    chat = client.chat.completions
    await chat.create(model="m", messages=MESSAGES)
    if stream:
        chunks = await chat.create(model="m", messages=MESSAGES, store=True, metadata={"a": "b"}, stream=True)
        name = [chunk.id async for chunk in chunks][-1]
    else:
        name = (await chat.create(model="m", messages=MESSAGES, store=True, metadata={"a": "b"})).id
    kept = await chat.retrieve(name)
    listed = [completion.id async for completion in chat.list(model="m")]
    messages = [message.content async for message in chat.messages.list(name)]
    changed = await chat.update(name, metadata={"a": "c"})
    await chat.delete(name)

    assert (kept.choices[0].message.content or "").startswith("alpha/")
    assert kept.to_dict()["metadata"] == {"a": "b"}
    assert listed == [name]
    assert messages == ["hello"]
    assert changed.to_dict()["metadata"] == {"a": "c"}
    for gone in (client, stranger):
        with pytest.raises(openai.NotFoundError):
            await gone.chat.completions.retrieve(name)


async def test_a_file_comes_back_byte_for_byte(client: AsyncOpenAI) -> None:
    content = bytes(range(256)) * 40 + b"\r\n--\r\n"
    made = await client.files.create(file=("odd name.bin", content), purpose="user_data")
    seen = await client.files.retrieve(made.id)
    back = await client.files.content(made.id)
    listed = [file.id async for file in client.files.list()]
    await client.files.delete(made.id)

    assert (seen.filename, seen.bytes, seen.purpose) == ("odd name.bin", len(content), "user_data")
    assert back.content == content
    assert listed == [made.id]
    with pytest.raises(openai.NotFoundError):
        await client.files.content(made.id)


async def test_a_new_response_can_be_denied_for_a_while(provider: SimulatedProvider, client: AsyncOpenAI) -> None:
    provider.change(denials=2)
    first = await client.responses.create(model="m", input="one")
    for _ in range(2):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.create(model="m", input="two", previous_response_id=first.id)
        assert caught.value.code == "previous_response_not_found"

    second = await client.responses.create(model="m", input="two", previous_response_id=first.id)
    assert second.previous_response_id == first.id


async def test_a_background_response_goes_on_without_its_client(
    provider: SimulatedProvider, client: AsyncOpenAI
) -> None:
    provider.change(tokens_per_second=40, answer_tokens=10)
    stream = await client.responses.create(model="m", input="one", background=True, stream=True)
    opening: Any = await anext(aiter(stream))
    await stream.close()
    running = await client.responses.retrieve(opening.response.id)
    rest = [event async for event in await client.responses.retrieve(running.id, stream=True, starting_after=3)]

    assert running.status == "queued"
    assert [event.sequence_number for event in rest] == list(range(4, 4 + len(rest)))
    assert rest[-1].type == "response.completed"
    assert (await client.responses.retrieve(running.id)).status == "completed"
