"""A provider that means harm: what the client gets of it, how much of it is taken, and that all is well afterwards."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.contracts.scripted_server import Peer, ScriptedServer, answering, reply
from tests.hostile_replies import BOMB, BROKEN, ERRORS, FLOODS, JUNK, LATE, MIB, ODD, Flood, Reply, filled, say
from tests.integration.composed import Composed, composed
from tests.integration.harness import config, endpoint
from tests.integration.raw_http import JSON
from tests.integration.raw_http import Reply as Got

_CHOICE = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
_CHUNKS = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "hello"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
]
WHOLE = (json.dumps({"object": "chat.completion", "choices": [_CHOICE]}).encode(), b"application/json")
STREAM = (
    b"".join(b"data: %b\n\n" % json.dumps({"object": "chat.completion.chunk", **each}).encode() for each in _CHUNKS)
    + b"data: [DONE]\n\n",
    b"text/event-stream",
)
GOOD = b'{"object":"chat.completion","choices":[{"message":{"content":"good"}}]}'
MOST_SENT = MIB
"""Of a flood, with what the buffers of two sockets take; 64 kB of headers are read."""
MOST_HELD = 4 * MIB

adapters = pytest.mark.parametrize("adapter", ["http1", "httpx"])
streams = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


class World(NamedTuple):
    """A proxy with a group for each case, which asks the hostile provider first and a good one then."""

    proxy: Composed
    provider: ScriptedServer
    groups: Mapping[str, str]
    """By case."""

    async def ask(self, case: str, *, stream: bool) -> Got:
        body = {"model": self.groups[case], "messages": [{"role": "user", "content": "hi"}], "stream": stream}
        return await self.proxy.ask("POST", "/v1/chat/completions", JSON, body=json.dumps(body).encode())

    async def measured(self, case: str, *, stream: bool) -> tuple[Got, int]:
        """The answer, and the most that proxy, provider and client held for it."""
        tracemalloc.start()
        try:
            return await self.ask(case, stream=stream), tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    async def is_well(self, case: str, *, stream: bool) -> bool:
        """Is the next request of that group, and one of another, answered?"""
        return {(await self.ask(each, stream=stream)).status for each in (case, "well")} == {200}


@asynccontextmanager
async def world(
    folder: Path, adapter: str, cases: Mapping[str, Reply | Flood], *, stream: bool
) -> AsyncIterator[World]:
    """Each case has a group of its own, so that no other is at rest for it; it is played once, to the first request."""
    groups = {name: f"case-{number}" for number, name in enumerate(cases)} | {"well": "well"}
    names = {group: name for name, group in groups.items()}
    body, media_type = STREAM if stream else WHOLE

    async def script(peer: Peer) -> None:
        group = (await peer.request()).target.split(b"/")[1].decode()
        case = cases.get(names[group])
        if case is None or group in played:
            await say(peer, filled(FINE, body, media_type))
            return
        played.append(group)
        await say(peer, filled(case.said, body, media_type), case.again if isinstance(case, Flood) else b"")

    played: list[str] = []
    async with (
        ScriptedServer(script) as hostile,
        ScriptedServer(answering(reply(GOOD, "content-type: application/json"))) as good,
    ):
        models = [
            config(
                [
                    endpoint(hostile.url(f"/{group}"), params={"api_key": f"sk-{group}"}),
                    endpoint(good.url("/v1"), weight=0),
                ],
                group,
            )["model_groups"][0]
            for group in groups.values()
        ]
        settings = {"model_groups": models, "general_settings": {"upstream_client": adapter, "num_retries": 1}}
        async with composed(folder, settings) as proxy:
            yield World(proxy, hostile, groups)


FINE = b"HTTP/1.1 200 OK\r\ncontent-type: {T}\r\ncontent-length: {N}\r\nconnection: close\r\n\r\n{B}"


def is_elsewhere(got: Got) -> bool:
    return (got.status, got.body, str(got.one("x-llmproxy-endpoint"))[-2:]) == (200, GOOD, "/2")


LENIENT = {
    *("a bare line feed in the status line", "a bare line feed in a header", "a bare line feed before the body"),
    *("a control character in a value", "a folded header", "a folded length", "a space before the colon"),
    *("chunked twice", "chunked in two headers", "another coding", "another coding besides", "no coding at all"),
    *("an empty coding", "a trailer with a NUL", "a folded trailer"),
}
"""aiohttp reads replies leniently, where the httpx adapter is made of it; such a connection is not used again."""
ENDLESS = {"the size of a chunk", "the extension of a chunk", "trailers"}
"""aiohttp knows no bound for these."""
IS_AIOHTTP = find_spec("adapters.upstreams.aiohttp_transport") is not None


def may_pass(adapter: str, case: str, got: Got, *, stream: bool) -> bool:
    return IS_AIOHTTP and adapter == "httpx" and case in LENIENT and got.body == (STREAM if stream else WHOLE)[0]


@adapters
@streams
async def test_nothing_of_a_reply_that_is_none_reaches_anybody(tmp_path: Path, adapter: str, stream: bool) -> None:
    wrong: dict[str, object] = {}
    async with world(tmp_path, adapter, JUNK, stream=stream) as here:
        for case in JUNK:
            got = await here.ask(case, stream=stream)
            is_right = is_elsewhere(got) or may_pass(adapter, case, got, stream=stream)
            if not is_right or not await here.is_well(case, stream=stream):
                wrong[case] = got

    assert wrong == {}


@adapters
@streams
async def test_what_breaks_near_its_end_never_looks_whole(tmp_path: Path, adapter: str, stream: bool) -> None:
    wrong: dict[str, object] = {}
    async with world(tmp_path, adapter, BROKEN, stream=stream) as here:
        for case in BROKEN:
            got = await here.ask(case, stream=stream)
            is_cut = stream and b"upstream_stream_error" in got.body and b"[DONE]" not in got.body
            if not (is_elsewhere(got) or is_cut) or not await here.is_well(case, stream=stream):
                wrong[case] = got

    assert wrong == {}


@adapters
@streams
async def test_what_breaks_behind_its_end_is_no_whole_answer_but_a_stream_that_has_said_its_end(
    tmp_path: Path, adapter: str, stream: bool
) -> None:
    wrong: dict[str, object] = {}
    async with world(tmp_path, adapter, LATE, stream=stream) as here:
        for case in LATE:
            got = await here.ask(case, stream=stream)
            is_right = is_elsewhere(got) or (stream and got.body == STREAM[0])
            is_right = is_right or may_pass(adapter, case, got, stream=stream)
            if not is_right or not await here.is_well(case, stream=stream):
                wrong[case] = got

    assert wrong == {}


@adapters
@streams
async def test_what_passes_brings_nothing_along_that_is_none_of_the_clients_business(
    tmp_path: Path, adapter: str, stream: bool
) -> None:
    wrong: dict[str, object] = {}
    body, media_type = STREAM if stream else WHOLE
    async with world(tmp_path, adapter, ODD, stream=stream) as here:
        for case, sent in ODD.items():
            got = await here.ask(case, stream=stream)
            is_it = str(got.one("x-llmproxy-endpoint"))[-2:] == "/1" and got.body == filled(sent.body, body, media_type)
            named = {name for name, _ in got.headers}
            is_clean = "evil" not in str(got.headers) and not FORBIDDEN & named and got.all("connection") == ["close"]
            if not is_it or not is_clean or not await here.is_well(case, stream=stream):
                wrong[case] = got

    assert wrong == {}


FORBIDDEN = {
    *("set-cookie", "alt-svc", "strict-transport-security", "access-control-allow-origin", "x-evil"),
    *("access-control-allow-credentials", "keep-alive", "upgrade", "proxy-authenticate", "proxy-connection", "te"),
    *("trailer", "x-accel-redirect", "x-accel-expires", "x-sendfile", "x-lighttpd-send-file"),
    *("x-accel-limit-rate", "x-accel-charset", "authorization", "api-key", "x-api-key"),
}


@adapters
@streams
async def test_of_what_never_ends_little_is_taken_and_less_is_held(tmp_path: Path, adapter: str, stream: bool) -> None:
    wrong: dict[str, object] = {}
    is_bounded = not IS_AIOHTTP or adapter == "http1"
    floods = {name: flood for name, flood in FLOODS.items() if is_bounded or name not in ENDLESS}
    async with world(tmp_path, adapter, floods, stream=stream) as here:
        for case in floods:
            before = len(here.provider.peers)
            got, held = await here.measured(case, stream=stream)
            flood = here.provider.peers[before]
            async with asyncio.timeout(10):
                await flood.over.wait()
            is_small = flood.sent <= MOST_SENT and held <= MOST_HELD
            if not is_elsewhere(got) or not is_small or not await here.is_well(case, stream=stream):
                wrong[case] = (got, flood.sent, held)

    assert wrong == {}


@adapters
@streams
async def test_of_an_error_no_more_is_held_than_is_read(tmp_path: Path, adapter: str, stream: bool) -> None:
    wrong: dict[str, object] = {}
    async with world(tmp_path, adapter, ERRORS, stream=stream) as here:
        for case in ERRORS:
            got, held = await here.measured(case, stream=stream)
            is_right = is_elsewhere(got) and held <= MOST_HELD
            if not is_right or not await here.is_well(case, stream=stream):
                wrong[case] = (got, held)

    assert wrong == {}


@adapters
async def test_a_zipped_answer_passes_as_it_came_however_large_it_is(tmp_path: Path, adapter: str) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
    bomb = {"bomb": Reply(head % len(BOMB) + BOMB)}
    async with world(tmp_path, adapter, bomb, stream=False) as here:
        got, held = await here.measured("bomb", stream=False)

        assert (got.status, got.body == BOMB, got.one("content-encoding")) == (200, True, "gzip")
        assert held <= MOST_HELD
        assert await here.is_well("bomb", stream=False)


@adapters
async def test_a_reply_before_any_request_is_nobodys(tmp_path: Path, adapter: str) -> None:
    early = (reply(b"evil"), reply(b"evil").replace(b"1.1", b"2.0"), b"HTTP/1.1 100 Continue\r\n\r\n" + reply(b"evil"))

    async def speak(peer: Peer) -> None:
        await peer.send(early[len(server.peers) % len(early)])
        await peer.gone()

    good = answering(reply(GOOD, "content-type: application/json"))
    async with ScriptedServer(speak) as server, ScriptedServer(good) as other:
        models = [endpoint(server.url("/v1")), endpoint(other.url("/v1"), weight=0)]
        async with composed(tmp_path, config(models, upstream_client=adapter, allowed_fails=100)) as proxy:
            for _ in range(6):
                body = json.dumps({"model": "gpt", "messages": []}).encode()
                got = await proxy.ask("POST", "/v1/chat/completions", JSON, body=body)

                assert is_elsewhere(got), got


def test_the_table_has_all_kinds() -> None:
    tables: Iterable[Mapping[str, Any]] = (JUNK, BROKEN, LATE, ODD, ERRORS, FLOODS)

    assert sum(map(len, tables)) > 120
