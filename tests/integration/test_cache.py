"""The response cache as an unmodified client meets it: in memory and in Redis, whole and streamed, in a crowd."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI, DefaultAioHttpClient

from tests.integration.composed import Composed
from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import Proxy, config, endpoint, eventually

QUESTION: dict[str, Any] = {"model": "gpt", "temperature": 0, "messages": [{"role": "user", "content": "Hello"}]}
PATH = "/v1/chat/completions"

StartCached = Callable[..., Awaitable[Composed]]


@pytest.fixture(params=["memory", "redis"])
def cached(request: pytest.FixtureRequest, start_proxy: StartProxy) -> StartCached:
    """Starts a proxy that caches: `await cached([endpoint(provider)], ttl=5)`, the keywords of `cache_params`."""
    stores: dict[str, Any] = {}
    namespace = "memory"
    if request.param == "redis":
        stores = {"redis_url": request.getfixturevalue("redis_url"), "redis_timeout": 5}
        namespace = request.getfixturevalue("redis_namespace")

    async def start(models: list[dict[str, Any]], general: dict[str, Any] | None = None, **params: Any) -> Composed:
        general = {"cache": True, "cache_params": {"namespace": namespace, **params}, **stores, **(general or {})}
        return await start_proxy(config(models, **general))

    return start


async def ask(
    http: aiohttp.ClientSession, proxy: Proxy, headers: dict[str, str] | None = None, **changes: Any
) -> tuple[str, bytes]:
    """(what the cache did, the body)."""
    async with http.post(f"{proxy.url}{PATH}", json={**QUESTION, **changes}, headers=headers) as reply:
        assert reply.status == 200, await reply.text()
        return reply.headers["x-llmproxy-cache"], await reply.read()


async def test_the_sdks_second_answer_is_its_first_without_a_call(
    start_provider: StartProvider, cached: StartCached
) -> None:
    provider = await start_provider()
    proxy = await cached([endpoint(provider)])
    async with AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="client") as client:
        replies = [await client.chat.completions.with_raw_response.create(**QUESTION) for _ in range(2)]

    assert [reply.headers["x-llmproxy-cache"] for reply in replies] == ["miss", "hit"]
    assert replies[0].content == replies[1].content
    assert replies[1].headers["x-llmproxy-attempts"] == "0"
    assert "x-request-id" not in replies[1].headers
    assert not [name for name in replies[1].headers if name.startswith("x-ratelimit")]
    assert provider.counts().received == 1


async def test_a_stream_too_event_by_event(
    start_provider: StartProvider, cached: StartCached, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    proxy = await cached([endpoint(provider)])
    options = {"stream": True, "stream_options": {"include_usage": True}}
    async with AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="client") as client:
        seen = []
        for _ in range(2):
            async with await client.chat.completions.create(**QUESTION, **options) as stream:
                seen.append([chunk.to_json() async for chunk in stream])
    first, second = [await ask(http, proxy, seed=1, **options) for _ in range(2)]

    assert seen[0] == seen[1]
    assert len(seen[0]) > 5
    assert (first[0], second[0]) == ("miss", "hit")
    assert first[1] == second[1]
    assert provider.counts().received == 2


@pytest.mark.parametrize("changes", [{"temperature": 0.7}, {"temperature": None}, {"n": 2}, {"store": True}])
async def test_what_is_not_deterministic_is_never_cached(
    start_provider: StartProvider, cached: StartCached, http: aiohttp.ClientSession, changes: dict[str, Any]
) -> None:
    provider = await start_provider()
    proxy = await cached([endpoint(provider)])
    states = [(await ask(http, proxy, **changes))[0] for _ in range(3)]

    assert states == ["bypass"] * 3
    assert provider.counts().received == 3


async def test_absent_temperature_is_cached_where_the_configuration_says_so(
    start_provider: StartProvider, cached: StartCached, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    proxy = await cached([endpoint(provider)], when_temperature_absent="cache")
    absent = [(await ask(http, proxy, temperature=None))[0] for _ in range(2)]
    hot = [(await ask(http, proxy, temperature=0.5))[0] for _ in range(2)]

    assert absent == ["miss", "hit"]
    assert hot == ["bypass", "bypass"]


async def test_clients_with_different_keys_do_not_share_and_with_global_scope_do(
    start_provider: StartProvider, cached: StartCached, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    apart = await cached([endpoint(provider)])
    together = await cached([endpoint(provider, weight=2)], scope="global")
    keys = [{"authorization": "Bearer sk-canary-one"}, {"api-key": "sk-canary-two"}, {}]

    assert [(await ask(http, apart, headers))[0] for headers in keys] == ["miss"] * 3
    assert [(await ask(http, apart, headers))[0] for headers in keys] == ["hit"] * 3
    # In the same Redis, so that one of the entries above must not answer here.
    assert [(await ask(http, together, headers))[0] for headers in keys] == ["miss", "hit", "hit"]
    assert "canary" not in apart.errors + apart.output + together.errors + together.output


async def test_the_key_of_the_proxy_itself_separates_clients_as_well(
    start_provider: StartProvider, cached: StartCached, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    proxy = await cached([endpoint(provider)], {"api_keys": ["team-one-key", "team-two-key"]})
    teams = [{"authorization": f"Bearer team-{team}-key"} for team in ("one", "two", "one")]
    async with http.post(f"{proxy.url}{PATH}", json=QUESTION) as refused:
        assert refused.status == 401

    assert [(await ask(http, proxy, headers))[0] for headers in teams] == ["miss", "miss", "hit"]


async def test_cache_control_of_the_request(
    start_provider: StartProvider, cached: StartCached, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    proxy = await cached([endpoint(provider)])
    first = await ask(http, proxy)
    bypass = await ask(http, proxy, {"cache-control": "no-store"})
    refresh = await ask(http, proxy, {"cache-control": "no-cache"})
    async with asyncio.timeout(10):  # no answer waits for the store that keeps it
        while (after := await ask(http, proxy))[1] == first[1]:
            await asyncio.sleep(0.01)
    young = await ask(http, proxy, {"cache-control": "max-age=3600"})
    too_old = await ask(http, proxy, {"cache-control": "max-age=0"})

    states = [state for state, _ in (first, bypass, refresh, after, young, too_old)]
    assert states == ["miss", "bypass", "refresh", "hit", "hit", "refresh"]
    assert first[1] != refresh[1] == after[1]


@pytest.mark.parametrize("stream", [False, True])
async def test_200_identical_misses_are_one_call_also_when_the_first_10_leave(
    start_provider: StartProvider, cached: StartCached, stream: bool
) -> None:
    provider = await start_provider(latency_s=2.0, tokens_per_second=40 if stream else None)
    proxy = await cached([endpoint(provider)])
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        clients = [asyncio.ensure_future(ask(http, proxy, stream=stream)) for _ in range(10)]
        await eventually(lambda: provider.counts().received)
        clients += [asyncio.ensure_future(ask(http, proxy, stream=stream)) for _ in range(190)]
        await eventually(lambda: len(proxy.container.in_flight()) == 200)
        for client in clients[:10]:
            client.cancel()
        answers = await asyncio.gather(*clients[10:])

    assert len({body for _, body in answers}) == 1
    assert Counter(state for state, _ in answers) <= Counter({"shared": 190, "hit": 190, "miss": 1})
    assert provider.counts().received == 1


async def test_an_error_reaches_all_who_asked_and_is_not_kept(
    start_provider: StartProvider, cached: StartCached, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider(latency_s=0.2)
    error = {"error": {"message": "No such thing.", "type": "invalid_request_error", "param": "seed", "code": "odd"}}
    provider.set_faults([{"times": 1, "action": {"kind": "status", "status": 400, "body": error}}])
    proxy = await cached([endpoint(provider)])

    async def status() -> tuple[int, Any]:
        async with http.post(f"{proxy.url}{PATH}", json=QUESTION) as reply:
            return reply.status, await reply.json()

    told = await asyncio.gather(*(status() for _ in range(20)))

    assert {code for code, _ in told} == {400}
    assert all(body == error for _, body in told)
    assert (await ask(http, proxy))[0] == "miss"


@pytest.mark.parametrize("kind", ["reset", "no_done"])
async def test_a_cut_stream_is_never_stored(
    start_provider: StartProvider, cached: StartCached, http: aiohttp.ClientSession, kind: str
) -> None:
    provider = await start_provider()
    action = {"kind": "reset", "when": "mid_stream", "after_events": 4} if kind == "reset" else {"kind": "no_done"}
    provider.set_faults([{"times": 1, "action": action}])
    proxy = await cached([endpoint(provider)], {"cooldown_time": 0.1})
    broken = await ask(http, proxy, stream=True)
    whole = await ask(http, proxy, stream=True)

    assert (broken[0], whole[0]) == ("miss", "miss")
    assert b"[DONE]" in whole[1]


async def test_an_answer_cut_by_its_length_is_never_stored(
    start_provider: StartProvider, cached: StartCached, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    proxy = await cached([endpoint(provider)])
    states = [(await ask(http, proxy, max_tokens=2, stream=stream))[0] for stream in (False, False, True, True)]

    assert states == ["miss"] * 4


async def test_one_entry_serves_whole_and_streamed_alike(
    start_provider: StartProvider, cached: StartCached, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    proxy = await cached([endpoint(provider)])
    async with AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="client") as client:
        whole = await client.chat.completions.create(**QUESTION)
        async with client.chat.completions.stream(**QUESTION) as stream:
            streamed = await stream.get_final_completion()
        async with client.chat.completions.stream(**QUESTION, seed=7, stream_options={"include_usage": True}) as stream:
            first = await stream.get_final_completion()
        second = await client.chat.completions.create(**QUESTION, seed=7)

    assert streamed.choices[0].message.content == whole.choices[0].message.content
    assert (second.id, second.choices[0].message.content) == (first.id, first.choices[0].message.content)
    assert second.usage is not None
    assert first.usage is not None
    assert second.usage.total_tokens == first.usage.total_tokens
    assert provider.counts().received == 2


async def test_entries_end_after_their_time_to_live(
    start_provider: StartProvider, cached: StartCached, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    proxy = await cached([endpoint(provider)], ttl=0.4)
    await ask(http, proxy)
    await asyncio.sleep(0.6)

    assert (await ask(http, proxy))[0] == "miss"


async def test_the_status_page_counts_and_the_log_says_where_answers_came_from(
    start_provider: StartProvider, cached: StartCached, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    proxy = await cached([endpoint(provider)])
    await ask(http, proxy)
    await ask(http, proxy)
    await ask(http, proxy, temperature=1)
    async with http.get(f"{proxy.url}/status") as reply:
        cache = (await reply.json())["stores"]["cache"]

    assert cache["requests"] == {"bypass": 1, "miss": 1, "refresh": 0, "hit": 1, "shared": 0}
    assert cache["store"]["state"] == "ok"
    await eventually(lambda: len(proxy.log()) == 3)
    assert [line["cache"] for line in proxy.log()] == ["miss", "hit", "bypass"]
    assert [line["group"] for line in proxy.log()] == ["gpt"] * 3


async def test_the_aiohttp_client_of_the_sdk_is_served_alike(
    start_provider: StartProvider, cached: StartCached
) -> None:
    provider = await start_provider()
    proxy = await cached([endpoint(provider)])
    async with AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="c", http_client=DefaultAioHttpClient()) as client:
        answers = [(await client.chat.completions.create(**QUESTION)).to_json() for _ in range(2)]

    assert answers[0] == answers[1]


ASKED: dict[str, Any] = {"model": "gpt", "temperature": 0, "input": "Hello", "store": False}


async def test_a_response_that_is_not_stored_is_cached_and_its_stream_serves_both_shapes(
    start_provider: StartProvider, cached: StartCached
) -> None:
    provider = await start_provider()
    proxy = await cached([endpoint(provider)])
    async with AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="client") as client:
        replies = [await client.responses.with_raw_response.create(**ASKED) for _ in range(2)]
        seen = []
        for _ in range(2):
            async with client.responses.stream(**{**ASKED, "input": "Bye"}) as stream:
                seen.append([event async for event in stream])
                final = await stream.get_final_response()
        whole = await client.responses.with_raw_response.create(**{**ASKED, "input": "Bye"})

    assert [reply.headers["x-llmproxy-cache"] for reply in replies] == ["miss", "hit"]
    assert replies[0].content == replies[1].content
    assert seen[0] == seen[1]
    assert whole.headers["x-llmproxy-cache"] == "hit"
    assert (whole.parse().id, whole.parse().output_text) == (final.id, final.output_text)
    assert provider.counts().received == 2


@pytest.mark.parametrize(
    "changes", [{"store": True}, {"store": None}, {"temperature": 0.7}, {"tools": [{"type": "web_search"}]}]
)
async def test_a_response_that_is_stored_or_sees_the_world_is_never_cached(
    start_provider: StartProvider, cached: StartCached, http: aiohttp.ClientSession, changes: dict[str, Any]
) -> None:
    provider = await start_provider()
    proxy = await cached([endpoint(provider)])
    states = []
    for stream in (False, False, True, True):
        body = {**ASKED, **changes, "stream": stream}
        async with http.post(f"{proxy.url}/v1/responses", json=body) as reply:
            await reply.read()
            states.append((reply.status, reply.headers["x-llmproxy-cache"]))

    assert states == [(200, "bypass")] * 4
    assert provider.counts().received == 4


async def test_embeddings_and_moderations_are_cached_whatever_is_said_of_temperature(
    start_provider: StartProvider, cached: StartCached
) -> None:
    provider = await start_provider()
    proxy = await cached([endpoint(provider)])
    async with AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="client") as client:
        vectors = [await client.embeddings.with_raw_response.create(model="gpt", input=["a", "b"]) for _ in range(2)]
        floats = await client.embeddings.create(model="gpt", input=["a", "b"], encoding_format="float")
        verdicts = [await client.moderations.with_raw_response.create(model="gpt", input="a") for _ in range(2)]

    for first, second in (vectors, verdicts):
        assert (first.headers["x-llmproxy-cache"], second.headers["x-llmproxy-cache"]) == ("miss", "hit")
        assert first.content == second.content
    assert vectors[1].parse().data[1].embedding == pytest.approx(floats.data[1].embedding)
    assert provider.counts().received == 3


async def test_the_older_completions_are_cached_and_one_entry_serves_both_shapes(
    start_provider: StartProvider, cached: StartCached
) -> None:
    provider = await start_provider()
    proxy = await cached([endpoint(provider)])
    async with AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="client") as client:
        asked: dict[str, Any] = {"model": "gpt", "prompt": "Once", "temperature": 0}
        whole = await client.completions.create(**asked)
        async with await client.completions.create(**asked, stream=True) as stream:
            pieces = [chunk.choices[0].text async for chunk in stream]

    assert "".join(pieces) == whole.choices[0].text
    assert provider.counts().received == 1
