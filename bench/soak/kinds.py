"""The traffic: what each kind of client does, which outcome it must have, and in which ratios they come.

Every kind returns a short word for what happened, and raises `Unexpected` for anything that must not: an error that
nobody injected, a byte that differs from what the provider sent, a stream without end, a broken one that looks whole.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping

from bench.soak import questions
from bench.soak.exact import is_exact_chat, is_exact_embedding, is_exact_response
from bench.soak.questions import Dice
from bench.soak.wire import Answer, Client, head_of
from bench.soak.world import BREAKING, FAILOVER, GROUPS, HARMLESS, MAX_BODY_BYTES

CHAT, RESPONSES, EMBEDDINGS, FILES = "/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/files"
_SLOW_READER_BYTES = 4096

Kind = Callable[[Client, Dice], Awaitable[str]]


class Unexpected(Exception):
    """An outcome that nothing which was injected explains."""


def _expect(reply: Answer, *statuses: int) -> None:
    if reply.status not in statuses or not reply.ended:
        cut = "" if reply.ended else ", cut"
        raise Unexpected(f"status {reply.status}{cut}, expected {statuses}: {reply.body[:300]!r}")


def _whole(is_exact: bool, reply: Answer) -> None:
    if not is_exact:
        raise Unexpected(f"not the bytes that the provider sent: {reply.body[:200]!r} ... {reply.body[-200:]!r}")


def _told(reply: Answer, *, is_exact: bool) -> str:
    """A stream that broke upstream: an error event, and nothing that looks like its end. Or all of it from another
    endpoint, or an error at once, where the proxy saw it break before it had begun to answer: events that lag behind
    arrive together. That is a 429 where all endpoints have just answered 429 to others."""
    _expect(reply, 200, 429, 502, 503, 504)
    if reply.status != 200 or is_exact:
        return "exact" if is_exact else str(reply.status)
    if b'"error"' not in reply.body or b"[DONE]" in reply.body or b"response.completed" in reply.body:
        raise Unexpected(f"a broken stream that looks whole: {reply.body[-300:]!r}")
    return "told by an error event"


async def _chat(client: Client, dice: Dice, body: bytes, fault: str | None = None, *, stream: bool) -> Answer:
    reply = await client.ask("POST", CHAT, dice.headers(fault), body)
    _expect(reply, 200)
    _whole(is_exact_chat(body, reply.body, stream=stream), reply)
    return reply


def _cache(reply: Answer) -> str:
    return reply.headers.get("x-llmproxy-cache", "")


async def chat_stream(client: Client, dice: Dice) -> str:
    body = questions.chat("chat", dice.text(), stream=True, stream_options={"include_usage": True})
    await _chat(client, dice, body, stream=True)
    return "exact"


async def chat_stream_popular(client: Client, dice: Dice) -> str:
    body = questions.chat("chat", questions.popular_text(dice.popular()), temperature=0, stream=True)
    return _cache(await _chat(client, dice, body, stream=True))


async def chat_stream_new(client: Client, dice: Dice) -> str:
    body = questions.chat("chat", dice.text(), temperature=0, stream=True)
    return _cache(await _chat(client, dice, body, stream=True))


async def chat_whole(client: Client, dice: Dice) -> str:
    await _chat(client, dice, questions.chat("chat", dice.text()), stream=False)
    return "exact"


async def chat_whole_popular(client: Client, dice: Dice) -> str:
    body = questions.chat("chat", questions.popular_text(dice.popular()) + "whole", temperature=0)
    return _cache(await _chat(client, dice, body, stream=False))


async def chat_chopped(client: Client, dice: Dice) -> str:
    """Frames, characters and headers arrive in pieces, or late."""
    stream = dice.random.random() < 0.7
    body = questions.chat("chat", dice.text(), stream=stream)
    await _chat(client, dice, body, dice.random.choice(tuple(HARMLESS)), stream=stream)
    return "exact"


async def failover_stream(client: Client, dice: Dice) -> str:
    fault = dice.random.choice([name for name in FAILOVER if name not in ("half", "truncate")])
    body = questions.chat("chat", dice.text(), stream=True)
    reply = await _chat(client, dice, body, fault, stream=True)
    return "exact" if reply.headers.get("x-llmproxy-attempts") == "1" else "exact, failed over"


async def failover_whole(client: Client, dice: Dice) -> str:
    body = questions.chat("chat", dice.text())
    reply = await _chat(client, dice, body, dice.random.choice(tuple(FAILOVER)), stream=False)
    return "exact" if reply.headers.get("x-llmproxy-attempts") == "1" else "exact, failed over"


async def broken_stream(client: Client, dice: Dice) -> str:
    headers = dice.headers(dice.random.choice(tuple(BREAKING)))
    if dice.random.random() < 0.3:
        body = questions.respond(dice.text(), stream=True)
        reply = await client.ask("POST", RESPONSES, headers, body)
        return _told(reply, is_exact=is_exact_response(body, reply.body, stream=True))
    body = questions.chat("chat", dice.text(), stream=True)
    reply = await client.ask("POST", CHAT, headers, body)
    return _told(reply, is_exact=is_exact_chat(body, reply.body, stream=True))


async def response_stream(client: Client, dice: Dice) -> str:
    body = questions.respond(dice.text(), stream=True, store=dice.random.random() < 0.5)
    reply = await client.ask("POST", RESPONSES, dice.headers(), body)
    _expect(reply, 200)
    _whole(is_exact_response(body, reply.body, stream=True), reply)
    return "exact"


async def dialogue(client: Client, dice: Dice) -> str:
    """A stored response, one that goes on from it, a look at it, and sometimes its deletion: three requests or four."""
    headers = dice.headers()
    body = questions.respond(dice.text())
    reply = await client.ask("POST", RESPONSES, headers, body)
    _expect(reply, 200)
    _whole(is_exact_response(body, reply.body, stream=False), reply)
    first = json.loads(reply.body)["id"]
    stream = dice.random.random() < 0.5
    body = questions.respond(dice.text(), previous_response_id=first, stream=stream)
    reply = await client.ask("POST", RESPONSES, headers, body)
    _expect(reply, 200)
    _whole(is_exact_response(body, reply.body, stream=stream), reply)
    _expect(await client.ask("GET", f"{RESPONSES}/{first}", headers), 200)
    if dice.random.random() < 0.3:
        _expect(await client.ask("DELETE", f"{RESPONSES}/{first}", headers), 200)
        return "exact, deleted"
    return "exact"


async def embedding(client: Client, dice: Dice) -> str:
    text = questions.popular_text(dice.popular()) if dice.random.random() < 0.5 else dice.text()
    body = questions.embed(text)
    reply = await client.ask("POST", EMBEDDINGS, dice.headers(), body)
    _expect(reply, 200)
    _whole(is_exact_embedding(body, reply.body, GROUPS["embed"]), reply)
    return _cache(reply)


async def own_key(client: Client, dice: Dice) -> str:
    """The proxy has no key for this group: each client brings one, and most were never seen before."""
    body = questions.chat("own", dice.text())
    headers = dice.headers() | {"authorization": f"Bearer sk-own-{dice.unique()}"}
    reply = await client.ask("POST", CHAT, headers, body)
    _expect(reply, 200)
    _whole(is_exact_chat(body, reply.body, stream=False), reply)
    return "exact"


async def limited(client: Client, dice: Dice) -> str:
    """More than the group's rate limit lets through."""
    reply = await client.ask("POST", CHAT, dice.headers(), questions.chat("limited", dice.text(), max_tokens=4))
    _expect(reply, 200, 429)
    return str(reply.status)


