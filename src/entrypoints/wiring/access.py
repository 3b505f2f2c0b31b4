"""From settings to who may come in, and how far."""

from adapters.http.access.guards import Guard
from entrypoints.config.settings import GeneralSettings, NamedKey


def guard_of(general: GeneralSettings) -> Guard:
    """What stands at the door."""
    return Guard(
        general.bind_address,
        general.allowed_hosts,
        general.allowed_origins,
        ((key.name, key.key.reveal()) if isinstance(key, NamedKey) else key.reveal() for key in general.api_keys),
    )


def keeps_keys_apart(general: GeneralSettings) -> bool:
    """Is what one key stores nobody's but its own?"""
    return general.tenancy == "key"


def is_closed(general: GeneralSettings) -> bool:
    """Is what names no group passed on to nobody?"""
    return general.passthrough == "off"


def is_administrable(general: GeneralSettings) -> bool:
    """Are requests passed on that administer the account of a provider?"""
    return general.passthrough == "admin"
