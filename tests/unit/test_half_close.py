"""The end of what is sent, on a real socket of asyncio's own loop, which says at once that a connection is lost."""

import asyncio
import socket
import struct
from unittest import mock

import pytest

from adapters.half_close import half_close

RESET = struct.pack("ii", 1, 0)


async def connected(protocol: asyncio.Protocol) -> tuple[asyncio.Transport, socket.socket]:
    """Our side, and the other."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname())
        theirs, _ = listening.accept()
    ours.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: protocol, sock=ours)
    return transport, theirs


async def test_what_was_sent_ends_and_what_comes_is_read() -> None:
    protocol = mock.Mock(spec=asyncio.Protocol)
    transport, theirs = await connected(protocol)
    with theirs:
        transport.write(b"last")
        half_close(transport)

        assert theirs.recv(10) == b"last"
        assert theirs.recv(10) == b""
        theirs.sendall(b"more")
        while not protocol.data_received.called:
            await asyncio.sleep(0.001)
    transport.close()
    await asyncio.sleep(0)

    protocol.data_received.assert_called_once_with(b"more")


async def test_a_connection_that_was_reset_is_lost_and_no_error_of_who_ends_it() -> None:
    protocol = mock.Mock(spec=asyncio.Protocol)
    transport, theirs = await connected(protocol)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    theirs.close()  # before the loop has looked at it
    with pytest.raises(OSError, match="not connected"):
        transport.get_extra_info("socket").shutdown(socket.SHUT_WR)

    half_close(transport)
    while not protocol.connection_lost.called:
        await asyncio.sleep(0.001)

    protocol.connection_lost.assert_called_once()
