"""Every captured provider error, served by a sick endpoint: what the client gets, and what becomes of the endpoint.

One proxy runs for the whole file. Each of the captures in `tests/data/upstream_errors.json` has a group of its own: the
sick endpoint, always first, answers with exactly that status, those headers and those bytes; the well one is a spare.
"""

import json
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from simulator import ProviderSettings, SimulatedProvider
from tests.integration.composed import Composed
from tests.integration.harness import Proxy, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

CAPTURES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "upstream_errors.json").read_text(encoding="utf-8")
)["fixtures"]

COOLDOWN_S = 40
"""Neither the length of a fault's cooldown (300) nor of any delay below, so that it shows which rule acted."""
FAULT_S = 300
KEY = "sk-canary-upstream-key"
ECHOED_KEY = "sk-ab***wxyz"
PROMPT = "canary in the prompt"

DELAYS_S = {
    "openai_429_tpm": 9,  # the header, not the 8.764 s of the text nor the 53.426 s until the bucket is full
    "openai_429_tpm_1m30s": 90,
    "openai_429_tpm_20ms": 0.25,
    "openai_429_rpm": 20,
    "openai_429_slow_down": 7,
    "openai_503_server_is_overloaded": 1,
    "openai_sse_response_failed_rate_limit": 11.054,
    "azure_429_token_policy": 55,
    "azure_429_86400": 300,
    "azure_429_rate_limit_reached": 60,
    "azure_429_call_rate": 38,
    "azure_429_short": 50,
    "azure_429_high_demand": 6,
    "azure_429_remaining_minus_one": 11,
    "azure_sse_429_inside": 1,
}
"""How long the sick endpoint is left alone: what the capture says, within 0.25 to 300 s; 1 s if it says nothing."""
ABOUT_THE_REQUEST = {"openai_429_request_too_large", "openai_429_flex_resource_unavailable", "openai_400_service_tier"}
"""Another endpoint may do better, but this one is as well as before."""
NOT_THERE = {"openai_404_model_not_found", "azure_404_deployment", "azure_404_resource"}
"""The endpoint cannot serve this until somebody changes something."""

CONTINUED = (
    'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m",'
    '"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
    'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m",'
    '"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}\n\n'
    'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m",'
    '"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    "data: [DONE]\n\n"
)


def named(*ids: str) -> list[Any]:
    return [pytest.param(capture, id=capture["id"]) for capture in CAPTURES if capture["id"] in ids]


def acting(action: str, *but: str) -> list[Any]:
    return [
        pytest.param(capture, id=capture["id"])
        for capture in CAPTURES
        if capture["expected_action"] == action and capture["id"] not in but
    ]


def body_of(capture: Mapping[str, Any]) -> str:
    """What the sick endpoint sends."""
    body = capture["body"]
    if capture["id"] == "azure_sse_preamble_not_error":
        return str(body) + CONTINUED
    return body.removesuffix("<connection reset>") if isinstance(body, str) else json.dumps(body)


def fault(capture: Mapping[str, Any]) -> dict[str, Any]:
    """The rule that makes the provider answer as captured."""
    action: dict[str, Any]
    if capture["status"] == 0:
        action = {"kind": "reset", "when": "before_headers"}
    elif capture.get("stream"):
        then = "reset" if capture["id"] == "transport_stream_cut" else "end"
        action = {"kind": "raw", "chunks": [body_of(capture)], "headers": capture["headers"], "then": then}
    else:
        action = {
            "kind": "status",
            "status": capture["status"],
            "headers": capture["headers"],
            "body": body_of(capture),
        }
    return {"match": {"model": capture["id"]}, "action": action}


def group(capture: Mapping[str, Any], sick_url: str, well_url: str) -> dict[str, Any]:
    """The sick endpoint with a key of its own, as what one account did must not rest the others; and the well one."""
    name = capture["id"]
    params: dict[str, Any] = {"api_key": f"{KEY}-{name}"}
    if name == "openai_401_no_key":
        del params["api_key"]
    if capture["provider"] == "azure":
        params |= {"azure_endpoint": sick_url, "api_version": "2024-10-21"}
    else:
        params |= {"base_url": f"{sick_url}/v1"}
    well = {"api_key": KEY, "base_url": f"{well_url}/v1"}
    return {
        "model_group": name,
        "models": [
            {"model": name, "weight": 1, "params": params},
            {"model": "gpt-sim", "weight": 0, "params": well},
        ],
    }


