"""Streams that look whole and are not, that are large, silent, zipped, or never closed."""

import asyncio
import gzip
import json
import time
from collections.abc import Sequence
from typing import Any

from bench.faults.asking import OK, TOLD, Asker, outcome_of
from bench.faults.case import Figure, at_least, at_most, between, cases_of, exactly, none
from bench.faults.cases.answers import MIB, saying
from bench.faults.world import World, config, model
from bench.servers.payloads import FIRST_EVENT, TOKEN_EVENT
from bench.servers.processes import cpu_s
from bench.wire import Answer
from tests.contracts.scripted_server import Peer, Script

case = cases_of("Streams to their end")

_EVENTS = {"content-type": "text/event-stream"}
_DONE = "data: [DONE]\n\n"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"


def chunk(content: str, finish: object = None, index: int = 0) -> str:
    """An event of a chat."""
    choice = {"index": index, "delta": {"content": content}, "finish_reason": finish}
    return f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n"


def text(content: str, finish: object = None, index: int = 0) -> str:
    """An event of completions."""
    choice = {"index": index, "text": content, "finish_reason": finish}
    return f"data: {json.dumps({'object': 'text_completion', 'choices': [choice]})}\n\n"


CUT: dict[str, tuple[str, dict[str, Any], str]] = {
    "no finish": ("chat", {}, chunk("a") + chunk("b")),
    "one of two choices": ("chat", {"n": 2}, chunk("a", "stop") + chunk("b", None, 1)),
    "one of two prompts": ("completions", {"prompt": ["x", "y"]}, text("a", "stop")),
    "three of four of two prompts": (
        "completions",
        {"prompt": ["x", "y"], "n": 2},
        text("a", "stop") + text("b", "stop", 1) + text("c", "stop", 2),
    ),
    "a finish in every chunk": ("chat", {}, chunk("a", "stop") + chunk("b", "stop") + chunk("c", "stop")),
    "a finish that is the text null": ("chat", {}, chunk("a", "null") + chunk("b", "null")),
    "content behind a finish": ("chat", {}, chunk("a", "stop") + chunk("b")),
    "no usage that was asked for": (
        "chat",
        {"stream_options": {"include_usage": True}},
        chunk("a") + chunk("", "stop"),
    ),
}
"""The API, what is asked, and what comes before the stream breaks."""


@case(
    "looks-whole",
    f"{len(CUT)} streams that break where they look whole: by RST and by a clean end, of several choices, "
    "prompts, with a usage that is missing",
    "each ends with an error event, and is never cached",
)
async def looks_whole(world: World) -> list[Figure]:
    sick = await world.provider("sick")
    _, asker = await world.proxy(config(model(sick), cache=True, allowed_fails=1000, num_retries=0))
    wrong, asked = {}, 0
    for name, (api, fields, body) in CUT.items():
        for then in ("reset", "end"):
            # Piece by piece: what breaks before its first content has been sent is another's to answer.
            pieces = [f"{event}\n\n" for event in body.split("\n\n")[:-1]]
            action = {"kind": "raw", "headers": _EVENTS, "chunks": pieces, "delay_ms": 30, "then": then}
            sick.set_faults([{"action": action}])
            sick.reset()
            told = [await asker.ask(asked, api=api, stream=True, temperature=0, **fields) for _ in range(2)]
            asked += 1
            if {one.outcome for one in told} != {TOLD} or sick.counts().received != 2:
                wrong[f"{name}, {then}"] = [(one.outcome, one.body[-120:]) for one in told]
    return [none(f"not told, or cached, of {asked}", len(wrong), str(wrong)[:600])]


async def _cpu(asker: Asker, pids: list[int]) -> tuple[float, Answer]:
    """Seconds of the proxy for one stream."""
    used = cpu_s(pids)
    body = asker.body(stream=True)
    answer = await asker.client.ask("POST", "/v1/chat/completions", asker.headers, body)
    return cpu_s(pids) - used, answer


