"""Composition: the one place that knows every class. Nothing is built before it is asked for, nothing does I/O then."""

import asyncio
import uuid
from functools import partial

from dependency_injector import providers

from adapters.http.admission import Admission
from adapters.http.app import App
from adapters.http.exchange.in_flight import InFlight
from adapters.http.openai_api import OpenAIRoutes
from adapters.http.pass_through_api import PassThroughCalls
from adapters.http.server.connection import Connection
from adapters.http.server.http_server import HttpServer
from adapters.http.sockets.behind import Behind, Native
from adapters.http.sockets.realtime import RealtimeCalls
from adapters.http.sockets.routes import SocketRoutes
from adapters.http.status_page.document import status_document
from adapters.http.status_routes import catalogue_routes
from adapters.stores.memory.cache import MemoryResponseCache
from adapters.stores.memory.owners import MemoryResponseOwners
from adapters.stores.memory.state import MemoryEndpointStateStore
from adapters.stores.redis.cache import RedisResponseCache
from adapters.stores.redis.owners import RedisResponseOwners
from adapters.stores.redis.state import RedisEndpointStateStore
from adapters.telemetry.alarm_lines import TokenAlarmLines
from adapters.telemetry.socket_lines import SocketLines
from adapters.upstreams.openai.dialect import OpenAIDialect, SocketDialect
from adapters.upstreams.openai.realtime_events import RealtimeEvents
from adapters.upstreams.openai.responses_events import ResponsesEvents
from adapters.upstreams.reshape.answer_formats import OpenAIAnswerFormats
from adapters.upstreams.stored_things.openai_things import OpenAIThings
from application.attempts.attempt import SendAttempt
from application.attempts.dispatch import Dispatch
from application.attempts.traced_attempt import TracedAttempt
from application.caching.cached import CachedAnswers
from application.caching.keep_alive import KeepAlive
from application.caching.single_flight import SingleFlight
from application.endpoints.carried_states import carried_states
from application.endpoints.health import HealthTracker
from application.endpoints.ledger import Ledger
from application.endpoints.pool import EndpointPool, endpoint_states
from application.endpoints.replica_view import ReplicaView
from application.endpoints.room_signal import RoomSignal
from application.endpoints.waiting_queue import WaitingQueue
from application.observing.recent import Recent
from application.observing.reload_state import Reloads, ReloadState
from application.sockets.attempt import SocketAttempt
from application.sockets.native_attempt import NativeAttempt
from application.state.owners import StateOwners
from application.state.owners_per_key import KeyedOwners
from application.state.replication import Replication
from application.use_cases.by_account import AnswerStored, OpenSocket, PassThrough
from application.use_cases.catalogue import ReportHealth
from application.use_cases.model_call import AnswerModelCall
from application.use_cases.proxy_report import ReportProxy
from application.use_cases.status import ReportStatus, ReportStores
from application.use_cases.workers import AllWorkers, ReportWorker
from entrypoints.foundations import Foundations
from entrypoints.wiring import groups as group_wiring
from entrypoints.wiring import sockets as socket_wiring
from entrypoints.wiring import stores as store_wiring
from entrypoints.wiring import upstreams as upstream_wiring
from entrypoints.wiring.access import description_of, guard_of
from entrypoints.wiring.endpoints import targets
from entrypoints.wiring.lifespan import lifespan_of
from entrypoints.wiring.metrics import metrics_text
from entrypoints.wiring.running import process_now, running_now
from entrypoints.wiring.tracing import recording_of, tracing_of


