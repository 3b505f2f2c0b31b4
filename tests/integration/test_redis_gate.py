"""The gate to Redis, with a real one that is killed, frozen, emptied, filled up, demoted and locked."""

import asyncio
import logging
import socket
import time
from contextlib import suppress
from typing import Any

import pytest

from adapters.stores.redis.clients import RedisClient
from adapters.stores.redis.gate import RedisGate
from tests.free_port import free_port
from tests.integration.redis_fixtures import StartRedis
from tests.integration.redis_gate_harness import (
    BACK_S,
    OpenGate,
    RecordingStoreAlarm,
    StoppedClock,
    eventually,
    fail_until_shut,
    getting,
    is_ok,
    probing,
    refusal,
    setting,
)
from tests.redis_server import RedisServer

PASSWORD = "hunter2-canary"
SCRIPT = "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])"


class TestOrdinaryDays:
    on_both_loops = True

    @pytest.fixture
    async def gate(self, redis_url: str, open_gate: OpenGate) -> RedisGate:
        return (await open_gate(redis_url))[0]

    async def test_reads_what_was_written(self, gate: RedisGate, redis_namespace: str) -> None:
        await gate.write(setting(b"\x00\xff", redis_namespace))

        assert await gate.read(getting(redis_namespace)) == b"\x00\xff"
        assert gate.health().state == "ok"
        assert gate.health().state != "unavailable"

    async def test_scripts_survive_a_flush_of_the_scripts(self, gate: RedisGate, redis_namespace: str) -> None:
        async def run(client: RedisClient) -> Any:
            return await client.register_script(SCRIPT)([redis_namespace], [b"1"])

        for _ in range(2):
            assert await gate.write(run) == b"1"
            await gate.write(lambda client: client.script_flush())

    async def test_an_entry_of_another_type_is_no_reason_to_leave_redis_alone(
        self, gate: RedisGate, redis_namespace: str
    ) -> None:
        await gate.write(lambda client: client.rpush(redis_namespace, b"x"))

        for _ in range(20):
            reason = await refusal(gate.read(getting(redis_namespace)))
            assert reason == "another type of value under this key"
        assert gate.health().state == "ok"

    async def test_nothing_is_probed_while_nothing_is_wrong(self, gate: RedisGate) -> None:
        assert await probing() == 0

    async def test_a_closed_gate_refuses(self, gate: RedisGate) -> None:
        await gate.close()

        assert await refusal(gate.read(getting())) == "closed"
        assert gate.health().state == "unavailable"


