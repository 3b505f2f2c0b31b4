"""The server on real sockets: how many connections it takes, how it ends, and what is left of clients that vanish."""

import asyncio
import os
import random
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
import yaml

from adapters.http.server.http_server import HttpServer
from adapters.http.server.limits import GRACE_S
from application.telemetry_ports import RequestLog
from tests.asgi_application import CLIENT, AsgiApplication
from tests.contracts.no_files import no_files
from tests.free_port import free_port
from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import ROOT, config, endpoint, eventually
from tests.unit.http_line import GET, HELD, LAST, App, answer, echo, refusing

StartServer = Callable[..., Awaitable["Served"]]

OWN_PROCESS = True


class Crashes:
    """The log, which is told of nothing but crashes."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def crashed(self, request_id: str, error: Exception) -> None:
        self.errors.append(error)


class Served:
    """A server, and what is known of it from within."""

    def __init__(self, app: App, max_connections: int, addresses: Sequence[str] = ("127.0.0.1",)) -> None:
        self.sock = socket.socket()
        self.sock.bind((addresses[0], 0))
        self.port = self.sock.getsockname()[1]
        others = [socket.socket() for _ in addresses[1:]]
        for sock, address in zip(others, addresses[1:], strict=True):
            sock.bind((address, self.port))
        self.log = Crashes()
        self.server = HttpServer(AsgiApplication(app), cast("RequestLog", self.log), self.sock, max_connections, others)
        self.clients: list[asyncio.StreamWriter] = []

    @property
    def is_quiet(self) -> bool:
        return not self.server._connections and not self.server.running

    async def connect(self, *sent: bytes, host: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(host, self.port)
        writer.writelines(sent)
        self.clients.append(writer)
        return reader, writer

    async def end(self) -> None:
        for writer in self.clients:
            writer.transport.abort()
        await self.server.stop()


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[StartServer]:
    started: list[Served] = []

    async def start(app: App = echo, max_connections: int = 100, addresses: Sequence[str] = ("127.0.0.1",)) -> Served:
        started.append(Served(app, max_connections, addresses))
        await started[-1].server.start(100)
        return started[-1]

    yield start
    async with asyncio.timeout(20):
        for each in started:
            await each.end()


class Gate:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.go_on = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        await self.go_on.wait()
        await answer(send, b"done")


class TestServer:
    """On the loop that workers run, and on asyncio's."""

    on_both_loops = True

    async def test_a_port_on_which_another_program_listens_by_now_is_an_error(self) -> None:
        with socket.socket() as ours, socket.socket() as faster:
            for sock in (ours, faster):  # as long as neither listens, both may have it
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ours.bind(("127.0.0.1", 0))
            faster.bind(ours.getsockname())
            faster.listen()
            server = HttpServer(AsgiApplication(echo), cast("RequestLog", Crashes()), ours, 100)

            with pytest.raises(OSError, match="in use"):
                await server.start(100)

    async def test_whoever_is_too_many_waits_while_all_are_answered_and_is_not_turned_away(
        self, serve: StartServer
    ) -> None:
        served = await serve(gate := Gate(), max_connections=2)
        busy = [await served.connect(GET) for _ in range(2)]
        await eventually(lambda: gate.asked == 2)

        waiting = [await served.connect(LAST) for _ in range(5)]
        answers = [asyncio.ensure_future(reader.read()) for reader, _ in waiting]
        await asyncio.sleep(0.2)
        assert gate.asked == 2
        assert len(served.server._connections) == 2
        gate.go_on.set()

        async with asyncio.timeout(20):
            assert all(each.startswith(b"HTTP/1.1 200") for each in await asyncio.gather(*answers))
            for reader, _ in busy:
                assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"

    @pytest.mark.parametrize(
        "sent", [b"", GET[:20], GET, HELD], ids=["silent", "half a head", "idle", "answered early"]
    )
    async def test_at_the_limit_the_one_that_is_idle_for_longest_makes_room(
        self, serve: StartServer, sent: bytes
    ) -> None:
        served = await serve(refusing if sent == HELD else echo, max_connections=3)
        idle = []
        for _ in range(3):
            idle.append(await served.connect(sent))
            if sent in (GET, HELD):
                await idle[-1][0].readline()

        for _ in range(2):  # each is answered, and then idle itself
            reader, _ = await served.connect(GET)
            async with asyncio.timeout(20):
                assert (await reader.readline()).startswith(b"HTTP/1.1 ")

        async with asyncio.timeout(20):
            for reader, _ in idle[:2]:
                await reader.read()  # to its end
        assert not idle[2][0].at_eof()
        assert len(served.server._connections) == 3

    async def test_a_crowd_of_silent_clients_is_never_more_than_the_limit_and_shuts_out_nobody(
        self, serve: StartServer
    ) -> None:
        served = await serve(gate := Gate(), max_connections=10)
        busy, _ = await served.connect(GET)
        await eventually(lambda: gate.asked == 1)
        for _ in range(50):
            await served.connect()
        late, _ = await served.connect(GET)

        most = 0

        def is_asked() -> bool:
            nonlocal most
            most = max(most, len(served.server._connections))
            return gate.asked == 2

        await eventually(is_asked)
        gate.go_on.set()

        assert most <= 10
        for reader in (busy, late):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")

    @pytest.mark.parametrize("spare", [1, 0], ids=["elsewhere", "here"])
    async def test_without_files_something_idle_makes_room_and_whoever_waits_is_answered(
        self, serve: StartServer, monkeypatch: pytest.MonkeyPatch, spare: int
    ) -> None:
        def free_a_file() -> bool:
            if elsewhere:
                elsewhere.pop().close()
                return True
            return False

        served = await serve()
        elsewhere = [socket.socket() for _ in range(spare)]
        monkeypatch.setattr(served.server, "_free_elsewhere", free_a_file)
        idle, _ = await served.connect(GET)
        await idle.readline()
        await asyncio.sleep(GRACE_S)
        late = socket.create_connection(("127.0.0.1", served.port))
        late.sendall(LAST)
        late.setblocking(False)
        with no_files():
            async with asyncio.timeout(20):
                got = await asyncio.get_running_loop().sock_recv(late, 100)

        late.close()
        assert got.startswith(b"HTTP/1.1 200")
        assert not elsewhere
        assert not served.log.errors

    async def test_without_files_and_with_nothing_idle_whoever_waits_is_answered_later(
        self, serve: StartServer
    ) -> None:
        served = await serve(gate := Gate())
        await served.connect(GET)
        await eventually(lambda: gate.asked == 1)
        late = socket.create_connection(("127.0.0.1", served.port))
        late.sendall(GET)
        late.setblocking(False)
        with no_files():
            await eventually(lambda: len(served.log.errors) == 1)
            looks = served.server._acceptors[0]._again
            assert looks is not None  # it does not look again at once, and so without end
        gate.go_on.set()

        async with asyncio.timeout(20):
            got = await asyncio.get_running_loop().sock_recv(late, 100)
        late.close()
        assert got.startswith(b"HTTP/1.1 200")

    async def test_it_stops_when_the_last_answer_is_given(self, serve: StartServer) -> None:
        gate = Gate()
        served = await serve(gate)
        idle, _ = await served.connect()
        busy, _ = await served.connect(GET)
        await eventually(lambda: gate.asked == 1)

        stopped = asyncio.ensure_future(served.server.stop())
        assert await idle.read() == b""
        assert not stopped.done()
        gate.go_on.set()

        reply = await busy.read()
        assert reply.startswith(b"HTTP/1.1 200")
        assert reply.endswith(b"done")
        await stopped
        with pytest.raises(ConnectionError):
            await served.connect()

    async def test_who_has_connected_before_it_stops_is_answered(self, serve: StartServer) -> None:
        served = await serve()
        waiting = [await served.connect(GET) for _ in range(20)]  # taken by the kernel, and not by the server yet

        await served.server.stop()

        for reader, _ in waiting:
            assert (await reader.read()).startswith(b"HTTP/1.1 200")

    async def test_it_stops_while_it_takes_no_connections(self, serve: StartServer) -> None:
        served = await serve(max_connections=1)
        reader, _ = await served.connect(GET)
        await reader.readline()
        await served.connect(GET)

        async with asyncio.timeout(20):
            await served.server.stop()

        assert served.is_quiet

    async def test_all_its_sockets_are_one_server(self, serve: StartServer) -> None:
        served = await serve(max_connections=2, addresses=("127.0.0.1", "127.0.0.2"))
        first, second = await served.connect(GET), await served.connect(GET, host="127.0.0.2")
        for reader, _ in (first, second):
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"

        waiting = [await served.connect(LAST, host=host) for host in ("127.0.0.1", "127.0.0.2")]
        answers = [asyncio.ensure_future(reader.read()) for reader, _ in waiting]
        await asyncio.sleep(0.2)
        assert not any(each.done() for each in answers)
        first[1].close()

        async with asyncio.timeout(20):
            assert all(each.startswith(b"HTTP/1.1 200") for each in await asyncio.gather(*answers))

        late = await served.connect(GET, host="127.0.0.2")  # taken by the kernel, and not by the server yet
        await served.server.stop()
        assert (await late[0].read()).startswith(b"HTTP/1.1 200")
        for host in ("127.0.0.1", "127.0.0.2"):
            with pytest.raises(ConnectionError):
                await served.connect(host=host)

    async def test_an_upload_that_nobody_takes_is_not_taken_from_the_client_either(self, serve: StartServer) -> None:
        gate = Gate()
        served = await serve(gate)
        reader, writer = await served.connect(HELD.replace(b"300000", b"50000000"))
        sent = 0

        async def push() -> None:
            nonlocal sent
            for _ in range(500):
                writer.write(bytes(100_000))
                await writer.drain()
                sent += 100_000

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await push()
        assert sent < 30_000_000

        gate.go_on.set()
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")

    async def test_an_answer_that_nobody_reads_stops_the_application(self, serve: StartServer) -> None:
        sent = 0

        async def endless(scope: Any, receive: Any, send: Any) -> None:
            nonlocal sent
            is_gone = []
            scope["extensions"][CLIENT].on_disconnect(lambda: is_gone.append(True))
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while not is_gone:
                await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
                sent += 100_000

        served = await serve(endless)
        sock = socket.create_connection(("127.0.0.1", served.port))
        sock.sendall(GET)
        await eventually(lambda: sent > 0)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.2)

        assert sent < 30_000_000
        assert next(iter(served.server.running)).can_write is False
        sock.close()

    @pytest.mark.parametrize("seed", range(3))
    async def test_nothing_stays_behind_of_clients_that_vanish_at_any_moment(
        self, serve: StartServer, seed: int
    ) -> None:
        dice = random.Random(seed)
        served = await serve()
        all_of_it = GET * 3 + HELD + bytes(300_000) + LAST

        async def client() -> None:
            _, writer = await served.connect(all_of_it[: dice.randrange(len(all_of_it))])
            await asyncio.sleep(dice.random() / 100)
            if dice.random() < 0.5:  # a reset, and not an end
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

        for _ in range(10):
            await asyncio.gather(*(client() for _ in range(30)))

        await eventually(lambda: served.is_quiet)
        assert not served.log.errors


