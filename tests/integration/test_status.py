"""`GET /status`: what it says of what happened, that it need not be sent twice, and who may read it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.contracts.scripted_server import Peer, ScriptedServer, reply
from tests.integration.composed import Composed, composed
from tests.integration.harness import config, endpoint
from tests.integration.raw_http import JSON

pytestmark = pytest.mark.asyncio(loop_scope="module")

HTML = b"accept: text/html,application/xhtml+xml,*/*;q=0.8"
CANARY = b"canary-prompt"
CHAT = b'{"model":"gpt","messages":[{"role":"user","content":"canary-prompt"}]}'
ANSWER = b'{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}'
BUSY = b'{"error":{"message":"canary-error","type":"server_error"}}'


async def good(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.send(reply(ANSWER, JSON.decode()))


async def bad(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.send(reply(BUSY, JSON.decode(), status="503 Busy"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Composed]:
    async with ScriptedServer(good) as well, ScriptedServer(bad) as broken:
        models = [endpoint(broken.url("/v1"), id="broken"), endpoint(well.url("/v1"), id="well")]
        async with composed(tmp_path_factory.mktemp("status"), config(models)) as running:
            yield running


async def status(proxy: Composed) -> dict[str, Any]:
    return dict(json.loads((await proxy.ask("GET", "/status")).body))


async def test_it_tells_what_became_of_requests(proxy: Composed) -> None:
    first = await proxy.ask("POST", "/v1/chat/completions", JSON, b"user-agent: canary-agent", body=CHAT)
    await proxy.ask("POST", "/v1/chat/completions", JSON, body=CHAT)
    await proxy.ask("POST", "/v1/chat/completions", JSON, body=CHAT.replace(b'"gpt"', b'"canary-model"'))
    told = await status(proxy)
    (group,) = told["groups"]
    broken, well = group["endpoints"]

    assert first.status == 200
    assert (broken["attempts"], broken["recent"]["failures"]) == (1, {"server_error": 1})
    assert (broken["state"], broken["why"][:12]) == ("cooling", "server_error")
    assert (well["attempts"], well["recent"]["share"], well["ramp"]) == (2, 0.6667, 0)
    assert (group["recent"]["requests"], group["recent"]["errors"]) == (2, {})
    assert (told["recent"]["requests"], told["recent"]["errors"]) == (3, {"client_unknown_model": 1})
    assert group["recent"]["total_ms"]["p50"] > 0
    assert [each["status"] for each in told["decisions"]] == [404, 200, 200]
    assert told["decisions"][2]["reasons"].startswith("broken: server_error")
    assert told["proxy"]["worker"]["workers"] == 1 and told["proxy"]["generation"] == 1
    assert told["proxy"]["in_flight"] == 0
    assert "canary" not in json.dumps(told)


async def test_what_a_client_has_already_is_not_sent_again(proxy: Composed) -> None:
    page = await proxy.ask("GET", "/", HTML)
    again = await proxy.ask("GET", "/status", HTML, b"if-none-match: " + (page.one("etag") or "").encode())
    other = await proxy.ask("GET", "/status", b'if-none-match: "other"')

    assert (page.status, again.status, again.body, other.status) == (200, 304, b"", 200)
    assert again.one("etag") == page.one("etag") != other.one("etag")
    assert (other.one("cache-control"), other.all("vary")) == ("no-cache", ["accept"])


async def test_figures_that_have_not_changed_are_not_sent_again(tmp_path: Path) -> None:
    async with composed(tmp_path, config([endpoint("http://127.0.0.1:9/v1")])) as proxy:
        tag = (await proxy.ask("GET", "/status")).one("etag") or ""
        again = await proxy.ask("GET", "/status", b"if-none-match: W/" + tag.encode())

    assert (again.status, again.body, again.one("etag")) == (304, b"", tag)


async def test_the_page_comes_with_its_policy_and_only_to_browsers(proxy: Composed) -> None:
    page = await proxy.ask("GET", "/", HTML)
    head = await proxy.ask("HEAD", "/", HTML)
    others = await proxy.ask("GET", "/")

    assert (page.one("content-type"), page.body[:15]) == ("text/html; charset=utf-8", b"<!doctype html>")
    assert "default-src 'none'" in (page.one("content-security-policy") or "")
    assert (head.status, head.body, head.one("content-length")) == (200, b"", str(len(page.body)))
    assert (others.status, others.error["code"]) == (404, "unknown_path")


async def test_it_is_for_those_who_have_a_key(tmp_path: Path) -> None:
    settings = config([endpoint("http://127.0.0.1:9/v1", id="canary")], api_keys=["k"])
    async with composed(tmp_path, settings) as proxy:
        page = await proxy.ask("GET", "/status", HTML, host="anything.example")
        refused = await proxy.ask("GET", "/status")
        figures = await proxy.ask("GET", "/status", b"authorization: Bearer k")
        undescribed = await proxy.ask("GET", "/openapi.json")
        described = await proxy.ask("GET", "/openapi.json", b"authorization: Bearer k")

    assert (page.status, b"canary" in page.body) == (200, False)
    assert (refused.status, b"canary" in refused.body) == (401, False)
    assert (figures.status, b"canary" in figures.body) == (200, True)
    assert (undescribed.status, undescribed.error["code"]) == (401, "invalid_api_key")
    assert (described.status, json.loads(described.body)["security"]) == (200, [{"bearer": []}, {"api-key": []}])


async def test_the_description_of_what_is_served_names_no_group_and_need_not_be_sent_twice(proxy: Composed) -> None:
    first = await proxy.ask("GET", "/openapi.json")
    again = await proxy.ask("GET", "/openapi.json", b"if-none-match: " + (first.one("etag") or "").encode())

    assert (first.status, first.one("content-type"), again.status) == (200, "application/json", 304)
    assert json.loads(first.body)["security"][0] == {}
    assert b"well" not in first.body


async def test_no_foreign_name_or_page_gets_it(proxy: Composed) -> None:
    for accept in (HTML, b"accept: */*"):
        assert (await proxy.ask("GET", "/status", accept, host="evil.example")).status == 403
        assert (await proxy.ask("GET", "/status", accept, b"origin: https://evil.example")).status == 403


@pytest.mark.parametrize("host", ["local/../host", "a b", "[", "\xff", "x:y:z", "/"])
async def test_a_name_that_is_none_is_the_guards_to_judge(proxy: Composed, host: str) -> None:
    live = await proxy.ask("GET", "/health/live", b"host: " + host.encode("latin-1"), host="")
    health = await proxy.ask("GET", "/health", b"host: " + host.encode("latin-1"), host="")

    assert (live.status, health.status, health.error["code"]) == (200, 403, "host_not_allowed")


async def test_questions_about_the_status_are_no_requests_of_note(proxy: Composed) -> None:
    before = await status(proxy)
    for _ in range(3):
        await proxy.ask("GET", "/health")
        await proxy.ask("GET", "/", HTML)
    after = await status(proxy)

    assert after["recent"]["requests"] == before["recent"]["requests"]
    assert after["decisions"] == before["decisions"]
