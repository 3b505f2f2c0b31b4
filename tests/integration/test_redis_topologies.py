"""The gate to Redis behind TLS, a unix socket, Sentinels and in a cluster, each of them real."""

import asyncio
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot

from adapters.stores.redis.clients import RedisClient
from adapters.stores.redis.connections import NamedConnection
from tests.integration.redis_fixtures import StartRedis
from tests.integration.redis_gate_harness import (
    NameServer,
    OpenGate,
    eventually,
    fail_until_shut,
    getting,
    is_ok,
    probing,
    reason_of,
    refusal,
    setting,
)
from tests.redis_server import RedisServer

SLOTS = 16_384
FAILOVER_S = 30.0


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Makes a self-signed certificate for a subjectAltName: a PEM file with certificate and key."""

    def made(name: str) -> Path:
        folder = tmp_path_factory.mktemp("tls")
        key, cert, both = folder / "key.pem", folder / "cert.pem", folder / "both.pem"
        options = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
        files = ["-addext", f"subjectAltName={name}", "-keyout", str(key), "-out", str(cert)]
        subprocess.run(["openssl", "req", *options.split(), *files], check=True, capture_output=True)
        both.write_bytes(cert.read_bytes() + key.read_bytes())
        return both

    yield made


@asynccontextmanager
async def tls_before(server: RedisServer, certificate: Path) -> AsyncIterator[int]:
    """Ends TLS in front of a Redis (which may have been built without it); the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    tasks: set[asyncio.Task[Any]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    admission = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield int(admission.sockets[0].getsockname()[1])
    finally:
        admission.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class TestTls:
    on_both_loops = True

    async def test_a_server_that_the_bundle_vouches_for_is_used(
        self, start_redis: StartRedis, open_gate: OpenGate, certificates: Callable[[str], Path]
    ) -> None:
        certificate = certificates("IP:127.0.0.1")
        async with tls_before(start_redis(), certificate) as port:
            gate, alarm = await open_gate(f"rediss://127.0.0.1:{port}", ca_bundle=certificate, op_timeout_s=5.0)
            await asyncio.gather(*(gate.write(setting(b"x" * 100_000, f"t:{i}")) for i in range(8)))

            assert await gate.read(getting("t:7")) == b"x" * 100_000
            assert alarm.told == []
            await gate.close()

    @pytest.mark.parametrize(
        ("name", "is_trusted", "reason"),
        [
            ("IP:127.0.0.1", False, "certificate verify failed: self-signed certificate"),
            ("DNS:elsewhere.test", True, "certificate verify failed: IP address mismatch"),
        ],
    )
    async def test_any_other_server_is_not(
        self,
        start_redis: StartRedis,
        open_gate: OpenGate,
        certificates: Callable[[str], Path],
        name: str,
        is_trusted: bool,
        reason: str,
    ) -> None:
        certificate = certificates(name)
        async with tls_before(start_redis(), certificate) as port:
            gate, alarm = await open_gate(f"rediss://127.0.0.1:{port}", ca_bundle=certificate if is_trusted else None)

            assert alarm.kinds == ["lost"]
            assert alarm.told[0][1].startswith(reason)
            await gate.close()

    async def test_the_certificate_is_checked_against_the_name_and_not_the_address(
        self, start_redis: StartRedis, open_gate: OpenGate, certificates: Callable[[str], Path]
    ) -> None:
        named, addressed = certificates("DNS:redis.test"), certificates("IP:127.0.0.1")
        names = NameServer("127.0.0.1")
        async with tls_before(start_redis(), named) as port:
            gate, alarm = await open_gate(f"rediss://redis.test:{port}", ca_bundle=named, resolve=names)

            assert await gate.read(getting()) is None
            assert alarm.told == []
            await gate.close()
        async with tls_before(start_redis(), addressed) as port:
            gate, alarm = await open_gate(f"rediss://redis.test:{port}", ca_bundle=addressed, resolve=names)

            assert alarm.told[0][1].startswith("certificate verify failed: Hostname mismatch")
            await gate.close()

    def test_a_bundle_that_cannot_be_read_is_told_when_the_gate_is_made(self, tmp_path: Path) -> None:
        from adapters.clock import SystemClock
        from adapters.stores.redis.clients import new_link
        from adapters.stores.redis.resolver import RedisResolver
        from adapters.stores.redis.settings import RedisSettings

        settings = RedisSettings(nodes=(("r", 1),), ssl=True, ca_bundle=tmp_path / "missing.pem")
        with pytest.raises(OSError):
            new_link(settings, RedisResolver(SystemClock(), 0.1), op_timeout_s=0.1, max_connections=1)


class TestUnixSocket:
    on_both_loops = True

    @pytest.fixture
    def path(self) -> Iterator[Path]:
        """Where another user, such as that of a container, may make a socket."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o777)
            yield Path(folder, "redis.sock")

    async def test_a_socket_is_used_and_its_loss_noticed(
        self, start_redis: StartRedis, open_gate: OpenGate, path: Path
    ) -> None:
        server = start_redis(f"unixsocket {path}", "unixsocketperm 777", "databases 4")
        gate, alarm = await open_gate(f"unix://{path}?db=3")
        await gate.write(setting())
        server.command("SELECT", 3)
        server.kill()

        while gate.health().state != "unavailable":
            assert await refusal(gate.read(getting())) in ("connection refused", "connection lost", "no such socket")
        server.start()
        await eventually(is_ok(gate))
        assert alarm.kinds == ["lost", "recovered"]

    async def test_a_wrong_password_is_known_as_one(
        self, start_redis: StartRedis, open_gate: OpenGate, path: Path
    ) -> None:
        start_redis(f"unixsocket {path}", "unixsocketperm 777", "requirepass right")
        _, alarm = await open_gate(f"unix://:wrong@{path}")

        assert alarm.told == [("lost", "wrong password or user")]


class TestSentinel:
    on_both_loops = True

    @pytest.fixture
    def master(self, start_redis: StartRedis) -> RedisServer:
        return start_redis("repl-diskless-sync-delay 0")

    @pytest.fixture
    def replica(self, start_redis: StartRedis, master: RedisServer) -> RedisServer:
        """A replica that has all of the master's data."""
        replica = start_redis(f"replicaof 127.0.0.1 {master.port}")
        until(lambda: replica.command("INFO", "replication")["master_link_status"] == "up")
        return replica

    @pytest.fixture
    def sentinel(self, start_redis: StartRedis, master: RedisServer) -> RedisServer:
        """A Sentinel that watches the master."""
        return start_redis(
            f"sentinel monitor mymaster 127.0.0.1 {master.port} 1",
            "sentinel down-after-milliseconds mymaster 500",
            "sentinel failover-timeout mymaster 2000",
            sentinel=True,
        )

    async def test_after_a_failover_the_new_master_is_used(
        self, master: RedisServer, replica: RedisServer, sentinel: RedisServer, open_gate: OpenGate
    ) -> None:
        until(lambda: bool(sentinel.command("SENTINEL", "REPLICAS", "mymaster")))
        gate, alarm = await open_gate(f"redis+sentinel://127.0.0.1:{sentinel.port}/mymaster/0")
        await gate.write(setting())
        assert master.command("GET", "t:key") == b"v"
        master.kill()

        await fail_until_shut(gate)
        await eventually(is_ok(gate), FAILOVER_S)
        await gate.write(setting(b"after"))

        assert replica.command("GET", "t:key") == b"after"
        assert alarm.kinds[0] in ("lost", "read_only")
        assert alarm.kinds[-1] == "recovered"
        assert await probing() == 0

    async def test_a_sentinel_that_is_away_is_passed_over(
        self, sentinel: RedisServer, open_gate: OpenGate, start_redis: StartRedis
    ) -> None:
        frozen = start_redis(sentinel=True)
        frozen.freeze()
        nodes = f"127.0.0.1:{frozen.port},127.0.0.1:{sentinel.port}"
        gate, _ = await open_gate(f"redis+sentinel://{nodes}/mymaster")
        await eventually(is_ok(gate))

        assert await asyncio.gather(*(gate.read(getting()) for _ in range(8))) == [None] * 8
        assert gate.health().state == "ok"

    async def test_sentinels_are_found_by_names(self, sentinel: RedisServer, open_gate: OpenGate) -> None:
        names = NameServer("127.0.0.1")
        gate, _ = await open_gate(f"redis+sentinel://sentinel.test:{sentinel.port}/mymaster", resolve=names)
        await eventually(is_ok(gate))

        assert await gate.read(getting()) is None
        assert names.lookups

    async def test_a_master_nobody_knows_is_said_so(self, sentinel: RedisServer, open_gate: OpenGate) -> None:
        _, alarm = await open_gate(f"redis+sentinel://127.0.0.1:{sentinel.port}/other")

        assert alarm.told == [("lost", "the Sentinels know no master")]


class TestCluster:
    @pytest.fixture
    def nodes(self, start_redis: StartRedis) -> list[RedisServer]:
        """Three nodes, a third of the slots each."""
        nodes = [
            start_redis("cluster-enabled yes", "cluster-node-timeout 1000", "cluster-require-full-coverage no")
            for _ in range(3)
        ]
        for number, node in enumerate(nodes):
            node.command("CLUSTER", "ADDSLOTS", *range(SLOTS * number // 3, SLOTS * (number + 1) // 3))
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        for node in nodes:
            until(lambda node=node: len(node.command("CLUSTER", "SLOTS")) == 3)
            until(lambda node=node: "cluster_state:ok" in text(node.command("CLUSTER", "INFO")))
        return nodes

    async def test_keys_of_every_node_are_read_and_written(self, nodes: list[RedisServer], open_gate: OpenGate) -> None:
        gate, alarm = await open_gate(f"redis+cluster://127.0.0.1:{nodes[0].port}")
        await eventually(is_ok(gate))
        keys = [f"t:{number}" for number in range(50)]
        for key in keys:
            await gate.write(setting(key.encode(), key))

        assert [await gate.read(getting(key)) for key in keys] == [key.encode() for key in keys]
        assert all(node.command("DBSIZE") for node in nodes)
        assert "recovered" not in alarm.kinds or alarm.kinds[0] == "lost"

    async def test_its_nodes_are_found_by_names(self, nodes: list[RedisServer], open_gate: OpenGate) -> None:
        names = NameServer("127.0.0.1")
        gate, _ = await open_gate(f"redis+cluster://node.test:{nodes[0].port}", resolve=names)
        await eventually(is_ok(gate))

        assert [await gate.read(getting(key)) for key in ("t:1", "t:2", "t:3")] == [None] * 3
        assert names.lookups
        known = gate._client.nodes_manager.nodes_cache.values()  # type: ignore[union-attr]
        assert [node.connection_class for node in known] == [NamedConnection] * 3

    async def test_a_script_with_one_key_runs_on_its_node(self, nodes: list[RedisServer], open_gate: OpenGate) -> None:
        gate, _ = await open_gate(f"redis+cluster://127.0.0.1:{nodes[1].port}")
        await eventually(is_ok(gate))
        for number in range(20):

            async def run(client: RedisClient, key: str = f"t:{number}") -> Any:
                return await client.register_script("return redis.call('SET', KEYS[1], 'x')")([key], [])

            assert await gate.write(run) in (b"OK", "OK", True)

    async def test_a_node_that_is_killed_takes_only_its_own_keys_with_it(
        self, nodes: list[RedisServer], open_gate: OpenGate
    ) -> None:
        gate, _ = await open_gate(f"redis+cluster://127.0.0.1:{nodes[0].port}")
        await eventually(is_ok(gate))
        lost, kept = keys_of(2), keys_of(0) + keys_of(1)
        for key in lost + kept:
            await gate.write(setting(key=key))
        nodes[2].kill()
        await asyncio.sleep(0.05)

        served: dict[str, list[bool]] = {key: [] for key in lost + kept}
        for key in interleaved(kept, lost) * 5:
            served[key].append(await reason_of(gate.read(getting(key))) == "")

        assert not any(any(served[key]) for key in lost)
        assert sum(sum(served[key]) for key in kept) >= 0.8 * 5 * len(kept)

    async def test_a_slot_that_moves_is_followed(self, nodes: list[RedisServer], open_gate: OpenGate) -> None:
        gate, alarm = await open_gate(f"redis+cluster://127.0.0.1:{nodes[0].port}")
        await eventually(is_ok(gate))
        key = keys_of(0)[0]
        await gate.read(getting(key))
        target = nodes[1].command("CLUSTER", "MYID")
        for node in (nodes[1], nodes[0], nodes[2]):
            node.command("CLUSTER", "SETSLOT", key_slot(key.encode()), "NODE", target)

        for _ in range(3):
            await gate.write(setting(b"moved", key))

        assert await gate.read(getting(key)) == b"moved"
        assert nodes[1].command("GET", key) == b"moved"
        assert gate.health().state == "ok"
        assert "lost" not in alarm.kinds[1:]

    async def test_a_whole_cluster_that_restarts_is_found_again(
        self, nodes: list[RedisServer], open_gate: OpenGate
    ) -> None:
        gate, alarm = await open_gate(f"redis+cluster://127.0.0.1:{nodes[0].port}")
        await eventually(is_ok(gate))
        for node in nodes:
            node.freeze()

        await fail_until_shut(gate)
        for node in nodes:
            node.thaw()
        await eventually(is_ok(gate), FAILOVER_S)

        await gate.write(setting())
        assert alarm.kinds[-1] == "recovered"

    async def test_a_server_that_is_no_cluster_is_said_so(self, start_redis: StartRedis, open_gate: OpenGate) -> None:
        _, alarm = await open_gate(f"redis+cluster://127.0.0.1:{start_redis().port}")

        assert alarm.told == [("lost", "no cluster, though configured as one")]

    async def test_a_cluster_that_is_configured_as_one_server_is_said_so(
        self, nodes: list[RedisServer], open_gate: OpenGate
    ) -> None:
        gate, _ = await open_gate(f"redis://127.0.0.1:{nodes[0].port}")
        if gate.health().state != "unavailable":
            reasons = {await reason_of(gate.read(getting(key))) for key in keys_of(1)}
        else:
            reasons = {gate.health().reason}

        assert reasons & {"a cluster, but not configured as one"}


def until(state: Callable[[], bool]) -> None:
    """Waits until servers have got so far among themselves."""
    deadline = time.monotonic() + FAILOVER_S
    while not state():
        if time.monotonic() > deadline:
            pytest.fail("the servers do not get together")
        time.sleep(0.05)


def text(reply: Any) -> str:
    """A reply that is a text, and one that redis-py made a mapping of."""
    if isinstance(reply, dict):
        return "\n".join(f"{name}:{value}" for name, value in reply.items())
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def keys_of(node: int) -> list[str]:
    """Keys that the node with this number holds."""
    keys = (f"t:{number}" for number in range(200))
    return [key for key in keys if key_slot(key.encode()) * 3 // SLOTS == node][:20]


def interleaved(kept: list[str], lost: list[str]) -> list[str]:
    """Two kept ones, a lost one, and so on."""
    return [key for number in range(20) for key in (kept[number], kept[20 + number], lost[number])]