class TestRedisIsAway:
    on_both_loops = True

    async def test_a_killed_redis_is_told_once_and_used_again_when_it_is_back(
        self, start_redis: StartRedis, open_gate: OpenGate
    ) -> None:
        server = start_redis()
        gate, alarm = await open_gate(server.url)
        await gate.write(setting())
        server.kill()

        reasons = await fail_until_shut(gate)
        for _ in range(1000):
            assert await refusal(gate.read(getting())) in ("connection refused", "connection lost")

        assert reasons <= {"connection refused", "connection lost", "connection reset"}
        assert alarm.kinds == ["lost"]
        server.start()
        await eventually(is_ok(gate))
        assert await gate.read(getting()) is None
        assert alarm.kinds == ["lost", "recovered"]
        assert 0 < alarm.outages_s[0] < BACK_S
        assert await probing() == 0

    async def test_a_frozen_redis_costs_the_first_operations_their_timeout_and_no_later_one_anything(
        self, start_redis: StartRedis, open_gate: OpenGate
    ) -> None:
        server = start_redis()
        gate, alarm = await open_gate(server.url, pool_size=8, op_timeout_s=0.5)
        await asyncio.gather(*(gate.write(setting()) for _ in range(8)))
        gate._clock = StoppedClock()
        server.freeze()

        outcomes = await asyncio.gather(*(refusal(gate.read(getting())) for _ in range(8)))
        assert set(outcomes) == {"timeout"}
        assert gate.health().state == "unavailable"
        began = time.monotonic()
        for _ in range(1000):
            await refusal(gate.read(getting()))
        assert time.monotonic() - began < 2
        server.thaw()
        await eventually(is_ok(gate))
        assert await gate.read(getting()) == b"v"
        assert alarm.told == [("lost", "timeout"), ("recovered", "")]

    async def test_it_starts_without_redis_and_finds_it_later(
        self, start_redis: StartRedis, open_gate: OpenGate
    ) -> None:
        server = start_redis()
        server.kill()
        gate, alarm = await open_gate(server.url)

        assert (gate.health().state, gate.health().reason) == ("unavailable", "connection refused")
        assert alarm.told == [("lost", "connection refused")]
        server.start()
        await eventually(is_ok(gate))
        assert alarm.kinds == ["lost", "recovered"]

    async def test_it_starts_in_time_with_a_redis_that_accepts_and_says_nothing(self, open_gate: OpenGate) -> None:
        async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with await asyncio.start_server(hold, "127.0.0.1", 0) as silent:
            port = silent.sockets[0].getsockname()[1]
            began = time.monotonic()
            gate, alarm = await open_gate(f"redis://127.0.0.1:{port}")

            assert time.monotonic() - began < 3
            assert alarm.told == [("lost", "timeout")]
            await gate.close()

    async def test_a_name_that_does_not_resolve_is_said_so(self, open_gate: OpenGate) -> None:
        def unknown(_: str) -> list[str]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        _, alarm = await open_gate("redis://nowhere.test", resolve=unknown)

        assert alarm.told == [("lost", "name not resolved")]

    async def test_something_that_is_no_redis_is_said_so(self, open_gate: OpenGate) -> None:
        async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await reader.read()
            writer.close()

        async with await asyncio.start_server(http, "127.0.0.1", 0) as other:
            gate, alarm = await open_gate(f"redis://127.0.0.1:{other.sockets[0].getsockname()[1]}")

            assert alarm.told == [("lost", "not a Redis reply")]
            await gate.close()

    async def test_a_restart_costs_no_operation_once_the_loop_has_seen_it(
        self, start_redis: StartRedis, open_gate: OpenGate
    ) -> None:
        server = start_redis()
        gate, alarm = await open_gate(server.url, pool_size=8, op_timeout_s=0.5)
        await asyncio.gather(*(gate.write(setting()) for _ in range(8)))
        server.start()
        await asyncio.sleep(0.05)

        for _ in range(20):
            assert await gate.read(getting()) is None
        assert alarm.told == []

    async def test_killed_connections_cost_no_operation(self, start_redis: StartRedis, open_gate: OpenGate) -> None:
        server = start_redis()
        gate, alarm = await open_gate(server.url, pool_size=8, op_timeout_s=0.5)
        for _ in range(5):
            await asyncio.gather(*(gate.write(setting()) for _ in range(8)))
            server.command("CLIENT", "KILL", "TYPE", "normal")
            await asyncio.sleep(0.05)

            assert await asyncio.gather(*(gate.read(getting()) for _ in range(8))) == [b"v"] * 8
        assert alarm.told == []

    async def test_a_pause_is_like_a_frozen_redis(self, start_redis: StartRedis, open_gate: OpenGate) -> None:
        server = start_redis()
        gate, alarm = await open_gate(server.url)
        server.command("CLIENT", "PAUSE", "1500")

        assert await fail_until_shut(gate) == {"timeout"}
        await eventually(is_ok(gate))
        assert alarm.kinds == ["lost", "recovered"]

    async def test_flushed_data_is_simply_gone(self, start_redis: StartRedis, open_gate: OpenGate) -> None:
        server = start_redis()
        gate, alarm = await open_gate(server.url)
        await gate.write(setting())
        server.command("FLUSHALL")

        assert await gate.read(getting()) is None
        assert alarm.told == []