async def test_a_worker_that_cannot_start_ends_it_with_1(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from entrypoints.http import main\n"
        "from entrypoints.processes import worker\n"
        "def decoded(_): raise RuntimeError('no settings today')\n"
        "worker.decoded = decoded\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    path = tmp_path / "llmproxy.yaml"
    path.write_text(yaml.safe_dump(config([endpoint("http://127.0.0.1:9/v1")], workers=2)))

    done = subprocess.run(
        [sys.executable, "-c", program, "--config", str(path), "--port", str(free_port())],
        check=False,
        env={"PYTHONPATH": "src"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 1
    assert "before it took a request; giving up" in done.stderr
    assert "no settings today" in done.stderr


def _is_gone(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize(
    ("how", "delays_s"), [(signal.SIGTERM, (0.0, 0.01, 0.1)), (signal.SIGKILL, (0.0, 0.05))], ids=["SIGTERM", "SIGKILL"]
)
async def test_a_signal_at_any_moment_of_the_start_of_a_worker_is_not_lost(
    start_provider: StartProvider, start_proxy: StartProxy, how: signal.Signals, delays_s: tuple[float, ...]
) -> None:
    settings = config([endpoint(await start_provider())], drain_timeout=300)
    for delay_s in delays_s:
        proxy = await start_proxy(settings)
        (first,) = proxy.worker_pids()
        os.kill(first, signal.SIGKILL)
        await eventually(lambda first=first, proxy=proxy: proxy.worker_pids() not in ([], [first]))  # type: ignore[misc]
        (starting,) = proxy.worker_pids()
        await asyncio.sleep(delay_s)

        await proxy.stop(how)

        await eventually(lambda starting=starting: _is_gone(starting))  # type: ignore[misc]
        assert _is_gone(starting)
