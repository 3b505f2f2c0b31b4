"""`GET /metrics`: what became of requests, in both formats and exactly; who may see it; no secret in it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client.samples import Sample

from adapters.metrics.table import METRICS
from tests.contracts.scripted_server import Peer, ScriptedServer, reply
from tests.integration.composed import Composed, composed
from tests.integration.harness import config, endpoint
from tests.integration.raw_http import JSON
from tests.integration.scraped import scrape, values

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENMETRICS = b"accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
CHAT = b'{"model":"gpt","messages":[{"role":"user","content":"canary-prompt"}]}'
STREAM = CHAT[:-1] + b',"stream":true}'
USAGE = b'"usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}'
ANSWER = b'{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}],' + USAGE + b"}"
BUSY = b'{"error":{"message":"canary-error","type":"server_error"}}'
EVENTS = (
    b'data: {"choices":[{"index":0,"delta":{"content":"h"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":"i"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],' + USAGE + b"}\n\ndata: [DONE]\n\n"
)
LIMITS = b"x-ratelimit-limit-requests: 100\r\nx-ratelimit-remaining-requests: 60\r\nx-ratelimit-reset-requests: 1h\r\n"


async def good(peer: Peer) -> None:
    while True:
        request = await peer.request()
        if b'"stream":true' in request.body.replace(b" ", b""):
            await peer.send(reply(EVENTS, "content-type: text/event-stream"))
        else:
            await peer.send(reply(ANSWER, JSON.decode(), *LIMITS.decode().split("\r\n")[:-1]))


async def bad(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.send(reply(BUSY, JSON.decode(), status="503 Busy"))


@pytest_asyncio.fixture(loop_scope="module")
async def proxy(tmp_path: Path) -> AsyncIterator[Composed]:
    async with ScriptedServer(good) as well, ScriptedServer(bad) as broken:
        models = [endpoint(broken.url("/v1"), id="broken"), endpoint(well.url("/v1"), id="well")]
        async with composed(tmp_path, config(models)) as running:
            yield running


def _steady(samples: list[Sample]) -> Mapping[tuple[Any, ...], float]:
    """What does not change from one scrape to the next."""
    moving = ("cpu_seconds", "resident", "open_files", "rate_limit_remaining", "connections", "cooldown_seconds")
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for sample in samples
        if not any(each in sample.name for each in moving)
    }


async def chat(proxy: Composed, body: bytes = CHAT) -> int:
    return (await proxy.ask("POST", "/v1/chat/completions", JSON, body=body)).status


async def test_it_tells_what_became_of_requests_attempts_and_tokens(proxy: Composed) -> None:
    for body in (CHAT, CHAT, STREAM, CHAT.replace(b'"gpt"', b'"canary-model"')):
        await chat(proxy, body)
    told = await scrape(proxy)

    assert values(told, "llmproxy_requests_total", "group", "endpoint", "api", "status") == {
        ("gpt", "well", "chat", "2xx"): 3,
        ("", "", "chat", "4xx"): 1,
    }
    assert values(told, "llmproxy_errors_total", "error_type") == {("client_unknown_model",): 1, ("_OTHER",): 0}
    assert values(told, "llmproxy_attempts_total", "group", "endpoint") == {("gpt", "broken"): 1, ("gpt", "well"): 3}
    assert values(told, "llmproxy_attempt_failures_total", "endpoint", "kind") == {("broken", "server_error"): 1}
    assert values(told, "llmproxy_cooldowns_total", "endpoint") == {("broken",): 1, ("well",): 0}
    assert values(told, "llmproxy_endpoint_up", "endpoint") == {("broken",): 0, ("well",): 1}
    assert values(told, "llmproxy_retries_total", "group") == values(told, "llmproxy_failovers_total", "group")
    assert values(told, "llmproxy_failovers_total", "group") == {("gpt",): 1}
    assert values(told, "llmproxy_input_tokens_total", "endpoint")["well",] == 30
    assert values(told, "llmproxy_cached_input_tokens_total", "endpoint")["well",] == 12
    assert values(told, "llmproxy_output_tokens_total", "endpoint")["well",] == 15
    assert values(told, "llmproxy_rate_limit", "resource") == {("requests",): 100}
    remaining = values(told, "llmproxy_rate_limit_remaining", "endpoint", "resource")["well", "requests"]
    assert 55 <= remaining <= 60
    assert values(told, "llmproxy_workers") == values(told, "llmproxy_worker_starts_total") == {(): 1}
    assert values(told, "llmproxy_in_flight_requests") == {(): 0}
    assert values(told, "llmproxy_build_info", "version").keys() == {("0.1.0",)}


async def test_histograms_count_each_request_once(proxy: Composed) -> None:
    for body in (CHAT, CHAT, STREAM):
        await chat(proxy, body)
    told = await scrape(proxy)

    for name, times in (("request_duration", 3), ("first_byte_duration", 3), ("overhead_duration", 3)):
        assert values(told, f"llmproxy_{name}_seconds_count", "group", "api") == {("gpt", "chat"): times}
        (total,) = values(told, f"llmproxy_{name}_seconds_sum").values()
        assert 0 < total < 60
    assert values(told, "llmproxy_time_to_first_token_seconds_count", "group") == {("gpt",): 1}
    between = values(told, "llmproxy_time_between_tokens_seconds_count", "endpoint")
    assert between == {("well",): 1}
    buckets = values(told, "llmproxy_request_duration_seconds_bucket", "le")
    assert list(buckets.values()) == sorted(buckets.values())


async def test_both_formats_say_the_same_and_all_that_is_in_the_table(proxy: Composed) -> None:
    await chat(proxy)
    plain, other = _steady(await scrape(proxy)), _steady(await scrape(proxy, OPENMETRICS))

    assert plain == other and len(plain) > 40
    text = (await proxy.ask("GET", "/metrics")).body.decode()
    assert {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")} == {m.name for m in METRICS}


@pytest.mark.parametrize("accept", [b"*/*", b"text/plain;version=1.0.0", b"text/plain;version=0.0.4"])
async def test_no_parameter_of_the_type_comes_twice_as_prometheus_takes_none_that_does(
    proxy: Composed, accept: bytes
) -> None:
    for method in ("GET", "HEAD"):
        told = (await proxy.ask(method, "/metrics", b"accept: " + accept)).one("content-type") or ""
        media_type, *parameters = (part.strip() for part in told.split(";"))
        names = [each.partition("=")[0] for each in parameters]
        assert media_type == "text/plain" and {"version", "charset"} <= set(names)
        assert len(names) == len(set(names)), told


async def test_what_is_not_read_as_a_request_counts_too(proxy: Composed) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"GARBAGE\r\n\r\n")
    await reader.read()
    writer.close()

    assert values(await scrape(proxy), "llmproxy_errors_total", "error_type")["client_invalid_request",] == 1


async def test_asking_for_metrics_counts_for_nothing_and_head_is_answered(proxy: Composed) -> None:
    head = await proxy.ask("HEAD", "/metrics")
    for _ in range(3):
        await scrape(proxy)

    assert (head.status, head.body) == (200, b"")
    assert values(await scrape(proxy), "llmproxy_requests_total") == {}
    assert (await proxy.ask("POST", "/metrics", JSON, body=b"{}")).status == 405
    assert not [line for line in proxy.requests() if line["path"] == "/metrics" and line["status"] == 200]


async def test_no_foreign_name_or_page_gets_it(proxy: Composed) -> None:
    assert (await proxy.ask("GET", "/metrics", host="evil.example")).status == 403
    assert (await proxy.ask("GET", "/metrics", b"origin: https://evil.example")).status == 403


@pytest.mark.parametrize(
    ("metrics", "without", "with_key"), [("loopback", 200, 200), ("keys", 401, 200), ("open", 200, 200)]
)
async def test_the_setting_says_who_gets_it(tmp_path: Path, metrics: str, without: int, with_key: int) -> None:
    settings = config([endpoint("http://127.0.0.1:9/v1")], api_keys=["k"], metrics=metrics)
    async with composed(tmp_path, settings) as proxy:
        assert (await proxy.ask("GET", "/metrics")).status == without
        assert (await proxy.ask("GET", "/metrics", b"authorization: Bearer k")).status == with_key
        foreign = await proxy.ask("GET", "/metrics", host="rebound.example")
        assert foreign.status == {"loopback": 403, "keys": 401, "open": 200}[metrics]
