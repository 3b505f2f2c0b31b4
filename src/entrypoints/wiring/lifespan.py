"""What a worker starts before its first request and closes after its last: tokens, stores, reports to replicas."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from adapters.stores.redis.gate import RedisGate
from application.observing.recent import Recent
from application.ports import Upstream
from application.state.access_tokens import TokenSource
from application.state.owners import StateOwners
from application.state.replication import Replication
from entrypoints.wiring.tracing import Recording


@asynccontextmanager
async def lifespan_of(
    upstream: Upstream,
    tokens: Mapping[str, TokenSource],
    gates: Sequence[RedisGate],
    sharing: Replication,
    recent: Recent,
    owners: StateOwners,
    recording: Recording,
    logger: logging.Logger,
) -> AsyncIterator[None]:
    """Entered before the first request and left after the last: what runs beside requests, in the order of need."""
    for source in tokens.values():
        source.start()
    await asyncio.gather(*(gate.start() for gate in gates))
    await sharing.load()
    beside = [asyncio.ensure_future(sharing.run()), asyncio.ensure_future(recent.run())]
    yield
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    await asyncio.gather(owners.close(), *(source.close() for source in tokens.values()))
    await asyncio.gather(upstream.close(), *(gate.close() for gate in gates))
    await recording.close()
    for handler in logger.handlers:
        handler.close()
