"""The Responses API and everything else that providers keep, with the official SDK changed in nothing but its address.

Three providers that share nothing stand behind the proxy, and every test runs with `OpenAI` and `AzureOpenAI` clients,
synchronous and asynchronous. What a single turn would get right by chance is done by many dialogues at once.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from pydantic import BaseModel

from tests.integration.responses_world import Voice, World, azure_group, group, running_world

pytestmark = pytest.mark.asyncio(loop_scope="module")

REASONING = ["reasoning.encrypted_content"]
DIALOGUES = 6


class Verdict(BaseModel):
    reason: str
    is_good: bool


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with running_world(
        tmp_path_factory.mktemp("responses"),
        lambda providers: [
            group("gpt", providers),
            azure_group("azure", providers),
        ],
        passthrough_group="gpt",
    ) as world:
        yield world


@pytest.fixture
def world(running: World) -> World:
    running.reset()
    return running


VOICES = {
    "openai-async": (openai.AsyncOpenAI, "gpt"),
    "openai-sync": (openai.OpenAI, "azure"),
    "azure-async": (openai.AsyncAzureOpenAI, "azure"),
    "azure-sync": (openai.AzureOpenAI, "gpt"),
}
"""Each kind of client, and the group whose endpoints it meets."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=VOICES)
async def open_voice(running: World, request: pytest.FixtureRequest) -> AsyncIterator[Voice]:
    voice = running.voice(*VOICES[request.param])
    yield voice
    await voice.close()


@pytest.fixture
def voice(open_voice: Voice, world: World) -> Voice:
    """Each kind of client, with the world as it is before every test."""
    assert world.providers
    return open_voice


def said_by(response: Any) -> str:
    """Who answered."""
    return str(response.output_text).partition("/")[0]


async def follow_ups(voice: Voice, first: list[Any], **options: Any) -> list[Any]:
    """The next turn of many dialogues at once."""
    return await asyncio.gather(
        *(voice.respond(input="go on", previous_response_id=response.id, **options) for response in first)
    )


async def beginnings(voice: Voice, **options: Any) -> list[Any]:
    """The first turns of so many dialogues that every provider has some."""
    first = [await voice.respond(input=f"hello {number}", **options) for number in range(DIALOGUES)]
    assert {said_by(response) for response in first} == {"alpha", "beta", "gamma"}
    return first


# One response.


async def test_a_response_is_the_one_the_provider_made(voice: Voice, world: World) -> None:
    raw = await voice.call(
        voice.client.responses.with_raw_response.create, model=voice.group, input="hi", metadata={"a": "b"}
    )
    response = raw.parse()
    straight = openai.AsyncOpenAI(api_key="k", base_url=f"{world.named(said_by(response)).url}/v1", max_retries=0)
    async with straight:
        kept = await straight.responses.with_raw_response.retrieve(response.id)

    assert kept.content == raw.content
    assert raw.headers["x-llmproxy-endpoint"].startswith(voice.group)


async def test_a_stream_has_the_events_the_provider_gives(voice: Voice, world: World) -> None:
    events = await voice.events(voice.client.responses.create, model=voice.group, input="hi", stream=True)
    response = events[-1].response
    straight = openai.AsyncOpenAI(api_key="k", base_url=f"{world.named(said_by(response)).url}/v1", max_retries=0)
    async with straight:
        kept = [event async for event in await straight.responses.retrieve(response.id, stream=True)]

    assert [event.to_dict() for event in events] == [event.to_dict() for event in kept]
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1].type == "response.completed"


async def test_the_stream_helper_collects_a_response(voice: Voice) -> None:
    response = await voice.final(model=voice.group, input="hi")

    assert response.status == "completed"
    assert said_by(response) in ("alpha", "beta", "gamma")


async def test_structured_output_is_parsed_whole_and_streamed(voice: Voice) -> None:
    whole = await voice.call(voice.client.responses.parse, model=voice.group, input="hi", text_format=Verdict)
    streamed = await voice.final(model=voice.group, input="hi", text_format=Verdict)

    assert isinstance(whole.output_parsed, Verdict)
    assert isinstance(streamed.output_parsed, Verdict)


# What is below a response.


async def test_responses_are_retrieved_whole_and_as_streams_from_any_event(voice: Voice) -> None:
    for response in await beginnings(voice):
        again = await voice.call(voice.client.responses.retrieve, response.id, include=["message.output_text.logprobs"])
        events = await voice.events(voice.client.responses.retrieve, response.id, stream=True, starting_after=4)

        assert again.output_text == response.output_text
        assert events[0].sequence_number == 5
        assert events[-1].response.output_text == response.output_text


