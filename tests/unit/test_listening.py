"""Where the proxy listens: all addresses of a name, and what is said when one cannot be had."""

import errno
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from entrypoints import http
from entrypoints.listening import CannotListen, Listening, bind
from entrypoints.worker import loop_factory
from tests.integration.harness import free_port


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
