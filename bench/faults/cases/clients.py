"""Clients that leave, dawdle, or send what is no request."""

import asyncio
import random
import time
from contextlib import suppress

from bench.faults.asking import Asker
from bench.faults.case import Figure, at_most, cases_of, exactly, none
from bench.faults.cases.answers import resident
from bench.faults.world import World, config, model, until
from bench.wire import Call, Cut

case = cases_of("Clients")

_CHAT = "/v1/chat/completions"
_HELD_KIB = 256.0


async def _left(asker: Asker, number: int, dice: random.Random) -> None:
    """A client that leaves: while it sends, before the headers, inside the answer, or while it does not read."""
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
    ended_s = await until(lambda: not provider.counts().in_flight)
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
            while len(await call.piece(100)) > 0:
                slow_read = 1.0
                await asyncio.sleep(slow_read)

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
    _, asker = await world.proxy(config(model(well)))

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
