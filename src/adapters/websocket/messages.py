"""What crosses a WebSocket, as whoever has one sees it."""

from typing import Literal

from msgspec import Struct

NO_CODE = 1005
"""A close frame without a code; never sent as one (RFC 6455, 7.4.1)."""
LOST = 1006
"""The connection went without a close frame; never sent as one."""


class Piece(Struct, frozen=True):
    """A message, or a fragment of one as its sender cut it."""

    data: bytes
    """Of text: UTF-8, and checked, though a fragment may end inside a letter."""
    is_text: bool
    is_first: bool = True
    is_last: bool = True


class Closed(Struct, frozen=True):
    """The end: nothing comes after it."""

    code: int
    """What the close frame said, `NO_CODE` where it said none, `LOST` where none came."""
    reason: str
    by: Literal["peer", "us"]
    """Whose close frame or failure came first."""
