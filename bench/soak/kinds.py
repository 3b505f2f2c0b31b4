"""The traffic: what each kind of client that stays does, and which outcome it must have.

Every kind returns a short word for what happened, and raises `Unexpected` for anything that must not: an error that
nobody injected, an answer to another question, a stream without end, a broken one that looks whole.
"""

import json

from bench.soak import questions
from bench.soak.checks import CHAT, EMBEDDINGS, FILES, RESPONSES, expect, is_json, is_whole, told, whole
from bench.soak.departures import too_large
from bench.soak.questions import Dice
from bench.soak.world import BREAKING, FAILOVER, HARMLESS
from bench.wire import Answer, Client


async def _chat(client: Client, dice: Dice, body: bytes, fault: str | None = None, *, stream: bool) -> Answer:
    reply = await client.ask("POST", CHAT, dice.headers(fault), body)
    expect(reply, 200)
    whole(is_whole(body, reply.body, stream=stream), reply)
    return reply


def _cache(reply: Answer) -> str:
    return reply.headers.get("x-llmproxy-cache", "")


async def chat_stream(client: Client, dice: Dice) -> str:
    body = questions.chat("chat", dice.text(), stream=True, stream_options={"include_usage": True})
    await _chat(client, dice, body, stream=True)
    return "whole"


async def chat_stream_popular(client: Client, dice: Dice) -> str:
    body = questions.chat("chat", questions.popular_text(dice.popular()), temperature=0, stream=True)
    return _cache(await _chat(client, dice, body, stream=True))


async def chat_stream_new(client: Client, dice: Dice) -> str:
    body = questions.chat("chat", dice.text(), temperature=0, stream=True)
    return _cache(await _chat(client, dice, body, stream=True))


async def chat_whole(client: Client, dice: Dice) -> str:
    await _chat(client, dice, questions.chat("chat", dice.text()), stream=False)
    return "whole"


async def chat_whole_popular(client: Client, dice: Dice) -> str:
    body = questions.chat("chat", questions.popular_text(dice.popular()) + "whole", temperature=0)
    return _cache(await _chat(client, dice, body, stream=False))


async def chat_chopped(client: Client, dice: Dice) -> str:
    """Frames, characters and headers arrive in pieces, or late."""
    stream = dice.random.random() < 0.7
    body = questions.chat("chat", dice.text(), stream=stream)
    await _chat(client, dice, body, dice.random.choice(tuple(HARMLESS)), stream=stream)
    return "whole"


async def failover_stream(client: Client, dice: Dice) -> str:
    fault = dice.random.choice([name for name in FAILOVER if name not in ("half", "truncate")])
    body = questions.chat("chat", dice.text(), stream=True)
    reply = await _chat(client, dice, body, fault, stream=True)
    return "whole" if reply.headers.get("x-llmproxy-attempts") == "1" else "whole, failed over"


async def failover_whole(client: Client, dice: Dice) -> str:
    body = questions.chat("chat", dice.text())
    reply = await _chat(client, dice, body, dice.random.choice(tuple(FAILOVER)), stream=False)
    return "whole" if reply.headers.get("x-llmproxy-attempts") == "1" else "whole, failed over"


async def broken_stream(client: Client, dice: Dice) -> str:
    headers = dice.headers(dice.random.choice(tuple(BREAKING)))
    if dice.random.random() < 0.3:
        body = questions.respond(dice.text(), stream=True)
        reply = await client.ask("POST", RESPONSES, headers, body)
        return told(reply, is_whole=is_whole(body, reply.body, stream=True))
    body = questions.chat("chat", dice.text(), stream=True)
    reply = await client.ask("POST", CHAT, headers, body)
    return told(reply, is_whole=is_whole(body, reply.body, stream=True))


async def response_stream(client: Client, dice: Dice) -> str:
    body = questions.respond(dice.text(), stream=True, store=dice.random.random() < 0.5)
    reply = await client.ask("POST", RESPONSES, dice.headers(), body)
    expect(reply, 200)
    whole(is_whole(body, reply.body, stream=True), reply)
    return "whole"