class TestRedisTakesNoWrites:
    on_both_loops = True

    async def assert_reads_only(self, gate: RedisGate, alarm: RecordingStoreAlarm, reason: str) -> None:
        assert await refusal(gate.write(setting(b"w" * 1000))) == reason
        for _ in range(100):
            assert await refusal(gate.write(setting())) == reason
            assert await gate.read(getting()) == b"v"

        assert gate.health().state != "unavailable"
        assert (gate.health().state, gate.health().reason) == ("read-only", reason)
        assert alarm.told == [("read_only", reason)]

    async def assert_recovers(self, gate: RedisGate, alarm: RecordingStoreAlarm) -> None:
        await eventually(is_ok(gate))
        await gate.write(setting(b"new"))

        assert await gate.read(getting()) == b"new"
        assert alarm.kinds == ["read_only", "recovered"]

    async def test_without_memory(self, start_redis: StartRedis, open_gate: OpenGate) -> None:
        server = start_redis("maxmemory-policy noeviction")
        gate, alarm = await open_gate(server.url)
        await gate.write(setting())
        server.command("CONFIG", "SET", "maxmemory", "1")

        await self.assert_reads_only(gate, alarm, "out of memory")
        server.command("CONFIG", "SET", "maxmemory", "0")
        await self.assert_recovers(gate, alarm)

    async def test_without_memory_for_a_script(self, start_redis: StartRedis, open_gate: OpenGate) -> None:
        server = start_redis("maxmemory-policy noeviction")
        gate, alarm = await open_gate(server.url)
        server.command("CONFIG", "SET", "maxmemory", "1")

        async def run(client: RedisClient) -> Any:
            return await client.register_script(SCRIPT)(["t:key"], [b"1"])

        assert await refusal(gate.write(run)) == "out of memory"
        assert alarm.told == [("read_only", "out of memory")]

    async def test_demoted_to_a_replica(self, start_redis: StartRedis, open_gate: OpenGate) -> None:
        server = start_redis()
        gate, alarm = await open_gate(server.url)
        await gate.write(setting())
        server.command("REPLICAOF", "127.0.0.1", free_port())

        await self.assert_reads_only(gate, alarm, "a read-only replica")
        server.command("REPLICAOF", "NO", "ONE")
        await self.assert_recovers(gate, alarm)

    async def test_connections_to_a_demoted_redis_are_made_anew(
        self, start_redis: StartRedis, open_gate: OpenGate
    ) -> None:
        server = start_redis()
        gate, _ = await open_gate(server.url)
        before = await gate.read(lambda client: client.client_id())
        server.command("REPLICAOF", "127.0.0.1", free_port())
        await refusal(gate.write(setting()))

        async with asyncio.timeout(BACK_S):
            while (after := await gate.read(lambda client: client.client_id())) <= before:
                await asyncio.sleep(0.01)

        assert after > before

    async def test_with_a_disk_that_cannot_be_written(self, start_redis: StartRedis, open_gate: OpenGate) -> None:
        server = start_redis("dir /proc/self")
        gate, alarm = await open_gate(server.url)
        await gate.write(setting())
        fail_a_snapshot(server)

        await self.assert_reads_only(gate, alarm, "cannot save to its disk")
        server.command("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
        await self.assert_recovers(gate, alarm)

    async def test_without_the_replicas_it_wants(self, start_redis: StartRedis, open_gate: OpenGate) -> None:
        server = start_redis()
        gate, alarm = await open_gate(server.url)
        await gate.write(setting())
        server.command("CONFIG", "SET", "min-replicas-to-write", "1")

        await self.assert_reads_only(gate, alarm, "too few replicas")
        server.command("CONFIG", "SET", "min-replicas-to-write", "0")
        await self.assert_recovers(gate, alarm)

    async def test_killed_while_it_takes_only_reads(self, start_redis: StartRedis, open_gate: OpenGate) -> None:
        server = start_redis()
        gate, alarm = await open_gate(server.url)
        server.command("CONFIG", "SET", "min-replicas-to-write", "1")
        await refusal(gate.write(setting()))
        server.kill()

        await fail_until_shut(gate)
        server.start()
        await eventually(is_ok(gate))
        assert alarm.kinds == ["read_only", "lost", "recovered"]


class TestRedisKnowsUsNot:
    on_both_loops = True

    @pytest.mark.parametrize("login", [f":{PASSWORD}", f"nobody:{PASSWORD}", ""])
    async def test_a_wrong_login_is_told_once_without_the_password(
        self, start_redis: StartRedis, open_gate: OpenGate, login: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        server = start_redis("requirepass right")
        server.password = "right"
        at = f"{login}@" if login else ""
        gate, alarm = await open_gate(f"redis://{at}127.0.0.1:{server.port}")

        assert alarm.told == [("lost", "wrong password or user")]
        assert await refusal(gate.read(getting())) == "wrong password or user"
        assert PASSWORD not in repr(gate.health())
        assert "hunter2" not in caplog.text
        server.command("ACL", "SETUSER", "nobody", "on", f">{PASSWORD}", "~*", "+@all")
        server.command("CONFIG", "SET", "requirepass", PASSWORD if login.startswith(":") else "")
        await eventually(is_ok(gate))
        assert alarm.kinds == ["lost", "recovered"]

    async def test_a_password_changed_while_it_runs_shuts_the_gate_at_once(
        self, start_redis: StartRedis, open_gate: OpenGate
    ) -> None:
        server = start_redis("user proxy on >first ~* +@all")
        gate, alarm = await open_gate(f"redis://proxy:first@127.0.0.1:{server.port}")
        await gate.write(setting())
        server.command("ACL", "SETUSER", "proxy", "resetpass", ">second")
        server.command("CLIENT", "KILL", "USER", "proxy")
        await asyncio.sleep(0.05)

        assert await refusal(gate.read(getting())) == "wrong password or user"
        assert gate.health().state == "unavailable"
        assert alarm.kinds == ["lost"]
        server.command("ACL", "SETUSER", "proxy", "resetpass", ">first")
        await eventually(is_ok(gate))

    async def test_a_missing_permission_shuts_the_gate_for_long(
        self, start_redis: StartRedis, open_gate: OpenGate
    ) -> None:
        server = start_redis("user proxy on >first ~t:* +get +set")
        gate, alarm = await open_gate(f"redis://proxy:first@127.0.0.1:{server.port}")

        assert await refusal(gate.read(lambda client: client.hgetall("t:hash"))) == "the user lacks a permission"
        await asyncio.sleep(1)
        assert alarm.told == [("lost", "the user lacks a permission")]

    async def test_a_user_that_may_only_read_reads(self, start_redis: StartRedis, open_gate: OpenGate) -> None:
        server = start_redis("user proxy on >first ~t:* +get")
        gate, alarm = await open_gate(f"redis://proxy:first@127.0.0.1:{server.port}")

        assert await gate.read(getting()) is None
        assert alarm.told == [("read_only", "the user lacks a permission")]


class TestManyAtATime:
    on_both_loops = True

    async def test_a_small_pool_says_busy_and_is_no_reason_to_leave_redis_alone(
        self, start_redis: StartRedis, open_gate: OpenGate
    ) -> None:
        server = start_redis("maxclients 100")
        # On a loaded machine an operation may well take longer than 0.1 s, and that is another story.
        gate, alarm = await open_gate(server.url, pool_size=2, op_timeout_s=5)
        await gate.write(setting(b"x" * 100_000))
        for _ in range(5):
            results = await asyncio.gather(*(gate.read(getting()) for _ in range(200)), return_exceptions=True)

            refused = [str(result) for result in results if isinstance(result, BaseException)]
            assert set(refused) <= {"busy"}
            assert len(refused) < 200
            assert await gate.read(getting()) is not None
        assert alarm.told == []
        assert len(connections(server)) <= 3

    async def test_when_nothing_is_answered_for_long_busy_shuts_the_gate(
        self, start_redis: StartRedis, open_gate: OpenGate
    ) -> None:
        server = start_redis()
        gate, alarm = await open_gate(server.url, pool_size=2, op_timeout_s=30.0)
        await asyncio.gather(*(gate.write(setting()) for _ in range(2)))
        server.freeze()
        stuck = [asyncio.create_task(refusal(gate.read(getting()))) for _ in range(2)]
        await asyncio.sleep(0.05)

        async with asyncio.timeout(BACK_S):
            while gate.health().state != "unavailable":
                assert await refusal(gate.read(getting())) == "busy"
        assert alarm.told == [("lost", "no answers, all connections busy")]
        server.thaw()
        assert await asyncio.gather(*(gate_read_ended(task) for task in stuck)) == [True, True]

    async def test_cancelled_callers_leave_nothing_behind(self, start_redis: StartRedis, open_gate: OpenGate) -> None:
        server = start_redis()
        gate, alarm = await open_gate(server.url, pool_size=4)
        await gate.write(setting(b"x" * 10_000))
        for number in range(500):
            task = asyncio.create_task(gate.read(getting()))
            for _ in range(number % 12):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        assert await asyncio.gather(*(gate.read(getting()) for _ in range(4))) == [b"x" * 10_000] * 4
        assert alarm.told == []
        assert gate._slots._value == 4
        async with asyncio.timeout(BACK_S):
            while len(connections(server)) > 5:
                await asyncio.sleep(0.01)

    async def test_callers_cancelled_while_they_wait_for_their_turn_take_no_turn_with_them(
        self, start_redis: StartRedis, open_gate: OpenGate
    ) -> None:
        server = start_redis()
        gate, _ = await open_gate(server.url, pool_size=1)
        for _ in range(100):
            tasks = [asyncio.create_task(gate.read(getting())) for _ in range(5)]
            await asyncio.sleep(0)
            for task in tasks[1:]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        assert await gate.read(getting()) is None
        assert gate._slots._value == 1

    async def test_connections_are_gone_after_close(self, start_redis: StartRedis, open_gate: OpenGate) -> None:
        server = start_redis()
        gate, _ = await open_gate(server.url)
        await asyncio.gather(*(gate.read(getting()) for _ in range(10)))

        await gate.close()

        async with asyncio.timeout(BACK_S):
            while len(left := connections(server)) > 1:
                await asyncio.sleep(0.01)

        assert len(left) == 1


def connections(server: RedisServer) -> list[bytes]:
    """Who is connected; one of them is the one that asks."""
    return bytes(server.command("CLIENT", "LIST")).splitlines()


async def gate_read_ended(task: asyncio.Task[str]) -> bool:
    """Whether a read that hung has come to an end, however."""
    with suppress(BaseException):
        await task
    return task.done()


def fail_a_snapshot(server: RedisServer) -> None:
    """Asks for a snapshot where there is no place for one, and waits until it has failed."""
    server.command("CONFIG", "SET", "save", "3600 1")
    server.command("BGSAVE")
    deadline = time.monotonic() + BACK_S
    while time.monotonic() < deadline:
        if server.command("INFO", "persistence")["rdb_last_bgsave_status"] == "err":
            return
        time.sleep(0.02)
    raise AssertionError("the snapshot did not fail")
