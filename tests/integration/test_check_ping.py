"""`llmproxy check --ping`: each endpoint is asked for its models, and what it says decides the exit code."""

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from application.state.access_tokens import AccessToken, TokenUnavailable
from domain.secret import Secret
from entrypoints.check import command
from entrypoints.check.ping import ask
from tests.contracts.scripted_server import Peer, ScriptedServer, answering, hold, reply
from tests.contracts.upstream_tls import HttpProxy, certificate
from tests.free_port import free_port
from tests.integration.conftest import StartProvider
from tests.integration.harness import config, endpoint

KEY = "sk-canary-upstream-key"
Told = tuple[int, list[dict[str, Any]]]
Ping = Callable[..., Awaitable[Told]]


@pytest.fixture
def ping(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ping:
    """Checks a configuration of these models: the exit code, and what is said of each."""

    async def run(*models: dict[str, Any], **general: Any) -> Told:
        path = tmp_path / "llmproxy.yaml"
        path.write_text(yaml.safe_dump(config(models, **general)))
        code = await asyncio.to_thread(command.main, [str(path), "--ping", "--format", "json"])
        said = capsys.readouterr().out
        assert KEY not in said and "canary-token" not in said
        return code, [route["ping"] for route in json.loads(said)["routes"]]

    return run


def tls_at(server: ScriptedServer) -> str:
    """An address that speaks of TLS where there is none."""
    return server.url("/v1").replace("http:", "https:")


async def test_an_endpoint_that_lists_the_model_serves(start_provider: StartProvider, ping: Ping) -> None:
    provider = await start_provider(models=("gpt-sim",), api_keys=(KEY,))

    code, (told,) = await ping(endpoint(provider))

    assert (code, told["serves"], told["says"]) == (0, True, "has the model gpt-sim")
    assert list(told["times_ms"]) == ["dns", "tcp", "answer"]


async def test_no_endpoint_is_asked_for_anything_that_costs(start_provider: StartProvider, ping: Ping) -> None:
    provider = await start_provider(models=("gpt-sim",))

    await ping(endpoint(provider))

    assert [(each.method, each.path) for each in provider.records] == [("GET", "/v1/models")]


async def test_a_model_that_is_missing_is_named_with_the_one_that_was_meant(
    start_provider: StartProvider, ping: Ping
) -> None:
    provider = await start_provider(models=("gpt-simple", "other"))

    code, (told,) = await ping(endpoint(provider))

    assert (code, told["serves"]) == (1, False)
    assert told["says"] == "has no model gpt-sim among the 2 it lists; did you mean gpt-simple?"


async def test_a_key_that_is_refused_is_told_and_not_shown(start_provider: StartProvider, ping: Ping) -> None:
    provider = await start_provider(api_keys=("sk-another",))

    code, (told,) = await ping(endpoint(provider))

    assert (code, told["serves"]) == (1, False)
    assert told["says"].startswith("refuses the key (401")


async def test_where_the_clients_key_is_used_it_is_asked_without_one(start_provider: StartProvider, ping: Ping) -> None:
    provider = await start_provider(api_keys=(KEY,))
    open_one = await start_provider(models=("gpt-sim",))
    models = [{"model": "gpt-sim", "params": {"base_url": f"{each.url}/v1"}} for each in (provider, open_one)]

    code, told = await ping(*models)

    assert code == 0
    assert [each["serves"] for each in told] == [True, True]
    assert all(each["says"].endswith("asked without a key, as the client's own is used") for each in told)


@pytest.mark.parametrize(("deployment", "serves"), [("gpt-sim", True), ("gone", False)])
async def test_an_azure_resource_is_asked_for_its_deployment(
    start_provider: StartProvider, ping: Ping, deployment: str, serves: bool
) -> None:
    provider = await start_provider(models=("gpt-sim",), api_keys=(KEY,))
    params = {"azure_endpoint": provider.url, "azure_deployment": deployment, "api_version": "2024-10-21"}

    code, (told,) = await ping({"model": "gpt-sim", "params": {"api_key": KEY, **params}})

    assert told["serves"] is serves
    assert deployment in told["says"]
    assert code == (0 if serves else 1)
    paths = [(each.method, each.path.partition("?")[0]) for each in provider.records]
    assert paths == [("GET", "/openai/models"), ("POST", f"/openai/deployments/{deployment}/chat/completions")]
    assert not any(each.status == 200 for each in provider.records[1:])


async def test_an_azure_key_that_is_refused_is_told(start_provider: StartProvider, ping: Ping) -> None:
    provider = await start_provider(api_keys=("sk-another",))
    params = {"api_key": KEY, "azure_endpoint": provider.url, "api_version": "2024-10-21"}

    code, (told,) = await ping({"model": "gpt-sim", "params": params})

    assert code == 1
    assert told["says"].startswith("refuses the key (401")


async def test_all_are_asked_and_one_that_fails_is_enough(start_provider: StartProvider, ping: Ping) -> None:
    provider = await start_provider(models=("gpt-sim",))
    refusing = endpoint(f"http://127.0.0.1:{free_port()}/v1")

    code, told = await ping(endpoint(provider), refusing, endpoint(provider))

    assert code == 1
    assert [each["serves"] for each in told] == [True, False, True]
    assert told[1]["says"] == "does not answer: connection refused"
    assert list(told[1]["times_ms"]) == ["dns"]


async def test_a_server_that_hangs_is_left_in_time(ping: Ping, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "ANSWER_S", 0.1)
    async with ScriptedServer(hold) as server:
        code, (told,) = await ping(endpoint(server.url("/v1")), connect_timeout=0.2)

    assert code == 1
    assert told["says"] == "does not answer: no reply in time"
    assert list(told["times_ms"]) == ["dns", "tcp"]


async def test_a_handshake_that_hangs_is_left_in_time(ping: Ping) -> None:
    async with ScriptedServer(hold) as server:
        code, (told,) = await ping(endpoint(tls_at(server)), connect_timeout=0.2)

    assert code == 1
    assert told["says"] == "does not answer: no connection in time"


async def test_a_name_whose_lookup_hangs_is_left_in_time(ping: Ping, monkeypatch: pytest.MonkeyPatch) -> None:
    told_now, look_up = threading.Event(), socket.getaddrinfo

    def hang(host: str | None, *arguments: Any, **more: Any) -> Any:
        if host == "hanging.example":
            told_now.wait()
        return look_up(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        code, (told,) = await ping(endpoint("https://hanging.example/v1"), connect_timeout=0.2)
    finally:
        told_now.set()

    assert (code, told["says"], told["times_ms"]) == (1, "does not answer: no connection in time", {})


async def test_a_server_that_speaks_no_tls_is_told(ping: Ping) -> None:
    async def plain(peer: Peer) -> None:
        await peer.take(1)
        await peer.send(reply(b"plain http", status="400 Bad Request"))
        await peer.gone()

    async with ScriptedServer(plain) as server:
        code, (told,) = await ping(endpoint(tls_at(server)))

    assert code == 1
    assert re.fullmatch(
        "does not answer: (wrong version number|record layer failure): it may speak plain http", told["says"].lower()
    )
    assert list(told["times_ms"]) == ["dns", "tcp"]


ECHOED = json.dumps({"error": {"message": f"no key {KEY}", "type": KEY, "code": KEY}}).encode()
LIST = json.dumps({"object": "list", "data": [{"id": "gpt-sim"}]}).encode()


async def test_a_certificate_that_nobody_trusts_is_told(ping: Ping, monkeypatch: pytest.MonkeyPatch) -> None:
    tls, trusting = certificate.__wrapped__("IP:127.0.0.1")
    async with ScriptedServer(answering(reply(LIST)), tls=tls) as server:
        _, (stranger,) = await ping(endpoint(server.url("/v1")))
        monkeypatch.setattr(ask, "trusted_roots", lambda general: trusting)
        code, (known,) = await ping(endpoint(server.url("/v1")))

    assert stranger["says"].startswith("does not answer: certificate verify failed")
    assert (code, known["serves"]) == (0, True)
    assert list(known["times_ms"]) == ["dns", "tcp", "tls", "answer"]


async def test_the_tunnel_of_an_outbound_proxy_has_a_time_of_its_own(
    ping: Ping, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls, trusting = certificate.__wrapped__("IP:127.0.0.1")
    monkeypatch.setattr(ask, "trusted_roots", lambda general: trusting)
    async with ScriptedServer(answering(reply(LIST)), tls=tls) as server, ScriptedServer(HttpProxy()) as between:
        code, (told,) = await ping(endpoint(server.url("/v1")), outbound_proxy=between.url(""))

    assert (code, told["serves"]) == (0, True)
    assert list(told["times_ms"]) == ["dns", "tcp", "tunnel", "tls", "answer"]


@pytest.mark.parametrize("has_token", [True, False])
async def test_an_entra_token_is_fetched_first(
    start_provider: StartProvider, ping: Ping, monkeypatch: pytest.MonkeyPatch, has_token: bool
) -> None:
    async def fetch(scope: str) -> AccessToken:
        if not has_token:
            raise TokenUnavailable("nobody is logged in")
        return AccessToken(Secret("canary-token"), time.time() + 3600)

    monkeypatch.setattr(ask, "default_azure_tokens", lambda general, roots: fetch)
    provider = await start_provider(models=("gpt-sim",), entra_tokens=("canary-token",))
    params = {"azure_endpoint": provider.url, "api_version": "2024-10-21", "azure_ad_token_provider": "default"}

    code, (told,) = await ping({"model": "gpt-sim", "params": params})

    assert (code, told["serves"]) == ((0, True) if has_token else (1, False)), told["says"]
    if has_token:
        assert {dict(each.raw_headers)[b"authorization"] for each in provider.records} == {b"Bearer canary-token"}
    else:
        assert told["says"].startswith("does not answer: ") and provider.records == []


@pytest.mark.parametrize(
    ("status", "body", "code", "serves", "says"),
    [
        ("404 Not Found", b"{}", 0, None, "answers 404 to GET /models"),
        ("200 OK", b"<html></html>", 1, False, "something else than a list of models"),
        ("200 OK", b'[{"id": "models/gpt-sim"}]', 0, True, "has the model gpt-sim"),
        ("301 Moved Permanently", b"", 1, False, "answers 301"),
        ("401 Unauthorized", ECHOED, 1, False, "refuses the key"),
        ("500 Internal Server Error", ECHOED, 1, False, "answers 500"),
        ("503 Service Unavailable", b'{"error": {"message": "down"}}', 1, False, "answers 503"),
        ("429 Too Many Requests", b'{"error": {"message": "slow down"}}', 0, True, "rate limit"),
        (
            "429 Too Many Requests",
            b'{"error": {"message": "pay", "type": "insufficient_quota", "code": "insufficient_quota"}}',
            1,
            False,
            "429",
        ),
    ],
)
async def test_what_else_may_come(ping: Ping, status: str, body: bytes, code: int, serves: object, says: str) -> None:
    async with ScriptedServer(answering(reply(body, status=status))) as server:
        got, (told,) = await ping(endpoint(server.url("/v1")))

    assert (got, told["serves"]) == (code, serves)
    assert says in told["says"]
