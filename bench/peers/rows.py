"""What is measured through each of them. A peer that cannot do it is listed with what happened."""

import time
from collections.abc import Callable, Sequence

import msgspec

from bench.peers.subjects import LITELLM_NAME, NGINX, OURS, PEERS, PORTKEY_NAME, Peer, quiet
from bench.results import Check, Round, Row
from bench.servers.children import DidNotStart
from bench.servers.payloads import question
from bench.servers.processes import rss_bytes
from bench.servers.subjects import Subject, direct
from bench.world import MB, PACE, Plan, World

_BUDGETS = {LITELLM_NAME: 90.0, PORTKEY_NAME: 11.0}
"""How many times theirs our throughput must be."""

_CROWDS = (1000, 300, 100, 30, 10, 3)
_STREAM_TOKENS = 5 * PACE
_EVEN_MS = 100.0
"""A crowd of streams is carried when all are complete and p99 of the gaps is below this: three times the nominal."""

_HEADROOM = 1.1


def _throughput(world: World, plan: Plan) -> Row:
    row = _saturated(world, plan, world.instant_provider(), connections=64, seconds=4, rounds=3)
    checks = [
        Check(
            what=f"requests/s, times {peer}'s",
            unit="×",
            measured=row.ratio(OURS, peer, "rps"),
            budget=budget,
            at_most=False,
            note=f"{row.median(OURS, 'rps'):,.0f} to {row.median(peer, 'rps'):,.0f} requests/s",
        )
        for peer, budget in _BUDGETS.items()
        if row.median(peer, "rps") > 0
    ]
    return row.judged(*checks)


def _many_connections(world: World, plan: Plan) -> Row:
    return _saturated(world, plan, world.provider(0.5), connections=1500, seconds=8, rounds=1)


def _saturated(world: World, plan: Plan, origin: str, *, connections: int, seconds: float, rounds: int) -> Row:
    """All in each round, one after the other; each has the machine for itself while it is measured."""
    subjects, absent = _all_started(world, origin)
    subjects.append(direct(origin))
    for subject in subjects:
        world.saturated(subject, 0, question(), min(connections, 64), 2)
        quiet(subject)
    measured = []
    for number in world.rounds(rounds):
        for subject in subjects if number % 2 else reversed(subjects):
            measured.append(world.saturated(subject, number, question(), connections, world.seconds(seconds)))
            quiet(subject)
    return _row(plan, [*measured, *absent])


def _latency(rate: int) -> Callable[[World, Plan], Row]:
    def measure(world: World, plan: Plan) -> Row:
        origin = world.instant_provider()
        subjects, absent = _all_started(world, origin)
        measured = []
        able = [direct(origin)]
        for subject in subjects:
            most = world.saturated(subject, 0, question(), 64, 3).values["rps"]
            quiet(subject)
            if most >= rate * _HEADROOM:
                able.append(subject)
            else:
                absent.append(Round(subject=subject.name, round=0, note=f"{most:,.0f}/s is its most"))
        for number in world.rounds(2):
            for subject in able:
                measured.append(world.steady(subject, number, [question()], rate, world.seconds(6)))
                quiet(subject)
        return _row(plan, [*measured, *absent])

    return measure


def _streams(world: World, plan: Plan) -> Row:
    """For each the largest crowd that it carries, of a few sizes."""
    origin = world.provider(tokens=_STREAM_TOKENS)
    measured = [world.streamed(direct(origin), 1, _CROWDS[0], _STREAM_TOKENS)]
    for peer in PEERS:
        if not peer.there():
            measured.append(Round(subject=peer.name, round=0, note="not installed"))
            continue
        for crowd in _CROWDS:
            seen = _one_crowd(world, peer, origin, crowd)
            if seen is not None:
                measured.append(seen)
                break
        else:
            measured.append(Round(subject=peer.name, round=0, note=f"not even {_CROWDS[-1]} streams"))
    return _row(plan, measured)


def _one_crowd(world: World, peer: Peer, origin: str, crowd: int) -> Round | None:
    """None = it did not carry it."""
    subject = peer.start(world, origin)
    world.streamed(subject, 0, 1, 10)
    seen = world.streamed(subject, 1, crowd, _STREAM_TOKENS)
    subject.stop(world.children)
    carried = not seen.errors and seen.values.get("gap_p99_ms", _EVEN_MS) < _EVEN_MS
    return seen if carried else None


def _start_and_memory(world: World, plan: Plan) -> Row:
    """One start gives both figures; `plan.name` says which row it is for."""
    origin = world.instant_provider()
    measured = []
    for number in world.rounds(2):
        for peer in PEERS:
            if not peer.there():
                continue
            world.progress.step(f"{peer.name}, start {number}")
            began = time.perf_counter()
            subject = peer.start(world, origin)
            took = time.perf_counter() - began
            quiet(subject)
            values = {"start_s": round(took, 2), "rss_mb": round(rss_bytes(subject.pids()) / MB, 1)}
            measured.append(Round(subject=peer.name, round=number, values=values))
            subject.stop(world.children)
    absent = [Round(subject=peer.name, round=0, note="not installed") for peer in PEERS if not peer.there()]
    return _row(plan, [*measured, *absent])


def _all_started(world: World, origin: str) -> tuple[list[Subject], list[Round]]:
    """Those that run now, and a note for each that does not."""
    running, absent = [], []
    for peer in PEERS:
        world.progress.step(f"{peer.name} starts")
        if not peer.there():
            absent.append(Round(subject=peer.name, round=0, note="not installed"))
            continue
        try:
            subject = peer.start(world, origin)
        except (DidNotStart, RuntimeError) as error:
            absent.append(Round(subject=peer.name, round=0, note=str(error)[:200]))
            continue
        quiet(subject)
        running.append(subject)
    return running, absent


def _row(plan: Plan, measured: Sequence[Round]) -> Row:
    others = tuple(peer.name for peer in PEERS if peer.is_peer)
    return msgspec.structs.replace(plan.row(measured), forgiven=(*others, NGINX))


PLANS: tuple[Plan, ...] = (
    Plan(
        name="peers-throughput",
        title="64 connections, instant provider",
        about_s=110,
        needs=("wrk", "nginx"),
        measure=_throughput,
    ),
    Plan(
        name="peers-many-connections",
        title="1,500 connections, 0.5 s provider",
        about_s=110,
        needs=("wrk", "nginx"),
        measure=_many_connections,
    ),
    Plan(
        name="peers-latency-100",
        title="Latency at 100 requests/s",
        about_s=110,
        needs=("wrk", "nginx"),
        measure=_latency(100),
    ),
    Plan(
        name="peers-latency-1000",
        title="Latency at 1,000 requests/s",
        about_s=110,
        needs=("wrk", "nginx"),
        measure=_latency(1000),
    ),
    Plan(
        name="peers-streams",
        title="Streams at 30 events/s, the most of 1,000, 300, 100, 30, 10, 3 that each carries",
        about_s=200,
        needs=("nginx",),
        measure=_streams,
    ),
    Plan(
        name="peers-start",
        title="Start to first answer; memory when idle",
        about_s=50,
        needs=("nginx", "/proc"),
        measure=_start_and_memory,
    ),
)
