"""Prompt-cache affinity, seen from outside: a key's requests meet at one endpoint while it can serve."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

import aiohttp

from simulator import SimulatedProvider
from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import Proxy, config, endpoint

CHAT = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
RESPONSE = {"model": "gpt", "input": "Hello", "store": False}
KEYS = [f"conversation-{number}" for number in range(60)]
WEIGHTS = {"a": 2, "b": 1, "c": 1}


def with_affinity(providers: dict[str, SimulatedProvider], names: str = "abc", **general: Any) -> dict[str, Any]:
    """A group of the providers in the order of `names`, weights 2:1:1."""
    models = [endpoint(providers[name], id=name, weight=WEIGHTS[name]) for name in names]
    settings = config(models, **general)
    settings["model_groups"][0]["affinity"] = "prompt_cache_key"
    return settings


async def three(start_provider: StartProvider, **settings: Any) -> dict[str, SimulatedProvider]:
    return {name: await start_provider(name=name, **settings) for name in WEIGHTS}


async def ask(http: aiohttp.ClientSession, proxy: Proxy, path: str = "chat/completions", **body: Any) -> str:
    """The endpoint that answered."""
    question = CHAT if path == "chat/completions" else RESPONSE
    async with http.post(f"{proxy.url}/v1/{path}", json={**question, **body}) as reply:
        text = await reply.text()
        assert reply.status == 200, text
        return reply.headers["x-llmproxy-endpoint"]


async def owners(http: aiohttp.ClientSession, proxy: Proxy, keys: Iterable[str] = KEYS, **body: Any) -> dict[str, str]:
    """Where each key's request went, one after the other and so by no luck of a moment."""
    return {key: await ask(http, proxy, prompt_cache_key=key, **body) for key in keys}


async def test_each_key_stays_on_one_endpoint_by_weight_on_every_replica_and_whatever_it_asks(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    providers = await three(start_provider)
    proxy, replica = [await start_proxy(with_affinity(providers, names)) for names in ("abc", "cab")]

    first = await owners(http, proxy)
    counted = Counter(first.values())

    assert set(counted) == {"a", "b", "c"}
    assert 12 <= counted["a"] <= 48
    assert await owners(http, proxy, stream=True) == first
    assert await owners(http, proxy, path="responses") == first
    assert await owners(http, replica) == first


async def test_the_users_identifier_is_the_key_where_there_is_none_and_without_either_weights_decide(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    proxy = await start_proxy(with_affinity(await three(start_provider)))
    first = await owners(http, proxy, KEYS[:10])

    by_identifier = {key: await ask(http, proxy, safety_identifier=key, user="other") for key in KEYS[:10]}
    by_user = {key: await ask(http, proxy, user=key) for key in KEYS[:10]}
    by_weight = Counter([await ask(http, proxy, prompt_cache_key=None, user=7) for _ in range(40)])

    assert by_identifier == by_user == first
    assert by_weight == {"a": 20, "b": 10, "c": 10}


async def test_a_session_named_by_a_header_is_the_key_of_a_body_without_one(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    proxy = await start_proxy(with_affinity(await three(start_provider)))
    first = await owners(http, proxy, KEYS[:10])

    for key in KEYS[:10]:
        async with http.post(f"{proxy.url}/v1/responses", json=RESPONSE, headers={"session_id": key}) as reply:
            assert reply.headers["x-llmproxy-endpoint"] == first[key]


async def test_the_keys_of_an_owner_that_cools_move_and_no_others(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    providers = await three(start_provider)
    proxy = await start_proxy(with_affinity(providers, cooldown_time=600))
    before = await owners(http, proxy)
    providers["a"].set_faults([{"times": 1, "action": {"kind": "status", "status": 503}}])
    moved = next(key for key, owner in before.items() if owner == "a")

    rescued = await ask(http, proxy, prompt_cache_key=moved)
    during = await owners(http, proxy)

    assert during[moved] == rescued
    assert "a" not in during.values()
    assert all(during[key] == owner for key, owner in before.items() if owner != "a")
    assert {during[key] for key, owner in before.items() if owner == "a"} == {"b", "c"}


async def test_keys_come_back_to_an_owner_that_recovers(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    providers = await three(start_provider)
    proxy = await start_proxy(with_affinity(providers, cooldown_time=1))
    before = await owners(http, proxy)
    providers["a"].set_faults([{"times": 1, "action": {"kind": "status", "status": 503}}])
    moved = next(key for key, owner in before.items() if owner == "a")
    await ask(http, proxy, prompt_cache_key=moved)

    async with asyncio.timeout(20):
        while await ask(http, proxy, prompt_cache_key=moved) != "a":
            await asyncio.sleep(0.05)

    assert await owners(http, proxy) == before


async def test_a_full_owner_spills_to_the_second_choice_instead_of_waiting_and_is_back_when_it_has_room(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    providers = await three(start_provider, rpm=60)
    proxy = await start_proxy(with_affinity(providers, max_wait=0))
    owner = await ask(http, proxy, prompt_cache_key="busy")

    served = Counter(await asyncio.gather(*(ask(http, proxy, prompt_cache_key="busy") for _ in range(90))))
    second = next(name for name in served if name != owner)

    assert len(served) == 2
    assert served[owner] >= 40
    assert served[second] >= 20
    assert sum(provider.counts().limited for provider in providers.values()) == 0
    async with asyncio.timeout(30):
        while await ask(http, proxy, prompt_cache_key="busy") != owner:
            await asyncio.sleep(0.5)
