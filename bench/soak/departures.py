"""Clients that leave early, in every phase, and clients that take their time."""

import asyncio
from collections.abc import Mapping

from bench.soak import questions
from bench.soak.checks import CHAT, FILES, Unexpected, expect, is_whole, whole
from bench.soak.questions import Dice
from bench.soak.world import MAX_BODY_BYTES
from bench.wire import Client, head_of

_SLOW_READER_BYTES = 4096


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
    expect(reply, 200)
    whole(is_whole(body, reply.body, stream=True), reply)
    return "whole"


async def too_large(client: Client, headers: Mapping[str, str]) -> str:
    """Announced and not sent: a client that sent it all might read of a reset instead of the 413."""
    call = await client.open()
    try:
        call.send(head_of("POST", CHAT, headers, MAX_BODY_BYTES + 1))
        async with asyncio.timeout(30):
            expect(await call.answer(), 413)
    finally:
        call.leave()
    return "413"