async def test_what_is_deleted_is_gone(voice: Voice) -> None:
    for response in await beginnings(voice):
        await voice.call(voice.client.responses.delete, response.id)
        with pytest.raises(openai.NotFoundError, match="Response with id"):
            await voice.call(voice.client.responses.retrieve, response.id)
        with pytest.raises(openai.NotFoundError):
            await voice.call(voice.client.responses.delete, response.id)
        with pytest.raises(openai.BadRequestError) as caught:
            await voice.respond(input="go on", previous_response_id=response.id)
        assert caught.value.code == "previous_response_not_found"


async def test_background_responses_are_cancelled_where_they_run(voice: Voice, world: World) -> None:
    for provider in world.providers:
        provider.change(latency=60)  # a background response is queued at once, and takes as long
    queued = [await voice.respond(input="hi", background=True) for _ in range(DIALOGUES)]
    cancelled = [await voice.call(voice.client.responses.cancel, response.id) for response in queued]
    seen = [await voice.call(voice.client.responses.retrieve, response.id) for response in queued]

    assert {response.status for response in queued} == {"queued"}
    assert {response.status for response in [*cancelled, *seen]} == {"cancelled"}


async def test_only_background_responses_can_be_cancelled(voice: Voice) -> None:
    response = await voice.respond(input="hi")

    with pytest.raises(openai.BadRequestError, match="background"):
        await voice.call(voice.client.responses.cancel, response.id)


async def test_the_items_of_an_input_are_listed_page_by_page(voice: Voice) -> None:
    parts = [{"role": "user", "content": f"part {number}"} for number in range(5)]
    for _ in range(3):
        response = await voice.respond(input=parts)
        items = await voice.all(voice.client.responses.input_items.list, response.id, limit=2, order="asc")

        assert [item.content[0].text for item in items] == [part["content"] for part in parts]


async def test_background_streams_go_on_without_their_client(voice: Voice, world: World) -> None:
    for provider in world.providers:
        provider.change(tokens_per_second=40, answer_tokens=8)
    stream = await voice.respond(input="hi", background=True, stream=True)
    opening = (await asyncio.to_thread(next, stream)) if voice.is_sync else await anext(stream)
    await voice.call(stream.close)
    name = opening.response.id
    running = await voice.call(voice.client.responses.retrieve, name)
    rest = await voice.events(
        voice.client.responses.retrieve, name, stream=True, starting_after=opening.sequence_number
    )

    assert running.status in ("queued", "in_progress")
    assert rest[0].sequence_number == opening.sequence_number + 1
    assert rest[-1].response.status == "completed"
    assert (await voice.call(voice.client.responses.retrieve, name)).status == "completed"


# Dialogues.


async def test_a_dialogue_by_response_id_goes_on_where_it_began(voice: Voice) -> None:
    first = await beginnings(voice)
    second = await follow_ups(voice, first)
    third = await follow_ups(voice, second)

    assert [said_by(r) for r in first] == [said_by(r) for r in second] == [said_by(r) for r in third]
    assert [r.previous_response_id for r in third] == [r.id for r in second]


async def test_a_streamed_dialogue_goes_on_where_it_began(voice: Voice) -> None:
    first = [await voice.final(model=voice.group, input=f"hello {n}") for n in range(DIALOGUES)]
    second = await asyncio.gather(
        *(voice.final(model=voice.group, input="go on", previous_response_id=r.id) for r in first)
    )
    third = await follow_ups(voice, second)

    assert len({said_by(response) for response in first}) == 3
    assert [said_by(r) for r in first] == [said_by(r) for r in second] == [said_by(r) for r in third]


@pytest.mark.parametrize("stream", [False, True])
async def test_encrypted_reasoning_goes_back_to_who_can_read_it(voice: Voice, stream: bool) -> None:
    async def turn(said: list[Any]) -> Any:
        asked: dict[str, Any] = {"input": said, "store": False, "include": REASONING}
        return await (voice.final(model=voice.group, **asked) if stream else voice.respond(**asked))

    async def dialogue(number: int) -> list[str]:
        said: list[Any] = [{"role": "user", "content": f"hello {number}"}]
        answers = []
        for _ in range(3):
            response = await turn(said)
            answers.append(said_by(response))
            said += [item.to_dict() for item in response.output] + [{"role": "user", "content": "go on"}]
        return answers

    dialogues = await asyncio.gather(*(dialogue(number) for number in range(DIALOGUES)))

    assert all(len(set(answers)) == 1 for answers in dialogues)
    assert len({answers[0] for answers in dialogues}) == 3


