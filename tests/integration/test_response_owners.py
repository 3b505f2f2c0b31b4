"""What happens when the account that keeps a response is unwell, limited, unknown, or denies it; and to responses that
fail on their way. Each scenario has a group of its own, whose model it is known by at the providers."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio

from simulator import SimulatedProvider
from tests.integration.harness import endpoint, eventually
from tests.integration.responses_world import NAMES, UPSTREAM_KEY, World, group, running_world

pytestmark = pytest.mark.asyncio(loop_scope="module")

GROUPS = (
    "gpt", "denying", "forgetful", "cooling", "returning", "limited", "exhausted",
    "failed", "erring", "refusing", "unsure", "breaking", "unfinished",
)  # fmt: skip
ERROR = {"code": "server_error", "message": "It broke."}
FAILED = {
    "type": "response.failed",
    "sequence_number": 2,
    "response": {"id": "resp_1", "object": "response", "status": "failed", "error": ERROR, "output": []},
}
FRAMES = {
    "failed": f"event: response.failed\ndata: {json.dumps(FAILED)}\n\n",
    "erring": None,
}
"""What goes wrong inside a 200; None = as the provider usually says it."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with running_world(
        tmp_path_factory.mktemp("owners"),
        lambda providers: [
            *[group(name, providers) for name in GROUPS],
            passing_through(providers),
            siblings(providers),
        ],
        num_retries=2,
        max_wait=5,
        passthrough_group="gpt",
    ) as world:
        yield world


def passing_through(providers: Any) -> dict[str, Any]:
    """Endpoints without a key of their own: the client's goes on."""
    models = [{"model": "own-keys", "params": {"base_url": f"{provider.url}/v1"}} for provider in providers]
    return {"model_group": "own-keys", "models": models}


def siblings(providers: Any) -> dict[str, Any]:
    """Two endpoints of one account, and one of another."""
    alpha, beta, _ = providers
    names = {"first": alpha, "second": alpha, "else": beta}
    params = {"api_key": UPSTREAM_KEY}
    return {
        "model_group": "siblings",
        "models": [endpoint(p, model=f"sibling-{n}", params=params) for n, p in names.items()],
    }


@pytest.fixture
def world(running: World) -> World:
    running.reset()
    return running


@pytest_asyncio.fixture(loop_scope="module")
async def client(world: World) -> AsyncIterator[openai.AsyncOpenAI]:
    async with world.client() as client:
        yield client


def maker_of(world: World, response: Any) -> SimulatedProvider:
    return world.named(response.output_text.partition("/")[0])


def at(model: str, action: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """A fault for one model."""
    return [{"match": {"model": model}, "action": action, **more}]


def others(provider: SimulatedProvider) -> set[str]:
    return set(NAMES) - {provider.settings.name}


# Who keeps it is unwell.


async def test_a_response_that_its_own_account_denies_twice_is_asked_for_again_there(
    world: World, client: openai.AsyncOpenAI
) -> None:
    for provider in world.providers:
        provider.change(denials=2)
    first = await client.responses.create(model="denying", input="one")
    raw = await client.responses.with_raw_response.create(model="denying", input="two", previous_response_id=first.id)

    assert maker_of(world, raw.parse()) is maker_of(world, first)
    assert raw.headers["x-llmproxy-attempts"] == "3"
    assert list(world.asked(f'"{first.id}"')) == [maker_of(world, first).settings.name]


async def test_a_response_that_its_own_account_denies_for_good_is_not_found_in_its_words(
    world: World, client: openai.AsyncOpenAI
) -> None:
    for provider in world.providers:
        provider.change(denials=1000)
    first = await client.responses.create(model="forgetful", input="one")
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="forgetful", input="two", previous_response_id=first.id)

    assert caught.value.code == "previous_response_not_found"
    assert first.id in caught.value.message
    # They can go on as soon as the account does.
    maker_of(world, first).change(denials=0)
    fresh = await client.responses.create(model="forgetful", input="new")
    assert fresh.status == "completed"


async def test_an_account_that_fails_is_asked_or_the_client_told_but_never_another_account(
    world: World, client: openai.AsyncOpenAI
) -> None:
    first = await client.responses.create(model="cooling", input="one")
    owner = maker_of(world, first)
    owner.set_faults(at("cooling", {"kind": "status", "status": 500}))
    for _ in range(2):
        with pytest.raises(openai.InternalServerError) as caught:
            await client.responses.create(model="cooling", input="two", previous_response_id=first.id)
        assert caught.value.status_code in (502, 503)
        assert "cooling/" in caught.value.message
    elsewhere = [await client.responses.create(model="cooling", input="else") for _ in range(4)]

    assert list(world.asked(first.id)) == [owner.settings.name]
    assert {maker_of(world, each).settings.name for each in elsewhere} == others(owner)


