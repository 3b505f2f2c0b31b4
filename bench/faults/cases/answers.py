"""Answers that are none, that lie about their length, or that are meant to fill memory."""

import asyncio
import gzip
from collections.abc import Mapping
from typing import Any

from bench.faults.asking import OK, TOLD, Asker
from bench.faults.case import Figure, at_least, at_most, cases_of, exactly, none
from bench.faults.inside import look
from bench.faults.world import World, config, model
from bench.servers.payloads import FIRST_EVENT, REPLY, TOKEN_EVENT
from tests.contracts.scripted_server import Peer, Script

case = cases_of("Answers that are none")

MIB = 1 << 20
_JSON = {"content-type": "application/json"}
_EVENTS = {"content-type": "text/event-stream"}
_DONE = b"data: [DONE]\n\n"

NO_ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "JSON that is none": {"kind": "junk", "body": '{"choices": [', "content_type": "application/json"},
    "HTML": {"kind": "junk", "body": "<html>hello</html>", "content_type": "text/html"},
    "nothing": {"kind": "empty"},
    "an error": {"kind": "raw", "headers": _JSON, "chunks": ['{"error":{"message":"x","type":"server_error"}}']},
    "an error as the first event": {
        "kind": "raw",
        "headers": _EVENTS,
        "chunks": ['data: {"error":{"message":"x","type":"server_error"}}\n\n'],
    },
    "less than it says": {"kind": "truncate"},
}


async def resident(world: World) -> int:
    """Bytes of all workers of the case's proxies."""
    return sum([inside.rss for replica in world.replicas for inside in (await look(replica)).values()])


@case(
    "no-end",
    "a stream that ends cleanly without its last events",
    "the client is told; it is not cached; it counts as a failure",
)
async def no_end(world: World) -> list[Figure]:
    sick = await world.failing({"kind": "no_done"})
    replica, asker = await world.proxy(config(model(sick), cache=True, allowed_fails=1000))
    told = [await asker.ask(1, stream=True, temperature=0) for _ in range(20)]
    failures = (await replica.endpoints())["group/1"]["recent"]["failures"]
    return [
        none("not told of 20", sum(one.outcome != TOLD for one in told), str(told[0].body[-200:])),
        exactly("calls: none came from the cache", sick.counts().received, 20),
        exactly("held against the endpoint", sum(failures.values()), 20),
    ]


@case(
    "junk",
    "a 200 with JSON that is none, HTML, nothing, an error, an error as the first event, or less than its length",
    "each fails over; where all endpoints do so the client gets a 502",
)
async def junk(world: World) -> list[Figure]:
    sick, well, other = await world.provider("sick"), await world.provider(), await world.provider("other")
    models = (model(sick, 3), model(well), model(other, group="alone"))
    replica, asker = await world.proxy(config(*models, allowed_fails=1000, num_retries=1))
    alone = world.asker(replica, group="alone")
    elsewhere, refused, asked = [], [], 0
    for action in NO_ANSWERS.values():
        sick.set_faults([{"action": dict(action)}])
        other.set_faults([{"action": dict(action)}])
        is_stream = "event-stream" in str(action)
        for stream in {is_stream, action["kind"] in ("junk", "empty")}:
            elsewhere += (await asker.many(20, at_once=4, stream=stream)).asked
            refused.append(await alone.ask(stream=stream))
            asked += 20
    return [
        none(f"failed of {asked}", sum(one.outcome != OK or one.by != "well" for one in elsewhere)),
        none("without another endpoint: other than 502", sum(one.status != 502 for one in refused), str(refused)[:300]),
    ]


@case(
    "broken-event",
    "one event of a stream that is no JSON, among 60",
    "no request hangs, and the events before and behind it arrive",
)
async def broken_event(world: World) -> list[Figure]:
    word = TOKEN_EVENT.decode()
    chunks = [FIRST_EVENT.decode(), word * 30, "data: {broken\n\n", word * 30, _end_of_chat(), _DONE.decode()]
    sick = await world.failing({"kind": "raw", "headers": _EVENTS, "chunks": chunks, "delay_ms": 20})
    _, asker = await world.proxy(config(model(sick)))
    tally = await asker.many(20, at_once=4, stream=True)
    words = {one.body.count(TOKEN_EVENT) for one in tally.asked}
    return [
        none("neither whole nor told of 20", tally.failed(OK, TOLD), tally.errors()),
        at_least("words that arrived of 60, at least", min(words), 60),
    ]


def _end_of_chat() -> str:
    return 'data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'


@case(
    "wrong-length",
    "a body that is shorter, or longer, than its content-length says",
    "shorter: another endpoint answers; longer: the answer passes, what follows is nobody's and the "
    "connection is not used again",
)
async def wrong_length(world: World) -> list[Figure]:
    short, long, well = await world.failing({"kind": "truncate"}), await world.provider("long"), await world.provider()
    long.set_faults([{"action": {"kind": "overlong"}}])
    models = (model(short, 3), model(well), model(long, group="long"))
    replica, asker = await world.proxy(config(*models, allowed_fails=1000))
    others = world.asker(replica, group="long")
    shorter = await asker.many(100, stream=False)
    longer = [await others.ask(number, stream=False) for number in range(50)]
    connections = {record.connection for record in long.records}
    return [
        none("shorter: failed of 100", shorter.failed(), shorter.errors()),
        none("longer: failed of 50", sum(one.outcome != OK for one in longer), str(longer[0])[:300]),
        exactly("longer: connections for 50 calls", len(connections), 50),
    ]