class Container(Foundations):
    """Everything one worker needs, from its settings."""

    settings, general, earlier = Foundations.settings, Foundations.general, Foundations.earlier
    worker_reports, counts, tallies = Foundations.worker_reports, Foundations.counts, Foundations.tallies
    clock, draw, namespace = Foundations.clock, Foundations.draw, Foundations.namespace
    logger, request_log, alarm = Foundations.logger, Foundations.request_log, Foundations.alarm
    held, detached = Foundations.held, Foundations.detached
    groups, groups_by_name = Foundations.groups, Foundations.groups_by_name
    shared_gate, cache_gate, gates = Foundations.shared_gate, Foundations.cache_gate, Foundations.gates

    states_type = providers.Callable(store_wiring.kind_of_states, general)
    accounts = providers.Singleton(group_wiring.accounts_group, groups)
    start_group = providers.Callable(group_wiring.start_group_of, general, groups)
    stranger_group = providers.Callable(group_wiring.stranger_group_of, general, groups)
    creating = providers.Singleton(group_wiring.creating_group, start_group)
    all_groups = providers.Singleton(group_wiring.routed, groups, accounts, creating)
    fresh_states = providers.Singleton(endpoint_states, all_groups, tallies)
    endpoint_states = providers.Singleton(carried_states, fresh_states, earlier.provided.states)
    ledger = providers.Singleton(
        Ledger, general.provided.rate_limit_reserve, clock.provided.now.call(), earlier.provided.ledger
    )
    room = providers.Singleton(RoomSignal)
    report_due = providers.Singleton(asyncio.Event)
    pool = providers.Singleton(EndpointPool, all_groups, endpoint_states, ledger, clock, room)
    health_tracker = providers.Singleton(HealthTracker, endpoint_states, clock, draw, alarm, room, report_due)
    replica_view = providers.Singleton(ReplicaView, endpoint_states, ledger, room)

    ssl_context = providers.Singleton(upstream_wiring.trusted_roots, general)
    token_alarm = providers.Singleton(TokenAlarmLines, logger)
    fetch_token = providers.Singleton(upstream_wiring.default_azure_tokens, general, ssl_context)
    tokens = providers.Singleton(
        upstream_wiring.token_sources, settings, earlier.provided.tokens, fetch_token, clock, draw, token_alarm, pool
    )
    endpoint_targets = providers.Singleton(targets, settings, tokens)
    endpoints = providers.Singleton(OpenAIDialect, endpoint_targets)
    client = providers.Singleton(upstream_wiring.http_upstream, general, ssl_context)
    upstream = providers.Singleton(upstream_wiring.with_tokens, client, tokens, clock)

    owners = providers.Selector(
        states_type,
        memory=providers.Singleton(MemoryResponseOwners, clock, general.provided.response_affinity_ttl),
        redis=providers.Singleton(RedisResponseOwners, shared_gate, namespace, general.provided.response_affinity_ttl),
    )
    things = providers.Singleton(OpenAIThings)
    state_owners = providers.Selector(
        general.provided.tenancy,
        shared=providers.Singleton(StateOwners, endpoints, owners),
        key=providers.Singleton(
            KeyedOwners, endpoints, owners, things, clock, others_write=general.provided.uses_redis
        ),
    )

    waiting = providers.Singleton(WaitingQueue, pool, room, clock)
    recording = providers.Singleton(recording_of, settings.provided.telemetry, logger)
    tracing = providers.Singleton(tracing_of, recording, settings, clock)
    attempt_parts = (
        pool,
        health_tracker,
        upstream,
        endpoints,
        clock,
        general.provided.stream_hold,
        state_owners.provided.learn,
        held,
    )
    attempt = providers.Selector(
        providers.Callable(lambda tracing: "plain" if tracing is None else "traced", tracing),
        plain=providers.Singleton(SendAttempt, *attempt_parts),
        traced=providers.Singleton(TracedAttempt, *attempt_parts, propagates=general.provided.propagate_trace_context),
    )
    dispatch_by = partial(
        providers.Singleton, Dispatch, pool=pool, waiting=waiting, clock=clock, draw=draw,
        max_wait_s=general.provided.max_wait,
    )  # fmt: skip
    dispatch = dispatch_by(attempt=attempt)

    kept_s = providers.Callable(store_wiring.state_kept_s, general)
    memory_states = providers.Singleton(MemoryEndpointStateStore, clock, kept_s)
    states = providers.Selector(
        states_type,
        memory=memory_states,
        redis=providers.Singleton(RedisEndpointStateStore, shared_gate, namespace, kept_s),
    )
    sharing = providers.Singleton(
        Replication, replica_view, states, clock, providers.Callable(lambda: uuid.uuid4().hex), request_log, report_due
    )

    memory_cache = providers.Singleton(MemoryResponseCache, general.provided.cache_params.max_bytes, clock)
    cache = providers.Selector(
        general.provided.cache_type,
        memory=memory_cache,
        redis=providers.Singleton(RedisResponseCache, cache_gate, namespace),
    )
    cached = providers.Singleton(
        CachedAnswers,
        providers.Callable(store_wiring.cache_policy, general),
        cache,
        providers.Singleton(OpenAIAnswerFormats),
        providers.Singleton(SingleFlight, clock, held),
        dispatch,
        clock,
        draw,
        general.provided.cache_params.replay_interval,
        tallies.provided.saved,
    )
    found = providers.Selector(general.provided.cache_type, off=dispatch, memory=cached, redis=cached)
    answers = providers.Selector(
        providers.Callable(lambda general: "on" if general.stream_keepalive else "off", general),
        off=found,
        on=providers.Singleton(KeepAlive, found, general.provided.stream_keepalive),
    )

    closed = providers.Callable(lambda general: general.passthrough == "off", general)
    model_call = providers.Singleton(
        AnswerModelCall, groups_by_name, start_group, stranger_group, state_owners, answers, is_closed=closed
    )
    routing = (groups_by_name, accounts, start_group, state_owners)
    stored = providers.Singleton(AnswerStored, *routing, dispatch, is_closed=closed)
    admin = providers.Callable(lambda general: general.passthrough == "admin", general)
    passing = (groups_by_name, accounts, creating, state_owners)
    pass_through = providers.Singleton(PassThrough, *passing, dispatch, is_closed=closed, is_administrable=admin)
    socket_client = providers.Singleton(upstream_wiring.socket_upstream, client, general, ssl_context, held)
    socket_upstream = providers.Singleton(upstream_wiring.with_tokens, socket_client, tokens, clock)
    socket_dialect = providers.Singleton(SocketDialect, endpoint_targets)
    socket_parts = (*attempt_parts[:2], socket_upstream, socket_dialect, *attempt_parts[4:])
    socket_attempt = partial(
        providers.Singleton,
        stream_hold_s=general.provided.stream_hold,
        propagates=general.provided.propagate_trace_context,
    )
    realtime_attempt = socket_attempt(SocketAttempt, *socket_parts, events=providers.Singleton(RealtimeEvents))
    native_attempt = socket_attempt(
        NativeAttempt, *socket_parts, groups=groups_by_name, events=providers.Singleton(ResponsesEvents)
    )
    relayed = dispatch_by(attempt=realtime_attempt)
    open_realtime = providers.Singleton(OpenSocket, *routing, relayed, is_closed=closed)
    open_others = providers.Singleton(PassThrough, *passing, relayed, is_closed=closed, is_administrable=admin)
    open_native = providers.Singleton(OpenSocket, *routing, dispatch_by(attempt=native_attempt), is_closed=closed)
    status = providers.Singleton(ReportStatus, groups, endpoint_states, ledger, alarm, clock)
    cache_health = providers.Selector(
        general.provided.cache_type, off=providers.Object(None), memory=memory_cache, redis=cache_gate
    )
    states_health = providers.Selector(states_type, memory=memory_states, redis=shared_gate)
    stores = providers.Singleton(ReportStores, states_health, cache_health)

    in_flight = providers.Singleton(InFlight, general.provided.drain_timeout, held)
    admission = providers.Singleton(
        Admission,
        providers.Singleton(guard_of, general),
        clock,
        request_log,
        counts,
        in_flight,
        general.provided.max_body_bytes,
        general.provided.stream_idle_timeout,
        tracing=tracing,
        keeps_keys_apart=providers.Callable(lambda general: general.tenancy == "key", general),
        metrics=general.provided.metrics,
        passes_trace_context=general.provided.propagate_trace_context,
    )
    surface = providers.Singleton(OpenAIRoutes, admission, model_call, stored, detached)
    others = providers.Singleton(PassThroughCalls, admission, pass_through)
    connections: providers.Singleton[dict[Connection, None]] = providers.Singleton(dict)
    process = providers.Singleton(process_now, clock)
    worker = providers.Singleton(
        ReportWorker, process, counts, tallies, endpoint_states, waiting, in_flight, connections, detached, cache_health
    )
    workers = providers.Singleton(AllWorkers, worker, worker_reports, clock)
    recent = providers.Singleton(Recent, counts, workers, clock)
    running = providers.Singleton(running_now, general)
    reloads = providers.Singleton(Reloads, providers.Factory(ReloadState, succeeded_unix=process.provided.started_unix))
    report = providers.Singleton(
        ReportProxy,
        running,
        status,
        stores,
        general.provided.max_held_bytes,
        recent,
        workers,
        reloads,
        general.provided.currency,
    )
    modes = providers.Singleton(socket_wiring.socket_modes, settings)
    native = providers.Singleton(Native, admission, open_native, groups_by_name)
    behind = providers.Singleton(Behind, surface.provided.begin, held, general.provided.max_body_bytes, modes, native)
    socket_log = providers.Singleton(SocketLines, logger)
    most_sockets = general.provided.max_websockets
    realtime = providers.Singleton(
        RealtimeCalls, admission, open_realtime, open_others, behind, socket_log, modes, most_sockets
    )
    sockets = providers.Singleton(
        SocketRoutes, admission, behind, realtime, socket_log, modes, most_sockets, general.provided.stream_idle_timeout
    )
    pages = providers.Singleton(
        catalogue_routes,
        groups_by_name,
        providers.Singleton(ReportHealth, groups, endpoint_states, ledger, clock),
        report,
        providers.Object(metrics_text),
        providers.Singleton(status_document),
        providers.Singleton(description_of, general),
        in_flight,
        providers.Callable(lambda process: int(process.started_unix), process),
    )
    lifespan = providers.Factory(lifespan_of, upstream, tokens, gates, sharing, recent, state_owners, recording, logger)
    app = providers.Singleton(
        App,
        admission,
        surface,
        others,
        groups_by_name,
        sockets,
        pages,
        lifespan.provider,
        asks_for_models=providers.Callable(lambda general: general.passthrough_group is not None, general),
    )
    free_a_file = providers.Callable(upstream_wiring.spare_files, client)
    refused = counts.provided.went_wrong
    server = providers.Factory(
        HttpServer, app, request_log, free_a_file=free_a_file, held=held, connections=connections, count_refused=refused
    )