async def test_references_to_items_go_to_who_keeps_the_items(voice: Voice) -> None:
    for response in await beginnings(voice, include=REASONING):
        references = [{"type": "item_reference", "id": item.id} for item in response.output]
        again = await voice.respond(input=[*references, {"role": "user", "content": "go on"}])

        assert said_by(again) == said_by(response)


async def test_tool_calls_and_their_results_are_turns_like_others(voice: Voice) -> None:
    tool = {"type": "function", "name": "look_up", "parameters": Verdict.model_json_schema(), "strict": False}
    for number in range(DIALOGUES):
        first = await voice.respond(input=f"use the tool {number}", tools=[tool])
        call = first.output[0]
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "42"}
        second = await voice.respond(input=[result], previous_response_id=first.id, tools=[tool])

        assert call.type == "function_call"
        assert second.output_text


# What is made of an input.


async def test_an_input_is_counted(voice: Voice) -> None:
    count = await voice.call(voice.client.responses.input_tokens.count, model=voice.group, input="hello " * 100)
    first = await beginnings(voice)
    counts = [
        await voice.call(
            voice.client.responses.input_tokens.count, model=voice.group, input="go on", previous_response_id=r.id
        )
        for r in first
    ]

    assert count.input_tokens > 100
    assert all(each.input_tokens > 0 for each in counts)


async def test_what_follows_a_response_is_counted_without_naming_a_model(voice: Voice) -> None:
    for response in await beginnings(voice):
        count = await voice.call(
            voice.client.responses.input_tokens.count, input="go on", previous_response_id=response.id
        )
        assert count.input_tokens > 0


async def test_a_compacted_dialogue_goes_on_where_it_was_compacted(voice: Voice) -> None:
    said = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
    compacted = [
        await voice.call(voice.client.responses.compact, model=voice.group, input=said) for _ in range(DIALOGUES)
    ]
    inputs = [[item.to_dict(warnings=False) for item in each.output] for each in compacted]
    answers = await asyncio.gather(*(voice.respond(input=given, store=False) for given in inputs))

    assert {items[-1]["type"] for items in inputs} == {"compaction"}
    assert len({said_by(answer) for answer in answers}) == 3


# Conversations.


async def test_conversations_are_made_changed_and_deleted(voice: Voice) -> None:
    conversations = voice.client.conversations
    hello = {"type": "message", "role": "user", "content": "hello"}
    made = [await voice.call(conversations.create, metadata={"n": str(n)}, items=[hello]) for n in range(DIALOGUES)]
    for number, each in enumerate(made):
        seen = await voice.call(conversations.retrieve, each.id)
        changed = await voice.call(conversations.update, each.id, metadata={"n": "changed"})
        deleted = await voice.call(conversations.delete, each.id)

        assert (seen.metadata, changed.metadata) == ({"n": str(number)}, {"n": "changed"})
        assert (deleted.id, deleted.deleted) == (each.id, True)
        with pytest.raises(openai.NotFoundError, match="Conversation with id"):
            await voice.call(conversations.retrieve, each.id)


async def test_items_of_conversations_are_added_listed_and_deleted(voice: Voice) -> None:
    items = voice.client.conversations.items
    hello = {"type": "message", "role": "user", "content": "hello"}
    for _ in range(3):
        made = await voice.call(voice.client.conversations.create)
        added = await voice.call(items.create, made.id, items=[hello] * 3)
        listed = await voice.all(items.list, made.id, limit=2, order="asc")
        one = await voice.call(items.retrieve, listed[0].id, conversation_id=made.id)
        await voice.call(items.delete, listed[0].id, conversation_id=made.id)

        assert [item.id for item in listed] == [item.id for item in added.data]
        assert one.content[0].text == "hello"
        assert len(await voice.all(items.list, made.id)) == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_responses_belong_to_their_conversation(voice: Voice, stream: bool) -> None:
    async def dialogue() -> tuple[str, int]:
        made = await voice.call(voice.client.conversations.create)
        answers = set()
        for number in range(3):
            asked: dict[str, Any] = {"input": f"turn {number}", "conversation": made.id}
            response = await (voice.final(model=voice.group, **asked) if stream else voice.respond(**asked))
            answers.add(said_by(response))
        (answerer,) = answers
        return answerer, len(await voice.all(voice.client.conversations.items.list, made.id))

    dialogues = await asyncio.gather(*(dialogue() for _ in range(DIALOGUES)))

    assert [length for _, length in dialogues] == [6] * DIALOGUES
    assert len({answerer for answerer, _ in dialogues}) == 3