async def test_a_dialogue_goes_on_while_its_account_is_cooling_for_others(
    world: World, client: openai.AsyncOpenAI
) -> None:
    first = await client.responses.create(model="returning", input="one")
    owner = maker_of(world, first)
    owner.set_faults(at("returning", {"kind": "reset"}))
    for _ in range(3):
        await client.responses.create(model="returning", input="else")
    owner.set_faults([])

    second = await client.responses.create(model="returning", input="two", previous_response_id=first.id)
    assert maker_of(world, second) is owner


async def test_a_dialogue_waits_for_the_rate_limit_of_its_account(world: World, client: openai.AsyncOpenAI) -> None:
    first = await client.responses.create(model="limited", input="one")
    owner = maker_of(world, first)
    owner.set_faults(at("limited", {"kind": "status", "status": 429, "headers": {"retry-after": "1"}}, times=1))
    second = await client.responses.create(model="limited", input="two", previous_response_id=first.id)

    assert maker_of(world, second) is owner
    assert [record.status for record in world.asked(first.id)[owner.settings.name]] == [429, 200]
    assert list(world.asked(first.id)) == [owner.settings.name]


async def test_a_limit_that_lasts_too_long_is_a_429_and_no_other_account_is_asked(
    world: World, client: openai.AsyncOpenAI
) -> None:
    first = await client.responses.create(model="exhausted", input="one")
    owner = maker_of(world, first)
    owner.set_faults(at("exhausted", {"kind": "status", "status": 429, "headers": {"retry-after": "120"}}))
    with pytest.raises(openai.RateLimitError) as caught:
        await client.responses.create(model="exhausted", input="two", previous_response_id=first.id)
    elsewhere = await client.responses.create(model="exhausted", input="else")

    assert caught.value.code == "rate_limit_exceeded"
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60
    assert list(world.asked(first.id)) == [owner.settings.name]
    assert maker_of(world, elsewhere) is not owner


async def test_endpoints_of_one_account_stand_in_for_each_other(world: World, client: openai.AsyncOpenAI) -> None:
    made = [await client.responses.create(model="siblings", input="one") for _ in range(6)]
    kept = [response for response in made if maker_of(world, response) is world.named("alpha")]
    world.named("alpha").set_faults(at("sibling-first", {"kind": "status", "status": 500}))
    for response in kept:
        second = await client.responses.create(model="siblings", input="two", previous_response_id=response.id)
        assert maker_of(world, second) is world.named("alpha")
        assert second.model == "sibling-second"

    assert {response.model for response in kept} == {"sibling-first", "sibling-second"}


# Who keeps it is not known.


