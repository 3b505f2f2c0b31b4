"""Whose fault an error is: nobody rests for a prompt, and no message of a provider's about the request is lost."""

import json
from collections.abc import Mapping
from typing import Any

from bench.faults.case import Figure, at_most, cases_of, exactly, none
from bench.faults.proxy import Replica
from bench.faults.world import World, config, model

case = cases_of("Whose fault it is")

_JSON = {"content-type": "application/json"}
_EVENTS = {"content-type": "text/event-stream"}

CODES = (
    "content_filter", "content_policy_violation", "moderation_blocked", "cyber_policy", "bio_policy", "invalid_prompt",
    "invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url", "image_too_large",
    "image_too_small", "image_parse_error", "image_content_policy_violation", "invalid_image_mode",
    "image_file_too_large", "unsupported_image_media_type", "empty_image_file", "failed_to_download_image",
    "image_file_not_found", "context_length_exceeded", "string_above_max_length", "unsupported_value",
    "unsupported_parameter", "invalid_request_error",
)  # fmt: skip
"""What is said of the request."""

NUMBERS = (400, 413, 422)


def _said(code: object, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"message": f"This was refused ({code})", "type": kind, "param": None, "code": code}


def refusals() -> dict[str, tuple[str, bool, Mapping[str, Any]]]:
    """By name: the API, whether it is asked for as a stream, and what the provider does."""
    found: dict[str, tuple[str, bool, Mapping[str, Any]]] = {}
    for code in (*CODES, *NUMBERS, *map(str, NUMBERS)):
        error = _said(code)
        whole = json.dumps({"error": error})
        failed = {
            "type": "response.failed",
            "sequence_number": 1,
            "response": {"id": "resp_1", "object": "response", "status": "failed", "error": error},
        }
        event = {"type": "error", "sequence_number": 1, "error": error}
        found |= {
            f"{code}: 400": ("chat", False, {"kind": "status", "status": 400, "body": {"error": error}}),
            f"{code}: inside a 200": ("chat", False, {"kind": "raw", "headers": _JSON, "chunks": [whole]}),
            f"{code}: first event of a chat": (
                "chat",
                True,
                {"kind": "raw", "headers": _EVENTS, "chunks": [f"data: {whole}\n\n"]},
            ),
            f"{code}: error event of a response": (
                "responses",
                True,
                {"kind": "raw", "headers": _EVENTS, "chunks": [f"event: error\ndata: {json.dumps(event)}\n\n"]},
            ),
            f"{code}: failed response": (
                "responses",
                True,
                {
                    "kind": "raw",
                    "headers": _EVENTS,
                    "chunks": [f"event: response.failed\ndata: {json.dumps(failed)}\n\n"],
                },
            ),
        }
    return found


async def resting(replica: Replica) -> int:
    """Endpoints that do not take requests."""
    return sum(seen["state"] != "closed" for seen in (await replica.endpoints()).values())


@case(
    "refusals",
    f"{len(refusals())} refusals of a prompt: 25 codes and 3 numbers as status, inside a 200, as an "
    "event, of chat and Responses",
    "one call; the provider's own words reach the client; nobody is held to account, `/health` stays 200",
)
async def refused(world: World) -> list[Figure]:
    one, two = await world.provider("one"), await world.provider("two")
    replica, asker = await world.proxy(config(model(one), model(two)))
    lost, calls, wrong = {}, 0, {}
    for name, (api, stream, action) in refusals().items():
        for provider in (one, two):
            provider.set_faults([{"action": dict(action)}])
            provider.reset()
        told = await asker.ask(api=api, stream=stream)
        if b"This was refused" not in told.body or told.status in (502, 503, 504):
            lost[name] = (told.status, told.body[:200])
        made = one.counts().received + two.counts().received
        if made != 1:
            wrong[name] = made
        calls += made
    for provider in (one, two):
        provider.set_faults([])
    after = await asker.many(20)
    health = await replica.get("/health")
    return [
        none(f"refusals whose words were lost of {len(refusals())}", len(lost), str(lost)[:500]),
        none("not one call", len(wrong), str(wrong)[:500]),
        none("endpoints that rest", await resting(replica)),
        exactly("/health", health.status, 200),
        none("then failed of 20", after.failed(), after.errors()),
    ]


