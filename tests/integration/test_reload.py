"""A changed configuration is taken over: what was under way ends, what is known stays, and nothing is left behind."""

import asyncio
import gc
import logging
import os
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from adapters.http.app import App
from entrypoints.container import Container
from tests.integration.composed import Composed
from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import config, endpoint, eventually

RELOADS = 1000 if os.environ.get("LLMPROXY_TEST_DEEP") else 200
QUESTION = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
KEY = {"authorization": "Bearer sk-proxy-1"}


async def ask(http: aiohttp.ClientSession, proxy: Composed, **changes: Any) -> tuple[int, Any, dict[str, str]]:
    async with http.post(f"{proxy.url}/v1/chat/completions", json={**QUESTION, **changes}) as reply:
        return reply.status, await reply.json(), {k.lower(): v for k, v in reply.headers.items()}


async def ask_many(http: aiohttp.ClientSession, proxy: Composed, count: int) -> list[dict[str, str]]:
    """One after the other; the headers of their replies. Fails unless all are answered 200."""
    answers = [await ask(http, proxy) for _ in range(count)]
    assert {status for status, _, _ in answers} == {200}
    return [headers for _, _, headers in answers]


async def started(start_proxy: StartProxy, settings: Any) -> Composed:
    proxy = await start_proxy(settings)
    assert isinstance(proxy, Composed)
    return proxy


def shown(proxy: Composed, number: int = 0) -> Any:
    """An endpoint of the first group, as the status shows it."""
    return proxy.container.report()(0).groups[0].endpoints[number]


