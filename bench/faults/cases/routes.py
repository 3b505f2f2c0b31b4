"""Time-outs of clients, ids of stored things, paths and methods, limits in headers."""

import asyncio
import json
import time
from typing import Any

import openai

from bench.faults.asking import OK, PROMPT
from bench.faults.case import Figure, at_least, at_most, cases_of, exactly, none
from bench.faults.cases.judgement import resting
from bench.faults.proxy import CLIENT_KEY
from bench.faults.world import World, config, model

case = cases_of("Whose fault it is")


@case(
    "clients-timeout",
    "an SDK with `timeout=1` in front of a provider that needs 6 s, whole and streamed, of six APIs",
    "it raises its own time-out, as without a proxy; the call ends with it; nothing else is begun",
)
async def clients_timeout(world: World) -> list[Figure]:
    slow = await world.provider(latency_s=6)
    replica, _ = await world.proxy(config(model(slow), first_byte_timeout=60, request_timeout=60))
    raised, other = 0, []
    async with openai.AsyncOpenAI(api_key=CLIENT_KEY, base_url=f"{replica.url}/v1", timeout=1, max_retries=0) as client:
        chat: dict[str, Any] = {"model": "group", "messages": [{"role": "user", "content": PROMPT}]}
        calls: list[Any] = [
            client.chat.completions.create(**chat),
            client.chat.completions.create(**chat, stream=True),
            client.responses.create(model="group", input=PROMPT),
            client.responses.create(model="group", input=PROMPT, stream=True),
            client.completions.create(model="group", prompt=PROMPT),
            client.embeddings.create(model="group", input=PROMPT),
        ]
        for told in await asyncio.gather(*calls, return_exceptions=True):
            raised += isinstance(told, openai.APITimeoutError)
            other += [] if isinstance(told, openai.APITimeoutError) else [repr(told)]
    await asyncio.sleep(0.3)
    outcomes = [line["outcome"] for line in replica.log()]
    return [
        exactly("time-outs raised of 6", raised, 6, str(other)[:300]),
        exactly("calls", slow.counts().received, 6),
        none("calls that go on", slow.counts().in_flight),
        exactly("logged as client_timed_out", outcomes.count("client_timed_out"), 6, str(outcomes)),
        none("endpoints that rest", await resting(replica)),
    ]


@case(
    "stored-ids",
    "a response that was deleted; an id that nobody knows, while one account's key is refused",
    "404 at once: an SDK does not ask again",
)
async def stored_ids(world: World) -> list[Figure]:
    one, two = await world.provider("one"), await world.provider("two")
    refusing = await world.failing(
        {"kind": "status", "status": 401, "body": {"error": {"message": "bad key", "code": "invalid_api_key"}}},
        "refusing",
    )
    models = [model(one), model(two, params={"api_key": "sk-canary-provider-key-2"})]
    models.append(model(refusing, 0, params={"api_key": "sk-canary-provider-key-3"}))
    _, asker = await world.proxy(config(*models))
    made = await asker.ask(api="responses", stream=False)
    id_ = json.loads(made.body)["id"]
    found = await asker.send(f"/v1/responses/{id_}", None, method="GET")
    deleted = await asker.send(f"/v1/responses/{id_}", None, method="DELETE")
    before = sum(provider.counts().received for provider in (one, two, refusing))
    gone = await asker.send(f"/v1/responses/{id_}", None, method="GET")
    calls = sum(provider.counts().received for provider in (one, two, refusing)) - before
    strange = await asker.send("/v1/responses/resp_of_nobody", None, method="GET")
    return [
        exactly("found and deleted", float(found.status == 200 and deleted.status == 200), 1),
        exactly("deleted: status", gone.status, 404, str(gone.body[:200])),
        at_most("deleted: calls", calls, 1),
        exactly("unknown: status", strange.status, 404, str(strange.body[:200])),
    ]


