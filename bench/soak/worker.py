"""`python -m bench.soak.worker ...`: the proxy as `python -m entrypoints.http ...` runs it, with a probe around it.

Three bounds are lowered, since a soak of minutes would never reach them, and would see them fill and call it a leak.
"""

import gc
import os
import sys
from collections.abc import Callable
from typing import ClassVar, cast

from dependency_injector import providers

from adapters.http.server import http_server
from adapters.http.server.request.known_heads import KnownHeads
from adapters.stores.memory.owners import MemoryResponseOwners
from application.endpoints import ledger
from application.observing import recent
from application.observing.worker_reports import WorkerReports
from application.state.owners import StateOwners
from bench.soak.leaks import leak_of
from bench.soak.probe import App, Probe
from domain.bounded_memo import Remembered
from entrypoints import http
from entrypoints.config.settings import Settings
from entrypoints.container import Container
from entrypoints.processes import worker
from entrypoints.processes.parent_watch import die_with

LEAK_VARIABLE = "LLMPROXY_SOAK_LEAK"
MOST_OWNERS = 2_000
MOST_BUCKETS = 25
HEADS_BYTES = 256 * 1024
MOST_REMEMBERED = 64


class SoakedHeads(KnownHeads):
    """Few heads, so that they are driven out many times in a minute: else a short run sees them come, and not go."""

    made: ClassVar[list["SoakedHeads"]] = []

    def __init__(self) -> None:
        super().__init__(HEADS_BYTES)
        self.made.append(self)


def probed(settings: Settings, worker_reports: WorkerReports) -> Container:
    """What one worker composes."""
    ledger.MAX_BUCKETS = MOST_BUCKETS
    recent.COPIES = 1  # else copies of the counts would come for five minutes, and look like a leak
    http_server.KnownHeads = SoakedHeads  # type: ignore[misc]
    container = Container(settings=settings, worker_reports=worker_reports)
    owners = providers.Singleton(
        MemoryResponseOwners, container.clock, settings.general.response_affinity_ttl, MOST_OWNERS
    )
    container.state_owners.override(providers.Singleton(StateOwners, container.endpoints, owners))
    kind = os.environ.get(LEAK_VARIABLE)
    leak: Callable[[], None] | None = leak_of(kind) if kind else None

    def sizes() -> dict[str, float]:
        cache = container.memory_cache().health()
        return {
            "cache_entries": cache.entries or 0,
            "cache_bytes": cache.bytes or 0,
            "owners": len(owners()._owners),
            "buckets": len(container.ledger()._own) + len(container.ledger()._clients),
            "in_flight": len(container.in_flight()._running),
            "sockets": container.behind().open,
            "held_bytes": container.held().held_bytes,
        }

    app = cast(App, container.app())
    memos = [each for each in gc.get_objects() if type(each) is Remembered]  # before the worker freezes them
    for memo in memos:
        memo._most = min(memo._most, MOST_REMEMBERED)

    def forget() -> None:
        for memo in memos:
            memo.clear()
        for heads in SoakedHeads.made:
            heads.forget()

    container.app.override(providers.Object(Probe(app, sizes, forget, leak)))
    return container


def main() -> int:
    """What the entrypoint does, with another application; a soak that is killed takes its proxy along."""
    die_with(os.getppid())
    worker.Container = probed  # type: ignore[assignment,misc]
    return http.main()


if __name__ == "__main__":
    sys.exit(main())
