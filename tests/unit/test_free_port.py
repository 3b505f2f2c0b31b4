"""Ports that tests and benches give to servers: nobody else gets one before it is listened on."""

import socket
import subprocess
import sys

from tests.free_port import free_port
from tests.integration.harness import ROOT

ASKS = "from tests.free_port import free_port\nprint(*(free_port() for _ in range(100)), flush=True)\ninput()\n"


def test_no_two_processes_that_ask_at_once_have_one_port() -> None:
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", ASKS], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(3)
    ]
    told = []
    for process in asking:
        assert process.stdout is not None
        told += process.stdout.readline().split()
    for process in asking:
        process.communicate("\n")

    assert len(told) == 300
    assert len(set(told)) == 300


def test_no_port_is_one_that_a_connection_or_a_server_without_a_port_gets() -> None:
    for _ in range(200):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            given = sock.getsockname()[1]

        assert free_port() < 32_000 < given


def test_a_port_can_be_listened_on_and_is_not_given_while_it_is() -> None:
    port = free_port(beside=7)
    with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 7)):
        assert not {port, port + 7} & {free_port() for _ in range(200)}