async def all_broken(client: Client, dice: Dice) -> str:
    """The group's only provider answers 500."""
    reply = await client.ask("POST", CHAT, dice.headers(), questions.chat("broken", dice.text()))
    _expect(reply, 500, 502, 503, 504)
    return str(reply.status)


async def upload(client: Client, dice: Dice) -> str:
    """A file goes through, comes back, and is deleted: three requests."""
    content = dice.random.randbytes(dice.random.choice((1_000, 60_000, 500_000)))
    body, content_type = questions.form(content)
    headers = dice.headers() | {"content-type": content_type}
    reply = await client.ask("POST", FILES, headers, body)
    _expect(reply, 200)
    path = f"{FILES}/{json.loads(reply.body)['id']}"
    del headers["content-type"]
    reply = await client.ask("GET", f"{path}/content", headers)
    _expect(reply, 200)
    _whole(reply.body == content, reply)
    _expect(await client.ask("DELETE", path, headers), 200)
    return "exact"


async def bad_request(client: Client, dice: Dice) -> str:
    """What is refused: 400, 404, 413."""
    headers = dice.headers()
    match dice.random.randrange(4):
        case 0:
            reply, status = await client.ask("POST", CHAT, headers, b'{"model": "chat", "messages": ['), 400
        case 1:
            body = questions.chat(f"no-such-model-{dice.unique()}", "hello")
            reply, status = await client.ask("POST", CHAT, headers, body), 404
        case 2:
            reply = await client.ask("GET", f"{RESPONSES}/resp_{dice.unique():024x}", headers)
            _expect(reply, 404, 429, 502, 503)  # not 404 while an account that might keep it cannot be asked
            return str(reply.status)
        case _:
            return await _too_large(client, headers)
    _expect(reply, status)
    return str(status)


async def _too_large(client: Client, headers: Mapping[str, str]) -> str:
    """Announced and not sent: a client that sent it all might read of a reset instead of the 413."""
    call = await client.open()
    try:
        call.send(head_of("POST", CHAT, headers, MAX_BODY_BYTES + 1))
        async with asyncio.timeout(30):
            _expect(await call.answer(), 413)
    finally:
        call.leave()
    return "413"


