"""Bytes that are no request, and requests that are refused."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress

from bench.faults.asking import GROUP, OK, PROMPT
from bench.faults.case import Figure, cases_of, exactly, none
from bench.faults.cases.answers import MIB
from bench.faults.world import World, config, model
from bench.wire import Call, Cut

case = cases_of("Clients")

_CHAT = "/v1/chat/completions"


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


async def status_of(port: int, sent: bytes) -> int:
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
    f"{len(SMUGGLED)} kinds of bytes that are no request, or two; {len(REFUSED)} requests that are none "
    "of ours or out of bounds",
    "each is refused with its status, without a 5xx; no provider is called; what a provider has to judge "
    "reaches it once, at its own address",
)
async def no_requests(world: World) -> list[Figure]:
    provider = await world.provider()
    replica, asker = await world.proxy(config(model(provider)))
    smuggled = {name: await status_of(replica.port, sent) for name, sent in SMUGGLED.items()}
    refused = {name: (await status_of(replica.port, sent), wanted) for name, (sent, wanted) in REFUSED.items()}
    calls = provider.counts().received
    passed = {name: await status_of(replica.port, sent) for name, sent in PASSED.items()}
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
