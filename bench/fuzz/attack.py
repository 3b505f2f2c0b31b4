"""Sends cases to a proxy, many at a time."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress

from bench.fuzz.cases import Case, case_of
from bench.fuzz.judge import Judge, Talk
from bench.fuzz.reading import sent_of

AT_ONCE = 32
_PATIENCE_S = 30.0
_SILENCE_S = 0.5
"""After this the client leaves where it did not ask for the end: the proxy may wait for more."""


async def attack(
    port: int, judge: Judge, seed: int, numbers: Iterator[int], tell: Callable[[int], None], at_once: int = AT_ONCE
) -> None:
    """Sends them all; `tell` is told of each case how many requests it was."""

    async def work() -> None:
        for number in numbers:
            case = case_of(seed, number)
            judge.began(case)
            judge.ended(case, await talk(port, case))
            tell(case.requests)

    await asyncio.gather(*(work() for _ in range(at_once)))


async def talk(port: int, case: Case) -> Talk:
    """One case on a connection of its own."""
    silence_s = _PATIENCE_S if sent_of(case.sent).asks_for_end else _SILENCE_S
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received, end = b"", "silence"
    try:
        with suppress(TimeoutError):
            for piece in case.pieces:
                if writer.transport.is_closing():
                    break
                writer.write(piece)
                await asyncio.sleep(0)
            async with asyncio.timeout(silence_s) as patience:
                while piece := await reader.read(65536):
                    received += piece
                    patience.reschedule(asyncio.get_running_loop().time() + silence_s)
            end = "end"
    except ConnectionError:
        end = "reset"
    finally:
        writer.transport.abort()
    return Talk(received, end)
