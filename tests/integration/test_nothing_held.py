"""What a request that failed leaves behind: nothing for Python to find when it looks for circles, as it seldom does."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from application.messages import ProxyRequest
from tests.integration.composed import Composed, composed
from tests.integration.harness import config, endpoint, eventually


@pytest.fixture
async def failing(tmp_path: Path) -> AsyncIterator[Composed]:
    """A proxy whose only provider reads a request, and after a moment closes."""

    serving: set[asyncio.Task[None] | None] = set()

    async def read_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.1)
        except (asyncio.IncompleteReadError, OSError):
            pass
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(read_and_close, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server, composed(tmp_path, config([endpoint(url)], request_timeout=1, num_retries=1)) as proxy:
        yield proxy
    await asyncio.wait({task for task in serving if task is not None}, timeout=20)
    await asyncio.sleep(0.01)  # what is closed is let go of in the loop's next turn


@pytest.fixture
def no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def held() -> int:
    return sum(isinstance(each, ProxyRequest) for each in gc.get_objects())


@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "leaves"])
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/chat/completions", {}),
        ("/v1/chat/completions", {"stream": True}),
        ("/v1/responses", {"background": True}),
        ("/v1/embeddings", {}),
    ],
)
async def test_no_request_is_held_by_the_error_it_ended_with(
    failing: Composed, no_collections: None, path: str, fields: dict[str, Any], leaves: bool
) -> None:
    before = held()
    body = json.dumps({"model": "gpt", "input": "Hello", "messages": [], **fields}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", failing.port)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    )
    writer.write(head.encode() + b"\r\n" + body)
    await eventually(lambda: held() > before)
    if not leaves:
        await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()

    await eventually(failing.requests)
    await eventually(lambda: held() == before, 5)
