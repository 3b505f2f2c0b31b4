"""Composition: the one place that knows every class. Nothing is built before it is asked for, nothing does I/O then."""

import logging
import random
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from dependency_injector import containers, providers

from adapters.clock import SystemClock
from adapters.http.app import build_app
from adapters.http.catalogue import catalogue_routes
from adapters.http.chat import ChatEndpoint
from adapters.http.guards import Guard
from adapters.http.in_flight import InFlight
from adapters.telemetry.log_lines import start_logging
from adapters.telemetry.request_log import EndpointAlarmLines, RequestLogLines
from adapters.upstreams.httpx_client import HttpxUpstream
from adapters.upstreams.providers import OpenAIProviders
from application.attempt import SendAttempt
from application.catalogue import ListModels, ReportHealth
from application.chat import AnswerChat
from application.dispatch import Dispatch
from application.ports import Upstream
from application.routing import Routing
from application.status import ReportStatus
from application.waiting import WaitingRoom
from domain.group import ModelGroup
from entrypoints.endpoints import model_groups, targets
from entrypoints.settings import GeneralSettings, Settings
from entrypoints.worker import worker_process


def _general(settings: Settings) -> GeneralSettings:
    return settings.general


def _upstream(general: GeneralSettings) -> Upstream:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if general.ca_bundle is not None:
        context.load_verify_locations(general.ca_bundle)
    return HttpxUpstream(
        max_connections=general.max_connections,
        ssl_context=context,
        outbound_proxy=general.outbound_proxy.reveal() if general.outbound_proxy else None,
        trust_env=general.trust_env,
    )


def _guard(general: GeneralSettings) -> Guard:
    return Guard(
        general.bind_address,
        general.allowed_hosts,
        general.allowed_origins,
        (key.reveal() for key in general.api_keys),
    )


def _by_name(groups: tuple[ModelGroup, ...]) -> dict[str, ModelGroup]:
    return {group.name: group for group in groups}


def _lifespan(in_flight: InFlight, upstream: Upstream, logger: logging.Logger) -> AbstractAsyncContextManager[None]:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        with worker_process(in_flight.drain):
            yield
        await upstream.close()
        for handler in logger.handlers:
            handler.close()

    return lifespan()


class Container(containers.DeclarativeContainer):
    """Everything one worker needs, from its settings."""

    settings = providers.Dependency(instance_of=Settings)
    general = providers.Callable(_general, settings)

    clock = providers.Singleton(SystemClock)
    logger = providers.Singleton(start_logging, general.provided.log_level, general.provided.log_format)
    request_log = providers.Singleton(RequestLogLines, logger)
    alarm = providers.Singleton(EndpointAlarmLines, logger)

    groups = providers.Singleton(model_groups, settings)
    groups_by_name = providers.Singleton(_by_name, groups)
    endpoints = providers.Singleton(OpenAIProviders, providers.Singleton(targets, settings))
    upstream = providers.Singleton(_upstream, general)

    routing = providers.Singleton(
        Routing, groups, clock, providers.Object(random.random), alarm, general.provided.rate_limit_reserve
    )
    waiting = providers.Singleton(WaitingRoom, routing, clock)
    attempt = providers.Singleton(SendAttempt, routing, upstream, endpoints, clock, general.provided.stream_hold)
    dispatch = providers.Singleton(
        Dispatch, routing, waiting, attempt, clock, providers.Object(random.random), general.provided.max_wait
    )
    chat = providers.Singleton(AnswerChat, groups_by_name, dispatch)
    models = providers.Singleton(ListModels, groups)
    health = providers.Singleton(ReportHealth, groups, routing)
    status = providers.Singleton(ReportStatus, groups, routing, waiting, clock)

    guard = providers.Singleton(_guard, general)
    in_flight = providers.Singleton(InFlight, general.provided.drain_timeout)
    chat_endpoint = providers.Singleton(
        ChatEndpoint,
        chat,
        guard,
        clock,
        request_log,
        in_flight,
        general.provided.max_body_bytes,
        general.provided.stream_idle_timeout,
    )
    routes = providers.Singleton(
        catalogue_routes, models, health, status, guard, in_flight, providers.Callable(lambda: int(time.time()))
    )
    lifespan = providers.Factory(_lifespan, in_flight, upstream, logger)
    app = providers.Singleton(
        build_app, chat_endpoint, routes, lifespan.provider, request_log, general.provided.allowed_origins
    )
