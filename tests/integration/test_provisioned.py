"""Provisioned capacity over real HTTP: its 429s teach, the next tier takes the rest, and Azure's spillover is seen."""

import asyncio
from collections import Counter

import aiohttp

from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import Proxy, config, endpoint

QUESTION = {"model": "gpt", "messages": [{"role": "user", "content": "x" * 120}], "max_tokens": 16}


async def ask(http: aiohttp.ClientSession, proxy: Proxy) -> tuple[int, str]:
    async with http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION) as reply:
        await reply.read()
        return reply.status, reply.headers.get("x-llmproxy-endpoint", "")


async def test_once_it_was_refused_the_rest_goes_to_the_next_tier_without_a_429(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provisioned = await start_provider(header_style="ptu", tpm=30_000, latency_s=0.02)
    spare = await start_provider(latency_s=0.02)
    models = [endpoint(provisioned, id="ptu", capacity="provisioned"), endpoint(spare, id="payg", priority=1)]
    proxy = await start_proxy(config(models))

    answers: list[tuple[int, str]] = []
    for _ in range(30):
        answers += await asyncio.gather(*(ask(http, proxy) for _ in range(20)))

    assert Counter(status for status, _ in answers) == {200: 600}
    assert {"ptu", "payg"} == {name for _, name in answers}
    # It holds about eighty; those that were on their way when it was full are refused, and hardly any after that.
    assert provisioned.counts().received >= 80
    assert 1 <= provisioned.counts().limited <= 60
    async with http.get(f"{proxy.url}/status") as reply:
        first = (await reply.json())["groups"][0]["endpoints"][0]
    assert first["tokens"]["limit"] > 0 and first["tokens"]["remaining"] >= 0


async def test_what_azure_spilled_over_itself_keeps_nobody_away(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provisioned = await start_provider(header_style="ptu", tpm=6_000, spillover=True)
    spare = await start_provider()
    models = [endpoint(provisioned, id="ptu", capacity="provisioned", tpm=6_000), endpoint(spare, priority=1)]
    proxy = await start_proxy(config(models))

    answers = [await ask(http, proxy) for _ in range(60)]

    assert answers == [(200, "ptu")] * 60
    async with http.get(f"{proxy.url}/status") as reply:
        first = (await reply.json())["groups"][0]["endpoints"][0]
    assert first["tokens"]["remaining"] > 1_000, "it was charged what it took itself"


MIXED = ({"max_tokens": 8, "messages": [{"role": "user", "content": "x" * 6000}]}, {**QUESTION, "max_tokens": 300})
"""Long prompts with short answers, and the other way round: the first has about 1,500 tokens in and 8 out."""


async def ask_mixed(http: aiohttp.ClientSession, proxy: Proxy, number: int) -> int:
    async with http.post(f"{proxy.url}/v1/chat/completions", json={**QUESTION, **MIXED[number % 2]}) as reply:
        await reply.read()
        return reply.status


async def test_an_output_token_counts_for_four_input_tokens_there_and_here(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provisioned = await start_provider(
        header_style="ptu", tpm=600_000, output_token_ratio=4, answer_tokens=300, latency_s=0.02
    )
    spare = await start_provider(latency_s=0.02, answer_tokens=300)
    ptu = endpoint(provisioned, id="ptu", capacity="provisioned", output_token_ratio=4)
    proxy = await start_proxy(config([ptu, endpoint(spare, id="payg", priority=1)]))

    statuses: list[int] = []
    for _ in range(30):
        statuses += await asyncio.gather(*(ask_mixed(http, proxy, number) for number in range(20)))

    assert Counter(statuses) == {200: 600}
    assert spare.counts().received > 0
    # It holds about seventy of these; those that were on their way when it was full are refused, and few after that.
    assert provisioned.counts().received >= 70
    assert 1 <= provisioned.counts().limited <= 60


async def test_the_status_has_what_requests_took_in_input_tokens(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provisioned = await start_provider(header_style="ptu", tpm=10**9, output_token_ratio=4, answer_tokens=300)
    ptu = endpoint(provisioned, id="ptu", capacity="provisioned", output_token_ratio=4, tpm=6_000)
    proxy = await start_proxy(config([ptu]))

    assert [await ask_mixed(http, proxy, number) for number in range(4)] == [200] * 4

    async with http.get(f"{proxy.url}/status") as reply:
        tokens = (await reply.json())["groups"][0]["endpoints"][0]["tokens"]
    # Two prompts of 1,500 tokens, and two answers of 300 that count for 1,200 each; a hundred drain in a second.
    assert tokens["remaining"] < 2_000, "where each output token counted for one there would be 2,300"