@case(
    "paths-and-methods",
    "every method and odd spelling of paths: `//v1`, `/v1/v1`, a slash at the end; wrong methods; other APIs",
    "served, or refused with what would be right: 405 has Allow, 401 WWW-Authenticate, 404 the path that was meant",
)
async def paths(world: World) -> list[Figure]:
    provider = await world.provider()
    _, asker = await world.proxy(config(model(provider), passthrough_group="group"))
    body = asker.body(stream=False)
    spelt = (
        "//v1/chat/completions",
        "/v1/v1/chat/completions",
        "/v1/chat/completions/",
        "/chat/completions",
        "/openai/v1/chat/completions",
    )
    served = {path: await asker.send(path, body) for path in spelt}
    passed = [
        await asker.send("/v1/files", None, method="GET"),
        await asker.send("/v1/models/ft:x", None, method="DELETE"),
    ]
    wrong_method = await asker.send("/v1/chat/completions", body, method="PUT")
    meant = await asker.send("/v1/chat/completion", body)
    locked, _ = await world.proxy(config(model(provider), api_keys=["sk-canary-client-key"]))
    stranger = await world.asker(locked, headers={"authorization": "Bearer nobody"}).ask(stream=False)
    bad = {path: (one.status, one.body[:100]) for path, one in served.items() if one.outcome != OK}
    return [
        none(f"not served of {len(spelt)}", len(bad), str(bad)),
        none(
            "passed through: 405 or 5xx",
            sum(one.status in (405,) or one.status >= 500 for one in passed),
            str(passed)[:300],
        ),
        exactly(
            "wrong method: 405 with Allow",
            float(wrong_method.status == 405 and "allow" in wrong_method.headers),
            1,
            str(wrong_method)[:300],
        ),
        exactly(
            "nearly right: 404 that names the path",
            float(meant.status == 404 and b"/v1/chat/completions" in meant.body),
            1,
            str(meant)[:300],
        ),
        exactly(
            "no key: 401 with WWW-Authenticate",
            float(stranger.status == 401 and "www-authenticate" in stranger.headers),
            1,
        ),
    ]


@case(
    "odd-limit-headers",
    "limits that reset at a time of day, in the past, in milliseconds; and 60 requests at an Azure "
    "endpoint with 5 in 3 s",
    "what cannot be read is unknown: the endpoint is used on; no request is sent that would be answered 429",
)
async def odd_limits(world: World) -> list[Figure]:
    body = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
    }
    used, rests = 0, 0
    hints = ("2026-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT", "1767225600000", "-5s", "soon", "9" * 40)
    models, providers = [], []
    for number, reset in enumerate(hints):
        headers = {
            "x-ratelimit-limit-requests": "100",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": reset,
        }
        provider = await world.failing(
            {"kind": "status", "status": 200, "headers": headers, "body": body}, f"odd-{number}"
        )
        providers.append(provider)
        models.append(model(provider, group=f"odd-{number}", params={"api_key": f"sk-canary-provider-key-{number}"}))
    azure = await world.provider("azure", header_style="azure", rpm=5, window_s=3)
    free = await world.provider("free")
    models += [model(azure, group="azure", params={"api_key": "sk-canary-provider-key-a"}), model(free, group="azure")]
    replica, _ = await world.proxy(config(*models, max_wait=5))
    slowest_s = 0.0
    for number, _hint in enumerate(hints):
        asker = world.asker(replica, group=f"odd-{number}")
        told = [await asker.ask(each, stream=False) for each in range(3)]
        used += sum(one.status == 200 for one in told)
        slowest_s = max(slowest_s, *(one.took_s for one in told))
    rests = await resting(replica)
    began = time.monotonic()
    asker = world.asker(replica, group="azure")
    tally = await asker.offer(6, lambda: time.monotonic() - began > 10)
    limited = azure.counts().limited
    return [
        at_least(
            f"answered of {3 * len(hints)}", used, 3 * len(hints), note=str([p.counts().received for p in providers])
        ),
        none("endpoints that rest", rests),
        none(f"Azure: failed of {len(tally.asked)}", tally.failed(), tally.errors()),
        none("Azure: answered 429", limited),
        at_least("Azure: answered well", tally.by()["azure"], 10),
    ]