async def test_streams_that_are_open_end_at_an_endpoint_that_has_gone_and_new_requests_go_to_the_new_one(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    before = await start_provider(name="before", tokens_per_second=40, answer_tokens=40)
    after = await start_provider(name="after")
    proxy = await started(start_proxy, config([endpoint(before, id="old")], max_wait=0))

    async def stream() -> bytes:
        async with http.post(
            f"{proxy.url}/v1/chat/completions", json={**QUESTION, "stream": True, "max_tokens": 40}
        ) as reply:
            first = await reply.content.readany()
            opened.release()
            return first + await reply.read()

    opened = asyncio.Semaphore(0)
    streams = [asyncio.create_task(stream()) for _ in range(3)]
    for _ in streams:
        await opened.acquire()
    proxy.reload(config([endpoint(after, id="new")], max_wait=5))

    for _ in range(2):
        status, _, headers = await ask(http, proxy)
        assert (status, headers["x-llmproxy-endpoint"]) == (200, "new")
    assert not any(each.done() for each in streams)
    for text in await asyncio.gather(*streams):
        assert text.endswith(b"data: [DONE]\n\n")
        assert text.count(b'"content"') > 30
    assert (before.counts().received, after.counts().received) == (3, 2)


async def test_a_changed_weight_takes_effect_and_the_place_in_the_file_does_not_matter(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    one, two = await start_provider(name="one"), await start_provider(name="two")
    proxy = await started(start_proxy, config([endpoint(one), endpoint(two)]))
    await ask_many(http, proxy, 8)

    proxy.reload(config([endpoint(two, weight=1), endpoint(one, weight=3)]))
    replies = await ask_many(http, proxy, 40)

    assert Counter(headers["x-llmproxy-endpoint"] for headers in replies) == {"gpt/1": 10, "gpt/2": 30}
    assert [shown(proxy, n).attempts for n in (0, 1)] == [4 + 10, 4 + 30]
    assert [shown(proxy, n).recent.attempts for n in (0, 1)] == [14, 34]  # counts are by id, as those of /metrics
    assert one.counts().received == 34


async def test_an_endpoint_that_rests_goes_on_resting_and_comes_back_in_time_under_another_id_and_key_or_not(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    ill, well = await start_provider(name="ill"), await start_provider(name="well")
    ill.set_faults([{"action": {"kind": "status", "status": 503}}])
    proxy = await started(start_proxy, config([endpoint(ill), endpoint(well)], cooldown_time=60))
    await ask_many(http, proxy, 4)
    assert shown(proxy).state == "cooling"
    cooling_s, received = shown(proxy).cooling_s, ill.counts().received

    proxy.reload(config([endpoint(well), endpoint(ill, id="renamed")], cooldown_time=90))
    assert shown(proxy, 1).state == "cooling"
    assert 0 < shown(proxy, 1).cooling_s <= cooling_s
    assert "503" in shown(proxy, 1).why
    await ask_many(http, proxy, 4)
    assert ill.counts().received == received

    proxy.reload(config([endpoint(well), endpoint(ill, id="renamed", params={"api_key": "sk-another"})]))
    assert shown(proxy, 1).state == "closed"
    await ask_many(http, proxy, 4)
    assert ill.counts().received > received


async def test_a_429_that_runs_goes_on_also_with_another_rpm(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    full, free = await start_provider(name="full"), await start_provider(name="free")
    full.set_faults([{"times": 1, "action": {"kind": "status", "status": 429, "headers": {"retry-after": "50"}}}])
    proxy = await started(start_proxy, config([endpoint(full), endpoint(free)]))
    await ask_many(http, proxy, 2)
    assert shown(proxy).clock_s > 40

    for rpm in (None, 600, 60):
        proxy.reload(config([endpoint(full, **({"rpm": rpm} if rpm else {})), endpoint(free)]))
        assert shown(proxy).clock_s > 40
        if rpm is not None:
            assert shown(proxy).requests.limit == rpm
        await ask_many(http, proxy, 3)
    assert full.counts().received == 1


async def test_room_that_comes_free_in_one_configuration_lets_those_go_who_wait_in_the_one_before(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    settings = config([endpoint(provider, rpm=2)], max_wait=60)
    proxy = await started(start_proxy, settings)
    await ask_many(http, proxy, 2)
    waiting = [asyncio.create_task(ask(http, proxy)) for _ in range(2)]
    await asyncio.sleep(0.1)
    assert proxy.container.waiting().waiting("gpt") == 2

    proxy.reload(config([endpoint(provider, rpm=6000)], max_wait=60))

    assert [status for status, _, _ in await asyncio.gather(*waiting)] == [200, 200]


async def test_keys_groups_and_bounds_are_those_of_the_new_configuration_at_once_on_open_connections(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    proxy = await started(start_proxy, config([endpoint(provider)], api_keys=["sk-proxy-1"]))
    async with http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION, headers=KEY) as reply:
        assert reply.status == 200

    general = {"api_keys": ["sk-proxy-2"], "max_body_bytes": 2000, "max_held_bytes": 5000, "drain_timeout": 7}
    proxy.reload(config([endpoint(provider)], group="other", log_level="debug", **general))
    assert proxy.container.held().max_bytes == 5000
    assert proxy.container.in_flight().drain_timeout_s == 7
    assert proxy.container.logger().level == logging.DEBUG

    url, key = f"{proxy.url}/v1/chat/completions", {"authorization": "Bearer sk-proxy-2"}
    async with http.post(url, json=QUESTION, headers=KEY) as reply:
        assert reply.status == 401
    async with http.post(url, json=QUESTION, headers=key) as reply:
        assert reply.status == 404
    async with http.post(url, json={**QUESTION, "model": "other"}, headers=key) as reply:
        assert reply.status == 200
    async with http.post(url, json={**QUESTION, "model": "other", "user": "x" * 3000}, headers=key) as reply:
        assert reply.status == 413
    async with http.get(f"{proxy.url}/status", headers=key) as reply:
        told = await reply.json()
    assert told["proxy"]["generation"] == 2
    assert told["groups"][0]["recent"]["requests"] == 1


async def test_cached_answers_and_the_owners_of_responses_stay(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    one, two = await start_provider(name="one"), await start_provider(name="two")
    models = [endpoint(one), endpoint(two, params={"api_key": "sk-two"})]
    proxy = await started(start_proxy, config(models, cache=True))
    assert (await ask(http, proxy, temperature=0, max_tokens=99))[2]["x-llmproxy-cache"] == "miss"
    async with http.post(f"{proxy.url}/v1/responses", json={"model": "gpt", "input": "Hello"}) as reply:
        made = await reply.json()
        owner = reply.headers["x-llmproxy-endpoint"]

    proxy.reload(config(list(reversed(models)), cache=True))

    assert (await ask(http, proxy, temperature=0, max_tokens=99))[2]["x-llmproxy-cache"] == "hit"
    async with http.get(f"{proxy.url}/v1/responses/{made['id']}") as reply:
        assert reply.status == 200
        assert reply.headers["x-llmproxy-endpoint"] != owner  # the same endpoint, now in the other place
        assert reply.headers["x-llmproxy-attempts"] == "1"
    counts = proxy.container.report()(0).stores.cache.requests
    assert (counts["hit"], counts["miss"]) == (1, 1)

    others = [model for model, name in zip(models, ("gpt/1", "gpt/2"), strict=True) if name != owner]
    proxy.reload(config(others, cache=True))
    async with http.get(f"{proxy.url}/v1/responses/{made['id']}") as reply:
        assert reply.status == 404


async def test_what_is_in_redis_stays_and_so_do_the_connections_there(
    start_provider: StartProvider,
    start_proxy: StartProxy,
    http: aiohttp.ClientSession,
    redis_url: str,
    redis_namespace: str,
) -> None:
    provider = await start_provider()
    general = {"redis_url": redis_url, "redis_timeout": 5, "cache_params": {"namespace": redis_namespace}}
    proxy = await started(start_proxy, config([endpoint(provider)], **general))
    gate = proxy.container.shared_gate()

    proxy.reload(config([endpoint(provider)], cache=True, num_retries=1, **general))
    assert proxy.container.shared_gate() is proxy.container.cache_gate() is gate
    assert (await ask(http, proxy, temperature=0, max_tokens=99))[2]["x-llmproxy-cache"] == "miss"
    proxy.reload(config([endpoint(provider, weight=2)], cache=True, **general))
    await eventually(lambda: gate.health().state == "ok")
    assert (await ask(http, proxy, temperature=0, max_tokens=99))[0] == 200
    assert provider.counts().received <= 2  # one, unless Redis took longer than it may


async def test_connections_to_providers_are_kept_and_made_anew_where_they_would_be_others(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    proxy = await started(start_proxy, config([endpoint(provider)]))
    for changes in ({}, {"num_retries": 1}, {"max_wait": 1}):
        proxy.reload(config([endpoint(provider)], **changes))
        await ask(http, proxy)
    assert len({record.connection for record in provider.records}) == 1

    client = proxy.container.client()
    proxy.reload(config([endpoint(provider)], max_connections=7))
    await ask(http, proxy)
    assert proxy.container.client() is not client
    assert len({record.connection for record in provider.records}) == 2


async def test_what_cannot_be_composed_changes_nothing(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = await start_provider()
    proxy = await started(start_proxy, config([endpoint(provider)]))
    states = dict(proxy.container.endpoint_states())

    with monkeypatch.context() as patched:
        patched.setattr(App, "__init__", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            proxy.reload(config([endpoint(provider, weight=5), endpoint(provider, model="x")], group="other"))
    proxy.generations.stay(proxy.generations.current.reloads().state.after_refusal("2 mistakes", 7.0))

    assert (await ask(http, proxy))[0] == 200
    assert proxy.container.endpoint_states() == states
    assert shown(proxy).weight == 1
    async with http.get(f"{proxy.url}/status") as reply:
        told = (await reply.json())["proxy"]
    assert (told["generation"], told["reload_refusal"], told["reload_refused_unix"]) == (1, "2 mistakes", 7)


@pytest.fixture
def frozen() -> Iterator[None]:
    """As in a worker: what was there before is not looked at in each collection."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen")
async def test_many_reloads_leave_nothing_behind(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    one = config([endpoint(provider)], cache=True)
    two = config([endpoint(provider, weight=2), endpoint(provider, model="m2")], group="other", stream_keepalive=1)
    proxy = await started(start_proxy, one)
    apps: list[weakref.ref[App]] = []
    containers: list[weakref.ref[Container]] = []
    tasks = len(asyncio.all_tasks())
    objects = []
    for number in range(RELOADS):
        apps.append(weakref.ref(proxy.container.app()))
        containers.append(weakref.ref(proxy.container))
        proxy.reload((two, one)[number % 2])
        if number % 50 == 1:
            assert (await ask(http, proxy))[0] == 200
        if number % (RELOADS // 10) == RELOADS // 10 - 1:
            gc.collect()
            objects.append(len(gc.get_objects()) - len(apps) - len(containers))

    # What the first was made of lives as long as the worker, and so does its application's lifespan.
    assert sum(each() is not None for each in apps) <= 1
    assert sum(each() is not None for each in containers) <= 1
    assert len(asyncio.all_tasks()) <= tasks + 2
    assert len(proxy.container.ledger()._own) == len(proxy.container.ledger()._charges._points) == 1
    assert max(objects[1:]) - min(objects[1:]) < 1000
