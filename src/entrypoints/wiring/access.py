"""From settings to who may come in, and what they are told is served."""

from adapters.http.access.guards import Guard
from adapters.http.openapi.document import openapi_document
from entrypoints.config.settings import GeneralSettings, NamedKey
from entrypoints.version import version


def guard_of(general: GeneralSettings) -> Guard:
    return Guard(
        general.bind_address,
        general.allowed_hosts,
        general.allowed_origins,
        ((key.name, key.key.reveal()) if isinstance(key, NamedKey) else key.reveal() for key in general.api_keys),
    )


def description_of(general: GeneralSettings) -> bytes:
    return openapi_document(version().partition(" ")[0], needs_key=bool(general.api_keys))
