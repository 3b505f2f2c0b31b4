"""Where the proxy listens: all addresses of a name, and what is said when one cannot be had."""

import errno
import os
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from entrypoints import http
from entrypoints.processes.tcp_port import CannotListen, Listening, bind
from entrypoints.processes.worker import loop_factory
from tests.free_port import free_port


@pytest.fixture
def bound() -> Iterator[Any]:
    """`bind`, whose sockets are closed when the test is over."""
    with ExitStack() as opened:

        def made(host: str, port: int, workers: int = 1) -> Listening:
            listening = bind(host, port, workers)
            for socks in listening.by_worker:
                for sock in socks:
                    opened.enter_context(sock)
            return listening

        yield made


def names_of(listening: Listening) -> list[set[str]]:
    return [{sock.getsockname()[0] for sock in socks} for socks in listening.by_worker]


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "localhost."])
@pytest.mark.parametrize("workers", [1, 3])
def test_localhost_is_both_loopback_addresses_for_every_worker(bound: Any, name: str, workers: int) -> None:
    listening = bound(name, free_port(), workers)

    assert names_of(listening) == [{"127.0.0.1", "::1"}] * workers


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("0.0.0.0", "0.0.0.0"), ("::", "::")]
)
def test_an_address_is_that_address(bound: Any, host: str, expected: str) -> None:
    assert names_of(bound(host, free_port())) == [{expected}]


def test_the_ipv6_wildcard_takes_ipv4_too(bound: Any) -> None:
    (((sock,),)) = bound("::", free_port()).by_worker

    assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0


