"""An endpoint's name that leads to a metadata address, now or later: nothing is sent there, and somebody is told."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.scripted_server import ScriptedServer, answering, reply
from tests.integration.composed import Composed, composed
from tests.integration.harness import config, endpoint
from tests.integration.raw_http import JSON

ANSWER = b'{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'  # noqa: E501
METADATA = ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "192.0.0.192"]


@pytest.fixture
async def where(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Where names point; others are looked up as ever."""
    known: dict[str, str] = {}
    real = type(asyncio.get_running_loop()).getaddrinfo

    async def look_up(loop: Any, host: str, port: int | None, **options: Any) -> Any:
        if host not in known:
            return await real(loop, host, port, **options)
        family = socket.AF_INET6 if ":" in known[host] else socket.AF_INET
        rest = (0, 0) if family is socket.AF_INET6 else ()
        return [(family, socket.SOCK_STREAM, 6, "", (known[host], port or 0, *rest))]

    monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", look_up)
    return known


async def ask(proxy: Composed, group: str = "gpt", **more: Any) -> Any:
    body = json.dumps({"model": group, "messages": [{"role": "user", "content": "hi"}], **more}).encode()
    return await proxy.ask("POST", "/v1/chat/completions", JSON, body=body)


def faults(proxy: Composed) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, proxy.lines.json) if line["event"] == "endpoint fault"]


@pytest.mark.parametrize("adapter", ["http1", "httpx"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_name_that_leads_there_is_a_fault_and_another_endpoint_answers(
    tmp_path: Path, where: dict[str, str], adapter: str, stream: bool
) -> None:
    async with ScriptedServer(answering(reply(ANSWER, "content-type: application/json"))) as server:
        groups = []
        for number, address in enumerate(METADATA):
            where[f"h{number}.example.com"] = address
            away = endpoint(f"https://h{number}.example.com/v1", params={"api_key": f"sk-{number}"})
            models = [away, endpoint(server.url("/v1"), weight=0)]
            groups += config(models, f"g{number}")["model_groups"]
        settings = {"model_groups": groups, "general_settings": {"upstream_client": adapter, "connect_timeout": 1}}
        async with composed(tmp_path, settings) as proxy:
            for number in range(len(METADATA)):
                for attempts in ("2", "1"):  # the second time it is left alone
                    got = await ask(proxy, f"g{number}", stream=stream)

                    assert (got.status, got.one("x-llmproxy-endpoint")) == (200, f"g{number}/2")
                    assert got.one("x-llmproxy-attempts") == attempts
            lines = faults(proxy)

    assert [line["endpoint"] for line in lines] == [f"g{number}/1" for number in range(len(METADATA))]
    for line in lines:
        assert line["reason"] == "misconfigured (host leads to a link-local or cloud metadata address)"
        assert line["hint"] == "such addresses are never called; see what the host of the URL resolves to"


@pytest.mark.parametrize("adapter", ["http1", "httpx"])
async def test_a_lone_endpoint_whose_name_moves_there_is_a_502_that_says_so_until_it_has_moved_back(
    tmp_path: Path, where: dict[str, str], adapter: str
) -> None:
    where["h.internal"] = "127.0.0.1"
    good = reply(ANSWER, "content-type: application/json", "connection: close")
    async with ScriptedServer(answering(good)) as server:
        away = endpoint(f"http://h.internal:{server.port}/v1")
        settings = config([away], upstream_client=adapter, connect_timeout=1, num_retries=2)
        async with composed(tmp_path, settings) as proxy:
            first = await ask(proxy)
        async with composed(tmp_path, settings) as proxy:  # which asks for the name anew
            where["h.internal"] = "169.254.169.254"
            refused = await ask(proxy)
            health = await proxy.ask("GET", "/health")
            where["h.internal"] = "127.0.0.1"
            back = await ask(proxy)

    assert (first.status, back.status) == (200, 200)
    assert (refused.status, refused.error["code"]) == (502, "upstream_misconfigured")
    assert "host leads to a link-local or cloud metadata address" in refused.error["message"]
    assert refused.one("x-llmproxy-attempts") == "1"
    assert refused.one("x-should-retry") == "false"
    assert health.status == 503
