"""When a worker that gives no sign of life is replaced, and when its parent may not conclude anything."""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Sequence

import pytest

from entrypoints.processes.heartbeat import SILENT_S, START_S, Heard, Pulse, Silence, is_traced

NOTHING = Heard(beats=False, is_ready=False, is_over=False)
BEAT = Heard(beats=True, is_ready=False, is_over=False)
READY = Heard(beats=True, is_ready=True, is_over=False)


def after(looks: Sequence[tuple[float, Heard]], *, is_ready: bool = True) -> Silence:
    """A silence of a worker that was heard at 0, or never; `looks`: when, and what was heard."""
    silence = Silence(0.0, is_ready=is_ready)
    for now, heard in looks:
        silence = silence.after(heard, now)
    return silence


def every_second(first: int, last: int) -> list[tuple[float, Heard]]:
    return [(float(second), NOTHING) for second in range(first, last + 1)]


def test_silence_is_too_long_after_its_limit_and_not_before() -> None:
    assert not after(every_second(1, int(SILENT_S) - 1)).is_too_long
    assert after(every_second(1, int(SILENT_S))).is_too_long


def test_while_it_starts_it_may_be_longer() -> None:
    assert not after(every_second(1, int(START_S) - 1), is_ready=False).is_too_long
    assert after(every_second(1, int(START_S)), is_ready=False).is_too_long
    assert not after([(1.0, BEAT), *every_second(2, int(START_S))], is_ready=False).is_too_long
    assert after([(1.0, READY), *every_second(2, 1 + int(SILENT_S))], is_ready=False).is_too_long


def test_a_sign_begins_it_anew() -> None:
    silence = after([*every_second(1, 14), (15.0, BEAT), *every_second(16, 29)])

    assert silence.seconds == 14
    assert not silence.is_too_long


@pytest.mark.parametrize("asleep_s", [3.5, 60, 86_400])
def test_a_parent_that_was_stopped_itself_gives_its_workers_all_of_their_time_again(asleep_s: float) -> None:
    woken = 10 + asleep_s
    silence = after([*every_second(1, 10), (woken, NOTHING)])
    assert silence.seconds == 0

    for second in range(1, int(SILENT_S)):
        silence = silence.after(NOTHING, woken + second)
    assert not silence.is_too_long
    assert silence.after(NOTHING, woken + SILENT_S).is_too_long


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    yield reading, writing
    for end in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(end)


async def test_what_a_worker_says_is_heard_once(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    pulse = Pulse(writing)
    assert Heard.on(reading) == NOTHING

    pulse.start()
    assert Heard.on(reading) == BEAT
    pulse.ready()
    assert Heard.on(reading) == READY
    assert Heard.on(reading) == NOTHING
    pulse.ready()
    os.close(writing)
    assert Heard.on(reading) == Heard(beats=True, is_ready=True, is_over=True)


async def test_a_parent_that_does_not_listen_stops_no_worker(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    pulse = Pulse(writing)
    async with asyncio.timeout(30):
        for _ in range(100_000):  # a pipe takes 64 KiB
            pulse.ready()
    assert len(os.read(reading, 1 << 20)) >= 4096, "it is full"
    os.close(reading)
    pulse.ready()


def test_a_process_without_a_debugger_is_not_traced() -> None:
    assert not is_traced(os.getpid())
    assert not is_traced(2**22 + 1)  # there is none (proc(5): pid_max)