@dataclass(frozen=True)
class Told:
    """What the client got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Bench:
    """The proxy, its two providers, and a client."""

    def __init__(self, proxy: Proxy, sick: SimulatedProvider, well: SimulatedProvider, http: aiohttp.ClientSession):
        self.proxy = proxy
        self.sick = sick
        self.well = well
        self._http = http

    async def ask(self, capture: Mapping[str, Any]) -> Told:
        """One request; no answer to it may show a key."""
        question = {"model": capture["id"], "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 4}
        if capture.get("stream"):
            question["stream"] = True
        async with self._http.post(f"{self.proxy.url}/v1/chat/completions", json=question) as reply:
            told = Told(reply.status, reply.headers, await reply.read())
        assert KEY not in f"{told.headers} {told.text}"
        assert ECHOED_KEY not in f"{told.headers} {told.text}"
        return told

    async def health(self, capture: Mapping[str, Any]) -> dict[str, Any]:
        """How the sick endpoint is doing."""
        async with self._http.get(f"{self.proxy.url}/health") as reply:
            report = await reply.json()
        endpoints = {e["id"]: e for g in report["groups"] for e in g["endpoints"]}
        found: dict[str, Any] = endpoints[f"{capture['id']}/1"]
        return found

    async def alarm(self, event: str, capture: Mapping[str, Any]) -> dict[str, Any]:
        """The one log line of that kind about the sick endpoint."""

        def lines() -> list[dict[str, Any]]:
            return [line for line in self.proxy.log(event) if line["endpoint"] == f"{capture['id']}/1"]

        await eventually(lines)
        (line,) = lines()
        return line

    def calls(self, provider: SimulatedProvider) -> int:
        return provider.counts().received

    def check_logs(self) -> None:
        """Nothing secret was written, up to now."""
        written = self.proxy.errors + self.proxy.output
        assert not [secret for secret in (KEY, ECHOED_KEY, PROMPT) if secret in written]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and nobody else gets the port
        dead = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        async with (
            SimulatedProvider(ProviderSettings(name="sick")) as sick,
            SimulatedProvider(ProviderSettings(name="well")) as well,
            aiohttp.ClientSession() as http,
        ):
            sick.set_faults([fault(capture) for capture in CAPTURES])
            groups = [
                group(capture, dead if capture["id"] == "transport_connect_refused" else sick.url, well.url)
                for capture in CAPTURES
            ]
            general = {"cooldown_time": COOLDOWN_S, "allowed_fails": 1}
            proxy = Composed(tmp_path_factory.mktemp("errors"), {"model_groups": groups, "general_settings": general})
            try:
                await proxy.start()
                yield Bench(proxy, sick, well, http)
            finally:
                await proxy.stop()


@pytest.fixture
def bench(running: Bench) -> Bench:
    running.sick.reset()
    running.well.reset()
    return running


def answered_well(told: Told, attempts: int, group: str) -> bool:
    """Did the well endpoint's answer come, whole, after so many attempts?"""
    whole = told.headers["content-type"].startswith("application/json") or told.text.endswith("data: [DONE]\n\n")
    route = (told.headers["x-llmproxy-endpoint"], told.headers["x-llmproxy-attempts"])
    return told.status == 200 and '"content":"well/' in told.text and whole and route == (f"{group}/2", str(attempts))


async def test_every_capture_has_an_action_that_is_tested_here() -> None:
    actions = {capture["expected_action"] for capture in CAPTURES}

    assert actions == {"failover", "retry_after", "cooldown", "return_to_client"}
    assert {c["id"] for c in CAPTURES if c["expected_action"] == "retry_after"} == set(DELAYS_S)
    assert len({capture["id"] for capture in CAPTURES}) == len(CAPTURES) == 59


