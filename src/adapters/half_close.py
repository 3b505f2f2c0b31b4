"""The end of what is sent, while what the other side still sends is read."""

import asyncio
from contextlib import suppress


def half_close(transport: asyncio.Transport) -> None:
    """Send nothing more. Of a connection that is lost already asyncio's own loop says so here, with `OSError`, and once
    more by `connection_lost`."""
    with suppress(OSError):
        transport.write_eof()
