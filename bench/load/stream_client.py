"""`python -m bench.load.stream_client --url URL ...`: opens many streams and times every event.

No well-kept load generator times the events inside a stream, so this one is ours. It prints `steady` when all streams
are open, `ending` when the first of them ends, and at last what it saw, as JSON. Between the two it times the events.
"""

import argparse
import asyncio
import json
import sys
import time
from array import array
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit

import httptools
import uvloop

from bench.load.distribution import curve
from bench.servers.payloads import EVENTS_AROUND, question
from bench.wire import head_of

_TAIL_BYTES = 64


class Watch:
    """What all streams have in common: whether this is the steady time, and what was seen."""

    def __init__(self, streams: int) -> None:
        self.streams = streams
        self.began = 0
        self.ended = 0
        self.complete = 0
        self.steady = False
        self.gaps_ms = array("d")
        self.problems: dict[str, int] = {}
        self.all_ended = asyncio.Event()

    def stream_began(self) -> None:
        self.began += 1
        if self.began == self.streams:
            self.steady = True
            print("steady", flush=True)

    def stream_ended(self, problem: str | None) -> None:
        if self.steady and self.began == self.streams:
            self.steady = False
            print("ending", flush=True)
        self.ended += 1
        if problem is None:
            self.complete += 1
        else:
            self.problems[problem] = self.problems.get(problem, 0) + 1
        if self.ended == self.streams:
            self.all_ended.set()


class Stream(asyncio.Protocol):
    """One stream on a connection of its own."""

    def __init__(self, watch: Watch, request: bytes, events: int) -> None:
        self._watch = watch
        self._request = request
        self._events = events
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._last = 0.0
        self._half_end = b""
        self._seen = 0
        self._tail = b""
        self._over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end("not HTTP")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        self._end("cut off")

    def on_body(self, body: bytes) -> None:
        if self._parser.get_status_code() != 200:
            return
        read = self._half_end + body
        found = read.count(b"\n\n")
        self._half_end = b"\n" if read.endswith(b"\n") and not read.endswith(b"\n\n") else b""
        self._tail = body[-_TAIL_BYTES:] if len(body) >= _TAIL_BYTES else (self._tail + body)[-_TAIL_BYTES:]
        if not found:
            return
        now = time.perf_counter()
        if self._seen == 0:
            self._watch.stream_began()
        elif self._watch.steady:
            self._watch.gaps_ms.append((now - self._last) * 1000)
            self._watch.gaps_ms.extend([0.0] * (found - 1))
        self._last = now
        self._seen += found

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status != 200:
            self._end(f"status {status}")
        elif not self._tail.rstrip().endswith(b"data: [DONE]"):
            self._end("no [DONE]")
        elif self._events and self._seen != self._events:
            self._end("events missing" if self._seen < self._events else "too many events")
        else:
            self._end(None)

    def _end(self, problem: str | None) -> None:
        if self._over:
            return
        self._over = True
        self._watch.stream_ended(problem)
        if self._transport is not None:
            self._transport.close()


def request(url: str, headers: Mapping[str, str], model: str) -> bytes:
    """The whole request of a stream; `headers` without those that follow from its body."""
    body = question(stream=True, model=model)
    return head_of("POST", urlsplit(url).path, {**headers, "accept": "text/event-stream"}, len(body)) + body


async def watch(options: argparse.Namespace) -> dict[str, object]:
    """Open all streams over `--ramp` seconds, and wait for their ends."""
    loop = asyncio.get_running_loop()
    target = urlsplit(options.url)
    shared = Watch(options.streams)
    sent = request(options.url, json.loads(options.headers), options.model)
    events = options.tokens + EVENTS_AROUND if options.exact else 0
    opening = []
    began = loop.time()
    for number in range(options.streams):
        await asyncio.sleep(max(0.0, began + options.ramp * number / options.streams - loop.time()))
        opening.append(asyncio.ensure_future(_open(shared, sent, events, target.port or 80)))
    await asyncio.gather(*opening)
    try:
        await asyncio.wait_for(shared.all_ended.wait(), options.patience)
    except TimeoutError:
        shared.problems["not over in time"] = shared.streams - shared.ended
    return {
        "streams": shared.streams,
        "complete": shared.complete,
        "problems": shared.problems,
        "gaps": len(shared.gaps_ms),
        "curve": curve(shared.gaps_ms),
    }


async def _open(shared: Watch, sent: bytes, events: int, port: int) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.create_connection(lambda: Stream(shared, sent, events), "127.0.0.1", port)
    except OSError:
        shared.stream_ended("not connected")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--headers", required=True, help="a JSON object")
    parser.add_argument("--model", required=True)
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--tokens", type=int, required=True, help="events between the first and the last")
    parser.add_argument("--ramp", type=float, default=2.0, help="seconds over which the streams are opened")
    parser.add_argument("--patience", type=float, required=True, help="seconds until what still runs counts as failed")
    parser.add_argument("--exact", action="store_true", help="count the events: none may be missing")
    json.dump(uvloop.run(watch(parser.parse_args())), sys.stdout)
    print()


if __name__ == "__main__":
    main()
