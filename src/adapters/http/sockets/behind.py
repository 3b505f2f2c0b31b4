"""What all sockets of a worker have in common, and goes on when the configuration is replaced."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Literal

from msgspec import Struct

from adapters.http.admission import Admission
from adapters.http.server.client import Client
from application.held_bytes import HeldBytes
from application.use_cases.by_account import OpenSocket
from domain.group import ModelGroup

SocketMode = Literal["bridge", "native", "off"]


class SocketModes(Struct, frozen=True):
    """How sockets are served, by what the configuration says of model groups."""

    default: SocketMode = "bridge"
    """Of models that are no group's, and of sockets that name none: native is as good as bridge there."""
    by_group: Mapping[str, SocketMode] = MappingProxyType({})

    def of(self, model: str) -> SocketMode:
        """Of a group, by its name."""
        return self.by_group.get(model, self.default)

    @property
    def has_native(self) -> bool:
        """Is any group?"""
        return "native" in self.by_group.values()

    @property
    def is_off(self) -> bool:
        """Is none served at all?"""
        return {self.default, *self.by_group.values()} == {"off"}


class Native(Struct, frozen=True):
    """What the turns of native groups need."""

    admission: Admission
    open: OpenSocket
    groups: Mapping[str, ModelGroup]


class Behind(Struct):
    """See above."""

    begin: Callable[[Client], Awaitable[None] | None]
    """Answers a turn."""
    held: HeldBytes
    max_body_bytes: int
    modes: SocketModes = SocketModes()
    native: Native | None = None
    """None = no group is native."""
    open: int = 0
    """How many sockets there are."""

    def serve_with(
        self,
        begin: Callable[[Client], Awaitable[None] | None],
        max_body_bytes: int,
        modes: SocketModes,
        native: Native | None,
    ) -> None:
        """The turns that begin from now on are answered so, also those of sockets that are open."""
        self.begin = begin
        self.max_body_bytes = max_body_bytes
        self.modes = modes
        self.native = native