async def test_an_account_is_asked_once_however_many_endpoints_it_has(world: World, client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        await client.responses.create(model="siblings", input="two", previous_response_id="resp_0unknown")

    assert {name: len(records) for name, records in world.asked("resp_0unknown").items()} == {"alpha": 1, "beta": 1}


async def test_nothing_is_called_unknown_while_an_account_that_was_not_asked_is_limited(
    world: World, client: openai.AsyncOpenAI
) -> None:
    gamma = world.named("gamma")
    _, turn = await made_behind_the_proxys_back(gamma, "response")
    gamma.set_faults(at("unsure", {"kind": "status", "status": 429, "headers": {"retry-after": "60"}}))
    for _ in range(3):
        await client.responses.create(model="unsure", input="one")
    assert gamma.counts().faulted

    with pytest.raises(openai.RateLimitError):
        await client.responses.create(model="unsure", **turn)


async def test_an_id_that_nobody_knows_is_not_found_after_all_were_asked(
    world: World, client: openai.AsyncOpenAI
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="gpt", input="two", previous_response_id="resp_0unknown")
    assert caught.value.code == "previous_response_not_found"
    assert {name: len(records) for name, records in world.asked("resp_0unknown").items()} == dict.fromkeys(NAMES, 1)

    world.reset()
    with pytest.raises(openai.NotFoundError, match="Response with id 'resp_0unknown' not found"):
        await client.responses.retrieve("resp_0unknown")
    with pytest.raises(openai.NotFoundError, match="Conversation with id"):
        await client.conversations.retrieve("conv_0unknown")
    # With the proxy's key and with the client's: to the proxy these are two accounts.
    for name in ("resp_0unknown", "conv_0unknown"):
        assert {asked: len(records) for asked, records in world.asked(name).items()} == dict.fromkeys(NAMES, 2)


async def made_behind_the_proxys_back(provider: SimulatedProvider, what: str) -> tuple[str, dict[str, Any]]:
    """Something that only `provider` keeps: its id (empty: none), and a turn that builds on it."""
    async with openai.AsyncOpenAI(api_key="k", base_url=f"{provider.url}/v1") as straight:
        if what == "conversation":
            made = await straight.conversations.create()
            return made.id, {"input": "two", "conversation": made.id}
        if what == "compaction":
            compacted = await straight.responses.compact(model="m", input="one")
            return "", {"input": [item.to_dict(warnings=False) for item in compacted.output]}
        first = await straight.responses.create(model="m", input="one", include=["reasoning.encrypted_content"])
    reasoning: Any = first.output[0]
    turns: dict[str, tuple[str, dict[str, Any]]] = {
        "response": (first.id, {"input": "two", "previous_response_id": first.id}),
        "reference": (reasoning.id, {"input": [{"type": "item_reference", "id": reasoning.id}]}),
        "reasoning": ("", {"input": [reasoning.to_dict()]}),
    }
    return turns[what]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("what", ["response", "conversation", "reference", "reasoning", "compaction"])
async def test_what_was_made_behind_the_proxys_back_is_found_and_then_known(
    world: World, client: openai.AsyncOpenAI, what: str, stream: bool
) -> None:
    for provider in world.providers:
        name, turn = await made_behind_the_proxys_back(provider, what)
        if stream:
            events = await client.responses.create(model="gpt", stream=True, **turn)
            response: Any = [event async for event in events][-1]
            response = response.response
        else:
            response = await client.responses.create(model="gpt", **turn)
        world.reset()
        again = await client.responses.create(model="gpt", input="go on", previous_response_id=response.id)
        if name.startswith("conv_"):
            await client.conversations.retrieve(name)

        assert {maker_of(world, each).settings.name for each in (response, again)} == {provider.settings.name}
        assert sum(each.counts().received for each in world.providers) == (2 if name.startswith("conv_") else 1)


async def test_an_account_that_denies_inside_a_stream_is_passed_over(world: World, client: openai.AsyncOpenAI) -> None:
    error = {"type": "invalid_request_error", "code": "previous_response_not_found", "message": "No."}
    frame = f"event: error\ndata: {json.dumps({'type': 'error', 'sequence_number': 0, 'error': error, **error})}\n\n"
    for provider in world.providers[:2]:
        inside = {"kind": "raw", "headers": {"content-type": "text/event-stream"}, "chunks": [frame]}
        provider.set_faults(at("gpt", inside))
    _, turn = await made_behind_the_proxys_back(world.named("gamma"), "response")
    events = await client.responses.create(model="gpt", stream=True, **turn)
    types = [event.type async for event in events]

    assert types[-1] == "response.completed"


async def test_a_failing_account_does_not_turn_not_known_into_not_found(
    world: World, client: openai.AsyncOpenAI
) -> None:
    alpha, *_ = world.providers
    async with openai.AsyncOpenAI(api_key="k", base_url=f"{alpha.url}/v1") as straight:
        kept = await straight.responses.create(model="m", input="one")
    alpha.set_faults([{"match": {"path": kept.id}, "action": {"kind": "status", "status": 500}}])
    with pytest.raises(openai.InternalServerError):
        await client.responses.retrieve(kept.id)
    alpha.set_faults([])

    assert (await client.responses.retrieve(kept.id)).id == kept.id


async def test_a_deleted_response_is_not_found_at_once_and_only_its_keeper_is_asked_for_it(
    world: World, client: openai.AsyncOpenAI
) -> None:
    first = await client.responses.create(model="gpt", input="one")
    await client.responses.delete(first.id)
    world.reset()
    for ask in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.NotFoundError):
            await ask(first.id)
    with pytest.raises((openai.NotFoundError, openai.BadRequestError)):
        await client.responses.create(model="gpt", input="two", previous_response_id=first.id)

    assert [len(records) for records in world.asked(first.id).values()] == [4]


async def test_deleting_an_item_does_not_forget_who_keeps_its_conversation(
    world: World, client: openai.AsyncOpenAI
) -> None:
    hello: Any = {"type": "message", "role": "user", "content": "hi"}
    for _ in NAMES:
        made = await client.conversations.create(items=[hello])
        items: list[Any] = [item async for item in client.conversations.items.list(made.id)]
        await client.conversations.items.delete(items[0].id, conversation_id=made.id)
        world.reset()
        for _ in range(3):
            await client.conversations.retrieve(made.id)

        assert len(world.asked(made.id)) == 1


async def test_another_clients_ids_are_found_only_by_asking(world: World, client: openai.AsyncOpenAI) -> None:
    made = [await client.responses.create(model="gpt", input="one") for _ in range(6)]
    world.reset()
    for response in made:
        await client.responses.retrieve(response.id)
    mine = sum(provider.counts().received for provider in world.providers)
    world.reset()
    async with world.client("sk-another") as another, world.client("sk-third") as third:
        for response in made:
            assert (await another.responses.retrieve(response.id)).id == response.id
        for response in reversed(made):  # whose turn is first may be right for all of them, but not both times
            assert (await third.responses.retrieve(response.id)).id == response.id
    theirs = sum(provider.counts().received for provider in world.providers)

    assert mine == 6
    assert theirs > 12


