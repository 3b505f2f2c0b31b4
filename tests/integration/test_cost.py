"""Prices over the composed proxy: sums are those of the providers' own books, and beside them is what is not known."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from simulator import ProviderSettings, SimulatedProvider
from simulator.faults.rules import Rule, Status
from tests.contracts.scripted_server import Peer, ScriptedServer, reply
from tests.integration.composed import Composed, composed
from tests.integration.harness import config, endpoint
from tests.integration.raw_http import JSON
from tests.integration.scraped import scrape, values

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANSWER_TOKENS = 7
CHEAP = {"input": 0.15, "cached_input": 0.075, "output": 0.6}
DEAR = {"input": 2.5, "cached_input": 1.25, "cache_write": 3.125, "output": 10}
DETAILS = b'"prompt_tokens_details":{"cached_tokens":600,"cache_write_tokens":300}'
CACHING = (
    b'{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1000,"completion_tokens":50,' + DETAILS + b"}}"
)


def body(text: str = "hi", **fields: Any) -> bytes:
    return json.dumps({"model": "gpt", "messages": [{"role": "user", "content": text}], **fields}).encode()


async def ask(proxy: Composed, sent: bytes, path: str = "/v1/chat/completions") -> Decimal | None:
    """The cost that the reply says."""
    told = await proxy.ask("POST", path, JSON, body=sent)
    assert told.status == 200
    cost = told.one("x-llmproxy-cost")
    return None if cost is None else Decimal(cost)


async def cost(proxy: Composed) -> dict[str, Any]:
    """Of the whole proxy."""
    status: dict[str, Any] = json.loads((await proxy.ask("GET", "/status")).body)
    assert status["currency"] == "USD"
    assert "canary" not in json.dumps(status)
    found: dict[str, Any] = status["cost"]
    return found


async def endpoint_costs(proxy: Composed) -> dict[str, dict[str, Any]]:
    status = json.loads((await proxy.ask("GET", "/status")).body)
    return {each["id"]: each["cost"] for group in status["groups"] for each in group["endpoints"]}


def books(provider: SimulatedProvider, price: dict[str, float], *, only_kept: bool = False) -> Fraction:
    """What the provider bills for what it has answered and said the usage of: by its own records and its own rule of
    counting. `only_kept`: of what a cache may keep."""
    total = Fraction(0)
    for record in provider.records:
        sent = record.json()
        tells = not record.stream or sent.get("stream_options", {}).get("include_usage", False)
        if record.status == 200 and tells and not (only_kept and sent["temperature"]):
            output = min(sent.get("max_tokens", ANSWER_TOKENS), ANSWER_TOKENS)
            total += max(1, len(record.body) // 4) * Fraction(str(price["input"]))
            total += output * Fraction(str(price["output"]))
    return total / 1_000_000


@pytest_asyncio.fixture(loop_scope="module")
async def provider() -> AsyncIterator[SimulatedProvider]:
    async with SimulatedProvider(ProviderSettings(name="a", answer_tokens=ANSWER_TOKENS)) as running:
        yield running


async def test_sums_are_those_of_the_providers_books(tmp_path: Path, provider: SimulatedProvider) -> None:
    async with SimulatedProvider(ProviderSettings(name="b", answer_tokens=ANSWER_TOKENS)) as other:
        models = [endpoint(provider, id="dear", price=DEAR), endpoint(other, id="cheap", price=CHEAP, weight=2)]
        async with composed(tmp_path, config(models)) as proxy:
            said = Decimal(0)
            for number in range(40):
                sent = body("x" * number * 13, max_tokens=3 + number % 7)
                if number % 4 == 0:
                    sent = body("y" * number, stream=True, stream_options={"include_usage": True})
                said += await ask(proxy, sent) or 0
            whole, by_endpoint = await cost(proxy), await endpoint_costs(proxy)
            metrics = values(await scrape(proxy), "llmproxy_cost_total", "group", "endpoint")
            baseline = sum(values(await scrape(proxy), "llmproxy_baseline_cost_total").values())

        billed = {"dear": books(provider, DEAR), "cheap": books(other, CHEAP)}
        total, at_baseline = sum(billed.values()), books(provider, DEAR) + books(other, DEAR)
        assert {name: each["spent"] for name, each in by_endpoint.items()} == {n: float(b) for n, b in billed.items()}
        assert metrics == {("gpt", name): float(each) for name, each in billed.items()}
        assert whole["spent"] == float(total) and 0 < said < whole["spent"]
        assert whole["saved_by_routing"] == float(at_baseline - total) > 0
        assert round(baseline, 9) == round(float(at_baseline), 9)
        assert whole["replies"] == whole["priced_replies"] == len(provider.records) + len(other.records) == 40


@pytest.mark.parametrize("seed", range(3))
async def test_a_random_mix_comes_to_what_providers_bill_and_to_what_was_not_asked_of_them(
    tmp_path: Path, provider: SimulatedProvider, seed: int
) -> None:
    """Whole and streamed, with usage and without, refused and asked again, cached there, cached here, and shared."""
    dice, prompted = random.Random(seed), 0

    async def caching(peer: Peer) -> None:
        nonlocal prompted
        while True:
            await peer.request()
            prompted += 1
            await peer.send(reply(CACHING, JSON.decode()))

    def question(number: int) -> tuple[bytes, int]:
        fields: dict[str, Any] = {"temperature": dice.choice((0, 1))}
        if fields["temperature"]:  # what ends at a limit is not kept here
            fields["max_tokens"] = dice.randrange(2, 9)
        if dice.random() < 0.5:
            fields |= {"stream": True, "stream_options": {"include_usage": dice.random() < 0.7}}
        return body(f"{number}: {'x' * dice.randrange(400)}", **fields), 1 if fields["temperature"] else 3

    async with (
        SimulatedProvider(ProviderSettings(name="b", answer_tokens=ANSWER_TOKENS)) as other,
        ScriptedServer(caching) as server,
    ):
        other.set_faults([Rule(action=Status(503), every=4), Rule(action=Status(429), every=9)])
        models = [endpoint(provider, id="dear", price=DEAR), endpoint(other, id="cheap", price=CHEAP, weight=2)]
        small = [endpoint(server.url("/v1"), id="caching", price=DEAR)]
        settings = config(models, cache=True, allowed_fails=100)
        settings["model_groups"].append({"model_group": "small", "models": small})
        async with composed(tmp_path, settings) as proxy:
            asked = [question(number) for number in range(60)]
            for sent, times in asked:
                await asyncio.gather(*(ask(proxy, sent) for _ in range(times)))
                if times > 1:
                    await ask(proxy, sent)
                if dice.random() < 0.2:
                    await ask(
                        proxy, sent.replace(b'"gpt"', b'"small"').replace(b'"temperature": 0', b'"temperature": 1')
                    )
            whole, by_endpoint = await cost(proxy), await endpoint_costs(proxy)

        billed = {
            "dear": books(provider, DEAR),
            "cheap": books(other, CHEAP),
            "caching": prompted * Fraction("0.0024375"),
        }
        kept = [books(one, price, only_kept=True) for one, price in ((provider, DEAR), (other, CHEAP))]
        assert {name: each["spent"] for name, each in by_endpoint.items()} == {n: float(b) for n, b in billed.items()}
        assert whole["spent"] == float(sum(billed.values()))
        assert whole["saved_by_cache"] == float(3 * sum(kept)) > 0
        assert by_endpoint["cheap"]["saved_by_routing"] == float(books(other, DEAR) - books(other, CHEAP)) > 0
        assert whole["replies"] > whole["priced_replies"] and whole["hits"] > whole["priced_hits"] > 0
        assert any(record.status == 503 for record in other.records) and prompted


async def test_what_has_no_usage_or_no_price_is_in_no_sum_and_counted(
    tmp_path: Path, provider: SimulatedProvider
) -> None:
    models = [endpoint(provider, id="priced", price=CHEAP), endpoint(provider, id="unpriced", model="gpt-other")]
    async with composed(tmp_path, config(models)) as proxy:
        costs = [await ask(proxy, sent) for sent in (body(), body(), body(stream=True), body(stream=True))]
        whole, by_endpoint = await cost(proxy), await endpoint_costs(proxy)
        told = await scrape(proxy)

    assert [float(each) for each in costs if each is not None] == [whole["spent"]]
    assert (whole["replies"], whole["priced_replies"]) == (4, 1)
    assert by_endpoint["unpriced"]["spent"] == 0 and by_endpoint["unpriced"]["priced_replies"] == 0
    assert sum(values(told, "llmproxy_replies_total").values()) == 4
    assert sum(values(told, "llmproxy_priced_replies_total").values()) == 1
    assert values(told, "llmproxy_currency_info", "currency") == {("USD",): 1}


async def test_without_any_price_there_is_nothing(tmp_path: Path, provider: SimulatedProvider) -> None:
    async with composed(tmp_path, config([endpoint(provider)])) as proxy:
        assert await ask(proxy, body()) is None
        assert await cost(proxy) is None
        assert await endpoint_costs(proxy) == {"gpt/1": None}
        told = await scrape(proxy)

    assert not [sample.name for sample in told if "cost" in sample.name or "priced" in sample.name]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_hit_costs_nothing_and_saves_what_its_answer_had_cost(
    tmp_path: Path, provider: SimulatedProvider, stream: bool
) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    settings = config([endpoint(provider, price=DEAR)], cache=True)
    async with composed(tmp_path, settings) as proxy:
        sent = body(temperature=0, **options)
        costs = [await ask(proxy, sent) for _ in range(4)]
        whole = await cost(proxy)
        told = await scrape(proxy)

    once = float(books(provider, DEAR))
    assert len(provider.records) == 1
    assert costs == [None if stream else Decimal(repr(once)), None, None, None]
    assert (whole["spent"], whole["saved_by_cache"]) == (once, pytest.approx(3 * once, rel=1e-12))
    assert (whole["hits"], whole["priced_hits"], whole["replies"]) == (3, 3, 1)
    assert values(told, "llmproxy_priced_cache_hits_total", "endpoint") == {("gpt/1",): 3}


async def test_a_hit_of_an_answer_without_usage_is_counted_and_saves_nothing_known(
    tmp_path: Path, provider: SimulatedProvider
) -> None:
    async with composed(tmp_path, config([endpoint(provider, price=DEAR)], cache=True)) as proxy:
        for _ in range(3):
            await ask(proxy, body(temperature=0, stream=True))
        whole = await cost(proxy)

    assert (whole["hits"], whole["priced_hits"], whole["saved_by_cache"]) == (2, 0, 0)


async def test_after_a_failover_the_one_that_answered_is_paid(tmp_path: Path, provider: SimulatedProvider) -> None:
    async def broken(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(reply(b'{"error":{"message":"no"}}', JSON.decode(), status="503 No"))

    async with ScriptedServer(broken) as bad:
        models = [endpoint(bad.url("/v1"), id="bad", price=DEAR), endpoint(provider, id="good", price=CHEAP, weight=0)]
        async with composed(tmp_path, config(models)) as proxy:
            said = await ask(proxy, body())
            by_endpoint = await endpoint_costs(proxy)

    assert said == Decimal(repr(float(books(provider, CHEAP))))
    assert (by_endpoint["bad"]["replies"], by_endpoint["bad"]["spent"]) == (0, 0)
    assert by_endpoint["good"]["saved_by_routing"] == float(books(provider, DEAR) - books(provider, CHEAP))


async def test_cached_and_written_tokens_have_their_own_prices_and_ratio(tmp_path: Path) -> None:
    async def caching(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(reply(CACHING, JSON.decode()))

    async with (
        ScriptedServer(caching) as server,
        composed(tmp_path, config([endpoint(server.url("/v1"), price=DEAR)])) as proxy,
    ):
        said = await ask(proxy, body())
        whole = await cost(proxy)
        told = await scrape(proxy)

    # 100 of the rest, 600 cached, 300 written, 50 of output
    assert said == Decimal("0.0024375") and whole["spent"] == 0.0024375
    assert whole["cached_share"] == 0.6
    assert values(told, "llmproxy_cache_write_input_tokens_total", "endpoint") == {("gpt/1",): 300}


async def test_azure_and_responses_are_paid_alike(tmp_path: Path, provider: SimulatedProvider) -> None:
    azure = {"base_url": None, "azure_endpoint": provider.url, "api_version": "2024-10-21"}
    params = {key: value for key, value in azure.items() if value is not None}
    model = {"model": "gpt-sim", "price": DEAR, "params": {"api_key": "sk-canary-upstream-key", **params}}
    async with composed(tmp_path, config([model])) as proxy:
        said = await ask(proxy, body())
        spent = (await cost(proxy))["spent"]
        await ask(proxy, json.dumps({"model": "gpt", "input": "hi", "stream": True}).encode(), "/v1/responses")
        whole = await cost(proxy)

    assert said == Decimal(repr(spent)) and spent == float(books_of_first(provider))
    assert (whole["priced_replies"], whole["replies"]) == (2, 2) and whole["spent"] > spent


def books_of_first(provider: SimulatedProvider) -> Fraction:
    record = provider.records[0]
    tokens = max(1, len(record.body) // 4)
    return (tokens * Fraction(str(DEAR["input"])) + ANSWER_TOKENS * Fraction(DEAR["output"])) / 1_000_000


async def test_provisioned_capacity_is_told_apart_and_saves_what_tokens_would_cost(
    tmp_path: Path, provider: SimulatedProvider
) -> None:
    models = [
        endpoint(provider, id="reserved", price={"per_hour": 36.5}),
        endpoint("http://127.0.0.1:9/v1", id="by-token", weight=0, price=DEAR),
    ]
    async with composed(tmp_path, config(models)) as proxy:
        said = await ask(proxy, body())
        whole = await cost(proxy)
        told = await scrape(proxy)

    assert (said, whole["spent"], whole["per_hour"]) == (0, 0, 36.5)
    assert whole["saved_by_routing"] == float(books(provider, DEAR))
    assert values(told, "llmproxy_provisioned_cost_per_hour", "endpoint") == {("reserved",): 36.5}


async def test_the_baseline_may_be_chosen(tmp_path: Path, provider: SimulatedProvider) -> None:
    settings = config(
        [endpoint(provider, id="dear", price=DEAR), endpoint(provider, id="cheap", price=CHEAP, weight=0)]
    )
    settings["model_groups"][0]["price_baseline"] = "cheap"
    async with composed(tmp_path, settings) as proxy:
        await ask(proxy, body())
        whole = await cost(proxy)

    assert whole["saved_by_routing"] == float(books(provider, CHEAP) - books(provider, DEAR)) < 0
