"""`python -m bench.load.stream_client --url URL ...`: opens many streams and times every event.

No well-kept load generator times the events inside a stream, so this one is ours. It prints `steady` when all streams
are open, `ending` when the first of them ends, and at last what it saw, as JSON. Between the two it times the events.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult, urlsplit

import httptools
import uvloop

from bench.load.distribution import curve
from bench.load.socket_client import SocketStream, handshake
from bench.load.timed import Timed, Watch
from bench.servers import responses
from bench.servers.payloads import EVENTS_AROUND, question
from bench.wire import head_of

_TAIL_BYTES = 64
CHAT_END = b"data: [DONE]"


class Stream(Timed):
    """As server-sent events."""

    def __init__(self, watch: Watch, request: bytes, events: int, end: bytes = CHAT_END) -> None:
        """`end`: what the last event ends with."""
        super().__init__(watch, request, events)
        self._parser = httptools.HttpResponseParser(self)
        self._half_end = self._tail = b""
        self._end_mark = end

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end("not HTTP")

    def on_body(self, body: bytes) -> None:
        if self._parser.get_status_code() != 200:
            return
        read = self._half_end + body
        found = read.count(b"\n\n")
        self._half_end = b"\n" if read.endswith(b"\n") and not read.endswith(b"\n\n") else b""
        self._tail = body[-_TAIL_BYTES:] if len(body) >= _TAIL_BYTES else (self._tail + body)[-_TAIL_BYTES:]
        if found:
            self._came(found)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status != 200:
            self._end(f"status {status}")
        elif not self._tail.rstrip().endswith(self._end_mark):
            self._end("no [DONE]" if self._end_mark == CHAT_END else "no end")
        else:
            self._end_well()


def kind_of_stream(url: SplitResult, headers: Mapping[str, str], model: str) -> tuple[Callable[..., Timed], int]:
    """Makes one stream, given the `Watch` and how many events must come, by what the address asks for; and how many
    events it has besides its tokens. `headers` without those that follow from the body."""
    if url.scheme == "ws":
        opening = handshake(url.path, headers)
        return lambda watch, events: SocketStream(
            watch, opening, events, responses.turn(model)
        ), responses.EVENTS_AROUND
    is_response = url.path == responses.PATH
    body = responses.asked(model) if is_response else question(stream=True, model=model)
    request = head_of("POST", url.path, {**headers, "accept": "text/event-stream"}, len(body)) + body
    if is_response:
        return lambda watch, events: Stream(watch, request, events, responses.END), responses.EVENTS_AROUND
    return lambda watch, events: Stream(watch, request, events), EVENTS_AROUND


async def watch(options: argparse.Namespace) -> dict[str, object]:
    """Open all streams over `--ramp` seconds, and wait for their ends."""
    loop = asyncio.get_running_loop()
    target = urlsplit(options.url)
    shared = Watch(options.streams)
    make, around = kind_of_stream(target, json.loads(options.headers), options.model)
    events = options.tokens + around if options.exact else 0
    opening = []
    began = loop.time()
    for number in range(options.streams):
        await asyncio.sleep(max(0.0, began + options.ramp * number / options.streams - loop.time()))
        opening.append(asyncio.ensure_future(_open(shared, lambda: make(shared, events), target.port or 80)))
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


async def _open(shared: Watch, make: Callable[[], Timed], port: int) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.create_connection(make, "127.0.0.1", port)
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
