"""A listening socket that is about to be closed takes no connection that nobody would answer."""

import select
import socket
import sys
from collections.abc import Iterator

import pytest

from adapters.http.server.acceptor import hear_again, hear_nothing

_PATIENCE_S = 0.2


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(10)
        yield sock


def _asked(listening: socket.socket) -> socket.socket:
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(listening.getsockname())
    return client


def _is_connected(client: socket.socket) -> bool:
    return bool(select.select([], [client], [], _PATIENCE_S)[1])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has filters of sockets")
def test_who_was_taken_before_is_served_and_who_comes_later_is_not_taken(listening: socket.socket) -> None:
    with _asked(listening) as early:
        assert _is_connected(early)
        hear_nothing(listening)

        with _asked(listening) as late, listening.accept()[0] as taken:
            assert not _is_connected(late)
            early.sendall(b"asked")
            assert taken.recv(10) == b"asked"
            taken.sendall(b"answered")
            early.setblocking(True)
            assert early.recv(10) == b"answered"


def test_a_socket_that_is_kept_for_another_worker_takes_connections_again(listening: socket.socket) -> None:
    hear_nothing(listening)
    hear_again(listening)
    hear_again(listening)

    with _asked(listening) as client:
        assert _is_connected(client)
