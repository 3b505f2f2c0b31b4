"""`tenancy: key`: what one key has stored is not found by any other, wherever and however it is named; what lists or
cannot be told apart is refused. The official SDK's clients, three providers that share nothing, memory and Redis."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest
import pytest_asyncio

from simulator import ProviderSettings, SimulatedProvider
from tests.integration.composed import Composed, composed
from tests.integration.harness import config
from tests.integration.raw_http import JSON
from tests.integration.responses_world import NAMES, group
from tests.redis_server import SharedRedis, namespace

pytestmark = pytest.mark.asyncio(loop_scope="module")

A, B, NAMELESS = "key-of-team-a", "key-of-team-b", "key-without-a-name"
KEYS = [{"name": "team-a", "key": A}, {"name": "team-b", "key": B}, NAMELESS]
JSONL = ("in.jsonl", b'{"custom_id":"1"}\n')
MESSAGE: Any = {"type": "message", "role": "user", "content": "hi"}
HELLO: Any = [{"role": "user", "content": "hi"}]


class World(NamedTuple):
    """The proxy and what is behind it."""

    proxy: Composed
    providers: list[SimulatedProvider]

    def client(self, key: str) -> openai.AsyncOpenAI:
        # On a machine that is busy Redis may be late: a 503 then, which says that it is worth another try.
        return openai.AsyncOpenAI(api_key=key, base_url=f"{self.proxy.url}/v1", max_retries=5)

    def asked(self) -> int:
        """Requests that any provider has had."""
        return sum(len(provider.records) for provider in self.providers)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["memory", "redis"])
async def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_redis_server: SharedRedis
) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        providers = [await stack.enter_async_context(SimulatedProvider(ProviderSettings(name=n))) for n in NAMES]
        general: dict[str, Any] = {"api_keys": KEYS, "tenancy": "key", "cache": True}
        if request.param == "redis":
            general |= {
                "redis_url": shared_redis_server.url,
                "redis_timeout": 5,
                "cache_params": {"namespace": namespace()},
            }
        settings = config([], **general) | {"model_groups": [group("gpt", providers)]}
        proxy = await stack.enter_async_context(composed(tmp_path_factory.mktemp("tenants"), settings))
        yield World(proxy, providers)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def a(world: World) -> AsyncIterator[openai.AsyncOpenAI]:
    async with world.client(A) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def b(world: World) -> AsyncIterator[openai.AsyncOpenAI]:
    async with world.client(B) as client:
        yield client


# Every kind of thing: how it is made, and every way to it.

Client = openai.AsyncOpenAI
Make = Callable[[Client], Awaitable[str]]
Way = Callable[[Client, str], Awaitable[Any]]


async def last(stream: Any) -> Any:
    """The last event."""
    return [event async for event in await stream][-1]


async def a_response(c: Client) -> str:
    return (await c.responses.create(model="gpt", input="hi")).id


async def a_streamed_response(c: Client) -> str:
    return str((await last(c.responses.create(model="gpt", input="hi", stream=True))).response.id)


async def a_background_response(c: Client) -> str:
    return (await c.responses.create(model="gpt", input="hi", background=True)).id


async def a_conversation(c: Client) -> str:
    return (await c.conversations.create(items=[MESSAGE])).id


async def a_completion(c: Client) -> str:
    return (await c.chat.completions.create(model="gpt", messages=HELLO, store=True)).id


async def a_streamed_completion(c: Client) -> str:
    return str((await last(c.chat.completions.create(model="gpt", messages=HELLO, store=True, stream=True))).id)


async def a_file(c: Client) -> str:
    return (await c.files.create(file=JSONL, purpose="batch")).id


async def a_vector_store(c: Client) -> str:
    return (await c.vector_stores.create(name="v", file_ids=[await a_file(c)])).id


async def a_batch(c: Client) -> str:
    file = await a_file(c)
    made = await c.batches.create(input_file_id=file, endpoint="/v1/responses", completion_window="24h")
    return made.id


async def a_container(c: Client) -> str:
    return (await c.containers.create(name="c")).id


async def an_upload(c: Client) -> str:
    return (await c.uploads.create(bytes=4, filename="f", mime_type="text/plain", purpose="assistants")).id


async def an_item(c: Client) -> str:
    return str((await c.responses.create(model="gpt", input="hi")).output[0].id)


def respond(c: Client, **options: Any) -> Awaitable[Any]:
    return c.responses.create(model="gpt", **({"input": "two"} | options))


def posted(path: str, body: Callable[[str], Any]) -> Way:
    return lambda c, i: c.post(path, body=body(i), cast_to=object)


def part(kind: str, i: str) -> list[Any]:
    return [{"role": "user", "content": [{"type": kind, "file_id": i}]}]


RESPONSE: dict[str, Way] = {
    "retrieve": lambda c, i: c.responses.retrieve(i),
    "items": lambda c, i: c.responses.input_items.list(i),
    "go on": lambda c, i: respond(c, previous_response_id=i),
    "go on in a stream": lambda c, i: last(respond(c, previous_response_id=i, stream=True)),
    "compact": lambda c, i: c.post(
        "/responses/compact", body={"model": "gpt", "previous_response_id": i}, cast_to=object
    ),
    "count": lambda c, i: c.responses.input_tokens.count(model="gpt", input="x", previous_response_id=i),
    "cancel": lambda c, i: c.responses.cancel(i),
    "delete": lambda c, i: c.responses.delete(i),
}
COMPLETION: dict[str, Way] = {
    "retrieve": lambda c, i: c.chat.completions.retrieve(i),
    "messages": lambda c, i: c.chat.completions.messages.list(i),
    "update": lambda c, i: c.chat.completions.update(i, metadata={"x": "y"}),
    "delete": lambda c, i: c.chat.completions.delete(i),
}
KINDS: dict[str, tuple[Make, dict[str, Way]]] = {
    "response": (a_response, RESPONSE),
    "streamed response": (a_streamed_response, RESPONSE),
    "background response": (a_background_response, RESPONSE),
    "conversation": (
        a_conversation,
        {
            "retrieve": lambda c, i: c.conversations.retrieve(i),
            "items": lambda c, i: c.conversations.items.list(i),
            "add": lambda c, i: c.conversations.items.create(i, items=[MESSAGE]),
            "go on": lambda c, i: respond(c, conversation=i),
            "go on by an object": lambda c, i: respond(c, conversation={"id": i}),
            "update": lambda c, i: c.conversations.update(i, metadata={"x": "y"}),
            "delete": lambda c, i: c.conversations.delete(i),
        },
    ),
    "stored completion": (a_completion, COMPLETION),
    "streamed stored completion": (a_streamed_completion, COMPLETION),
    "file": (
        a_file,
        {
            "retrieve": lambda c, i: c.files.retrieve(i),
            "content": lambda c, i: c.files.content(i),
            "input_file": lambda c, i: respond(c, input=part("input_file", i)),
            "input_image, streamed": lambda c, i: last(respond(c, input=part("input_image", i), stream=True)),
            "chat": lambda c, i: c.chat.completions.create(
                model="gpt", messages=[{"role": "user", "content": [{"type": "file", "file": {"file_id": i}}]}]
            ),
            "code interpreter": lambda c, i: respond(
                c, tools=[{"type": "code_interpreter", "container": {"type": "auto", "file_ids": [i]}}]
            ),
            "batch": lambda c, i: c.batches.create(input_file_id=i, endpoint="/v1/responses", completion_window="24h"),
            "vector store": lambda c, i: c.vector_stores.create(file_ids=[i]),
            "training": lambda c, i: c.fine_tuning.jobs.create(model="gpt-4o", training_file=i),
            "tool resources": posted("/threads", lambda i: {"tool_resources": {"code_interpreter": {"file_ids": [i]}}}),
            "delete": lambda c, i: c.files.delete(i),
        },
    ),
    "vector store": (
        a_vector_store,
        {
            "retrieve": lambda c, i: c.vector_stores.retrieve(i),
            "files": lambda c, i: c.vector_stores.files.list(i),
            "search": lambda c, i: c.vector_stores.search(i, query="x"),
            "file search": lambda c, i: respond(c, tools=[{"type": "file_search", "vector_store_ids": [i]}]),
            "update": lambda c, i: c.vector_stores.update(i, name="w"),
            "delete": lambda c, i: c.vector_stores.delete(i),
        },
    ),
    "batch": (
        a_batch,
        {"retrieve": lambda c, i: c.batches.retrieve(i), "cancel": lambda c, i: c.batches.cancel(i)},
    ),
    "container": (
        a_container,
        {
            "retrieve": lambda c, i: c.containers.retrieve(i),
            "files": lambda c, i: c.containers.files.list(i),
            "tool": lambda c, i: respond(c, tools=[{"type": "code_interpreter", "container": i}]),
            "delete": lambda c, i: c.containers.delete(i),
        },
    ),
    "upload": (
        an_upload,
        {
            "part": lambda c, i: c.uploads.parts.create(i, data=b"1234"),
            "complete": lambda c, i: c.uploads.complete(i, part_ids=[]),
            "cancel": lambda c, i: c.uploads.cancel(i),
        },
    ),
    "item": (
        an_item,
        {
            "reference": lambda c, i: respond(c, input=[{"type": "item_reference", "id": i}, MESSAGE]),
            "untyped reference": lambda c, i: respond(c, input=[{"id": i}, MESSAGE]),
            "untyped by null": lambda c, i: respond(c, input=[{"id": i, "type": None}, MESSAGE]),
        },
    ),
    "assistant": (
        lambda c: made(c, "/assistants", {"model": "gpt"}),
        {
            "retrieve": lambda c, i: c.get(f"/assistants/{i}", cast_to=object),
            "delete": lambda c, i: c.delete(f"/assistants/{i}", cast_to=object),
        },
    ),
    "thread": (
        lambda c: made(c, "/threads", {}),
        {
            "retrieve": lambda c, i: c.get(f"/threads/{i}", cast_to=object),
            "messages": lambda c, i: c.get(f"/threads/{i}/messages", cast_to=object),
            "delete": lambda c, i: c.delete(f"/threads/{i}", cast_to=object),
        },
    ),
    "eval": (lambda c: made(c, "/evals", {}), {"runs": lambda c, i: c.get(f"/evals/{i}/runs", cast_to=object)}),
    "skill": (lambda c: made(c, "/skills", {}), {"get": lambda c, i: c.get(f"/skills/{i}", cast_to=object)}),
    "video": (
        lambda c: made(c, "/videos", {"prompt": "x"}),
        {
            "get": lambda c, i: c.get(f"/videos/{i}", cast_to=object),
            "remix": lambda c, i: c.post(f"/videos/{i}/remix", body={"prompt": "y"}, cast_to=object),
        },
    ),
    "fine-tuning job": (
        lambda c: made(c, "/fine_tuning/jobs", {}),
        {
            "retrieve": lambda c, i: c.fine_tuning.jobs.retrieve(i),
            "cancel": lambda c, i: c.fine_tuning.jobs.cancel(i),
        },
    ),
}
TOLD_OFF_BY_ITS_PROVIDER = {"cancel", "remix", "chat", "compact"}
"""What a provider may refuse to its own maker: it cannot be cancelled, say."""


async def made(c: Client, path: str, body: dict[str, Any]) -> str:
    answer: Any = await c.post(path, body=body, cast_to=object)
    return str(answer["id"])


async def refusal(way: Way, client: Client, name: str) -> tuple[int, str]:
    """Status and words, without the name."""
    with pytest.raises(openai.APIStatusError) as refused:
        await way(client, name)
    return refused.value.status_code, refused.value.response.text.replace(name, "NAME")


@pytest.mark.parametrize("kind", KINDS)
async def test_what_one_key_stored_is_not_found_by_another_and_served_to_its_own(
    world: World, a: Client, b: Client, kind: str
) -> None:
    make, ways = KINDS[kind]
    name = await make(a)
    made_up = f"{name[:-16]}{uuid.uuid4().hex[:16]}"
    before = world.asked()
    theirs = await asyncio.gather(*(refusal(way, b, name) for way in ways.values()))
    nobodys = await asyncio.gather(*(refusal(way, b, made_up) for way in ways.values()))
    assert theirs == nobodys
    assert {(status, json.loads(text)["error"]["code"]) for status, text in theirs} == {(404, "not_found")}
    assert world.asked() == before
    async with world.client(NAMELESS) as nameless:
        assert (await refusal(next(iter(ways.values())), nameless, name))[0] == 404

    for title, way in ways.items():
        try:
            await way(a, name)
        except openai.APIStatusError as refused:
            # Of the provider, which alone gives endpoints to try.
            assert title in TOLD_OFF_BY_ITS_PROVIDER, (title, refused)
            assert "x-llmproxy-endpoint" in refused.response.headers
    assert world.asked() > before


async def test_a_key_without_a_name_has_its_things_as_well(world: World, b: Client) -> None:
    async with world.client(NAMELESS) as nameless:
        name = await a_response(nameless)
        assert (await nameless.responses.retrieve(name)).id == name
        assert (await refusal(RESPONSE["retrieve"], b, name))[0] == 404


async def test_what_was_deleted_is_gone_for_its_key_and_unknown_to_others(a: Client, b: Client) -> None:
    name = await a_response(a)
    await refusal(RESPONSE["delete"], b, name)
    assert (await a.responses.retrieve(name)).id == name
    await a.responses.delete(name)

    assert (await refusal(RESPONSE["retrieve"], a, name))[0] == 404
    assert await refusal(RESPONSE["retrieve"], b, name) == await refusal(RESPONSE["retrieve"], b, "resp_00000000000001")


REFUSED = (
    "/files", "/files/", "/batches", "/vector_stores", "/containers", "/uploads", "/assistants", "/threads", "/evals",
    "/skills", "/videos", "/fine_tuning/jobs", "/conversations", "/chat/completions", "/chat/completions?model=gpt",
    "/realtime/sessions", "/agents", "/vaults", "/webhook_endpoints", "/whatever/comes/next", "/Files", "/files%2Fx",
)  # fmt: skip
CLOSED = ("/organization/users", "/projects/p/roles", "/organization/admin_api_keys", "/fine_tuning/checkpoints/x")


async def test_lists_and_what_cannot_be_told_apart_are_refused(world: World) -> None:
    before = world.asked()
    key = b"authorization: Bearer " + A.encode()
    for path in (*REFUSED, *CLOSED):
        for method in ("GET", "HEAD", "DELETE", "PUT", "OPTIONS"):
            answer = await world.proxy.ask(method, f"/v1{path}", key)

            is_no_method = path.startswith("/chat/completions") and method not in ("GET", "DELETE")
            assert answer.status == (405 if is_no_method else 403), (method, path)
            if answer.status == 403 and method != "HEAD":
                code, told = ("not_per_key", "tenancy") if path in REFUSED else ("administration_closed", "passthrough")
                assert (answer.error["code"], told in answer.error["message"]) == (code, True), (method, path)
    assert world.asked() == before


@pytest.mark.parametrize(
    "spelt",
    [
        '{"model":"gpt","input":"x","previous_response_id":"%s"}',
        '{"model":"gpt","input":"x","previous\\u005fresponse_id":"%s"}',
        '{"model":"gpt","input":"x","previous_response_id":"mine","previous_response_id":"%s"}',
        '{"model":"gpt","input":"x","previous_response_id":"%s","previous_response_id":null}',
        '{"model":"gpt","input":[{"type":"item_reference","x":[{}],"id":"%s"}]}',
        '{"model":"gpt","input":[{"type":"message","type":null,"id":"%s"}]}',
        '{"model":"gpt","input":[{"type":"\\u0069mage_generation_call","id":"%s"}]}',
        '{"model":"gpt","input":"x","something_new":{"deep":[["%s"]]}}',
        '{"model":"gpt","input":"x","x":"\\ud83d","conversation":{"more":1,"id":"%s"}}',
    ],
)
async def test_no_spelling_gets_around_it(world: World, a: Client, spelt: str) -> None:
    name = await a_response(a)
    before = world.asked()
    for written in (name, "".join(f"\\u{ord(letter):04x}" for letter in name)):
        body = (spelt % written).encode()
        answer = await world.proxy.ask("POST", "/v1/responses", b"api-key: " + B.encode(), JSON, body=body)

        assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert world.asked() == before


@pytest.mark.parametrize(
    "path", ["/v1/responses/{}", "/responses/{}/", "/openai/v1/responses/{}", "//v1//responses/{}"]
)
@pytest.mark.parametrize("encode", [False, True])
async def test_no_spelling_of_a_path_gets_around_it(world: World, a: Client, path: str, encode: bool) -> None:
    name = await a_response(a)
    written = "".join(f"%{ord(letter):02x}" for letter in name) if encode else name
    before = world.asked()
    theirs = await world.proxy.ask("GET", path.format(written), b"authorization: Bearer " + B.encode())
    assert (theirs.status, world.asked()) == (404, before)

    own = await world.proxy.ask("GET", path.format(written), b"authorization: Bearer " + A.encode())
    assert own.status == 200


async def test_what_a_client_has_said_or_a_model_repeats_becomes_nobodys(world: World, a: Client, b: Client) -> None:
    name = await a_response(a)
    for said in (
        {"input": f"Say {name}"},
        {"input": name},
        {"input": "x", "metadata": {"id": name}},
        {"input": "x", "tools": [{"type": "function", "name": "f", "parameters": {"properties": {"id": name}}}]},
        {"input": [{"type": "message", "role": "user", "id": name, "content": "x"}]},
    ):
        await respond(b, **said)
        await last(respond(b, stream=True, **said))
        await b.conversations.create(metadata={"id": name}, items=[MESSAGE | {"id": name}])
    await b.chat.completions.create(model="gpt", messages=[{"role": "user", "content": name}], store=True)

    assert (await refusal(RESPONSE["retrieve"], b, name))[0] == 404


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("form-data", 'name="file_id"'),
        ("form-data", 'name="file_id"; filename="x"'),
        ("form-data", 'name="x[file_id]"'),
    ],
)
async def test_forms_are_read_as_well(world: World, a: Client, b: Client, kind: str, field: str) -> None:
    name, box = await a_file(a), await a_container(b)
    body = f"--b\r\ncontent-disposition: {kind}; {field}\r\n\r\n{name}\r\n--b--\r\n".encode()
    before = world.asked()
    headers = (b"authorization: Bearer " + B.encode(), b"content-type: multipart/form-data; boundary=b")
    answer = await world.proxy.ask("POST", f"/v1/containers/{box}/files", *headers, body=body)
    assert (answer.status, answer.error["code"], world.asked()) == (404, "not_found", before)

    mine = await b.containers.files.create(box, file=("f.txt", b"text"))
    assert (await b.containers.files.create(box, file_id=await a_file(b))).id != mine.id


@pytest.mark.parametrize(
    "headers",
    [
        (b"content-type: application/json", b"content-encoding: compress"),
        (b"content-type: multipart/form-data; boundary=b", b"content-encoding: gzip"),
        (b"content-type: text/plain",),
        (b"content-type: application/x-www-form-urlencoded",),
        (b"content-type: multipart/form-data",),
    ],
)
@pytest.mark.parametrize("path", ["/v1/vector_stores", "/v1/images/edits", "/v1/videos"])
async def test_bodies_that_nobody_here_can_read_are_refused(
    world: World, path: str, headers: tuple[bytes, ...]
) -> None:
    before = world.asked()
    answer = await world.proxy.ask("POST", path, b"authorization: Bearer " + B.encode(), *headers, body=b"\x1f\x8b")

    assert (answer.status, world.asked()) == (415, before)


async def test_cached_answers_and_those_under_way_are_each_keys_own(world: World) -> None:
    question = json.dumps(
        {"model": "gpt", "messages": HELLO, "temperature": 0, "seed": uuid.uuid4().int % 1000}
    ).encode()
    states = []
    for header in (b"authorization: Bearer " + A.encode(), b"api-key: " + A.encode(), b"api-key: " + B.encode()):
        answer = await world.proxy.ask("POST", "/v1/chat/completions", header, JSON, body=question)
        states.append(answer.one("x-llmproxy-cache"))

    assert states == ["miss", "hit", "miss"]


async def test_the_log_has_the_name_and_never_the_key(world: World) -> None:
    for key in (A, NAMELESS, "wrong"):
        await world.proxy.ask("GET", "/v1/models", b"authorization: Bearer " + key.encode())
        await world.proxy.ask(
            "POST", "/v1/chat/completions", b"api-key: " + key.encode(), JSON, body=b'{"model":"gpt"}'
        )

    names = [line.get("key_name") for line in world.proxy.requests()[-6:]]
    assert names == ["team-a", "team-a", None, None, None, None]
    assert not any(
        key in line for key in (A, B, NAMELESS) for line in (*world.proxy.lines.json, *world.proxy.lines.text)
    )


async def test_an_unlisted_fine_tuned_model_and_models_of_the_account_are_another_keys(
    world: World, tmp_path: Path
) -> None:
    settings = config([], api_keys=KEYS, tenancy="key", passthrough_group="gpt")
    settings |= {"model_groups": [group("gpt", world.providers)]}
    async with composed(tmp_path, settings) as proxy:
        before = world.asked()
        key = b"authorization: Bearer " + A.encode()
        tuned = await proxy.ask("POST", "/v1/chat/completions", key, JSON, body=b'{"model":"ft:gpt:x","messages":[]}')
        for method in ("GET", "DELETE"):
            assert (await proxy.ask(method, "/v1/models/ft:gpt:x", key)).status == 404
        assert (tuned.status, world.asked()) == (404, before)
        other = await proxy.ask("POST", "/v1/chat/completions", key, JSON, body=b'{"model":"o9","messages":[]}')

    assert other.status == 200


async def test_with_shared_tenancy_every_key_reads_lists_goes_on_and_deletes(world: World, tmp_path: Path) -> None:
    settings = config([], api_keys=KEYS) | {"model_groups": [group("gpt", world.providers)]}
    async with composed(tmp_path, settings) as proxy:
        there = World(proxy, world.providers)
        async with there.client(A) as one, there.client(B) as two:
            name, file = await a_response(one), await a_file(one)

            assert (await two.responses.retrieve(name)).id == name
            assert (await two.responses.create(model="gpt", input="x", previous_response_id=name)).id
            assert file in [listed.id async for listed in two.files.list()]
            await two.responses.delete(name)
            with pytest.raises(openai.NotFoundError):
                await one.responses.retrieve(name)
