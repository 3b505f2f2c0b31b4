"""Many dialogues over three accounts that share nothing: every turn must find the account that can go
on, also when the proxy has been restarted meanwhile, and when two replicas share the work."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import Any

import openai
import pytest

from simulator import SimulatedProvider
from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import Proxy, config, endpoint

DIALOGUES = 500 if os.environ.get("LLMPROXY_TEST_DEEP") else 60
AT_ONCE = 20
NAMES = ("alpha", "beta", "gamma")
KINDS = ("whole", "streamed", "conversation", "reasoning", "references")


class Site:
    """Where clients find the proxies; it can be rebuilt between two turns, when nobody is under way."""

    def __init__(self, proxies: list[Proxy], seed: int) -> None:
        self.dice = Random(seed)
        self.proxies = proxies
        self.clients: list[openai.AsyncOpenAI] = []
        self.calls = 0
        """How many requests were made."""
        self._under_way = 0
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Event()

    async def __aenter__(self) -> "Site":
        options: dict[str, Any] = {"api_key": "sk-client", "max_retries": 0, "timeout": 60}
        self.clients = [openai.AsyncOpenAI(base_url=f"{proxy.url}/v1", **options) for proxy in self.proxies]
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(client.close() for client in self.clients))

    async def turn(self, call: Callable[[openai.AsyncOpenAI], Any]) -> Any:
        """One call, through any of the proxies."""
        await self._open.wait()
        self._under_way += 1
        self._idle.clear()
        self.calls += 1
        try:
            return await call(self.dice.choice(self.clients))
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def restart(self) -> None:
        """End all proxies, and start them again."""
        self._open.clear()
        await self._idle.wait()
        await self.__aexit__()
        for proxy in self.proxies:
            await proxy.stop()
            await proxy.start()
        await self.__aenter__()
        self._open.set()


async def final(client: openai.AsyncOpenAI, **asked: Any) -> Any:
    """The response at the end of a stream."""
    events = [event async for event in await client.responses.create(stream=True, **asked)]
    last: Any = events[-1]
    assert last.type == "response.completed"
    return last.response


async def talk(site: Site, number: int) -> str:
    """One dialogue of two to five turns. Returns who had it; fails when that was more than one account."""
    kind = KINDS[number % len(KINDS)]
    asked: dict[str, Any] = {"model": "gpt", "input": f"hello {number}"}
    if kind == "conversation":
        made = await site.turn(lambda client: client.conversations.create())
        asked["conversation"] = made.id
    elif kind != "whole":
        asked |= {"include": ["reasoning.encrypted_content"], "store": kind != "reasoning"}
    said: list[Any] = [{"role": "user", "content": f"hello {number}"}]
    answerers: set[str] = set()
    for turn in range(site.dice.randint(2, 5)):
        streams = kind == "streamed" or (kind != "whole" and site.dice.random() < 0.5)

        async def ask(client: openai.AsyncOpenAI, asked: dict[str, Any] = asked, streams: bool = streams) -> Any:
            return await (final(client, **asked) if streams else client.responses.create(**asked))

        response = await site.turn(ask)
        answerers.add(response.output_text.partition("/")[0])
        question = {"role": "user", "content": f"turn {turn}"}
        if kind in ("whole", "streamed"):
            asked = asked | {"input": f"turn {turn}", "previous_response_id": response.id}
        elif kind == "conversation":
            asked = asked | {"input": f"turn {turn}"}
        else:
            references = [{"type": "item_reference", "id": item.id} for item in response.output]
            contents = [item.to_dict() for item in response.output]
            said += [*(references if kind == "references" else contents), question]
            asked = asked | {"input": said}
    (answerer,) = answerers
    return answerer


async def hold_dialogues(site: Site, half_way: Callable[[], Awaitable[None]] | None = None) -> Counter[str]:
    """All dialogues, so many at once. Returns how many each account had; fails at the first error of any."""
    left = iter(range(DIALOGUES))
    answerers: Counter[str] = Counter()

    async def hold() -> None:
        for number in left:
            answerers[await talk(site, number)] += 1

    async def interfere() -> None:
        if half_way is not None:
            while answerers.total() < DIALOGUES // 2:
                await asyncio.sleep(0.01)
            await half_way()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(hold())
        tasks.create_task(interfere())
    return answerers


@pytest.fixture
async def providers(start_provider: StartProvider) -> list[SimulatedProvider]:
    return [await start_provider(name=name, answer_tokens=2) for name in NAMES]


@pytest.fixture
async def models(providers: list[SimulatedProvider]) -> AsyncIterator[list[dict[str, Any]]]:
    yield [endpoint(provider) for provider in providers]
    failed = {status for provider in providers for status in provider.counts().by_status if status >= 500}
    assert not failed


@pytest.fixture
def shared(redis_url: str, redis_namespace: str) -> dict[str, Any]:
    """The general settings of proxies that share a Redis."""
    return {"redis_url": redis_url, "redis_timeout": 5, "cache_params": {"namespace": redis_namespace}}


def evenly(answerers: Counter[str]) -> bool:
    return sum(answerers.values()) == DIALOGUES and all(answerers[name] > DIALOGUES / 6 for name in NAMES)


def received(providers: list[SimulatedProvider]) -> int:
    return sum(provider.counts().received for provider in providers)


async def test_every_turn_goes_straight_to_the_account_that_can_go_on(
    providers: list[SimulatedProvider], models: list[dict[str, Any]], start_proxy: StartProxy
) -> None:
    async with Site([await start_proxy(config(models))], seed=1) as site:
        answerers = await hold_dialogues(site)

    assert evenly(answerers)
    assert received(providers) == site.calls


# Processes: what a proxy knew is gone with it, and what Redis says is not late because clients keep the loop busy.


async def test_dialogues_go_straight_on_after_a_restart_with_redis(
    providers: list[SimulatedProvider], models: list[dict[str, Any]], start_proxy: StartProxy, shared: dict[str, Any]
) -> None:
    async with Site([await start_proxy(config(models, **shared), process=True)], seed=2) as site:
        answerers = await hold_dialogues(site, site.restart)

    assert evenly(answerers)
    # Redis is not waited for: what it did not say in time is found by asking.
    assert received(providers) < site.calls * 1.1


async def test_replicas_with_one_redis_take_turns_in_dialogues(
    providers: list[SimulatedProvider], models: list[dict[str, Any]], start_proxy: StartProxy, shared: dict[str, Any]
) -> None:
    proxies = [await start_proxy(config(order, **shared), process=True) for order in (models, models[::-1])]
    async with Site(proxies, seed=3) as site:
        answerers = await hold_dialogues(site)

    assert evenly(answerers)
    # A turn may be faster than the news of the turn before it: then the account is found by asking.
    assert received(providers) < site.calls * 1.1


async def test_dialogues_go_on_after_a_restart_without_redis_by_asking(
    providers: list[SimulatedProvider], models: list[dict[str, Any]], start_proxy: StartProxy
) -> None:
    async with Site([await start_proxy(config(models), process=True)], seed=4) as site:
        answerers = await hold_dialogues(site, site.restart)

    assert evenly(answerers)
    assert received(providers) > site.calls
