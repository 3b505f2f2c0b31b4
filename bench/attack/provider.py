"""`python -m bench.attack.provider --port N`: a provider that harms whoever asks it.

The first part of a path says how: `http://127.0.0.1:N/bomb/v1/chat/completions`.
"""

import argparse
import asyncio
import gzip
import itertools
import json
import random
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import uvloop

from bench.servers.payloads import FIRST_EVENT, REPLY, TOKEN_EVENT

_MIB = 1 << 20
_JSON = "content-type: application/json"
_GZIP = "content-encoding: gzip"
_ZEROS = gzip.compress(b'{"error": {"message": "' + bytes(64 * _MIB) + b'"}}', 9)
_BLANKS = gzip.compress(b" " * (100 * _MIB) + REPLY, 9)
_DIGITS = json.dumps({"error": {"message": "Please try again in " + "1" * 4000 + " s", "code": "rate_limit_exceeded"}})
_LARGE_BYTES = 700_000
_PATIENCE_S = 30.0

Answer = Callable[[asyncio.StreamWriter, bytes], Awaitable[None]]


def reply(status: int, body: bytes, *headers: str) -> bytes:
    """A whole one."""
    lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


_RAW = itertools.cycle(
    (
        b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;" + b"x" * 200_000 + b"\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
        b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\n\r\n" + bytes(1000),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
        bytes(200_000),
        b"",
        reply(200, b"[" * 100_000, _JSON),
        reply(200, b'{"choices":' + b"[" * 50_000, _JSON),
        reply(200, b'{"usage":{"total_tokens":' + b"9" * 5000 + b"}}", _JSON),
        reply(200, b"{" + b",".join(b'"%d":0' % number for number in range(200_000)) + b"}", _JSON),
        reply(429, b"{}", "retry-after: " + "9" * 5000, "x-ratelimit-remaining-tokens: -" + "9" * 400),
        reply(200, REPLY, "x-accel-redirect: /etc/passwd", "x-ratelimit-reset-tokens: 1e999999h"),
    )
)


async def _raw(writer: asyncio.StreamWriter, _: bytes) -> None:
    writer.write(next(_RAW))


async def _refuse(writer: asyncio.StreamWriter, body: bytes) -> None:
    told = json.dumps({"error": {"message": "max_tokens is too large", "type": "invalid_request_error", "code": None}})
    writer.write(reply(400, told.encode(), _JSON) if b"max_tokens" in body else reply(200, REPLY, _JSON))


async def _bomb(writer: asyncio.StreamWriter, _: bytes) -> None:
    writer.write(reply(random.choice((400, 500, 200)), random.choice((_ZEROS, _BLANKS)), _JSON, _GZIP))  # noqa: S311


async def _digits(writer: asyncio.StreamWriter, _: bytes) -> None:
    writer.write(reply(429, _DIGITS.encode(), _JSON))


async def _names(writer: asyncio.StreamWriter, _: bytes) -> None:
    name = f"x-{random.getrandbits(64):x}"
    writer.write(reply(200, REPLY, _JSON, f"{name}-{'n' * 60_000}: 1"))


async def _large(writer: asyncio.StreamWriter, _: bytes) -> None:
    content = f"{random.getrandbits(_LARGE_BYTES * 4):x}"
    writer.write(reply(200, REPLY.replace(b"The quick", content.encode(), 1), _JSON))


async def _bytes(writer: asyncio.StreamWriter, _: bytes) -> None:
    """An event that never ends, a byte at a time."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    writer.write(head + b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in (FIRST_EVENT, TOKEN_EVENT)))
    while not writer.is_closing():
        for _ in range(50):
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
        await asyncio.sleep(0.005)


async def _early(writer: asyncio.StreamWriter, _: bytes) -> None:
    writer.write(reply(200, REPLY, _JSON))
    await asyncio.sleep(0.02)
    writer.write(reply(200, b'{"id": "of nobody"}', _JSON))
    await asyncio.sleep(0.02)


async def _slow(_: asyncio.StreamWriter, __: bytes) -> None:
    await asyncio.sleep(_PATIENCE_S)


KINDS: Mapping[str, Answer] = {
    "raw": _raw,
    "refuse": _refuse,
    "bomb": _bomb,
    "digits": _digits,
    "names": _names,
    "large": _large,
    "bytes": _bytes,
    "early": _early,
    "slow": _slow,
}


async def _serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        head = await reader.readuntil(b"\r\n\r\n")
        kind = head.split(b"/", 2)[1].decode()
        _, _, length = head.lower().partition(b"content-length: ")
        left, body = int(length.partition(b"\r\n")[0] or 0), b""
        while left > 0 and (piece := await reader.read(min(left, 1 << 16))):
            left -= len(piece)
            body = body or piece
        await KINDS[kind](writer, body)
        await writer.drain()
    writer.close()


async def _serve(port: int) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    server = await asyncio.start_server(_serve_one, "127.0.0.1", port, backlog=1024)
    async with server:
        await stopped.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
