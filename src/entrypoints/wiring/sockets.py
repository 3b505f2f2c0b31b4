"""What serves WebSockets: how each group is to be, and what opens those to endpoints."""

from collections.abc import Mapping

from adapters.http.sockets.behind import SocketMode, SocketModes
from application.attempts.attempt import SendAttempt
from application.attempts.dispatch import Dispatch
from application.endpoints.pool import EndpointPool
from application.endpoints.waiting_queue import WaitingQueue
from application.ports import Clock, Draw
from application.state.owners import StateOwners
from application.use_cases.by_account import OpenSocket
from domain.group import ModelGroup
from entrypoints.config.settings import GeneralSettings, Settings


def socket_modes(settings: Settings) -> SocketModes:
    """A group's own setting wins."""
    general = settings.general
    return SocketModes(
        _mode(general.websockets, general),
        {group.model_group: _mode(group.websockets or general.websockets, general) for group in settings.groups},
    )


def opener(
    attempt: SendAttempt,
    pool: EndpointPool,
    waiting: WaitingQueue,
    clock: Clock,
    draw: Draw,
    max_wait_s: float,
    groups: Mapping[str, ModelGroup],
    accounts: ModelGroup,
    start_group: ModelGroup | None,
    owners: StateOwners,
    is_closed: bool,
) -> OpenSocket:
    """What opens sockets, each with such an attempt."""
    dispatch = Dispatch(pool, waiting, attempt, clock, draw, max_wait_s)
    return OpenSocket(groups, accounts, start_group, owners, dispatch, is_closed=is_closed)


def _mode(said: SocketMode, general: GeneralSettings) -> SocketMode:
    """Where keys are kept apart, each turn has to be read before it is sent on, for whose things it names."""
    return "bridge" if said == "native" and general.tenancy == "key" else said
