"""From settings to how WebSockets of each group are served."""

from adapters.http.sockets.behind import SocketMode, SocketModes
from entrypoints.config.settings import GeneralSettings, Settings


def socket_modes(settings: Settings) -> SocketModes:
    """A group's own setting wins."""
    general = settings.general
    return SocketModes(
        _mode(general.websockets, general),
        {group.model_group: _mode(group.websockets or general.websockets, general) for group in settings.groups},
    )


def _mode(said: SocketMode, general: GeneralSettings) -> SocketMode:
    """Where keys are kept apart, each turn has to be read before it is sent on, for whose things it names."""
    return "bridge" if said == "native" and general.tenancy == "key" else said
