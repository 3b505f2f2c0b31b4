"""Traces and metrics of a composed proxy, as a collector receives them by OTLP."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters.telemetry.otel import export, names
from tests.integration.composed import Composed
from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import ROOT, config, endpoint, eventually
from tests.integration.otlp_receiver import Receiver, receiver

CANARY = "canary-of-the-prompt"
QUESTION = {"model": "gpt", "messages": [{"role": "user", "content": CANARY}]}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiver() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        yield received


class Traced:
    """A proxy that sends what it recorded when it stops."""

    def __init__(self, folder: Path, http: aiohttp.ClientSession, **general: Any) -> None:
        self.folder, self.http, self.general = folder, http, general
        self.proxy: Composed | None = None

    async def start(self, *models: dict[str, Any], **general: Any) -> Composed:
        self.proxy = Composed(self.folder, config(models, **general))
        await self.proxy.start()
        return self.proxy

    async def stop(self) -> None:
        """A second call does nothing."""
        proxy, self.proxy = self.proxy, None
        if proxy is not None:
            await proxy.stop()
            assert not getattr(proxy.container.attempt(), "_spans", None), "attempts that are over are forgotten"

    async def ask(self, body: dict[str, Any] = QUESTION, path: str = "/v1/chat/completions", **headers: str) -> bytes:
        assert self.proxy is not None
        async with self.http.post(self.proxy.url + path, json=body, headers=headers) as reply:
            return await reply.read()


@pytest.fixture
async def traced(tmp_path: Path, http: aiohttp.ClientSession) -> AsyncIterator[Traced]:
    traced = Traced(tmp_path, http)
    yield traced
    await traced.stop()


async def test_a_request_is_a_span_and_its_attempts_are_its_children(
    start_provider: StartProvider, traced: Traced, collector: Receiver
) -> None:
    bad, good = await start_provider(), await start_provider()
    bad.set_faults([{"action": {"kind": "status", "status": 500}}])
    proxy = await traced.start(endpoint(bad), endpoint(good, weight=0))

    answer = json.loads(await traced.ask())
    await traced.stop()

    (request,) = collector.requests
    first, second = collector.attempts
    assert request.name == "chat gpt"
    assert not request.parent
    assert {it.parent for it in (first, second)} == {request.id}
    assert {it.trace for it in collector.spans} == {request.trace}
    assert (first.name, first["llmproxy.endpoint"], first["error.type"]) == ("chat gpt-sim", "gpt/1", "server_error")
    assert (first.is_error, first["http.response.status_code"]) == (True, 500)
    assert (second.is_error, second["http.response.status_code"]) == (False, 200)
    assert second["gen_ai.usage.input_tokens"] == answer["usage"]["prompt_tokens"]
    assert second["gen_ai.usage.output_tokens"] == answer["usage"]["completion_tokens"]
    assert second["gen_ai.response.id"] == answer["id"]
    assert second["gen_ai.response.model"] == answer["model"]
    assert second["gen_ai.response.finish_reasons"] == ["stop"]
    assert second["gen_ai.provider.name"] == "openai"
    assert f"http://{second['server.address']}:{second['server.port']}" == good.url
    assert (request["llmproxy.attempts"], request["llmproxy.endpoint"]) == (2, "gpt/2")
    assert request["llmproxy.request_id"] == proxy.requests()[0]["request_id"]
    assert not request.is_error
    assert request.resource["service.name"] == "llmproxy"
    assert request.started <= first.started <= first.ended <= second.started <= second.ended <= request.ended


async def test_a_stream_ends_with_its_last_byte_and_says_what_it_took(
    start_provider: StartProvider, traced: Traced, collector: Receiver
) -> None:
    await traced.start(endpoint(await start_provider()))

    await traced.ask({**QUESTION, "stream": True, "stream_options": {"include_usage": True}})
    await traced.stop()

    (attempt,), (request,) = collector.attempts, collector.requests
    assert attempt["gen_ai.request.stream"] is request["gen_ai.request.stream"] is True
    assert attempt["gen_ai.usage.input_tokens"] > 0
    assert attempt["gen_ai.usage.output_tokens"] > 0
    assert attempt["gen_ai.response.id"].startswith("chatcmpl")
    assert 0 <= attempt["gen_ai.response.time_to_first_chunk"] <= (attempt.ended - attempt.started) / 1e9
    assert "error.type" not in attempt.attributes


async def test_the_span_of_the_client_is_the_parent_and_goes_no_further_unasked(
    start_provider: StartProvider, traced: Traced, collector: Receiver
) -> None:
    provider = await start_provider()
    await traced.start(endpoint(provider))

    await traced.ask(traceparent=TRACEPARENT, tracestate="vendor=1", baggage="user=u")
    await traced.stop()

    (request,) = collector.requests
    assert (request.trace, request.parent) == (TRACE, PARENT)
    sent = dict(provider.records[0].headers)
    assert not {"traceparent", "tracestate", "baggage"} & sent.keys()


async def test_endpoints_get_the_context_of_the_attempt_where_that_is_asked_for(
    start_provider: StartProvider, traced: Traced, collector: Receiver
) -> None:
    provider = await start_provider()
    await traced.start(endpoint(provider), propagate_trace_context=True)

    await traced.ask(traceparent=TRACEPARENT, tracestate="vendor=1")
    await traced.stop()

    sent, (attempt,) = dict(provider.records[0].headers), collector.attempts
    assert sent["traceparent"] == f"00-{TRACE}-{attempt.id}-01"
    assert sent["tracestate"] == "vendor=1"


async def test_an_answer_from_the_cache_has_no_attempt(
    start_provider: StartProvider, traced: Traced, collector: Receiver
) -> None:
    await traced.start(endpoint(await start_provider()), cache=True)

    for _ in range(2):
        await traced.ask({**QUESTION, "temperature": 0})
    await traced.stop()

    (attempt,) = collector.attempts
    by_cache = {span["llmproxy.cache"]: span for span in collector.requests}
    assert by_cache.keys() == {"miss", "hit"}
    assert attempt.parent == by_cache["miss"].id
    assert by_cache["hit"]["llmproxy.attempts"] == 0


async def left_by_its_client(traced: Traced, collector: Receiver) -> None:
    assert traced.proxy is not None
    await eventually(traced.proxy.requests)
    await traced.stop()

    (attempt,), (request,) = collector.attempts, collector.requests
    assert (attempt["error.type"], request["error.type"]) == ("cancelled", "client_cancelled")
    assert not attempt.is_error
    assert not request.is_error


async def test_a_client_that_leaves_is_no_error_of_anybody(
    start_provider: StartProvider, traced: Traced, collector: Receiver
) -> None:
    provider = await start_provider(latency_s=30)
    await traced.start(endpoint(provider))
    asking = asyncio.create_task(traced.ask())
    await eventually(lambda: provider.counts().in_flight == 1)

    asking.cancel()

    await left_by_its_client(traced, collector)


async def test_nor_is_one_that_leaves_a_stream(
    start_provider: StartProvider, traced: Traced, collector: Receiver
) -> None:
    provider = await start_provider(tokens_per_second=20, answer_tokens=1000)
    proxy = await traced.start(endpoint(provider))
    async with traced.http.post(f"{proxy.url}/v1/chat/completions", json={**QUESTION, "stream": True}) as reply:
        await reply.content.readuntil(b'"content":" ')

        reply.close()

    await left_by_its_client(traced, collector)
    assert collector.attempts[0]["http.response.status_code"] == 200


async def test_a_stream_that_breaks_is_an_error_of_the_attempt(
    start_provider: StartProvider, traced: Traced, collector: Receiver
) -> None:
    provider = await start_provider()
    provider.set_faults([{"action": {"kind": "reset", "when": "mid_stream", "after_events": 5}}])
    await traced.start(endpoint(provider))

    await traced.ask({**QUESTION, "stream": True})
    await traced.stop()

    (attempt,), (request,) = collector.attempts, collector.requests
    assert attempt.is_error
    assert request["error.type"] == "endpoint_stream_broken"
    assert request.is_error


async def test_refused_requests_have_spans_and_pages_have_none(
    start_provider: StartProvider, traced: Traced, collector: Receiver
) -> None:
    proxy = await traced.start(endpoint(await start_provider()))

    await traced.ask({**QUESTION, "model": "no-such-model"})
    async with traced.http.get(f"{proxy.url}/health"):
        pass
    await traced.stop()

    (request,) = collector.requests
    assert (request.name, request["error.type"]) == ("chat", "client_unknown_model")
    assert request["http.response.status_code"] == 404
    assert not request.is_error


async def test_metrics_have_the_names_of_the_conventions_and_labels_that_no_client_chooses(
    start_provider: StartProvider, traced: Traced, collector: Receiver
) -> None:
    await traced.start(endpoint(await start_provider()))

    answer = json.loads(await traced.ask())
    await traced.ask({**QUESTION, "model": "no-such-model"})
    await traced.stop()

    ((labels, duration),) = collector.points_of("gen_ai.client.inference.duration")
    assert (duration.count, labels["gen_ai.request.model"]) == (1, "gpt-sim")
    ((labels, used),) = collector.points_of("gen_ai.client.inference.usage.output_tokens")
    assert (used.as_int, labels["gen_ai.token.modality"]) == (answer["usage"]["completion_tokens"], "unknown")
    of_requests = {
        labels.get("error.type"): labels for labels, _ in collector.points_of("gen_ai.server.request.duration")
    }
    assert of_requests[None]["gen_ai.request.model"] == "gpt"
    assert "gen_ai.request.model" not in of_requests["client_unknown_model"]
    assert not collector.points_of("gen_ai.client.operation.duration")


async def test_the_older_names_are_sent_too_where_they_are_asked_for(
    start_provider: StartProvider, traced: Traced, collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http/dup, gen_ai/dup")
    await traced.start(endpoint(await start_provider()))

    await traced.ask()
    await traced.stop()

    assert collector.points_of("gen_ai.client.operation.duration")
    assert collector.points_of("gen_ai.client.inference.duration")
    kinds = {labels["gen_ai.token.type"] for labels, _ in collector.points_of("gen_ai.client.token.usage")}
    assert kinds == {"input", "output"}
    assert collector.attempts[0]["gen_ai.system"] == "openai"


async def test_nothing_secret_is_sent(start_provider: StartProvider, traced: Traced, collector: Receiver) -> None:
    bad, good = await start_provider(), await start_provider()
    bad.set_faults([{"action": {"kind": "status", "status": 401}}])
    await traced.start(endpoint(bad), endpoint(good, weight=0), api_keys=["sk-canary-own-key"])

    key = "Bearer sk-canary-own-key"
    await traced.ask(path="/v1/chat/completions?secret=canary-query", authorization=key)
    await traced.ask({**QUESTION, "stream": True, "user": "canary-user"}, authorization=key)
    await traced.ask(authorization="Bearer sk-canary-wrong-key")
    await traced.stop()

    assert len(collector.requests) == 3
    assert b"canary" not in collector.raw
    assert {name for span in collector.spans for name in span.attributes} <= {
        it for it in vars(names).values() if isinstance(it, str)
    }
    assert {name for name, _, _ in collector.points} <= {
        it.name for it in vars(names).values() if isinstance(it, names.Metric)
    }
    assert b"127.0.0.1" in collector.raw  # of the providers: the server's address


async def test_a_collector_that_fails_is_told_of_once_and_hurts_no_request(
    start_provider: StartProvider, traced: Traced, collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.status = 400
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    proxy = await traced.start(endpoint(await start_provider()))

    for _ in range(5):
        assert b"choices" in await traced.ask()
        await asyncio.sleep(0.05)
    await traced.stop()

    (line,) = proxy.log("telemetry not exported")
    assert line["code"] == 400


async def test_spans_of_a_sampler_that_drops_them_are_not_sent(
    start_provider: StartProvider, traced: Traced, collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    await traced.start(endpoint(await start_provider()))

    await traced.ask()
    await traced.ask(traceparent=TRACEPARENT)
    await traced.stop()

    assert {span.trace for span in collector.spans} == {TRACE}
    assert len(collector.spans) == 2


async def test_the_context_of_the_client_goes_on_where_nothing_is_recorded(
    start_provider: StartProvider, traced: Traced
) -> None:
    provider = await start_provider()
    await traced.start(endpoint(provider), propagate_trace_context=True)

    await traced.ask(traceparent=TRACEPARENT, tracestate="vendor=1")

    sent = dict(provider.records[0].headers)
    assert (sent["traceparent"], sent["tracestate"]) == (TRACEPARENT, "vendor=1")


async def test_responses_are_chats_and_fetching_one_is_told_apart(
    start_provider: StartProvider, traced: Traced, collector: Receiver
) -> None:
    proxy = await traced.start(endpoint(await start_provider()))

    made = json.loads(await traced.ask({"model": "gpt", "input": CANARY}, "/v1/responses"))
    async with traced.http.get(f"{proxy.url}/v1/responses/{made['id']}") as reply:
        assert reply.status == 200
    async with traced.http.get(f"{proxy.url}/v1/responses/{made['id']}/input_items") as reply:
        assert reply.status == 200
    await traced.stop()

    first, second, third = collector.attempts
    assert (first.name, first["openai.api.type"]) == ("chat gpt-sim", "responses")
    assert (first["gen_ai.response.id"], first["gen_ai.response.finish_reasons"]) == (made["id"], ["completed"])
    assert second["gen_ai.operation.name"] == "fetch_response"
    assert (third.name, "gen_ai.operation.name" in third.attributes) == ("GET", False)
    operations = {
        labels["gen_ai.operation.name"] for labels, _ in collector.points_of("gen_ai.client.inference.duration")
    }
    assert operations == {"chat", "fetch_response"}
    counted = collector.points_of("gen_ai.client.inference.usage.input_tokens")
    assert {labels["gen_ai.operation.name"] for labels, _ in counted} == {"chat"}


async def test_shared_calls_belong_to_the_request_that_began_them(
    start_provider: StartProvider, traced: Traced, collector: Receiver
) -> None:
    await traced.start(endpoint(await start_provider(latency_s=0.3)), cache=True)

    await asyncio.gather(*(traced.ask({**QUESTION, "temperature": 0}) for _ in range(3)))
    await traced.stop()

    (attempt,) = collector.attempts
    states = {span.id: span["llmproxy.cache"] for span in collector.requests}
    assert sorted(states.values()) == ["miss", "shared", "shared"]
    assert states[attempt.parent] == "miss"


async def test_each_worker_sends_its_own(
    start_provider: StartProvider, start_proxy: StartProxy, collector: Receiver
) -> None:
    settings = config([endpoint(await start_provider())], workers=2)
    proxy = await start_proxy(settings, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    for _ in range(24):  # each on a connection of its own, which the system gives to one of the two
        async with aiohttp.ClientSession() as http, http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION) as got:
            assert got.status == 200
    await proxy.stop()

    assert len(collector.requests) == len(collector.attempts) == 24
    assert len({span.resource["service.instance.id"] for span in collector.spans}) == 2
    counted = sum(point.count for _, point in collector.points_of("gen_ai.server.request.duration"))
    assert counted == 24


_WITHOUT_OPENTELEMETRY = """
import sys
from pathlib import Path

