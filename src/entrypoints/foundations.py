"""What all else of a worker is composed over: its settings, log, clock and counts, the groups, and Redis."""

import random
from functools import partial

from dependency_injector import containers, providers

from adapters.clock import SystemClock
from adapters.metrics.shared_memory import OwnReport
from adapters.stores.redis.gate import RedisGate
from adapters.telemetry.alarm_lines import EndpointAlarmLines, StoreAlarmLines
from adapters.telemetry.log_lines import start_logging
from adapters.telemetry.request_log import RequestLogLines
from application.held_bytes import HeldBytes
from application.observing.endpoint_troubles import EndpointTroubles
from application.observing.request_counts import RequestCounts
from application.observing.tallies import Tallies
from application.observing.worker_reports import WorkerReports
from application.state.detached import Detached
from entrypoints.config.settings import Settings
from entrypoints.wiring import groups as group_wiring
from entrypoints.wiring import stores as store_wiring
from entrypoints.wiring.earlier import Earlier


class Foundations(containers.DeclarativeContainer):
    """The part of the container that asks nothing of the rest."""

    settings = providers.Dependency(instance_of=Settings)
    earlier = providers.Object(Earlier())
    general = providers.Callable(lambda settings: settings.general, settings)
    worker_reports: providers.Dependency[WorkerReports] = providers.Dependency(default=OwnReport())

    clock = providers.Singleton(SystemClock)
    logger = providers.Singleton(start_logging, general.provided.log_level, general.provided.log_format)
    request_log = providers.Singleton(RequestLogLines, logger)
    alarm = providers.Singleton(EndpointTroubles, providers.Singleton(EndpointAlarmLines, logger))
    draw = providers.Object(random.random)
    held = providers.Singleton(HeldBytes, general.provided.max_held_bytes, general.provided.max_body_bytes)
    detached = providers.Singleton(Detached, held)

    groups = providers.Singleton(group_wiring.model_groups, settings)
    groups_by_name = providers.Singleton(group_wiring.by_name, groups)
    counts = providers.Singleton(RequestCounts, groups_by_name, clock, worker_reports.provided.inherited)
    tallies = providers.Singleton(Tallies, worker_reports.provided.inherited.endpoints)
    namespace = general.provided.cache_params.namespace
    store_alarm = providers.Singleton(StoreAlarmLines, logger)
    redis_gate = partial(
        providers.Singleton, RedisGate, alarm=store_alarm, clock=clock, draw=draw, namespace=namespace,
        op_timeout_s=general.provided.redis_timeout,
    )  # fmt: skip
    shared_gate = redis_gate(providers.Callable(store_wiring.shared_redis, general))
    own_cache_gate = redis_gate(providers.Callable(store_wiring.cache_redis, general), name="cache redis")
    cache_gate = providers.Selector(
        providers.Callable(store_wiring.kind_of_cache_gate, general), shared=shared_gate, own=own_cache_gate
    )
    gates = providers.Callable(store_wiring.gates, general, shared_gate.provider, cache_gate.provider)
