"""The gate to a Redis that is well, hindered on our side: by a name that is slow to resolve, by a loop held up."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from tests.integration.redis_fixtures import StartRedis
from tests.integration.redis_gate_harness import (
    BACK_S,
    HurriedClock,
    NameServer,
    OpenGate,
    eventually,
    getting,
    is_ok,
    reason_of,
    refusal,
    setting,
)


class TestItsNameIsSlow:
    on_both_loops = True

    @pytest.fixture
    def names(self) -> Iterator[NameServer]:
        """A name server that is always let go of in the end."""
        names = NameServer("127.0.0.1")
        yield names
        names.answers.set()

    async def test_it_starts_without_and_finds_redis_once_the_name_resolves(
        self, start_redis: StartRedis, open_gate: OpenGate, names: NameServer
    ) -> None:
        names.answers.clear()
        gate, alarm = await open_gate(f"redis://redis.test:{start_redis().port}", resolve=names)
        await asyncio.sleep(1)

        assert alarm.told == [("lost", "name not resolved in time")]
        assert names.lookups == 1
        names.answers.set()
        await eventually(is_ok(gate))
        assert await gate.read(getting()) is None

    async def test_operations_that_want_a_connection_share_one_lookup_and_no_thread_of_the_loop(
        self, start_redis: StartRedis, open_gate: OpenGate, names: NameServer
    ) -> None:
        gate, alarm = await open_gate(
            f"redis://redis.test:{start_redis().port}", resolve=names, pool_size=64, op_timeout_s=0.5
        )
        await gate.write(setting())
        await gate._let_go()
        names.answers.clear()
        before = names.lookups

        reasons = await asyncio.gather(*(refusal(gate.read(getting())) for _ in range(50)))
        assert set(reasons) <= {"name not resolved in time", "timeout"}
        assert names.lookups == before + 1
        assert sum(thread.name == "resolve-redis.test" for thread in threading.enumerate()) == 1
        assert getattr(asyncio.get_running_loop(), "_default_executor", None) is None
        names.answers.set()
        await eventually(is_ok(gate))
        assert await gate.read(getting()) == b"v"
        assert alarm.kinds == ["lost", "recovered"]

    async def test_closing_waits_for_no_lookup(self, open_gate: OpenGate, names: NameServer) -> None:
        names.answers.clear()
        gate, _ = await open_gate("redis://redis.test", resolve=names)

        async with asyncio.timeout(BACK_S):
            await gate.close()

        assert not names.answers.is_set()

    async def test_a_failover_that_the_name_tells_is_followed(
        self, start_redis: StartRedis, open_gate: OpenGate, names: NameServer
    ) -> None:
        server = start_redis()
        names.addresses = ("127.0.0.2",)
        gate, alarm = await open_gate(f"redis://redis.test:{server.port}", resolve=names)
        if gate.health().state != "unavailable":
            pytest.fail("something listens on 127.0.0.2")
        names.addresses = ("127.0.0.1",)

        await eventually(is_ok(gate))
        assert alarm.told == [("lost", "connection refused"), ("recovered", "")]

    async def test_every_address_of_a_name_is_tried(
        self, start_redis: StartRedis, open_gate: OpenGate, names: NameServer
    ) -> None:
        names.addresses = ("::1", "127.0.0.2", "127.0.0.1")
        gate, alarm = await open_gate(f"redis://redis.test:{start_redis().port}", resolve=names)

        assert await gate.read(getting()) is None
        assert alarm.told == []


class TestTheLoopIsHeldUp:
    on_both_loops = True

    @pytest.mark.parametrize("steps", [0, 1, 3])
    async def test_a_redis_that_is_well_is_not_left_alone_for_it(
        self, start_redis: StartRedis, open_gate: OpenGate, steps: int
    ) -> None:
        gate, alarm = await open_gate(start_redis().url, op_timeout_s=0.4)
        await asyncio.gather(*(gate.write(setting()) for _ in range(10)))

        async def hold_up() -> None:
            for _ in range(steps):
                await asyncio.sleep(0)
            time.sleep(0.8)

        reading = [asyncio.create_task(reason_of(gate.read(getting()))) for _ in range(10)]
        await asyncio.gather(hold_up(), *reading)

        assert {task.result() for task in reading} <= {"", "timeout"}
        assert alarm.told == []
        assert await gate.read(getting()) == b"v"

    async def test_one_that_does_not_answer_is_left_alone_all_the_same(
        self, start_redis: StartRedis, open_gate: OpenGate
    ) -> None:
        server = start_redis()
        gate, alarm = await open_gate(server.url)
        gate._clock = HurriedClock()
        server.freeze()

        assert [await refusal(gate.read(getting())) for _ in range(5)] == ["timeout"] * 5
        assert gate.health().state != "unavailable", "the first was not held against it"
        assert await refusal(gate.read(getting())) == "timeout"

        assert gate.health().state == "unavailable"
        assert alarm.told == [("lost", "timeout")]


class SlowWay:
    """A way to a Redis that delays what comes back by `delay_s`."""

    def __init__(self, port: int) -> None:
        self.delay_s = 0.0
        self._target = port
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "SlowWay":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        redis_reader, redis_writer = await asyncio.open_connection("127.0.0.1", self._target)
        ways = [self._carry(reader, redis_writer, delayed=False), self._carry(redis_reader, writer, delayed=True)]
        tasks = {asyncio.ensure_future(way) for way in ways}
        self._tasks |= tasks

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delayed: bool) -> None:
        try:
            while data := await reader.read(65536):
                if delayed:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()


async def test_a_redis_that_is_too_slow_is_left_alone_until_it_is_fast_again_and_told_of_once(
    start_redis: StartRedis, open_gate: OpenGate
) -> None:
    async with SlowWay(start_redis().port) as way:
        gate, alarm = await open_gate(f"redis://127.0.0.1:{way.port}")
        await gate.write(setting())
        way.delay_s = 0.15
        for _ in range(60):
            await refusal(gate.read(getting()))
            await asyncio.sleep(0.05)

        assert [event for event, _ in alarm.told] == ["lost"]
        way.delay_s = 0.0
        await eventually(is_ok(gate))
        await gate.close()
