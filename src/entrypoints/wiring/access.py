"""From settings to who may come in."""

from adapters.http.access.guards import Guard
from entrypoints.config.settings import GeneralSettings, NamedKey


def guard_of(general: GeneralSettings) -> Guard:
    return Guard(
        general.bind_address,
        general.allowed_hosts,
        general.allowed_origins,
        ((key.name, key.key.reveal()) if isinstance(key, NamedKey) else key.reveal() for key in general.api_keys),
    )
