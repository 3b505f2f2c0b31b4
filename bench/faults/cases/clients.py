"""Clients that leave, dawdle, or send what is no request."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from contextlib import suppress

from bench.faults.asking import GROUP, OK, PROMPT, Asker
from bench.faults.case import Figure, at_least, at_most, between, cases_of, exactly, none
from bench.faults.cases.answers import MIB, resident
from bench.faults.world import World, config, model
from bench.wire import Call, Cut

case = cases_of("Clients")

_CHAT = "/v1/chat/completions"
_HELD_KIB = 256.0


async def _left(asker: Asker, number: int, dice: random.Random) -> None:
    """A request whose client leaves: while it sends, before the headers, inside the answer, or while it does not read."""
    body = asker.body(number, stream=number % 3 > 0)
    call = await asker.client.open(receive_buffer_bytes=4096 if number % 4 == 3 else None)
    sent = asker.head(len(body)) + body
    with suppress(OSError, Cut, TimeoutError):
        match number % 4:
            case 0:
                call.send(sent[: dice.randrange(len(sent))])
                await call.flush()
            case 1:
                call.send(sent)
                await asyncio.sleep(dice.random() * 0.05)
            case 2:
                call.send(sent)
                await call.head()
                for _ in range(dice.randrange(5)):
                    await call.piece(256)
            case _:
                call.send(sent)
                await asyncio.sleep(dice.random() * 0.2)
    call.leave()


@case(
    "clients-leave",
    "1,000 clients leave: while they send, before the headers, inside the answer, while they do not read",
    "the call of the endpoint ends with its client; nobody is blamed; 1,000 others are answered at once",
)
async def leave(world: World) -> list[Figure]:
    provider = await world.provider(latency_s=0.02, tokens_per_second=100, answer_tokens=200)
    replica, asker = await world.proxy(config(model(provider), max_connections=50, max_wait=10))
    dice = random.Random(21)  # noqa: S311
    for begin in range(0, 1000, 100):
        await asyncio.gather(*(_left(asker, number, dice) for number in range(begin, begin + 100)))
    began = time.monotonic()
    while provider.counts().in_flight and time.monotonic() - began < 10:
        await asyncio.sleep(0.01)
    ended_s = time.monotonic() - began
    provider.change(latency=0, tokens_per_second=100_000, answer_tokens=16)
    tally = await asker.many(1000, at_once=20)
    endpoint = (await replica.endpoints())["group/1"]
    return [
        at_most("last call ended after", ended_s, 2.0, "s"),
        none("others that failed of 1,000", tally.failed(), tally.errors()),
        exactly("state of the endpoint is closed", float(endpoint["state"] == "closed"), 1),
    ]


@case(
    "cancelled-waits",
    "3,000 clients leave within 20 ms while 20 connections to the endpoint are all in use, or being made",
    "no connection and no place in the queue is lost: 1,000 others are answered",
)
async def cancelled(world: World) -> list[Figure]:
    provider = await world.provider(latency_s=0.05)
    _, asker = await world.proxy(config(model(provider), max_connections=20, first_byte_timeout=10))
    dice = random.Random(37)  # noqa: S311

    async def goes(number: int) -> None:
        body = asker.body(number)
        call = await asker.client.open()
        call.send(asker.head(len(body)) + body)
        await asyncio.sleep(dice.random() * 0.02)
        call.leave()

    for begin in range(0, 3000, 100):
        await asyncio.gather(*map(goes, range(begin, begin + 100)))
    provider.change(latency=0)
    tally = await asker.many(1000, at_once=40)
    return [
        none("others that failed of 1,000", tally.failed(), tally.errors()),
        at_most("calls that the provider saw at a time", provider.counts().max_in_flight, 30),
    ]


@case(
    "slow-readers",
    "200 clients that read 100 bytes a second of long streams",
    "what is held for each is little; others are answered as before",
)
async def slow_readers(world: World) -> list[Figure]:
    long, well = await world.provider("long", answer_tokens=20_000), await world.provider()
    replica, asker = await world.proxy(config(model(long, group="long"), model(well), stream_idle_timeout=30))
    await asker.many(50)
    before = await resident(world)
    slow = world.asker(replica, group="long")
    body = slow.body(stream=True)
    calls: list[Call] = []
    for _ in range(200):
        call = await slow.client.open(receive_buffer_bytes=4096)
        call.send(slow.head(len(body)) + body)
        calls.append(call)

    async def dawdle(call: Call) -> None:
        with suppress(OSError):
            while await call.piece(100):
                await asyncio.sleep(1)

    reading = [asyncio.create_task(dawdle(call)) for call in calls]
    await asyncio.sleep(3)
    tally = await asker.many(500)
    grown = (await resident(world) - before) / 200 / 1024
    for task, call in zip(reading, calls, strict=True):
        task.cancel()
        call.leave()
    return [
        none("others that failed of 500", tally.failed(), tally.errors()),
        at_most("held for each", grown, _HELD_KIB, "KiB"),
    ]


@case(
    "slowloris",
    "500 clients that send a header line every 5 s; 50 that send a byte of their body every 5 s",
    "heads are cut after 30 s; bodies are refused with 408 after about 15 s; others are answered meanwhile",
)
async def slowloris(world: World) -> list[Figure]:
    well = await world.provider()
    replica, asker = await world.proxy(config(model(well)))

    async def head() -> float:
        call = await asker.client.open()
        began = time.monotonic()
        call.send(f"POST {_CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\n".encode())
        cut = asyncio.create_task(call.piece())
        while not cut.done() and time.monotonic() - began < 60:
            with suppress(OSError):
                call.send(b"x: 1\r\n")
            await asyncio.wait([cut], timeout=5)
        call.leave()
        await asyncio.gather(cut, return_exceptions=True)
        return time.monotonic() - began

    async def body() -> tuple[float, int]:
        call = await asker.client.open()
        began = time.monotonic()
        call.send(asker.head(1000))
        told = asyncio.create_task(call.head())
        while not told.done() and time.monotonic() - began < 60:
            with suppress(OSError):
                call.send(b" ")
            await asyncio.wait([told], timeout=5)
        call.leave()
        (status,) = await asyncio.gather(told, return_exceptions=True)
        return time.monotonic() - began, 0 if isinstance(status, BaseException) else status[0]

    heads = [asyncio.create_task(head()) for _ in range(500)]
    bodies = [asyncio.create_task(body()) for _ in range(50)]
    tally = await asker.offer(30, lambda: all(task.done() for task in (*heads, *bodies)))
    cut, refused = [task.result() for task in heads], [task.result() for task in bodies]
    return [
        none(f"others that failed of {len(tally.asked)}", tally.failed(), tally.errors()),
        at_most("last head cut after", max(cut), 40, "s"),
        at_most("last body refused after", max(each for each, _ in refused), 30, "s"),
        exactly("bodies refused with 408 of 50", sum(status == 408 for _, status in refused), 50, str(refused[0])),
    ]


def _chat(*fields: str, body: bytes = b"", version: str = "HTTP/1.1", host: str = "127.0.0.1") -> bytes:
    lines = [f"POST {_CHAT} {version}", f"host: {host}", "content-type: application/json", *fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


_BODY = json.dumps({"model": GROUP, "messages": [{"role": "user", "content": f"{PROMPT} smuggled"}]}).encode()
_LENGTH = f"content-length: {len(_BODY)}"
_CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(_BODY), _BODY)


def _with(body: bytes, *fields: str, **options: str) -> bytes:
    return _chat(f"content-length: {len(body)}", *fields, body=body, **options)


SMUGGLED: dict[str, bytes] = {
    "both framings": _chat(_LENGTH, "transfer-encoding: chunked", body=_CHUNKED),
    "two lengths": _chat(_LENGTH, "content-length: 5", body=_BODY),
    "a length with a sign": _chat(f"content-length: +{len(_BODY)}", body=_BODY),
    "a negative length": _chat("content-length: -1", body=_BODY),
    "a length in hexadecimal": _chat("content-length: 0x10", body=_BODY),
    "a list of lengths": _chat(f"content-length: {len(_BODY)}, {len(_BODY)}", body=_BODY),
    "a length of 30 digits": _chat(f"content-length: {'9' * 30}", body=_BODY),
    "an empty length": _chat("content-length:", body=_BODY),
    "a space before the colon": _chat(f"content-length : {len(_BODY)}", body=_BODY),
    "a folded header": _chat(_LENGTH, "x: a\r\n b", body=_BODY),
    "a folded length": _chat(f"content-length:\r\n {len(_BODY)}", body=_BODY),
    "a bare line feed": _chat(_LENGTH).replace(b"\r\n", b"\n") + _BODY,
    "a bare carriage return": _chat(_LENGTH, "x: a\rb: c", body=_BODY),
    "a NUL in a value": _chat(_LENGTH, "x: a\0b", body=_BODY),
    "a NUL in a name": _chat(_LENGTH, "x\0: a", body=_BODY),
    "a header without a name": _chat(_LENGTH, ": a", body=_BODY),
    "a header without a colon": _chat(_LENGTH, "xyz", body=_BODY),
    "chunked twice": _chat("transfer-encoding: chunked, chunked", body=_CHUNKED),
    "chunked in two headers": _chat("transfer-encoding: chunked", "transfer-encoding: chunked", body=_CHUNKED),
    "another coding": _chat("transfer-encoding: gzip", body=_CHUNKED),
    "another coding and chunked": _chat("transfer-encoding: gzip, chunked", body=_CHUNKED),
    "xchunked": _chat("transfer-encoding: xchunked", body=_CHUNKED),
    "chunked with a tab": _chat("transfer-encoding:\x0bchunked", body=_CHUNKED),
    "identity": _chat("transfer-encoding: identity", _LENGTH, body=_BODY),
    "a chunk of no size": _chat("transfer-encoding: chunked", body=b"\r\n" + _CHUNKED),
    "a chunk of negative size": _chat("transfer-encoding: chunked", body=b"-1\r\n" + _CHUNKED),
    "a chunk of size 0x5": _chat("transfer-encoding: chunked", body=b"0x5\r\nabcde\r\n0\r\n\r\n"),
    "a chunk of 20 digits": _chat("transfer-encoding: chunked", body=b"f" * 20 + b"\r\n" + _CHUNKED),
    "a chunk without its end": _chat("transfer-encoding: chunked", body=b"5\r\nabcdefg\r\n0\r\n\r\n"),
    "chunks that end in line feeds": _chat("transfer-encoding: chunked", body=_CHUNKED.replace(b"\r\n", b"\n")),
    "chunked in HTTP/1.0": _chat("transfer-encoding: chunked", body=_CHUNKED, version="HTTP/1.0"),
    "HTTP/2.0": _chat(_LENGTH, body=_BODY, version="HTTP/2.0"),
    "HTTP/1.2": _chat(_LENGTH, body=_BODY, version="HTTP/9.9"),
    "no version": _chat(_LENGTH, body=_BODY, version=""),
    "two hosts": _chat(_LENGTH, "host: evil.example", body=_BODY),
    "a control character in the path": _chat(_LENGTH, body=_BODY).replace(_CHAT.encode(), _CHAT.encode() + b"\x01"),
    "a space in the path": _chat(_LENGTH, body=_BODY).replace(_CHAT.encode(), _CHAT.encode() + b" x"),
    "a method of letters and a bracket": _chat(_LENGTH, body=_BODY).replace(b"POST", b"PO(T"),
    "no host": _chat(_LENGTH, body=_BODY).replace(b"host: 127.0.0.1\r\n", b""),
    "a TLS greeting": bytes([22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]) + bytes(200),
}
"""None of these is a request: refused with a 4xx or 505, or cut, and no provider sees it."""

_DEEP = b'{"model":"' + GROUP.encode() + b'","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

REFUSED: dict[str, tuple[bytes, Sequence[int]]] = {
    "another host": (_with(_BODY, host="evil.example"), [403]),
    "0.0.0.0 as host": (_with(_BODY, host="0.0.0.0:4000"), [403]),
    "a web page": (_with(_BODY, "origin: https://evil.example"), [403]),
    "a page of nowhere": (_with(_BODY, "origin: null"), [403]),
    "text/plain": (_with(_BODY).replace(b"application/json", b"text/plain"), [415]),
    "another coding": (_with(_BODY, "content-encoding: lzma"), [415]),
    "gzip that is none": (_with(_BODY, "content-encoding: gzip"), [400]),
    "33 MiB": (_chat(f"content-length: {33 * MIB}"), [413]),
    "300 headers": (_with(_BODY, *(f"x-{number}: y" for number in range(300))), [431]),
    "70 kB of headers": (_with(_BODY, f"x: {'y' * 70_000}"), [431]),
    "nothing": (_with(b""), [400]),
    "no JSON": (_with(b"{"), [400]),
    "a list": (_with(b"[]"), [400]),
    "not UTF-8": (_with(b'{"model":"\xff"}'), [400]),
    "model is a number": (_with(b'{"model":1}'), [400]),
    "model is half an emoji": (_with(b'{"model":"\\ud83d","messages":[]}'), [400]),
    "model twice": (_with(b'{"model":"group","model":"x","messages":[]}'), [400]),
    "model with line breaks": (_with(b'{"model":"a\\r\\nx-evil: 1","messages":[]}'), [404]),
    "a model that is not there": (_with(b'{"model":"nobody","messages":[]}'), [404]),
    "2,000 times model": (_with(b'{"messages":[' + b'{"model":1},' * 2000 + b'0],"model":"group"}'), [400]),
    "3,000,000 values": (_with(b'{"model":"group","messages":[' + b"0," * 3_000_000 + b"0]}"), [400]),
    "100,000 brackets": (_with(_DEEP), [400]),
}
"""Requests that are refused by the proxy, each with the right status; no provider sees them."""

PASSED: dict[str, bytes] = {
    "an address and a key in the body": _with(
        json.dumps(
            {**json.loads(_BODY), "api_base": "http://127.0.0.1:9", "base_url": "http://127.0.0.1:9", "api_key": "x"}
        ).encode()
    ),
    "1e400": _with(_BODY[:-1] + b',"x":1e400}'),
    "NUL in a text": _with(_BODY.replace(b"smuggled", b"\\u0000")),
    "half an emoji in a text": _with(_BODY.replace(b"smuggled", b"\\ud83d")),
}
"""For the provider to judge: it is called once, where the configuration says."""


async def _raw(world: World, port: int, sent: bytes) -> int:
    """The status of what comes back; 0 = nothing, and the connection is closed."""
    call = await Call.open(port)
    try:
        async with asyncio.timeout(20):
            call.send(sent)
            with suppress(OSError):
                await call.flush()
            return (await call.head())[0]
    except (Cut, OSError):
        return 0
    except TimeoutError:
        return -1
    finally:
        call.leave()


@case(
    "no-requests",
    f"{len(SMUGGLED)} kinds of bytes that are no request, or two; {len(REFUSED)} requests that are none of ours or out of bounds",
    "each is refused with its status, without a 5xx; no provider is called; what a provider has to judge reaches it once, at its own address",
)
async def no_requests(world: World) -> list[Figure]:
    provider = await world.provider()
    replica, asker = await world.proxy(config(model(provider)))
    smuggled = {name: await _raw(world, replica.port, sent) for name, sent in SMUGGLED.items()}
    refused = {name: (await _raw(world, replica.port, sent), wanted) for name, (sent, wanted) in REFUSED.items()}
    calls = provider.counts().received
    passed = {name: await _raw(world, replica.port, sent) for name, sent in PASSED.items()}
    after = await asker.ask()
    odd = {
        name: status
        for name, status in smuggled.items()
        if not (status == 0 or 400 <= status < 500 or status in (501, 505))
    }
    wrong = {name: told for name, told in refused.items() if told[0] not in told[1]}
    return [
        none(f"no requests that were not refused of {len(SMUGGLED)}", len(odd), str(odd)),
        none(f"refused otherwise than right of {len(REFUSED)}", len(wrong), str(wrong)),
        none("calls of the provider for them", calls),
        exactly(
            f"calls for {len(PASSED)} that it has to judge",
            provider.counts().received - calls - 1,
            len(PASSED),
            str(passed),
        ),
        none(
            "5xx", sum(status >= 500 and status not in (501, 505) for status in (*smuggled.values(), *passed.values()))
        ),
        exactly("then answered", float(after.outcome == OK), 1),
    ]


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
