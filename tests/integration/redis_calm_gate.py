"""A gate for tests that are about what stores keep, and not about how fast Redis is or how it fails."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from adapters.clock import SystemClock
from adapters.stores.redis.gate import RedisGate
from adapters.stores.redis.settings import RedisSettings
from domain.secret import Secret
from tests.integration.redis_gate_harness import RecordingStoreAlarm, eventually, is_ok


@asynccontextmanager
async def calm_gate(url: str) -> AsyncIterator[RedisGate]:
    """A gate that neither a busy machine shuts nor many callers. Nothing that a test does to its stores may either."""
    alarm = RecordingStoreAlarm()
    settings = RedisSettings.of_url(Secret(url))
    gate = RedisGate(settings, alarm, clock=SystemClock(), op_timeout_s=5.0, pool_size=100)
    await gate.start()
    try:
        await eventually(is_ok(gate))
        yield gate

        assert gate.health().state == "ok"
        assert alarm.kinds in ([], ["lost", "recovered"])  # to find a cluster may take longer than a start waits
    finally:
        await gate.close()
