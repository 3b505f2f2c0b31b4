"""What a parent and its workers say to each other of a reload, and how settings travel.

Settings are sent through a socket pair that no other process can open: so all workers take over the very same ones,
whatever becomes of the file meanwhile.
"""

import pickle
from io import BytesIO
from typing import Any

from msgspec import Struct

from application.observing.reload_state import ReloadState
from domain.secret import Secret
from entrypoints.config.settings import Settings


class Start(Struct, frozen=True):
    """What a worker begins with."""

    settings: bytes
    """See `encoded`."""
    state: ReloadState
    max_connections: int
    """That it may take."""
    backlog: int
    """How many more may wait for each of its sockets."""


class Prepare(Struct, frozen=True):
    """To each worker: compose what these settings say, and serve on with those before."""

    attempt: int
    """Which attempt this is about, counted from 1; so for all messages."""
    settings: bytes
    """See `encoded`."""


class Commit(Struct, frozen=True):
    """To each worker: serve with what was prepared."""

    attempt: int
    state: ReloadState


class Stay(Struct, frozen=True):
    """To each worker: let go of what was prepared, if anything was; a reload was refused."""

    state: ReloadState


class Answer(Struct, frozen=True):
    """From a worker: it has prepared, or committed."""

    attempt: int
    is_committed: bool = False
    problem: str = ""
    """Why it could not prepare; empty = it has."""


Order = Prepare | Commit | Stay


class _Pickler(pickle.Pickler):
    """Secrets refuse to be pickled, lest it happens by accident. Here it is meant."""

    def reducer_override(self, obj: Any) -> Any:
        return (Secret, (obj.reveal(),)) if type(obj) is Secret else NotImplemented


def encoded(settings: Settings) -> bytes:
    """The settings with their secrets in the clear: for a worker of ours, and nobody else."""
    buffer = BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(settings)
    return buffer.getvalue()


def decoded(data: bytes) -> Settings:
    """What `encoded` was given, by this process or its parent."""
    settings: Settings = pickle.loads(data)  # noqa: S301 - our parent made it
    return settings
