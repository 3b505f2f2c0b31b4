"""An endpoint that misbehaves beside one that works: the client sees one good answer, and never two."""

import asyncio
from typing import Any

import aiohttp
import openai
import pytest

from tests.free_port import free_port
from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import config, endpoint, eventually

QUESTION = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
QUICK = {"connect_timeout": 1, "first_byte_timeout": 1, "stream_idle_timeout": 1}
ERROR = {"error": {"message": "The server had an error", "type": "server_error", "param": None, "code": None}}

BEFORE_ANY_ANSWER: dict[str, dict[str, Any]] = {
    "hangs": {"kind": "hang", "when": "before_headers"},
    "resets before headers": {"kind": "reset", "when": "before_headers"},
    "closes before headers": {"kind": "close", "when": "before_headers"},
    "500": {"kind": "status", "status": 500},
    "502 HTML": {"kind": "status", "status": 502, "body": "<html>bad gateway</html>"},
    "redirect": {"kind": "redirect", "location": "http://127.0.0.1:9/elsewhere"},
    "junk": {"kind": "junk", "body": "<html>hello</html>"},
    "empty": {"kind": "empty"},
    "error inside a 200": {
        "kind": "raw",
        "headers": {"content-type": "application/json"},
        "chunks": ['{"error":{"message":"x"}}'],
    },
    "huge headers": {"kind": "huge_headers", "bytes": 300_000},
    "not HTTP": {"kind": "raw", "chunks": ["{"], "then": "close"},
}
WHOLE_ONLY: dict[str, dict[str, Any]] = {
    "resets mid-body": {"kind": "reset", "when": "mid_body"},
    "closes mid-body": {"kind": "close", "when": "mid_body"},
    "hangs mid-body": {"kind": "hang", "when": "mid_body"},
    "truncated": {"kind": "truncate"},
}
STREAM_ONLY: dict[str, dict[str, Any]] = {
    "error event first": {"kind": "stream_error", "after_events": 0},
    "error event after the role": {"kind": "stream_error", "after_events": 1},
    "resets after the role": {"kind": "reset", "when": "mid_stream", "after_events": 1},
    "closes after the role": {"kind": "close", "when": "mid_stream", "after_events": 1},
    "ends at once": {"kind": "raw", "headers": {"content-type": "text/event-stream"}, "chunks": [""]},
    "JSON without an answer for a stream": {
        "kind": "raw",
        "headers": {"content-type": "application/json"},
        "chunks": ['{"choices":null}'],
    },
}


def cases(*tables: dict[str, dict[str, Any]]) -> Any:
    rows = [pytest.param(action, id=name) for table in tables for name, action in table.items()]
    return pytest.mark.parametrize("action", rows)


@cases(BEFORE_ANY_ANSWER, WHOLE_ONLY)
async def test_a_whole_answer_comes_from_the_endpoint_that_works(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, action: dict[str, Any]
) -> None:
    sick, well = await start_provider(name="sick"), await start_provider(name="well")
    sick.set_faults([{"action": action}])
    proxy = await start_proxy(config([endpoint(sick), endpoint(well)], **QUICK))

    async with http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION) as reply:
        answer = await reply.json()

    assert reply.status == 200
    assert answer["choices"][0]["message"]["content"].startswith("well/")
    assert reply.headers["x-llmproxy-attempts"] == "2"
    assert reply.headers["x-llmproxy-reasons"].startswith("gpt/1: ")
    await eventually(lambda: sick.counts().received)  # it may say what is not HTTP before it has read the request
    assert (sick.counts().received, well.counts().received) == (1, 1)


@cases(BEFORE_ANY_ANSWER, STREAM_ONLY)
async def test_a_stream_comes_whole_from_the_endpoint_that_works(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, action: dict[str, Any]
) -> None:
    sick, well = await start_provider(name="sick"), await start_provider(name="well")
    sick.set_faults([{"action": action}])
    proxy = await start_proxy(config([endpoint(sick), endpoint(well)], **QUICK))

    async with http.post(f"{proxy.url}/v1/chat/completions", json={**QUESTION, "stream": True}) as reply:
        text = await reply.read()

    assert reply.status == 200
    assert text.count(b'"role":"assistant"') == 1
    assert b"well/" in text
    assert b"sick/" not in text
    assert text.endswith(b"data: [DONE]\n\n")
    await eventually(lambda: sick.counts().received)  # it may say what is not HTTP before it has read the request
    assert (sick.counts().received, well.counts().received) == (1, 1)


