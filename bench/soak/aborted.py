"""Thousands of streams, or of sockets, whose client leaves in the middle: what is there more of afterwards?"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from bench.soak import questions
from bench.soak.checks import CHAT, RESPONSES, Unexpected
from bench.soak.kinds import chat_stream
from bench.soak.load import Load
from bench.soak.mix import Kind
from bench.soak.proxy import SoakedProxy
from bench.soak.questions import Dice
from bench.soak.run import Tell, rest
from bench.soak.verdict import Rest, compare
from bench.soak.world import World
from bench.wire import Client, Cut, head_of

_AT_ONCE = 50
_LEAVE_S = 30
_WARM_UP = 8000
"""So many streams are aborted before the first look: stores fill and pools grow. A third of them are responses, of
which 2,000 are kept in mind."""

_NOISE_BYTES = 5e6
_STREAM_BYTES = 100
"""What resident memory may have more of: for the whims of allocators, and for each stream."""


class Aborted(NamedTuple):
    """The comparison."""

    count: int
    outcomes: Counter[str]
    before: Rest
    after: Rest
    grown: list[str]


async def abort_all(world: World, proxy: SoakedProxy, kind: Kind, count: int, tell: Tell) -> Aborted:
    """Have `count` clients of this kind leave, after some that are not counted, and see that streams still work."""
    client, dice, outcomes = Client(proxy.port), Dice(2), Counter[str]()
    load = Load(client, 1)
    await load.fill()
    await _abort_all(client, dice, kind, _WARM_UP, Counter(), tell)
    before = await rest(world, proxy, load)
    await _abort_all(client, dice, kind, count, outcomes, tell)
    for _ in range(100):
        outcomes[f"afterwards: {await _try(chat_stream, client, dice)}"] += 1
    after = await rest(world, proxy, load)
    grown = compare(before, after, count)
    more_bytes = after.metrics["rss"] - before.metrics["rss"]
    if more_bytes > _NOISE_BYTES + count * _STREAM_BYTES:
        grown.append(f"resident memory: {more_bytes / 1e6:.1f} MB more")
    left = {name: provider.counts().in_flight for name, provider in world.providers.items()}
    grown += [f"calls that {name} still answers: {number}" for name, number in left.items() if number]
    return Aborted(count, outcomes, before, after, grown)


async def _abort_all(client: Client, dice: Dice, kind: Kind, count: int, outcomes: Counter[str], tell: Tell) -> None:
    left = iter(range(count))

    async def one_after_another() -> None:
        for number in left:
            outcomes[await _try(kind, client, dice)] += 1
            if number % 500 == 0:
                tell(f"{number} of {count} have left")

    await asyncio.gather(*(one_after_another() for _ in range(_AT_ONCE)))


async def _try(kind: Kind, client: Client, dice: Dice) -> str:
    try:
        return await kind(client, dice)
    except (Unexpected, Cut, TimeoutError, OSError) as error:
        return f"unexpected: {type(error).__name__}: {error}"[:200]


async def abort_stream(client: Client, dice: Dice) -> str:
    """Chat or responses, cacheable or not, paced or as fast as it goes; after one event or after some."""
    stream: dict[str, Any] = {"stream": True}
    if dice.random.random() < 0.3:
        stream["temperature"] = 0
    match dice.random.randrange(3):
        case 0:
            path, body = RESPONSES, questions.respond(dice.text(), **stream)
        case 1:
            path, body = CHAT, questions.chat("long", dice.text(), **stream)
        case _:
            path, body = CHAT, questions.chat("chat", dice.text(), **stream)
    call = await client.open(receive_buffer_bytes=4096)
    try:
        call.send(head_of("POST", path, dice.headers(), len(body)) + body)
        async with asyncio.timeout(_LEAVE_S):
            status, _ = await call.head()
            if status != 200:
                raise Unexpected(f"status {status}")
            for _ in range(dice.random.randrange(1, 5)):
                if not await call.piece(300):
                    raise Unexpected("the stream ended before its client left")
    finally:
        call.leave()
    return "left in the middle"


def told(aborted: Aborted) -> tuple[bool, list[str], Mapping[str, Any]]:
    """Did it pass, the sentences, and everything."""
    unexpected = sum(n for outcome, n in aborted.outcomes.items() if "unexpected" in outcome)
    passed = not aborted.grown and not unexpected
    names = ("tasks", "fds", "threads", "client_connections", "upstream_connections", "pool_lent", "pool_idle", "rss",
             "uss", "live_blocks", "live_malloc", "objects", "owners", "cache_entries", "in_flight", "sockets",
             "held_bytes")  # fmt: skip
    numbers = {name: (aborted.before.metrics[name], aborted.after.metrics[name]) for name in names}
    lines = [f"{'PASS' if passed else 'FAIL'}. {aborted.count} clients left in the middle."]
    lines += [f"{name:22} {before:14.0f} before {after:14.0f} after" for name, (before, after) in numbers.items()]
    lines += [f"GREW: {each}" for each in aborted.grown]
    lines += [f"{outcome}: {n}" for outcome, n in aborted.outcomes.items()]
    return (
        passed,
        lines,
        {
            "passed": passed,
            "count": aborted.count,
            "before_and_after": numbers,
            "grown": aborted.grown,
            "outcomes": dict(aborted.outcomes),
        },
    )
