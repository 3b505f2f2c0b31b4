"""The same requests to the proxy itself, and to a real nginx with `deploy/nginx.conf` in front of it: what hides in one
never arrives as another, and whoever comes next gets the answer that is theirs."""

import asyncio
import json
import re
from contextlib import suppress
from pathlib import Path

import pytest

from tests.contracts.scripted_server import ScriptedServer, answering, reply
from tests.integration.composed import Composed, composed
from tests.integration.fronts import nginx
from tests.integration.harness import config, endpoint
from tests.smuggling import NEXT, PAYLOADS

AT_ONCE = 20
SILENCE_S = 1.0
"""What waits for a body that never comes is given up after this."""


def numbered(sent: bytes, number: int) -> bytes:
    """With paths that tell one payload from another and are as long as they were."""
    paths = {b"/first": b"/f%04d", b"/smuggled": b"/smug%04d", b"/next": b"/n%03d"}
    for path, own in paths.items():
        sent = sent.replace(path, own % number)
    return sent


async def talk(port: int, sent: bytes) -> bytes:
    """What comes back until the other side closes or is silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = b""
    try:
        with suppress(ConnectionError, TimeoutError):
            writer.write(sent)
            while piece := await asyncio.wait_for(reader.read(65536), SILENCE_S):
                got += piece
    finally:
        writer.close()
    return got


async def attack(proxy: Composed, port: int, most_replies: int) -> list[str]:
    """The paths that the proxy was asked for."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, sent: bytes) -> bytes:
        async with gate:
            return await talk(port, numbered(sent + NEXT, number))

    got = await asyncio.gather(*(one(number, each.sent) for number, each in enumerate(PAYLOADS.values())))
    asked = [line["path"] for line in proxy.requests() if "path" in line]

    assert len(asked) == len(set(asked))
    assert sum(path.startswith("/n") for path in asked) > 20  # what is good gets through
    replies = [len(re.findall(rb"HTTP/1\.1 [2-5]\d\d ", text)) for text in got]
    assert max(replies) <= most_replies
    for number in range(50):  # the connections between the two are those of before
        path = f"/v1/models/well-{number}"
        text = await talk(port, b"GET %b HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n" % path.encode())
        head, _, body = text.partition(b"\r\n\r\n")
        assert (head[:12], f"well-{number}'" in json.loads(body)["error"]["message"]) == (b"HTTP/1.1 404", True), text
    return asked


@pytest.mark.parametrize("is_behind_nginx", [False, True], ids=["straight", "through nginx"])
async def test_what_hides_in_a_request_never_arrives(tmp_path: Path, is_behind_nginx: bool) -> None:
    async with (
        ScriptedServer(answering(reply())) as server,
        composed(tmp_path, config([endpoint(server.url("/v1"))])) as proxy,
    ):
        if is_behind_nginx:
            async with nginx(tmp_path, proxy.port) as port:
                asked = await attack(proxy, port, 3)
            # What it does not take for a length it drops, and then what would be a body is a request in the open.
            open_ones = (tmp_path / "asked.log").read_text().split()
            assert [path for path in asked if path.startswith("/smug") and path not in open_ones] == []
            assert {path[:6] for path in open_ones} >= {"/f0000", "/smug0"}
        else:
            asked = await attack(proxy, proxy.port, 2)
            assert [path for path in asked if path.startswith("/smug")] == []

        assert server.requests == []