async def dialogue(client: Client, dice: Dice) -> str:
    """A stored response, one that goes on from it, a look at it, and sometimes its deletion: three requests or four."""
    headers = dice.headers()
    body = questions.respond(dice.text())
    reply = await client.ask("POST", RESPONSES, headers, body)
    expect(reply, 200)
    whole(is_whole(body, reply.body, stream=False), reply)
    first = json.loads(reply.body)["id"]
    stream = dice.random.random() < 0.5
    body = questions.respond(dice.text(), previous_response_id=first, stream=stream)
    reply = await client.ask("POST", RESPONSES, headers, body)
    expect(reply, 200)
    whole(is_whole(body, reply.body, stream=stream), reply)
    expect(await client.ask("GET", f"{RESPONSES}/{first}", headers), 200)
    if dice.random.random() < 0.3:
        expect(await client.ask("DELETE", f"{RESPONSES}/{first}", headers), 200)
        return "whole, deleted"
    return "whole"


async def embedding(client: Client, dice: Dice) -> str:
    text = questions.popular_text(dice.popular()) if dice.random.random() < 0.5 else dice.text()
    body = questions.embed(text)
    reply = await client.ask("POST", EMBEDDINGS, dice.headers(), body)
    expect(reply, 200)
    whole(is_json(reply.body), reply)
    return _cache(reply)


async def own_key(client: Client, dice: Dice) -> str:
    """The proxy has no key for this group: each client brings one, and most were never seen before."""
    body = questions.chat("own", dice.text())
    headers = dice.headers() | {"authorization": f"Bearer sk-own-{dice.unique()}"}
    reply = await client.ask("POST", CHAT, headers, body)
    expect(reply, 200)
    whole(is_whole(body, reply.body, stream=False), reply)
    return "whole"


async def limited(client: Client, dice: Dice) -> str:
    """More than the group's rate limit lets through."""
    reply = await client.ask("POST", CHAT, dice.headers(), questions.chat("limited", dice.text(), max_tokens=4))
    expect(reply, 200, 429)
    return str(reply.status)


async def all_broken(client: Client, dice: Dice) -> str:
    """The group's only provider answers 500."""
    reply = await client.ask("POST", CHAT, dice.headers(), questions.chat("broken", dice.text()))
    expect(reply, 500, 502, 503, 504)
    return str(reply.status)


async def upload(client: Client, dice: Dice) -> str:
    """A file goes through, comes back, and is deleted: three requests."""
    content = dice.random.randbytes(dice.random.choice((1_000, 60_000, 500_000)))
    body, content_type = questions.form(content)
    headers = dice.headers() | {"content-type": content_type}
    reply = await client.ask("POST", FILES, headers, body)
    expect(reply, 200)
    path = f"{FILES}/{json.loads(reply.body)['id']}"
    del headers["content-type"]
    reply = await client.ask("GET", f"{path}/content", headers)
    expect(reply, 200)
    whole(reply.body == content, reply)
    expect(await client.ask("DELETE", path, headers), 200)
    return "whole"


async def bad_request(client: Client, dice: Dice) -> str:
    """What is refused: 400, 404, 413."""
    headers = dice.headers()
    match dice.random.randrange(4):
        case 0:
            reply, status = await client.ask("POST", CHAT, headers, b'{"model": "chat", "messages": ['), 400
        case 1:
            reply, status = await client.ask("POST", CHAT, headers, b'{"messages": []}'), 400
        case 2:
            reply = await client.ask("GET", f"{RESPONSES}/resp_{dice.unique():024x}", headers)
            expect(reply, 404, 429, 502, 503)  # not 404 while an account that might keep it cannot be asked
            return str(reply.status)
        case _:
            return await too_large(client, headers)
    expect(reply, status)
    return str(status)


async def pass_through(client: Client, dice: Dice) -> str:
    """Routes the proxy has no part in, and its own."""
    headers = dice.headers()
    path = dice.random.choice(
        ("/v1/models", "/v1/files", "/v1/batches", "/health", f"/v1/files?after=f{dice.unique()}")
    )
    reply = await client.ask("GET", path, headers)
    expect(reply, 200)
    return str(reply.status)


async def unknown_path(client: Client, dice: Dice) -> str:
    """A path and a credential that were never seen before, answered without a provider."""
    headers = dice.headers() | {"authorization": f"Bearer sk-tenant-{dice.unique()}"}
    expect(await client.ask("GET", f"/nowhere-{dice.unique()}", headers), 404)
    return "404"


async def new_address(client: Client, dice: Dice) -> str:
    """Upstream URLs that were never seen before, one of them a route of its own."""
    for path in (f"/v1/files?after=file-{dice.unique()}", f"/v1/models/new-{dice.unique()}"):
        expect(await client.ask("GET", path, dice.headers()), 200)
    return "200"
