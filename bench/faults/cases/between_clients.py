"""What one client may see of another, of a web page, and in the log."""

import asyncio
import json

from bench.faults.asking import OK
from bench.faults.case import Figure, at_most, cases_of, exactly, none
from bench.faults.cases.answers import MIB
from bench.faults.cases.raw_requests import status_of
from bench.faults.world import World, config, model

case = cases_of("Clients")


@case(
    "two-tenants",
    "the same question of two keys; 500 identical questions at a time; another key's cached answer",
    "a cached answer is shared by clients of one key only; identical questions under way are one call",
)
async def two_tenants(world: World) -> list[Figure]:
    provider = await world.provider(latency_s=0.5)
    keys = ["sk-canary-client-key", "sk-canary-client-key-2"]
    replica, asker = await world.proxy(config(model(provider), cache=True, api_keys=keys))
    other = world.asker(replica, headers={"authorization": f"Bearer {keys[1]}"})
    mine = [await asker.ask(temperature=0, stream=False) for _ in range(2)]
    theirs = [await other.ask(temperature=0, stream=False) for _ in range(2)]
    states = [one.headers["x-llmproxy-cache"] for one in (*mine, *theirs)]
    before = provider.counts().received
    crowd = await asyncio.gather(*(asker.ask(7, temperature=0, stream=False) for _ in range(500)))
    ids = {json.loads(one.body)["id"] for one in crowd}
    return [
        exactly("cross hits: miss, hit, miss, hit", float(states == ["miss", "hit", "miss", "hit"]), 1, str(states)),
        none("failed of 500", sum(one.outcome != OK for one in crowd)),
        exactly("calls for 500 identical questions", provider.counts().received - before, 1),
        exactly("answers that they got", len(ids), 1),
    ]


@case(
    "web-pages",
    "pages, an extension and an application that may call, and ones that may not; errors and streams; "
    "`/health/live` under any name",
    "what may call can read every answer, errors and streams included; others get a 403 that has the line to write",
)
async def web_pages(world: World) -> list[Figure]:
    sick, well = (
        await world.failing({"kind": "status", "status": 400, "body": {"error": {"message": "no"}}}),
        await world.provider(),
    )
    allowed = ["https://app.example", "app://obsidian.md", "chrome-extension://*", "http://localhost:*"]
    replica, asker = await world.proxy(config(model(well), model(sick, group="sick"), allowed_origins=allowed))
    others = world.asker(replica, group="sick")
    unread, asked = [], 0
    for origin in (
        "https://app.example",
        "https://app.example:443",
        "app://obsidian.md",
        "chrome-extension://abcd",
        "http://localhost:3000",
    ):
        for each, fields in ((asker, {"stream": False}), (asker, {"stream": True}), (others, {"stream": False})):
            told = await each.ask(headers={"origin": origin}, **fields)
            is_readable = told.headers.get("access-control-allow-origin") == origin
            unread += [f"{origin}: {told.status}"] * (
                not is_readable or "access-control-expose-headers" not in told.headers
            )
            asked += 1
    before = well.counts().received
    strangers = [await asker.ask(headers={"origin": each}) for each in ("https://evil.example", "null", "app://other")]
    calls = well.counts().received - before
    live = await status_of(replica.port, b"GET /health/live HTTP/1.1\r\nhost: 10.0.0.7\r\n\r\n")
    helpful = [b"allowed_origins" in one.body for one in strangers if one.status == 403]
    return [
        none(f"answers that a page could not read of {asked}", len(unread), str(unread)),
        exactly("strangers: 403 with the line to write, of 3", sum(helpful), 3, str(strangers)[:300]),
        none("calls for them", calls),
        exactly("/health/live under another name", live, 200),
    ]


@case(
    "log-lines",
    "an unknown model, a model of line breaks and of 2 MB, a proxy's key in the query, answers without content",
    "a line stays one line and says who asked what; no key; what has no content is not cached, the "
    "query's key goes nowhere",
)
async def log_lines(world: World) -> list[Figure]:
    body = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}],
    }
    empty, well = await world.failing({"kind": "status", "status": 200, "body": body}), await world.provider()
    settings = config(
        model(empty), model(well, group="well"), cache=True, api_keys=["sk-canary-client-key"], passthrough_group="well"
    )
    replica, asker = await world.proxy(settings)
    states = [(await asker.ask(temperature=0, stream=False)).headers["x-llmproxy-cache"] for _ in range(2)]
    for name in ("nobody", 'a\r\nb\n{"event":"request"}', "\x1b[31mred", "m" * (2 * MIB)):
        await asker.ask(model=name, headers={"x-client-request-id": "mine-1"})
    await asker.send("/v1/files?api_key=sk-canary-client-key&limit=2", None, method="GET")
    await asyncio.sleep(0.3)
    lines = [line for line in replica.said.splitlines() if '"event":"request"' in line]
    queries = [record.path for record in well.records]
    named = [line for line in replica.log() if line.get("client_request_id") == "mine-1" and line.get("model")]
    return [
        exactly("lines for 7 requests", len(lines), 7),
        exactly("lines with model and the client's id, of 4", len(named), 4),
        at_most("longest line", max(map(len, lines)), 1500, "letters"),
        exactly("answers without content that were cached", states.count("hit"), 0),
        none("keys in a query that was sent on", sum("canary" in path for path in queries), str(queries)),
    ]