@case(
    "big-events",
    "one event of 15 MiB in pieces of 16 KiB, beside the same bytes in 64 events",
    "an event costs what its bytes cost; other requests are answered meanwhile",
)
async def big_events(world: World) -> list[Figure]:
    async def large(peer: Peer, sizes: Sequence[int]) -> None:
        await peer.request()
        said = FIRST_EVENT + b"".join(chunk("x" * size).encode() for size in sizes) + chunk("", "stop").encode()
        said += _DONE.encode()
        await peer.send(_HEAD + b"connection: close\r\n\r\n")
        for at in range(0, len(said), 16384):
            piece = said[at : at + 16384]
            await peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await peer.send(b"0\r\n\r\n")

    one = await world.scripted(lambda peer: large(peer, [15 * MIB]))
    many = await world.scripted(lambda peer: large(peer, [15 * MIB // 64] * 64))
    well = await world.provider()
    models = (model(one, group="one"), model(many, group="many"), model(well))
    replica, asker = await world.proxy(config(*models, request_timeout=60))
    askers = {name: world.asker(replica, group=name) for name in ("one", "many")}
    used: dict[str, float] = {"one": 0.0, "many": 0.0}
    cut = 0
    for _ in range(3):
        for name, each in askers.items():
            seconds, answer = await _cpu(each, replica.workers())
            used[name] += seconds
            cut += outcome_of(b"", answer, stream=True) != OK
    large_one = asyncio.create_task(askers["one"].ask(stream=True))
    tally = await asker.offer(50, large_one.done)
    return [
        none("cut of 6", cut),
        at_most("CPU of one event to that of 64", used["one"] / max(used["many"], 0.01), 6),
        none(f"others that failed of {len(tally.asked)}", tally.failed(), tally.errors()),
        at_most("others: slowest", tally.slowest_s(), 1.5, "s"),
    ]


async def _first_byte(asker: Asker) -> tuple[float, bytes]:
    """Seconds until anything of a stream's body came, and all of it."""
    body = asker.body(stream=True)
    call = await asker.client.open()
    began = time.monotonic()
    call.send(asker.head(len(body)) + body)
    await call.head()
    got = await call.piece()
    took = time.monotonic() - began
    while piece := await call.piece():
        got += piece
        if b"[DONE]" in got:
            break
    call.leave()
    return took, got


@case(
    "keepalives",
    "a provider that sends comments for 3 s before its first content; one that is silent for 3 s inside a stream",
    "comments reach the client within stream_hold (1 s); with stream_keepalive 1 s the proxy sends its own",
)
async def keepalives(world: World) -> list[Figure]:
    def paused(*pieces: tuple[float, bytes]) -> Script:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(_HEAD + b"\r\n")
            for seconds, piece in pieces:
                await asyncio.sleep(seconds)
                await peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await peer.send(b"0\r\n\r\n")
            await peer.gone()

        return script

    end = chunk("", "stop").encode() + _DONE.encode()
    pings = await world.scripted(paused(*[(0.5, b": ping\n\n")] * 6, (0.1, FIRST_EVENT + TOKEN_EVENT + end)))
    silent = await world.scripted(paused((0, FIRST_EVENT + TOKEN_EVENT), (3.3, TOKEN_EVENT + end)))
    models = (model(pings, group="pings"), model(silent, group="silent"))
    general = {"stream_hold": 1, "stream_keepalive": 1, "stream_idle_timeout": 10, "first_byte_timeout": 10}
    replica, _ = await world.proxy(config(*models, **general))
    took, told = await _first_byte(world.asker(replica, group="pings"))
    _, quiet = await _first_byte(world.asker(replica, group="silent"))
    return [
        between(0, "first comment after", took, 2.2, "s"),
        at_least("comments of the provider that came", told.count(b": ping"), 4),
        between(2, "comments of the proxy in 3 s of silence", quiet.count(b": keepalive"), 4),
        exactly("both whole", float(b"[DONE]" in told and b"[DONE]" in quiet), 1),
    ]


@case(
    "preamble",
    "RST behind events that carry no content: created, in_progress, queued, an empty message, an empty part",
    "another endpoint answers, whole",
)
async def preamble(world: World) -> list[Figure]:
    response = {"id": "resp_1", "object": "response", "status": "in_progress", "output": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    events: tuple[dict[str, Any], ...] = (
        {"type": "response.created", "response": response},
        {"type": "response.queued", "response": response},
        {"type": "response.in_progress", "response": response},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {
            "type": "response.content_part.added",
            "item_id": "msg_1",
            "output_index": 0,
            "content_index": 0,
            "part": {"type": "output_text", "text": "", "annotations": []},
        },
    )
    said = [
        f"event: {each['type']}\ndata: {json.dumps({**each, 'sequence_number': n})}\n\n"
        for n, each in enumerate(events)
    ]
    sick, well = await world.provider("sick"), await world.provider()
    _, asker = await world.proxy(config(model(sick, 1000), model(well), allowed_fails=1000))
    asked = []
    for count in range(1, len(said) + 1):
        action = {"kind": "raw", "headers": _EVENTS, "chunks": said[:count], "delay_ms": 20, "then": "reset"}
        sick.set_faults([{"action": action}])
        asked.append(await asker.ask(api="responses", stream=True))
    wrong = [(one.outcome, one.body[-200:]) for one in asked if one.outcome != OK or one.by != "well"]
    return [
        none(f"not answered by the other of {len(said)}", len(wrong), str(wrong)[:400]),
        exactly("calls of the one that breaks", sick.counts().received, len(said)),
    ]


@case(
    "open-end",
    "a stream that has said its end, on a connection that stays open; a stream that comes zipped",
    "the reply ends with its last event; a zipped stream is read and passes",
)
async def open_end(world: World) -> list[Figure]:
    said = FIRST_EVENT + TOKEN_EVENT + chunk("", "stop").encode() + _DONE.encode()

    async def stays(peer: Peer) -> None:
        await peer.request()
        await peer.send(_HEAD + b"\r\n%x\r\n%b\r\n" % (len(said), said))
        await peer.gone()

    squeezed = gzip.compress(said)
    whole = b"%b%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (_HEAD, b"content-encoding: gzip\r\n", len(squeezed), squeezed)
    stay, zipped = await world.scripted(stays), await world.scripted(saying(whole))
    replica, _ = await world.proxy(config(model(stay, group="stays"), model(zipped, group="zipped")))
    tally = await world.asker(replica, group="stays").many(20, at_once=5, stream=True)
    unzipped = await world.asker(replica, group="zipped").ask(stream=True)
    return [
        none("failed of 20", tally.failed(), tally.errors()),
        at_most("slowest", tally.slowest_s(), 1.5, "s"),
        exactly("zipped: whole", float(unzipped.outcome == OK and unzipped.body == said), 1, str(unzipped)[:300]),
    ]
