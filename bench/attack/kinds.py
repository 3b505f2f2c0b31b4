"""The attacks, each a request or a connection that is meant to harm; a crowd of them comes again and again."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable

from msgspec import Struct

from bench.wire import Call, head_of

_MIB = 1 << 20
_CHAT = "/v1/chat/completions"
_JSON = {"content-type": "application/json"}
_HOLD_S = 40.0
"""How long a connection that does nothing is kept."""

Attack = Callable[[int], Awaitable[str]]
"""(the proxy's port) -> what became of it."""


class Crowd(Struct, frozen=True):
    """So many at once, and each comes again after a pause."""

    name: str
    attack: Attack
    at_once: int
    pause_s: float


def asking(group: str, **fields: object) -> bytes:
    """A chat completion of that group."""
    return json.dumps({"model": group, "messages": [{"role": "user", "content": "Hello"}], **fields}).encode()


async def _sent(port: int, *pieces: bytes, buffer_bytes: int | None = None) -> Call:
    call = await Call.open(port, receive_buffer_bytes=buffer_bytes)
    try:
        for piece in pieces:
            call.send(piece)
            await call.flush()
    except BaseException:
        call.leave()
        raise
    return call


async def _told(call: Call, patience_s: float = 20.0) -> str:
    """The status of its answer; it is read to the end."""
    try:
        async with asyncio.timeout(patience_s):
            answer = await call.answer()
            return str(answer.status)
    finally:
        call.leave()


async def _held(call: Call) -> str:
    """Nothing more is sent, and nothing read."""
    try:
        await asyncio.sleep(_HOLD_S)
    finally:
        call.leave()
    return "held"


def _ask(body: Callable[[], bytes], path: str = _CHAT, patience_s: float = 20.0) -> Attack:
    async def ask(port: int) -> str:
        asked = body()
        return await _told(await _sent(port, head_of("POST", path, _JSON, len(asked)), asked), patience_s)

    return ask


def _odd(number: int) -> str:
    return f"{random.getrandbits(64):x}{number}"


async def _pipelining(port: int) -> str:
    call = await Call.open(port)
    try:
        call.send(_MANY_REQUESTS)
        await asyncio.sleep(3)
    finally:
        call.leave()
    return "left"


async def _tiny_headers(port: int) -> str:
    return await _told(await _sent(port, _MANY_HEADERS))


async def _unfinished_head(port: int) -> str:
    return await _held(await _sent(port, b"GET / HTTP/1.1\r\n" + b"".join(b"h%d:\r\n" % n for n in range(250))))


async def _idle(port: int) -> str:
    return await _held(await _sent(port))


async def _slowloris(port: int) -> str:
    call = await _sent(port, b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n")
    try:
        for number in range(40):
            call.send(b"x-%d: 1\r\n" % number)
            await call.flush()
            await asyncio.sleep(1)
    finally:
        call.leave()
    return "sent"


async def _unfinished_body(port: int) -> str:
    head = head_of("POST", _CHAT, _JSON, 32 * _MIB)
    return await _held(await _sent(port, head, b'{"model":"well","x":"' + b"b" * (8 * _MIB)))


async def _abandoned(port: int) -> str:
    body = json.dumps({"model": "slow", "input": "a" * (2 * _MIB), "background": True, "store": True}).encode()
    call = await _sent(port, head_of("POST", "/v1/responses", _JSON, len(body)), body)
    await asyncio.sleep(0.1)
    call.leave()
    return "left"


async def _unread(port: int) -> str:
    body = asking("large", temperature=0, seed=random.randrange(4))  # noqa: S311
    return await _held(await _sent(port, head_of("POST", _CHAT, _JSON, len(body)), body, buffer_bytes=4096))


async def _long_name(port: int) -> str:
    head = head_of("POST", _CHAT, {**_JSON, f"x-{_odd(0)}-{'n' * 60_000}": "1"}, 0)
    return await _told(await _sent(port, head))


async def _endless_stream(port: int) -> str:
    body = asking("bytes", stream=True)
    call = await _sent(port, head_of("POST", _CHAT, _JSON, len(body)), body)
    read = 0
    try:
        async with asyncio.timeout(20):
            while piece := await call.piece():
                read += len(piece)
    finally:
        call.leave()
    return f"ended after {read >> 20} MiB"


_MANY_REQUESTS = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nx: %b\r\n\r\n" % (b"p" * 640) * 14_000
_MANY_HEADERS = b"GET / HTTP/1.1\r\n" + b"".join(b"h%d:\r\n" % number for number in range(16_300))
_LISTS = b'{"model":"well","messages":[' + b"[]," * 11_000_000 + b"[]]}"
_MEMBERS = b'{"model":"well",' + b",".join(b'"%d":0' % n for n in range(700_000)) + b',"model":"x"}'
_HALVES = b'{"model":"well","x":"\\ud800","messages":[' + b"[]," * 2_000_000 + b"[]]}"
_NAMES = ('"\\ud800"', json.dumps("m" * (2 * _MIB)), "null", '"\\u0000"', '"a\\nb"', "1" * 500)
_HOSTILE = ("raw", "bomb", "digits", "names", "early")


def _name() -> bytes:
    return b'{"model":%b,"messages":[]}' % random.choice(_NAMES).encode()  # noqa: S311


def _hostile() -> bytes:
    return asking(random.choice(_HOSTILE), user=_odd(1))  # noqa: S311


CROWDS = (
    Crowd("pipelined requests", _pipelining, 2, 1.0),
    Crowd("heads of 16,300 tiny headers", _tiny_headers, 4, 0.2),
    Crowd("heads that stay unfinished", _unfinished_head, 100, 0.1),
    Crowd("idle connections", _idle, 1200, 0.5),
    Crowd("slowloris", _slowloris, 100, 0.2),
    Crowd("huge max_tokens, refused", _ask(lambda: asking("refuse", max_tokens=10**12)), 4, 0.2),
    Crowd("max_tokens of 400 digits", _ask(lambda: b'{"model":"refuse","max_tokens":' + b"9" * 400 + b"}"), 1, 0.5),
    Crowd("unfinished bodies of 8 MiB", _unfinished_body, 40, 1.0),
    Crowd("abandoned background requests", _abandoned, 2, 0.4),
    Crowd("unread cached answers", _unread, 300, 1.0),
    Crowd("bodies of 33 MB of small lists", _ask(lambda: _LISTS), 1, 2.0),
    Crowd("700,000 members, model twice", _ask(lambda: _MEMBERS), 1, 2.0),
    Crowd("6 MB of small lists, half an emoji", _ask(lambda: _HALVES), 1, 1.0),
    Crowd("hostile replies", _ask(_hostile), 6, 0.2),
    Crowd("header names of 60 kB", _long_name, 2, 0.2),
    Crowd("names that are none", _ask(_name), 2, 0.2),
    Crowd("the same, to a passed-through route", _ask(_name, "/v1/audio/speech"), 2, 0.2),
    Crowd("endless events of 1 byte", _endless_stream, 2, 0.5),
)