@pytest.mark.parametrize("taken", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("workers", [1, 2])
def test_one_address_that_is_taken_is_named_and_nothing_stays_bound(taken: str, workers: int) -> None:
    port = free_port()
    family = socket.AF_INET6 if ":" in taken else socket.AF_INET
    with socket.socket(family) as other:
        other.bind((taken, port))
        other.listen()
        with pytest.raises(CannotListen) as refused:
            bind("localhost", port, workers)

    shown = f"[{taken}]:{port}" if ":" in taken else f"{taken}:{port}"
    assert f"{shown} (an address of 'localhost') is in use" in str(refused.value)
    assert refused.value.may_pass
    for listening in (bind("localhost", port, 1),):
        for sock in listening.by_worker[0]:
            sock.close()


def started_at_once(hosts: Sequence[str], port: int, workers: int) -> list[Listening | CannotListen]:
    """What becomes of proxies that want the port in one moment."""
    together = threading.Barrier(len(hosts))
    became: list[Listening | CannotListen] = []

    def start(host: str) -> None:
        together.wait()
        try:
            became.append(bind(host, port, workers))
        except CannotListen as refused:
            became.append(refused)

    threads = [threading.Thread(target=start, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return became


def close(listening: Listening) -> None:
    for socks in listening.by_worker:
        for sock in socks:
            sock.close()


@pytest.mark.parametrize(
    "hosts",
    [
        ("127.0.0.1",) * 3,
        ("::1",) * 3,
        ("0.0.0.0",) * 3,
        ("::",) * 3,
        ("localhost",) * 3,
        ("0.0.0.0", "127.0.0.1", "::"),
        ("127.0.0.1", "localhost", "0.0.0.0"),
    ],
    ids=",".join,
)
@pytest.mark.parametrize("workers", [1, 2])
def test_of_proxies_that_start_in_one_moment_one_has_the_port_and_the_others_are_told_so(
    hosts: Sequence[str], workers: int
) -> None:
    for _ in range(5):
        became = started_at_once(hosts, free_port(), workers)
        had = [each for each in became if isinstance(each, Listening)]
        for each in had:
            close(each)

        assert len(had) == 1
        assert all("is in use" in str(each) and each.may_pass for each in became if isinstance(each, CannotListen))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_is_taken_before_there_is_a_worker_and_free_once_the_last_copy_is_closed(workers: int) -> None:
    listening = bind("127.0.0.1", free_port(), workers)
    port = listening.by_worker[0][0].getsockname()[1]
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        with pytest.raises(CannotListen, match=rf"127.0.0.1:{port} is in use; .*; process {os.getpid()} listens there"):
            bind("127.0.0.1", port, workers)
        with pytest.raises(CannotListen, match=f"process {os.getpid()} listens"):
            bind("0.0.0.0", port, workers)
        close(bind("127.0.0.2", port, workers))  # that one is another port
        close(listening)
        close(bind("127.0.0.1", port, workers))  # although the connection was not closed in order


def test_connections_are_spread_over_the_workers(bound: Any) -> None:
    listening = bound("127.0.0.1", free_port(), 2)
    port = listening.by_worker[0][0].getsockname()[1]
    clients = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(100)]
    taken: Counter[int] = Counter()
    for number, (sock,) in enumerate(listening.by_worker):
        sock.setblocking(False)
        while True:
            try:
                sock.accept()[0].close()
            except BlockingIOError:
                break
            taken[number] += 1
    for client in clients:
        client.close()

    assert taken.total() == 100
    assert min(taken[0], taken[1]) > 20  # of 100 fair coins fewer come up once in 10 billion times


@pytest.mark.parametrize("workers", [1, 3])
def test_port_0_is_one_free_port_for_all_addresses_and_workers(bound: Any, workers: int) -> None:
    listening = bound("localhost", 0, workers)
    ports = {sock.getsockname()[1] for socks in listening.by_worker for sock in socks}

    assert len(ports) == 1
    assert listening.addresses == [f"127.0.0.1:{(port := ports.pop())}", f"[::1]:{port}"]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """192.0.2.x is another machine's, whatever the system thinks."""
    bind_of_the_system = socket.socket.bind

    def refusing(sock: socket.socket, address: Any) -> None:
        if address[0].startswith("192.0.2."):
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        bind_of_the_system(sock, address)

    monkeypatch.setattr(socket.socket, "bind", refusing)


def _resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def look_up(_: str, port: int, **__: Any) -> Any:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_any_name_is_all_of_its_addresses_and_those_that_are_not_here_are_told(
    bound: Any, elsewhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    _resolving(monkeypatch, "127.0.0.2", "192.0.2.1", "::1", "127.0.0.2")
    listening = bound("proxy.test", port := free_port())

    assert names_of(listening) == [{"127.0.0.2", "::1"}]
    assert listening.addresses == [f"127.0.0.2:{port}", f"[::1]:{port}"]
    assert listening.absent == [f"192.0.2.1:{port}"]


@pytest.mark.parametrize("addresses", [("192.0.2.1",), ("192.0.2.1", "192.0.2.2")])
def test_a_name_without_an_address_here_cannot_be_listened_on(
    monkeypatch: pytest.MonkeyPatch, elsewhere: None, addresses: tuple[str, ...]
) -> None:
    _resolving(monkeypatch, *addresses)
    with pytest.raises(CannotListen) as refused:
        bind("proxy.test", 4000, 1)

    assert "192.0.2.1" in str(refused.value)
    assert refused.value.may_pass


def test_localhost_without_ipv6_is_127_0_0_1(bound: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class OnlyIpv4(socket.socket):
        def __init__(self, family: int, kind: int) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, kind)

    monkeypatch.setattr(socket, "socket", OnlyIpv4)
    listening = bound("localhost", 0)

    assert names_of(listening) == [{"127.0.0.1"}]
    assert listening.absent == ()


CONFIG = "model_groups: [{model_group: g, models: [{model: m, params: {api_key: k}}]}]\n"


def exit_code(folder: Path, port: int, host: str = "127.0.0.1") -> int:
    path = folder / "llmproxy.yaml"
    path.write_text(f"{CONFIG}general_settings: {{log_format: json, api_keys: [a-key]}}")
    return http.main(["--config", str(path), "--host", host, "--port", str(port)])


def test_what_may_be_had_later_ends_with_1(tmp_path: Path, elsewhere: None, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        assert exit_code(tmp_path, other.getsockname()[1]) == 1
    assert "is in use; choose another with --port or bind_port" in capsys.readouterr().err
    assert exit_code(tmp_path, 4000, "192.0.2.1") == 1
    assert exit_code(tmp_path, 4000, "nowhere.invalid") == 1
    assert "cannot listen" in capsys.readouterr().err


def test_what_somebody_must_mend_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", forbidden)
    assert exit_code(tmp_path, 80) == 2
    assert "choose a port from 1024 on" in capsys.readouterr().err
    (tmp_path / "bad.yaml").write_text("general_settings: {bind_port: 0}")
    assert http.main(["--config", str(tmp_path / "bad.yaml")]) == 2
    assert http.main(["--config", str(tmp_path / "none.yaml")]) == 2


def test_without_uvloop_it_is_asyncios_own_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    with_it = loop_factory()()
    monkeypatch.setitem(sys.modules, "uvloop", None)
    without = loop_factory()()
    kinds = type(with_it).__module__, type(without).__module__
    with_it.close()
    without.close()

    assert kinds[0].startswith("uvloop")
    assert kinds[1].startswith("asyncio")
