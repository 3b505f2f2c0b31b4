"""What the parts of the upstream contract share: calls, failures, and a check that nothing is left behind."""

import asyncio
import gc
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from application.messages import Headers, UpstreamCall
from application.ports import Upstream, UpstreamFailed, UpstreamReply
from domain.failure import Failure
from tests.contracts.scripted_server import PATIENCE_S


def call(
    url: str,
    method: str = "POST",
    headers: Headers = (),
    body: bytes = b"{}",
    *,
    connect_s: float = PATIENCE_S,
    first_byte_s: float = PATIENCE_S,
    idle_s: float = PATIENCE_S,
) -> UpstreamCall:
    """A call whose deadlines are far away unless the test is about them."""
    return UpstreamCall(method, url, headers, body, connect_s, first_byte_s, idle_s)


async def body_of(reply: UpstreamReply) -> bytes:
    """Read to the end and give the connection back."""
    pieces = []
    try:
        while piece := await reply.receive():
            pieces.append(piece)
    finally:
        reply.close()
    return b"".join(pieces)


async def fetch(upstream: Upstream, sent: UpstreamCall) -> bytes:
    """The body of the reply to a call."""
    return await body_of(await upstream.send(sent))


async def failure_of(attempt: Awaitable[object]) -> Failure:
    """How the attempt fails. The words are held to be safe: nothing of the request is in them."""
    with pytest.raises(UpstreamFailed) as failed:
        await attempt
    failure = failed.value.failure

    assert failure.reason
    assert "/v1" not in str(failed.value)
    assert "secret" not in str(failed.value)
    return failure


async def cancel(task: "asyncio.Task[Any]") -> None:
    """Cancel and wait; the task must end by it."""
    task.cancel()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(asyncio.CancelledError):
            await task


async def until_waiting(seconds: float = 0.05) -> None:
    """Let a task that was just started get as far as it can without the server's help."""
    await asyncio.sleep(seconds)


def open_sockets() -> int:
    """Sockets of this process, counted where the kernel lists them."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += str(descriptor.readlink()).startswith("socket:")
    return count


def other_tasks() -> "set[asyncio.Task[Any]]":
    """All tasks but the one that asks: a fixture is set up in one task and torn down in another."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


class UpstreamBase:
    """How the contract gets its adapter. Each test gets a new one, and it must leave nothing behind."""

    @abstractmethod
    def make(self, **options: Any) -> Upstream:
        """The adapter. Options: max_connections, ssl_context, outbound_proxy, trust_env, keepalive_s."""

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        """What a test changes about the adapter, by parametrizing `options`."""
        return {}

    @pytest.fixture
    async def upstream(self, options: dict[str, Any]) -> AsyncIterator[Upstream]:
        async with self.opened(**options) as upstream:
            yield upstream

    @asynccontextmanager
    async def opened(self, **options: Any) -> AsyncIterator[Upstream]:
        """The adapter, closed at the end; then no socket and no task may be left that was not there before."""
        tasks_before, sockets_before = other_tasks(), open_sockets()
        upstream = self.make(**options)
        try:
            yield upstream
        finally:
            await upstream.close()
        for _ in range(200):
            if open_sockets() <= sockets_before and other_tasks() <= tasks_before:
                break
            await asyncio.sleep(0.01)
        gc.collect()  # what was not closed warns now, and a warning fails the test

        assert other_tasks() <= tasks_before
        assert open_sockets() <= sockets_before
