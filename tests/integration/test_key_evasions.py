"""With `api_keys`, nobody without one gets anything asked of a provider, or sees anything of what is served."""

import asyncio
import json
from pathlib import Path

from tests.contracts.scripted_server import ScriptedServer, answering, reply
from tests.integration.composed import composed
from tests.integration.harness import config, endpoint
from tests.integration.raw_http import PATIENCE_S
from tests.key_evasions import KEY, UPSTREAM_KEY, Evasion, call, evasions

ANSWER = b'{"choices":[{"message":{"content":"hidden"}}]}'
ALIVE = (b'{"status":"ok"}', b"\r\n\r\n")
PUBLIC = ("/health", "/health/live", "/health/ready")
"""What needs no key, and says nothing of what is served."""


class Client:
    """One connection after the other, each for as many requests as it is kept open for."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writer: asyncio.StreamWriter | None = None
        self.opened = 0

    async def ask(self, evasion: Evasion) -> tuple[int, bytes]:
        """The status, and all that came back; 0 = nothing did."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
            self.opened += 1
        self._writer.write(evasion.sent())
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            self.close()
            return 0, b""
        if head.startswith(b"HTTP/1.1 100"):
            head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        body = b"" if evasion.method == b"HEAD" else await self._reader.readexactly(length)
        if b"connection: close" in lines:
            self.close()
        return int(head.split()[1]), head + body

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None


async def test_there_is_no_way_around_a_key(tmp_path: Path) -> None:
    wrong: list[tuple[Evasion, bytes]] = []
    count = 0
    params = {"api_key": UPSTREAM_KEY.decode()}
    async with ScriptedServer(answering(reply(ANSWER, "content-type: application/json"))) as server:
        models = [{**endpoint(server.url("/v1"), params=params), "model": "hidden-model"}]
        groups = [config(models, group)["model_groups"][0] for group in ("zebra", "hidden")]
        general = {"api_keys": [KEY.decode()], "passthrough_group": "zebra", "upstream_client": "http1"}
        async with composed(tmp_path, {"model_groups": groups, "general_settings": general}) as proxy:
            client = Client(proxy.port)
            async with asyncio.timeout(10 * PATIENCE_S):
                for evasion in evasions():
                    count += 1
                    status, got = await client.ask(evasion)
                    is_refused = 400 <= status < 600 or (status == 0 and not got)
                    is_public = evasion.target.startswith(b"/health/live#") and got.endswith(ALIVE)
                    if not (is_refused or is_public) or b"hidden" in got or KEY in got or server.requests:
                        wrong.append((evasion, got))
                        server.requests.clear()
            client.close()

            # And who has it gets all of it, so that it was the key that was missing.
            good = call(b"POST", b"/v1/chat/completions", (b"authorization: Bearer " + KEY, b"connection: close"))
            assert (await client.ask(good))[0] == 200
            models_of = await client.ask(call(b"GET", b"/v1/models", (b"api-key: " + KEY, b"connection: close")))
            assert b"hidden" in models_of[1]

    assert wrong == []
    assert count > 3568


async def test_what_needs_no_key_says_nothing_of_what_is_served(tmp_path: Path) -> None:
    async with ScriptedServer(answering(reply(ANSWER))) as server:
        settings = config([{**endpoint(server.url("/v1")), "model": "hidden-model"}], "hidden", api_keys=[KEY.decode()])
        async with composed(tmp_path, settings) as proxy:
            for path in PUBLIC:
                for method in ("GET", "HEAD"):
                    got = await proxy.ask(method, path)

                    assert got.status == 200
                    assert "hidden" not in str(got)
                    assert method == "HEAD" or json.loads(got.body) == {"status": "ok"}
            known = await proxy.ask("GET", "/health", b"api-key: " + KEY)
            assert json.loads(known.body)["groups"][0]["model_group"] == "hidden"
        assert server.requests == []