def zipped(mebibytes: int) -> bytes:
    """An answer with so much white space in its text, as gzip."""
    before, after = REPLY.split(b"The quick", 1)
    return gzip.compress(before + b" " * (mebibytes * MIB) + after, 9)


def _reply(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(body)}", "content-type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def saying(said: bytes) -> Script:
    """That to each request."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(said)

    return script


async def _bombed(world: World, said: Mapping[str, bytes], **general: Any) -> tuple[dict[str, Any], float]:
    """Each is asked for beside an endpoint that is well: what became of it; and how many MiB the proxy grew by."""
    well = await world.provider()
    models = [model(well, 0, "warm")]
    for name, reply in said.items():
        models += [model(await world.scripted(saying(reply)), group=name), model(well, 0, group=name)]
    replica, _ = await world.proxy(config(*models, num_retries=1, **general))
    await world.asker(replica, group="warm").many(50)
    before = await resident(world)
    found = {name: await world.asker(replica, group=name).ask(stream=False) for name in said}
    return found, (await resident(world) - before) / MIB


@case(
    "gzip-bomb",
    "an error and an answer of 256 MiB in 260 kB of gzip; an error in six codings",
    "an error is unzipped up to 64 KiB and another endpoint answers; an answer passes zipped as it came",
)
async def gzip_bomb(world: World) -> list[Figure]:
    bomb = await asyncio.to_thread(zipped, 256)
    coding = "content-encoding: gzip"
    said = {
        "error": _reply(500, bomb, coding),
        "answer": _reply(200, bomb, coding),
        "chained": _reply(500, bomb[: 64 * 1024], "content-encoding: gzip, gzip, gzip, gzip, gzip, gzip"),
    }
    found, grown = await _bombed(world, said)
    elsewhere = sum(found[name].outcome == OK for name in ("error", "chained"))
    return [
        exactly("errors answered elsewhere of 2", elsewhere, 2, str(found)[:300]),
        exactly("answer passed as it came", float(found["answer"].body == bomb), 1, str(found["answer"])[:200]),
        at_most("slowest", max(one.took_s for one in found.values()), 2, "s"),
        at_most("memory grew by", grown, 50, "MiB"),
    ]


@case(
    "huge-headers",
    "1 MB of headers; 10,000 headers",
    "more than 64 KiB or 256 of them is no reply: another endpoint answers",
)
async def huge_headers(world: World) -> list[Figure]:
    many = "\r\n".join(f"x-{number}: y" for number in range(10_000))
    said = {"one": _reply(200, REPLY, f"x: {'y' * 1_000_000}"), "many": _reply(200, REPLY, many)}
    found, grown = await _bombed(world, said)
    return [
        none("failed of 2", sum(one.outcome != OK or one.by != "well" for one in found.values()), str(found)[:300]),
        at_most("memory grew by", grown, 5, "MiB"),
    ]


@case(
    "endless",
    "a body without end: whole, and a stream whose client reads 256 MiB of it",
    "a whole answer is cut at 64 MiB and another endpoint answers; of a stream no more is held than one piece",
)
async def endless(world: World) -> list[Figure]:
    well = await world.provider()
    piece = b"x" * 65536

    async def body(peer: Peer) -> None:
        await peer.request()
        peer.send_slowly()
        await peer.send(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{"choices":"')
        while True:
            await peer.send(piece)

    async def events(peer: Peer) -> None:
        await peer.request()
        peer.send_slowly()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + FIRST_EVENT)
        while True:
            await peer.send(TOKEN_EVENT * 400)

    whole, stream = await world.scripted(body), await world.scripted(events)
    models = (model(whole), model(well, 0), model(stream, group="stream"))
    replica, asker = await world.proxy(config(*models, first_byte_timeout=30, request_timeout=60))
    before = await resident(world)
    answer = await asker.ask(stream=False)
    after_whole = await resident(world)
    read, after_stream = await _read_much(world, world.asker(replica, group="stream"), 256 * MIB)
    return [
        exactly("answered elsewhere", float(answer.outcome == OK and answer.by == "well"), 1, str(answer)[:300]),
        at_most("whole: taken of it", whole.peers[0].sent / MIB, 70, "MiB"),
        at_most("whole: memory grew by", (after_whole - before) / MIB, 128, "MiB"),
        at_least("stream: read of it", read / MIB, 256, "MiB"),
        at_most("stream: memory grew by", (after_stream - after_whole) / MIB, 8, "MiB"),
    ]


async def _read_much(world: World, asker: Asker, wanted: int) -> tuple[int, int]:
    """How much of a stream could be read, and the resident memory then."""
    call, body = await asker.client.open(), asker.body(stream=True)
    call.send(asker.head(len(body)) + body)
    read = 0
    while read < wanted and (got := await call.piece(1 << 20)):
        read += len(got)
    found = await resident(world)
    call.leave()
    return read, found


@case(
    "redirect",
    "a 302 to another host",
    "it is not followed: the other host is not called and sees no key; another endpoint answers",
)
async def redirect(world: World) -> list[Figure]:
    stranger, well = await world.provider("stranger"), await world.provider()
    sick = await world.failing({"kind": "redirect", "location": f"{stranger.url}/v1/chat/completions"})
    _, asker = await world.proxy(config(model(sick, 3), model(well)))
    tally = await asker.many(100)
    return [
        none("failed of 100", tally.failed(), tally.errors()),
        none("calls of the other host", stranger.counts().received),
        exactly("calls of the one that redirects", sick.counts().received, 1),
    ]
