"""The control socket: who finds it, who is answered, what junk does to it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from entrypoints.reload import command, control
from entrypoints.reload.control import Control, name_of, running_at
from tests.free_port import free_port

Call = Callable[[Control], socket.socket]


@pytest.fixture(params=["abstract", "file"])
def listening(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Control]:
    """At a port that nobody has, by a name in no folder, or in one."""
    if request.param == "file":
        monkeypatch.setattr(control, "_IS_ABSTRACT", False)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    opened = Control(free_port(), tmp_path / "llmproxy.yaml")
    yield opened
    opened.close()


def port_of(listening: Control) -> int:
    return int(json.loads(listening._greeting)["port"])


@pytest.fixture
def call() -> Iterator[Call]:
    """Calls it; the sockets are closed with the test."""
    with ExitStack() as stack:

        def called(listening: Control) -> socket.socket:
            caller = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            caller.settimeout(5)
            caller.connect(name_of(os.getuid(), port_of(listening)))
            return caller

        yield called


def test_it_is_found_greets_hears_and_answers(listening: Control, call: Call, tmp_path: Path) -> None:
    uid, port = os.getuid(), port_of(listening)
    assert (uid, port, name_of(uid, port)) in running_at(uid)
    assert (uid, port, name_of(uid, port)) in running_at(None)
    assert all(owner != uid for owner, _, _ in running_at(uid + 1))
    caller = call(listening)
    assert listening.take() == []
    assert json.loads(caller.recv(4096)) == {
        "pid": os.getpid(), "port": port, "config": str(tmp_path / "llmproxy.yaml"),
    }  # fmt: skip
    caller.sendall(b'{"timeout_s": 7}\n')
    (asked,) = listening.take()
    assert asked.wanted is not None
    assert asked.wanted.timeout_s == 7
    asked.answer({"outcome": "reloaded"})
    assert json.loads(caller.recv(4096)) == {"outcome": "reloaded"}
    assert caller.recv(1) == b""


@pytest.mark.parametrize(
    "junk",
    [
        *(b"GET / HTTP/1.1\r\n\r\n", b"{}[\n", b"x" * 5000, b'{"timeout_s": "long"}\n', b""),
        b'{"x":' + b"[" * 4000 + b"\n",
    ],
)
def test_junk_is_hung_up_on_and_keeps_nobody_else_from_it(listening: Control, call: Call, junk: bytes) -> None:
    bad = call(listening)
    listening.take()
    bad.sendall(junk)
    if not junk.endswith(b"\n"):
        bad.shutdown(socket.SHUT_WR)
    assert listening.take() == []
    assert listening.take() == []
    assert len(listening.files()) == 1
    good = call(listening)
    good.sendall(b"{}\n")
    (asked,) = listening.take()
    asked.answer({})


def test_a_ninth_caller_is_not_kept_and_one_that_has_gone_is_no_matter(listening: Control, call: Call) -> None:
    callers = [call(listening) for _ in range(8)]
    listening.take()
    callers.append(call(listening))
    listening.take()
    assert len(listening.files()) == 9
    for caller in callers:
        caller.close()
    listening.take()
    assert len(listening.files()) == 1
    gone = call(listening)
    gone.sendall(b"{}\n")
    (asked,) = listening.take()
    gone.close()
    asked.answer({"outcome": "refused"})


def test_a_second_proxy_at_the_same_port_of_another_address_cannot_have_it(listening: Control) -> None:
    port = port_of(listening)
    with pytest.raises(OSError, match="in use"):
        Control(port, Path("b"))
    listening.close()
    Control(port, Path("b")).close()


def test_a_file_is_for_its_user_alone_and_one_that_was_left_behind_is_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(control, "_IS_ABSTRACT", False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    Path(name_of(os.getuid(), 4000)).write_text("left behind")
    opened = Control(4000, tmp_path / "c")
    assert Path(name_of(os.getuid(), 4000)).stat().st_mode & 0o777 == 0o600
    opened.close()
    assert list(tmp_path.iterdir()) == []


def test_strangers_are_not_answered(listening: Control, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "user_of", lambda _: os.getuid() + 1)
    caller = call(listening)

    assert listening.take() == []
    assert caller.recv(1) == b""


@pytest.mark.parametrize("arguments", [["--timeout", "0"], ["--timeout", "x"], ["--port", "x"], ["surplus"]])
def test_a_wrong_argument_is_a_mistake(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_where_no_proxy_runs_it_says_so_and_may_work_later(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--port", str(free_port()), "--config", "nowhere.yaml"]) == 1
    assert "no proxy of this user runs here at port " in capsys.readouterr().err


class Answering:
    """A proxy in another process, that gives one verdict."""

    def __init__(self, verdict: dict[str, Any], folder: Path) -> None:
        self.port = free_port()
        program = (
            "import json, select, sys\nfrom pathlib import Path\nfrom entrypoints.reload.control import Control\n"
            f"control = Control({self.port}, Path({str(folder / 'c.yaml')!r}))\nprint(flush=True)\n"
            f"verdict = json.loads({json.dumps(verdict)!r})\n"
            "while not (asked := control.take()):\n    select.select(control.files(), [], [])\n"
            "asked[0].answer(verdict)\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", program], env={"PYTHONPATH": "src"}, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


VERDICT = {"generation": 3, "seconds": 0.1, "workers": [], "reasons": [], "environment": []}


@pytest.mark.parametrize(("outcome", "code"), [("reloaded", 0), ("refused", 2), ("failed", 1)])
def test_the_exit_code_is_the_verdict(
    outcome: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy = Answering({**VERDICT, "outcome": outcome, "reasons": ["c.yaml:1:1: a mistake"]}, tmp_path)
    try:
        assert command.main(["--port", str(proxy.port)]) == code
    finally:
        proxy.end()
    printed = capsys.readouterr()
    assert ("generation 3" in printed.out) is (code == 0)
    assert ("c.yaml:1:1: a mistake" in printed.err) is (code != 0)


def test_of_several_one_has_to_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = Answering({**VERDICT, "outcome": "reloaded"}, tmp_path / "a")
    two = Answering({**VERDICT, "outcome": "refused"}, tmp_path / "b")
    try:
        assert command.main([]) == 2
        told = capsys.readouterr().err
        assert str(one.port) in told
        assert str(two.port) in told
        assert command.main(["--config", str(tmp_path / "a" / "c.yaml")]) == 0
    finally:
        one.end()
        two.end()
