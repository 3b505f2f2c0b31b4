"""Fixtures: simulated providers and proxies in the test's own loop; proxies as processes, ended whatever happens.

Tests run on asyncio's loop, and on uvloop as well where their class or module says `on_both_loops`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from simulator import ProviderSettings, SimulatedProvider
from tests.integration.composed import Composed
from tests.integration.harness import Proxy, ProxyProcess
from tests.integration.redis_fixtures import *  # noqa: F403

StartProvider = Callable[..., Awaitable[SimulatedProvider]]
StartProxy = Callable[..., Awaitable[Proxy]]


@pytest.fixture
async def start_provider() -> AsyncIterator[StartProvider]:
    """Starts a provider: `await start_provider(name="a", rpm=600)`, the keywords of `ProviderSettings`."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> SimulatedProvider:
            return await stack.enter_async_context(SimulatedProvider(ProviderSettings(**settings)))

        yield start


@pytest.fixture
async def start_proxy(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[StartProxy]:
    """Starts a proxy with a config: `await start_proxy(config([endpoint(provider)]))`.

    It is a process of its own where it gets an environment, where `process=True`, and for every test of a module that
    says so: `OWN_PROCESS = True`.
    """
    module_wants_it = getattr(request.module, "OWN_PROCESS", False)
    async with AsyncExitStack() as stack:

        async def start(
            settings: Mapping[str, Any], environ: Mapping[str, str] | None = None, *, process: bool = module_wants_it
        ) -> Proxy:
            own = process or environ is not None
            proxy = ProxyProcess(tmp_path, settings, environ) if own else Composed(tmp_path, settings)
            stack.push_async_callback(proxy.stop)
            await proxy.start()
            return proxy

        yield start


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Called by pytest-asyncio for each test."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    owners = (getattr(item, "cls", None), getattr(item, "module", None))
    if any(getattr(owner, "on_both_loops", False) for owner in owners):
        factories["uvloop"] = uvloop.new_event_loop
    return factories