async def test_a_whole_answer_to_a_request_for_a_stream_passes_as_it_is(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    body = '{"choices":[{"message":{"content":"whole"}}]}'
    provider, other = await start_provider(), await start_provider()
    headers = {"content-type": "application/json"}
    provider.set_faults([{"action": {"kind": "raw", "headers": headers, "chunks": [body]}}])
    proxy = await start_proxy(config([endpoint(provider), endpoint(other)], **QUICK))

    async with http.post(f"{proxy.url}/v1/chat/completions", json={**QUESTION, "stream": True}) as reply:
        text = await reply.text()

    assert (reply.status, reply.content_type, text) == (200, "application/json", body)
    assert (provider.counts().received, other.counts().received) == (1, 0)


@pytest.mark.parametrize(
    "action",
    [
        {"kind": "reset", "when": "mid_stream", "after_events": 4},
        {"kind": "close", "when": "mid_stream", "after_events": 4},
        {"kind": "hang", "when": "mid_stream", "after_events": 4},
        {"kind": "no_done"},
    ],
    ids=["reset", "close", "silence", "clean end without a terminal event"],
)
async def test_a_stream_that_breaks_after_content_ends_with_an_error_and_is_not_repeated(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, action: dict[str, Any]
) -> None:
    sick, well = await start_provider(name="sick"), await start_provider(name="well")
    sick.set_faults([{"action": action}])
    proxy = await start_proxy(config([endpoint(sick), endpoint(well)], **QUICK))

    async with http.post(f"{proxy.url}/v1/chat/completions", json={**QUESTION, "stream": True}) as reply:
        text = await reply.read()

    assert b"sick/" in text
    assert text.split(b"\n\n")[-2].startswith(b'data: {"error":')
    assert b"upstream_stream_error" in text
    assert b"[DONE]" not in text
    assert well.counts().received == 0
    await eventually(lambda: proxy.log()[-1:] and proxy.log()[-1]["outcome"] == "stream_broken")


async def test_no_answer_from_anybody_is_one_clear_error_that_sdks_do_not_retry(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    sick = await start_provider(name="sick")
    sick.set_faults([{"action": {"kind": "status", "status": 500, "body": ERROR}}])
    proxy = await start_proxy(config([endpoint(f"http://127.0.0.1:{free_port()}/v1"), endpoint(sick)], num_retries=1))

    async with http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION) as reply:
        error = (await reply.json())["error"]

    assert reply.status == 502
    assert reply.headers["x-should-retry"] == "false"
    assert error["code"] == "upstream_error"
    assert "gpt/1: connect_failed" in error["message"]
    assert "gpt/2: server_error" in error["message"]


async def test_a_hanging_group_is_a_504_within_the_deadline(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    slow = await start_provider(latency_s=60)
    proxy = await start_proxy(config([endpoint(slow)], request_timeout=1))

    async with asyncio.timeout(20), http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION) as reply:
        error = (await reply.json())["error"]

    assert reply.status == 504
    assert error["code"] == "deadline_exceeded"
    await eventually(lambda: slow.counts().in_flight == 0)


async def test_a_429_is_waited_out_when_no_other_endpoint_is_there(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    limited = {
        "kind": "status",
        "status": 429,
        "headers": {"retry-after-ms": "300"},
        "body": {"error": {"code": "429"}},
    }
    provider.set_faults([{"times": 1, "action": limited}])
    proxy = await start_proxy(config([endpoint(provider)]))

    async with http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION) as reply:
        await reply.read()

    assert reply.status == 200
    assert reply.headers["x-llmproxy-attempts"] == "2"
    assert proxy.log("endpoint cooling") == []


async def test_past_max_wait_all_limited_is_a_429_with_a_delay_a_client_can_sleep(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    limited = {"kind": "status", "status": 429, "headers": {"retry-after": "86400"}, "body": {"error": {"code": "429"}}}
    provider.set_faults([{"action": limited}])
    proxy = await start_proxy(config([endpoint(provider)], max_wait=0))

    async with http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION) as reply:
        error = (await reply.json())["error"]

    assert reply.status == 429
    assert (reply.headers["retry-after"], reply.headers["retry-after-ms"]) == ("60", "60000")
    assert error["code"] == "rate_limit_exceeded"
    assert "gpt/1: rate_limited" in error["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_clients_less_patient_than_our_timeouts_are_answered_beside_an_endpoint_that_hangs_and_blame_nobody(
    start_provider: StartProvider, start_proxy: StartProxy, stream: bool
) -> None:
    hung, well = await start_provider(latency_s=60), await start_provider(name="well")
    proxy = await start_proxy(config([endpoint(hung), endpoint(well)]))
    timed_out = 0
    async with openai.AsyncOpenAI(api_key="x", base_url=f"{proxy.url}/v1", timeout=1, max_retries=0) as client:
        for _ in range(12):
            try:
                answer: Any = await client.chat.completions.create(**{**QUESTION, "stream": stream})
                if stream:
                    async for _event in answer:
                        pass
            except openai.APITimeoutError:
                timed_out += 1

    assert timed_out <= (0 if stream else 1)
    assert well.counts().received >= 11
    assert proxy.log("endpoint cooling") == []


@pytest.mark.parametrize("upstream_client", ["http1", "httpx"])
async def test_a_clients_own_timeout_is_the_clients(
    start_provider: StartProvider, start_proxy: StartProxy, upstream_client: str
) -> None:
    slow = await start_provider(latency_s=60)
    proxy = await start_proxy(config([endpoint(slow)], upstream_client=upstream_client))
    async with openai.AsyncOpenAI(api_key="x", base_url=f"{proxy.url}/v1", timeout=0.5, max_retries=0) as client:
        calls: list[Any] = [
            lambda: client.chat.completions.create(**QUESTION),
            lambda: client.chat.completions.create(**QUESTION, stream=True),
            lambda: client.responses.create(model="gpt", input="Hi"),
            lambda: client.responses.create(model="gpt", input="Hi", stream=True),
            lambda: client.completions.create(model="gpt", prompt="Hi"),
            lambda: client.embeddings.create(model="gpt", input="Hi"),
        ]
        for number, call in enumerate(calls, 1):
            with pytest.raises(openai.APITimeoutError):
                await call()
            await eventually(lambda: slow.counts().in_flight == 0)
            assert slow.counts().received == number

    await eventually(lambda: len(proxy.log()) == len(calls))
    assert {(line["outcome"], line["status"]) for line in proxy.log()} == {("client_timed_out", 499)}


async def test_no_attempt_is_begun_for_a_client_whose_time_is_up(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    failing = {"action": {"kind": "status", "status": 500, "body": ERROR}}
    slow, spare = await start_provider(latency_s=0.6), await start_provider(name="spare")
    slow.set_faults([failing])
    proxy = await start_proxy(config([endpoint(slow), endpoint(spare, weight=0)]))
    late = {"x-stainless-read-timeout": "0.3"}
    async with http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION, headers=late) as reply:
        error = (await reply.json())["error"]

    assert (reply.status, error["code"]) == (502, "upstream_error")
    assert spare.counts().received == 0


async def test_a_client_that_waits_longer_than_it_said_gets_its_answer(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    slow = await start_provider(latency_s=0.6)
    proxy = await start_proxy(config([endpoint(slow)]))
    for stream in (False, True):
        async with http.post(
            f"{proxy.url}/v1/chat/completions",
            json={**QUESTION, "stream": stream},
            headers={"x-stainless-read-timeout": "0.2"},
        ) as reply:
            await reply.read()

        assert reply.status == 200
