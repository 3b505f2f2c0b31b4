"""`python -m bench.servers.provider --latency 0.5 --tokens 300`: a provider that takes its time, in one process.

The simulated provider (`entrypoints.provider`) checks and counts; this one only answers, so that it is not the limit.
Whole replies come after `--latency`, streams at `--pace` events a second, each event at its own moment: a stream that
was late once does not stay late.
"""

import argparse
import asyncio
import signal
from typing import cast

import httptools
import uvloop

from bench.servers import responses
from bench.servers.payloads import FIRST_EVENT, LAST_EVENTS, OTHER_TOKEN_EVENT, REPLY, REPLY_HEADERS, TOKEN_EVENT

_HEADERS = "".join(f"{name}: {value}\r\n" for name, value in REPLY_HEADERS.items()).encode()
_WHOLE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n" % (_HEADERS, len(REPLY))
    + REPLY
)
_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n%btransfer-encoding: chunked\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_STREAM_START = _STREAM % _HEADERS + _chunk(FIRST_EVENT)
_TOKENS = (_chunk(TOKEN_EVENT), _chunk(OTHER_TOKEN_EVENT))
_STREAM_END = _chunk(LAST_EVENTS) + b"0\r\n\r\n"
_RESPONSE_START = _STREAM % _HEADERS + _chunk(responses.FIRST_EVENT)
_RESPONSE_END = _chunk(responses.LAST_EVENT) + b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client's connection: a request at a time."""

    def __init__(self, latency_s: float, tokens: int, pace: float) -> None:
        self._latency_s = latency_s
        self._tokens = tokens
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._start_of_body = b""
        self._is_response = False
        self._timer: asyncio.TimerHandle | None = None
        self._began = 0.0
        self._sent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.close()

    def on_message_begin(self) -> None:
        self._start_of_body = b""

    def on_body(self, body: bytes) -> None:
        if not self._start_of_body:
            self._start_of_body = body

    def on_message_complete(self) -> None:
        if b'"stream":true' in self._start_of_body or b'"stream": true' in self._start_of_body:
            self._is_response = b'"input":' in self._start_of_body
            self._write(_RESPONSE_START if self._is_response else _STREAM_START)
            self._began, self._sent = self._loop.time(), 0
            self._timer = self._loop.call_at(self._began + 1 / self._pace, self._next)
        elif self._latency_s:
            self._timer = self._loop.call_later(self._latency_s, self._write, _WHOLE)
        else:
            self._write(_WHOLE)

    def _next(self) -> None:
        self._sent += 1
        if self._sent > self._tokens:
            self._write(_RESPONSE_END if self._is_response else _STREAM_END)
            return
        self._write(_chunk(responses.delta(self._sent)) if self._is_response else _TOKENS[self._sent % 2])
        self._timer = self._loop.call_at(self._began + (self._sent + 1) / self._pace, self._next)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


async def serve(options: argparse.Namespace) -> None:
    """Until SIGTERM."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    server = await loop.create_server(
        lambda: Connection(options.latency, options.tokens, options.pace), "127.0.0.1", options.port, backlog=4096
    )
    async with server:
        await stopped.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before a whole reply")
    parser.add_argument("--tokens", type=int, default=300, help="events of a stream between the first and the last")
    parser.add_argument("--pace", type=float, default=30.0, help="events of a stream a second")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
