"""One worker's configurations: the one that requests begin with, and the one that is prepared to replace it.

A generation is a container. What lives as long as the worker is handed from one to the next: its log, its counts, what
it holds for clients, its stores and their connections; and what it knows of endpoints and rate limits, as far as the
new configuration has them. Requests that are under way end in the generation in which they began, and it is gone with
the last of them.
"""

import asyncio
import gc
import hashlib
import logging
from functools import partial

from dependency_injector import providers

from adapters.http.server.http_server import HttpServer
from application.observing.reload_state import ReloadState
from entrypoints.config.settings import GeneralSettings, Settings
from entrypoints.container import Container
from entrypoints.wiring.earlier import Earlier
from entrypoints.wiring.stores import cache_redis, shared_redis
from entrypoints.wiring.upstreams import token_users

_FOR_THE_WORKERS_LIFE = (
    "clock", "logger", "request_log", "alarm", "held", "detached", "counts", "tallies", "store_alarm", "room",
    "report_due", "token_alarm", "state_owners", "sharing", "recent", "in_flight", "running", "reloads",
    "behind", "recording", "connections", "process", "worker", "workers",
)  # fmt: skip
"""These are made once."""
_WAYS_OUT = ("ssl_context", "client", "fetch_token")
"""These are made anew only where they would be others."""


class Generations:
    """What a worker serves with; alone writes it. All of it is synchronous: no request begins in between."""

    def __init__(self, current: Container, server: HttpServer) -> None:
        """`current` is what `server` serves with now."""
        self.current = current
        self._server = server
        self._way_out = _way_out(current.general())
        self._prepared: tuple[Container, tuple[object, ...]] | None = None

    def prepare(self, settings: Settings) -> None:
        """Compose all of it, and change nothing. Raises what keeps it from being composed."""
        earlier, container, general = self.current, Container(settings=settings), settings.general
        way_out = _way_out(general)
        kept = [*_FOR_THE_WORKERS_LIFE, *(_WAYS_OUT if way_out == self._way_out else ())]
        kept += _stores_kept(earlier.general(), general)
        for name in kept:
            getattr(container, name).override(providers.Object(getattr(earlier, name)()))
        tokens = earlier.tokens() if "client" in kept else {}
        carried = Earlier(earlier.endpoint_states(), earlier.ledger(), tokens)
        container.earlier.override(providers.Object(carried))
        container.app()
        container.health_tracker()
        container.replica_view()
        container.states()
        self._prepared = container, way_out

    def commit(self, state: ReloadState) -> None:
        """Requests begin with what was prepared, from now on."""
        if self._prepared is None:
            raise RuntimeError("nothing was prepared")
        earlier, (self.current, self._way_out) = self.current, self._prepared
        self._prepared = None
        _take_over(self.current, earlier)
        self.current.reloads().state = state
        self._server.serve_with(self.current.app(), self.current.free_a_file())
        # Containers are circles, and what was there at the start is frozen: this looks at little else than those.
        del earlier
        gc.collect()

    def stay(self, state: ReloadState) -> None:
        """A reload was refused: what was prepared for it, if anything was, is let go of."""
        self._prepared = None
        self.current.reloads().state = state

    async def close(self) -> None:
        """The last request is over."""
        await asyncio.gather(*(source.close() for source in self.current.tokens().values()))
        await self.current.upstream().close()


def _stores_kept(before: GeneralSettings, after: GeneralSettings) -> list[str]:
    """Those that there are, and that would not be others: the rest needs a restart (`restart_needed.py`)."""
    kept = ["memory_cache"] if before.cache_params.max_bytes == after.cache_params.max_bytes else []
    kept += ["shared_gate"] if shared_redis(before) is not None else []
    return kept + (["own_cache_gate"] if cache_redis(before) not in (None, shared_redis(before)) else [])


def _take_over(container: Container, earlier: Container) -> None:
    """What is kept now holds for the new configuration. Nothing here can fail for a configuration that is valid."""
    settings: Settings = container.settings()
    general, fresh, states = settings.general, container.fresh_states(), container.endpoint_states()
    for name, endpoint_state in states.items():
        endpoint_state.configure(fresh[name].endpoint, fresh[name].policy, fresh[name].tally)
    container.ledger().take_over((state.endpoint for state in fresh.values()), container.clock().now())
    container.counts().name_groups(container.groups_by_name())
    container.worker().look_at(states, container.waiting(), container.cache_health())
    container.sharing().look_at(container.replica_view(), container.states())
    begin = container.surface().begin
    container.behind().serve_with(begin, general.max_body_bytes, container.modes(), container.native())
    container.held().allow(general.max_held_bytes, general.max_body_bytes)
    container.in_flight().drain_timeout_s = general.drain_timeout
    container.logger().setLevel(logging.getLevelName(general.log_level.upper()))
    _take_over_tokens(container, earlier)
    container.room().anywhere()  # requests that wait in the earlier generation may find another limit


def _take_over_tokens(container: Container, earlier: Container) -> None:
    """Sources of tokens that are still needed go on, others are begun and ended."""
    before, after, withhold = earlier.tokens(), container.tokens(), container.pool().withhold
    for scope, endpoints in token_users(container.settings()).items():
        after[scope].serve(partial(withhold, endpoints))
        if after[scope] is not before.get(scope):
            after[scope].start()
    for scope, source in before.items():
        if source is not after.get(scope):
            source.stop()


def _way_out(general: GeneralSettings) -> tuple[object, ...]:
    """What decides how connections to providers are made: the same connections serve as long as it is the same."""
    roots = general.ca_bundle and hashlib.blake2b(general.ca_bundle.read_bytes()).digest()
    return general.upstream_client, general.max_connections, general.outbound_proxy, general.trust_env, roots