@case(
    "403-about-prompt",
    "a 403 about the prompt: an HTML page, and `code: 403` with a text",
    "at most one other endpoint is asked; its own words reach the client; nobody rests for one prompt",
)
async def forbidden(world: World) -> list[Figure]:
    bodies: tuple[Any, ...] = (
        "<html><body>Request blocked by policy</body></html>",
        {"error": {"code": 403, "message": "The input was flagged"}},
    )
    one, two = await world.provider("one"), await world.provider("two")
    replica, asker = await world.proxy(config(model(one), model(two)))
    statuses, calls = [], []
    for number, body in enumerate(bodies):
        for provider in (one, two):
            provider.set_faults([{"action": {"kind": "status", "status": 403, "body": body}}])
            provider.reset()
        # The same client, again and again: one prompt.
        statuses += [(await asker.ask(number, stream=False)).status for _ in range(5)]
        calls.append(one.counts().received + two.counts().received)
    for provider in (one, two):
        provider.set_faults([])
    return [
        exactly("told 403 of 10", statuses.count(403), 10, str(statuses)),
        at_most("calls for 5 requests", max(calls), 10),
        none("endpoints that rest", await resting(replica)),
        none("then failed of 20", (await asker.many(20)).failed()),
    ]


@case(
    "unknown-errors",
    "an endpoint that answers every request with an error that nobody knows",
    "one other endpoint is asked; after 3 different requests in a row it rests",
)
async def unknown(world: World) -> list[Figure]:
    odd = {
        "kind": "raw",
        "headers": _JSON,
        "chunks": [json.dumps({"error": {"message": "Zorble", "type": "zorble", "code": "z"}})],
    }
    sick, well = await world.failing(odd), await world.provider()
    _, asker = await world.proxy(config(model(sick), model(well), cooldown_time=60))
    tally = await asker.many(100, at_once=1, stream=False)
    return [
        none("failed of 100", tally.failed(), tally.errors()),
        exactly("calls of the odd one before it rests", sick.counts().received, 3),
    ]


_ODD_BOOKS = (
    '"usage": 3.0',
    '"usage": "3"',
    '"usage": []',
    '"usage": true',
    '"id": null',
    '"created": "x"',
    '"logprobs": NaN',
)


@case(
    "books",
    "answers whose books are odd: `usage` as number, text, list; `index: null`, `finish_reason: false`, "
    "NaN; a byte order mark first",
    "the answer passes as it came, after one call",
)
async def books(world: World) -> list[Figure]:
    choice = '{"index":null,"finish_reason":false,"message":{"role":"assistant","content":"hello"}}'
    bodies = [f'{{"object":"chat.completion","choices":[{choice}],{odd}}}' for odd in _ODD_BOOKS]
    provider, other = await world.provider("one"), await world.provider("two")
    _, asker = await world.proxy(config(model(provider), model(other, 0)))
    lost, asked = [], 0
    for body in bodies:
        provider.set_faults([{"action": {"kind": "raw", "headers": _JSON, "chunks": [body]}}])
        lost += [body] * ((await asker.ask(stream=False)).body != body.encode())
        asked += 1
    final = '{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}],"usage":"3"}'
    mark = f"\ufeffdata: {final}\n\ndata: [DONE]\n\n"
    whole = bodies[0]
    for action, stream in (
        ({"headers": _EVENTS, "chunks": [mark]}, True),
        ({"headers": _JSON, "chunks": [whole]}, True),
    ):
        provider.set_faults([{"action": {"kind": "raw", **action}}])
        told = await asker.ask(stream=stream)
        lost += [told.body.decode()] * (
            told.status != 200 or (b"[DONE]" not in told.body and told.body != whole.encode())
        )
        asked += 1
    return [
        none(f"answers that did not pass of {asked}", len(lost), str(lost)[:400]),
        exactly("calls", provider.counts().received, asked),
        none("calls of the other endpoint", other.counts().received),
    ]
