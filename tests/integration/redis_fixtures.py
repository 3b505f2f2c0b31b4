"""Fixtures: the Redis all tests share, and Redis servers of a test's own. `conftest.py` takes them in by name."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest

from adapters.clock import SystemClock
from adapters.stores.redis.gate import RedisGate
from adapters.stores.redis.settings import RedisSettings
from domain.secret import Secret
from tests.integration.redis_gate_harness import OpenGate, RecordingStoreAlarm
from tests.redis_server import NoRedis, RedisServer, SharedRedis, namespace, private_redis, shared_redis, sources

__all__ = [
    "open_gate",
    "pytest_report_collectionfinish",
    "redis_namespace",
    "redis_url",
    "shared_redis_server",
    "start_redis",
]

T = TypeVar("T")
StartRedis = Callable[..., RedisServer]
_FIXTURES = {"redis_url", "start_redis"}


def pytest_report_collectionfinish(items: list[pytest.Item]) -> list[str]:
    """Called by pytest: says which Redis the tests will use, if one of them wants one."""
    wanted = any(_FIXTURES & set(getattr(item, "fixturenames", ())) for item in items)
    return [f"redis: {sources()}"] if wanted else []


@pytest.fixture(scope="session")
def shared_redis_server() -> Iterator[SharedRedis]:
    """The Redis that all tests use; without one they fail."""
    shared = _or_fail(shared_redis)
    yield shared
    shared.close()


def _or_fail(make: Callable[[], T]) -> T:
    """What is made; a test that needs a Redis fails where there is none, and is never skipped in silence."""
    reason = ""
    try:
        return make()
    except NoRedis as missing:
        reason = str(missing)
    pytest.fail(reason, pytrace=False)


@pytest.fixture
def redis_url(shared_redis_server: SharedRedis) -> str:
    """Its URL. A test keeps to its own `redis_namespace` there, and flushes nothing."""
    return shared_redis_server.url


@pytest.fixture
def redis_namespace() -> str:
    """What the test's keys begin with."""
    return namespace()


@pytest.fixture
def start_redis() -> Iterator[StartRedis]:
    """Starts a Redis that the test may kill, freeze and reconfigure: `server = start_redis("maxmemory 1mb")`."""
    with ExitStack() as stack:

        def start(*options: str, sentinel: bool = False) -> RedisServer:
            server = _or_fail(lambda: private_redis(*options, sentinel=sentinel))
            stack.callback(server.close)
            server.start()
            return server

        yield start


@pytest.fixture
async def open_gate() -> AsyncIterator[OpenGate]:
    """Opens a gate to a URL: `gate, alarm = await open_gate(url, pool_size=2)`."""
    async with AsyncExitStack() as stack:

        async def opened(
            url: str, ca_bundle: Path | None = None, **options: Any
        ) -> tuple[RedisGate, RecordingStoreAlarm]:
            alarm = RecordingStoreAlarm()
            settings = RedisSettings.of_url(Secret(url), ca_bundle)
            gate = RedisGate(settings, alarm, clock=SystemClock(), **({"namespace": "t"} | options))
            stack.push_async_callback(gate.close)
            await gate.start()
            return gate, alarm

        yield opened