@pytest.mark.parametrize("capture", acting("failover", *ABOUT_THE_REQUEST, *NOT_THERE))
async def test_a_failing_endpoint_is_failed_over_and_cools_as_after_any_failure(
    bench: Bench, capture: dict[str, Any]
) -> None:
    first = await bench.ask(capture)
    second = await bench.ask(capture)
    health = await bench.health(capture)

    assert answered_well(first, 2, capture["id"])
    assert answered_well(second, 1, capture["id"])
    assert (health["state"], health["rate_limited_s"]) == ("cooling", 0)
    line = await bench.alarm("endpoint cooling", capture)
    assert 0.9 * COOLDOWN_S <= line["seconds"] <= 1.1 * COOLDOWN_S
    bench.check_logs()


@pytest.mark.parametrize("capture", named(*ABOUT_THE_REQUEST))
async def test_what_only_this_request_cannot_have_here_is_failed_over_and_rests_nobody(
    bench: Bench, capture: dict[str, Any]
) -> None:
    first = await bench.ask(capture)
    second = await bench.ask(capture)
    health = await bench.health(capture)

    assert answered_well(first, 2, capture["id"])
    assert answered_well(second, 2, capture["id"])
    assert (health["state"], health["rate_limited_s"]) == ("closed", 0)
    assert (bench.calls(bench.sick), bench.calls(bench.well)) == (2, 2)


@pytest.mark.parametrize("capture", acting("retry_after"))
async def test_a_limited_endpoint_is_left_alone_for_as_long_as_it_says_and_is_not_ill(
    bench: Bench, capture: dict[str, Any]
) -> None:
    delay_s = DELAYS_S[capture["id"]]

    first = await bench.ask(capture)
    health = await bench.health(capture)

    assert answered_well(first, 2, capture["id"])
    assert health["state"] == "closed"
    assert health["rate_limited_s"] <= delay_s + 0.06  # it is told to a tenth of a second
    line = await bench.alarm("endpoint rate limited", capture)
    assert line["seconds"] == pytest.approx(delay_s, abs=0.06)
    if delay_s > 5:  # shorter ones may be over by now
        assert health["rate_limited_s"] > 0
        assert answered_well(await bench.ask(capture), 1, capture["id"])
        assert bench.calls(bench.sick) == 1
    bench.check_logs()


@pytest.mark.parametrize("capture", [*acting("cooldown"), *named(*NOT_THERE)])
async def test_an_endpoint_that_cannot_work_as_configured_or_paid_cools_long_and_loudly(
    bench: Bench, capture: dict[str, Any]
) -> None:
    first = await bench.ask(capture)
    second = await bench.ask(capture)
    health = await bench.health(capture)

    assert answered_well(first, 2, capture["id"])
    assert answered_well(second, 1, capture["id"])
    assert bench.calls(bench.sick) == 1
    assert health["state"] == "cooling"
    line = await bench.alarm("endpoint fault", capture)
    assert (line["level"], line["seconds"]) == ("error", FAULT_S)
    assert line["hint"]
    bench.check_logs()


@pytest.mark.parametrize("capture", acting("return_to_client", "transport_stream_cut"))
async def test_what_the_client_has_to_know_reaches_it_byte_for_byte_and_harms_nobody(
    bench: Bench, capture: dict[str, Any]
) -> None:
    told = await bench.ask(capture)
    health = await bench.health(capture)

    assert told.status == capture["status"]
    assert told.text == body_of(capture)
    assert told.headers["content-type"] == capture["headers"]["content-type"]
    assert told.headers["x-llmproxy-attempts"] == "1"
    assert (health["state"], health["rate_limited_s"]) == ("closed", 0)
    assert (bench.calls(bench.sick), bench.calls(bench.well)) == (1, 0)
    bench.check_logs()


@pytest.mark.parametrize("capture", named("transport_stream_cut"))
async def test_a_stream_cut_after_content_ends_with_an_error_event_and_is_not_repeated_elsewhere(
    bench: Bench, capture: dict[str, Any]
) -> None:
    told = await bench.ask(capture)
    health = await bench.health(capture)

    sent = body_of(capture)
    assert told.status == 200
    assert told.text.startswith(sent)
    (error,) = told.text.removeprefix(sent).removesuffix("\n\n").split("\n\n")
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "upstream_stream_error"
    assert "[DONE]" not in told.text
    assert health["state"] == "cooling"
    assert bench.calls(bench.well) == 0