class Absent:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from entrypoints.config.load import load_settings
from entrypoints.container import Container

Container(settings=load_settings(Path(sys.argv[1]), {})).app()
"""


def test_where_nothing_is_sent_nothing_of_opentelemetry_is_imported(tmp_path: Path) -> None:
    """By the proxy: redis-py looks for the SDK by itself."""
    path = tmp_path / "llmproxy.yaml"
    path.write_text(json.dumps(config([endpoint("http://127.0.0.1:1/v1")])))

    command = [sys.executable, "-c", _WITHOUT_OPENTELEMETRY, str(path)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": "src"}, cwd=ROOT, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr


async def test_what_the_sdk_does_not_like_is_told_and_requests_are_answered(
    start_provider: StartProvider, traced: Traced, collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "0")
    proxy = await traced.start(endpoint(await start_provider()))

    assert b"choices" in await traced.ask()
    await traced.stop()

    assert [line["error"] for line in proxy.log("telemetry not started")] == ["ValueError"]
    assert collector.raw == b""


async def test_a_collector_that_hangs_does_not_hold_up_the_end(
    start_provider: StartProvider, traced: Traced, collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "FLUSH_S", 0.1)
    await traced.start(endpoint(await start_provider()))
    collector.goes_on.clear()

    await traced.ask()
    await traced.stop()

    assert collector.raw == b""
    collector.goes_on.set()