async def pass_through(client: Client, dice: Dice) -> str:
    """Routes the proxy has no part in, and its own."""
    headers = dice.headers()
    path = dice.random.choice(
        ("/v1/models", "/v1/files", "/v1/batches", "/health", f"/v1/files?after=f{dice.unique()}")
    )
    reply = await client.ask("GET", path, headers)
    _expect(reply, 404 if "batches" in path else 200)
    return str(reply.status)


async def leaves_before_headers(client: Client, dice: Dice) -> str:
    body = questions.chat("slow", dice.text(), stream=dice.random.random() < 0.5)
    call = await client.open()
    call.send(head_of("POST", CHAT, dice.headers(), len(body)) + body)
    await asyncio.sleep(dice.random.choice((0, 0.05, 0.3)))
    call.leave()
    return "left"


async def leaves_mid_upload(client: Client, dice: Dice) -> str:
    """The request itself is never complete."""
    body, content_type = questions.form(dice.random.randbytes(200_000))
    path, headers = (FILES, dice.headers() | {"content-type": content_type})
    if dice.random.random() < 0.5:
        path, headers = CHAT, dice.headers()
    call = await client.open()
    call.send(head_of("POST", path, headers, len(body)) + body[: dice.random.choice((0, 1_000, 150_000))])
    await asyncio.sleep(0.05)
    call.leave()
    return "left"


async def leaves_mid_stream(client: Client, dice: Dice) -> str:
    """After the first event, or after some; cacheable streams too, which others may be waiting for."""
    group = dice.random.choice(("chat", "chat", "long"))
    more = {"temperature": 0} if dice.random.random() < 0.3 else {}
    return await _leave_after(client, dice, questions.chat(group, dice.text(), stream=True, **more))


async def leaves_mid_body(client: Client, dice: Dice) -> str:
    """Within a reply that is not a stream."""
    return await _leave_after(client, dice, questions.chat("long", dice.text()))


async def _leave_after(client: Client, dice: Dice, body: bytes) -> str:
    call = await client.open(receive_buffer_bytes=_SLOW_READER_BYTES)
    try:
        call.send(head_of("POST", CHAT, dice.headers(), len(body)) + body)
        async with asyncio.timeout(30):
            status, _ = await call.head()
            if status != 200:
                raise Unexpected(f"status {status} for a client that was about to leave")
            for _ in range(dice.random.randrange(1, 4)):
                await call.piece(500)
    finally:
        call.leave()
    return "left"


async def slow_reader(client: Client, dice: Dice) -> str:
    """Takes a long stream bit by bit, and must get every byte of it."""
    body = questions.chat("long", dice.text(), stream=True)
    call = await client.open(receive_buffer_bytes=_SLOW_READER_BYTES)
    try:
        call.send(head_of("POST", CHAT, dice.headers(), len(body)) + body)
        async with asyncio.timeout(60):
            await asyncio.sleep(dice.random.choice((0.5, 1.0, 3.0)))
            reply = await call.answer()
    finally:
        call.leave()
    _expect(reply, 200)
    _whole(is_exact_chat(body, reply.body, stream=True), reply)
    return "exact"


async def unknown_model(client: Client, dice: Dice) -> str:
    """A path that was never seen before, answered without a provider."""
    _expect(await client.ask("GET", f"/v1/models/unknown-{dice.unique()}", dice.headers()), 404)
    return "404"


async def new_address(client: Client, dice: Dice) -> str:
    """An upstream URL that was never seen before."""
    _expect(await client.ask("GET", f"/v1/files?after=file-{dice.unique()}", dice.headers()), 200)
    return "200"


FILLING: Mapping[Kind, int] = {unknown_model: 1_200, new_address: 300}
"""What comes first, and how much of it: the framework remembers the routes of the last 1,024 paths, the upstream
adapter 256 addresses. At the rate of the mix these take long to come, and their filling would look like a leak."""

MIX: Mapping[Kind, int] = {
    chat_stream: 404,
    chat_stream_popular: 90,
    chat_stream_new: 60,
    response_stream: 60,
    failover_stream: 25,
    chat_chopped: 15,
    broken_stream: 16,
    slow_reader: 4,
    leaves_mid_stream: 20,
    leaves_before_headers: 15,
    leaves_mid_body: 8,
    leaves_mid_upload: 7,
    chat_whole: 75,
    chat_whole_popular: 60,
    embedding: 60,
    dialogue: 15,
    failover_whole: 20,
    own_key: 10,
    limited: 8,
    all_broken: 5,
    upload: 5,
    bad_request: 8,
    pass_through: 10,
}
"""Of a thousand arrivals. About 70 % are streams, 5 % leave early, 5 % meet an error or are one."""