async def test_clients_with_keys_of_their_own_are_kept_apart(world: World, client: openai.AsyncOpenAI) -> None:
    first = await client.responses.create(model="own-keys", input="one")
    second = await client.responses.create(model="own-keys", input="two", previous_response_id=first.id)
    for provider in world.providers:
        provider.change(api_keys=["sk-client"])
    async with world.client("sk-another") as another:
        with pytest.raises(openai.AuthenticationError):
            await another.responses.create(model="own-keys", input="x", previous_response_id=first.id)

    assert maker_of(world, second) is maker_of(world, first)
    keys = {record.header("authorization") for records in world.asked(first.id).values() for record in records}
    assert keys == {"Bearer sk-client", "Bearer sk-another"}


# Responses that fail on their way.


@pytest.mark.parametrize("name", FRAMES)
async def test_an_error_inside_a_stream_before_any_output_is_failed_over(
    world: World, client: openai.AsyncOpenAI, name: str
) -> None:
    for provider in world.providers[:2]:
        provider.set_faults(at(name, {"kind": "stream_error", "after_events": 2, "frame": FRAMES[name]}))
    for _ in range(3):
        events = await client.responses.create(model=name, input="hi", stream=True)
        types = [event.type async for event in events]

        assert types[-1] == "response.completed"
        assert not {"error", "response.failed"} & set(types)
    assert world.providers[0].counts().faulted + world.providers[1].counts().faulted >= 1


async def test_a_whole_response_that_fails_is_asked_for_elsewhere(world: World, client: openai.AsyncOpenAI) -> None:
    for provider in world.providers[:2]:
        provider.set_faults(at("refusing", {"kind": "status", "status": 503}))
    answers = [await client.responses.create(model="refusing", input="hi") for _ in range(4)]

    assert {maker_of(world, answer).settings.name for answer in answers} == {"gamma"}


@pytest.mark.parametrize("stream_helper", [False, True])
async def test_a_stream_that_breaks_after_output_ends_with_an_error_the_sdk_raises(
    world: World, client: openai.AsyncOpenAI, stream_helper: bool
) -> None:
    for provider in world.providers:
        provider.change(tokens_per_second=50)
        provider.set_faults(at("breaking", {"kind": "reset", "when": "mid_stream", "after_events": 8}))
    types: list[str] = []
    with pytest.raises(openai.APIError, match="broke after it had begun"):
        if stream_helper:
            async with client.responses.stream(model="breaking", input="hi") as helped:
                async for each in helped:
                    types.append(each.type)  # noqa: PERF401 - it is filled until the error
        else:
            async for event in await client.responses.create(model="breaking", input="hi", stream=True):
                types.append(event.type)  # noqa: PERF401

    assert "response.output_text.delta" in types
    assert "response.completed" not in types


async def test_a_stream_that_ends_without_its_last_event_is_an_error(world: World, client: openai.AsyncOpenAI) -> None:
    for provider in world.providers:
        provider.change(tokens_per_second=100)
        provider.set_faults(at("unfinished", {"kind": "no_done"}))

    with pytest.raises(openai.APIError, match="without a terminal event"):
        async for _ in await client.responses.create(model="unfinished", input="hi", stream=True):
            pass


async def test_a_client_that_leaves_ends_a_response_at_the_provider(world: World, client: openai.AsyncOpenAI) -> None:
    for provider in world.providers:
        provider.change(tokens_per_second=20, answer_tokens=600)
    stream = await client.responses.create(model="gpt", input="hi", stream=True)
    await anext(stream)
    await stream.close()

    async with asyncio.timeout(10):
        while not (closed := sum(provider.counts().client_closed for provider in world.providers)):
            await asyncio.sleep(0.01)
    assert closed == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_background_response_is_begun_though_its_client_has_left_meanwhile(
    world: World, client: openai.AsyncOpenAI, stream: bool
) -> None:
    for provider in world.providers:
        provider.set_faults(at("gpt", {"kind": "latency", "seconds": 0.5}))
    asking = asyncio.ensure_future(client.responses.create(model="gpt", input="hi", background=True, stream=stream))
    await eventually(lambda: sum(provider.counts().in_flight for provider in world.providers) == 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    async with asyncio.timeout(10):
        while sum(provider.counts().faulted for provider in world.providers) != 1:
            await asyncio.sleep(0.01)
    assert sum(provider.counts().client_closed for provider in world.providers) == 0