# Stored chat completions.


@pytest.mark.parametrize("stream", [False, True])
async def test_stored_completions_are_found_changed_and_deleted(voice: Voice, stream: bool) -> None:
    chat = voice.client.chat.completions
    for number in range(DIALOGUES):
        messages = [{"role": "user", "content": f"hello {number}"}]
        asked: dict[str, Any] = {"model": voice.group, "messages": messages, "store": True}
        if stream:
            name = (await voice.events(chat.create, stream=True, **asked))[-1].id
        else:
            name = (await voice.call(chat.create, **asked)).id
        kept = await voice.call(chat.retrieve, name)
        changed = await voice.call(chat.update, name, metadata={"a": "b"})
        said = await voice.all(chat.messages.list, name)
        await voice.call(chat.delete, name)

        assert kept.id == changed.id == name
        assert changed.to_dict()["metadata"] == {"a": "b"}
        assert [message.content for message in said] == [f"hello {number}"]
        with pytest.raises(openai.NotFoundError):
            await voice.call(chat.retrieve, name)


async def test_stored_completions_are_listed_page_by_page_by_the_account_that_was_asked(
    voice: Voice, world: World
) -> None:
    chat = voice.client.chat.completions
    messages = [{"role": "user", "content": "hello"}]
    for _ in range(3 * DIALOGUES):
        await voice.call(chat.create, model=voice.group, messages=messages, store=True)
    lists = [[each.id for each in await voice.all(chat.list, model=voice.group, limit=2)] for _ in range(DIALOGUES)]
    kept = []
    for provider in world.providers:
        async with openai.AsyncOpenAI(api_key="k", base_url=f"{provider.url}/v1", max_retries=0) as straight:
            kept.append([each.id async for each in straight.chat.completions.list(model=voice.group)])

    assert all(len(each) > 2 for each in kept)
    assert all(each in kept for each in lists)


# Files.


async def test_files_are_all_kept_by_one_account_and_used_there(voice: Voice) -> None:
    files = voice.client.files
    content = bytes(range(256)) * 100
    users = set()
    for _ in range(3):
        made = await voice.call(files.create, file=("some.bin", content), purpose="user_data")
        part = {"type": "input_file", "file_id": made.id}
        asked = [{"role": "user", "content": [part]}]
        answers = {said_by(await voice.respond(input=asked)) for _ in range(3)}
        seen = await voice.call(files.retrieve, made.id)
        back = await voice.call(files.content, made.id)
        await voice.call(files.delete, made.id)

        assert (seen.filename, seen.bytes) == ("some.bin", len(content))
        assert back.content == content
        assert len(answers) == 1
        users |= answers
        with pytest.raises(openai.NotFoundError):
            await voice.call(files.retrieve, made.id)
    assert users == {"alpha"}


# What keeps nothing.


async def test_embeddings_moderations_completions_and_models_are_served(voice: Voice) -> None:
    client = voice.client
    embedded = await voice.call(client.embeddings.create, model=voice.group, input=["a", "b"], dimensions=8)
    moderated = await voice.call(client.moderations.create, model=voice.group, input="hi")
    completed = await voice.call(client.completions.create, model=voice.group, prompt="once")
    chunks = await voice.events(client.completions.create, model=voice.group, prompt="once", stream=True)
    model = await voice.call(client.models.retrieve, voice.group)

    assert [len(each.embedding) for each in embedded.data] == [8, 8]
    assert not moderated.results[0].flagged
    assert len(completed.choices[0].text.split()) == 16
    assert len("".join(chunk.choices[0].text for chunk in chunks).split()) == 16
    assert model.id == voice.group


async def test_a_model_that_nobody_has_is_not_found(world: World, voice: Voice) -> None:
    for provider in world.providers:
        provider.change(models=["gpt", "azure"])
    with pytest.raises(openai.NotFoundError) as retrieved:
        await voice.call(voice.client.models.retrieve, "nothing")
    with pytest.raises(openai.NotFoundError) as asked:
        await voice.call(voice.client.responses.create, model="nothing", input="hi")

    assert retrieved.value.code == asked.value.code == "model_not_found"
