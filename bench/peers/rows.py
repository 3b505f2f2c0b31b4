"""What is measured through each of them. A peer that cannot do it is listed with what happened."""

import time
from collections.abc import Callable, Sequence

import msgspec

from bench.peers.subjects import LITELLM_NAME, NGINX, OURS, PEERS, PORTKEY_NAME, Peer, quiet
from bench.results import Check, Round, Row
from bench.rows import streams
from bench.servers.children import DidNotStart
from bench.servers.payloads import question
from bench.servers.processes import rss_bytes
from bench.servers.subjects import Subject, direct
from bench.world import MB, PACE, Plan, World

_BUDGETS = {LITELLM_NAME: 90.0, PORTKEY_NAME: 11.0}
"""How many times theirs our throughput must be."""

_CROWDS = (1000, 300, 100, 30, 10, 3)
_SIZES = ", ".join(f"{crowd:,}" for crowd in _CROWDS)
_STREAM_TOKENS = 5 * PACE
_EVEN_MS = 100.0
"""A crowd of streams is carried when all are complete and p99 of the gaps is below this: three times the nominal."""

_HEADROOM = 1.1


class Peers:
    """Those that are measured, in the order of the odd rounds."""

    def __init__(self, peers: Sequence[Peer]) -> None:
        self._peers = peers

    def throughput(self, world: World, plan: Plan) -> Row:
        row = self.saturated(world, plan, world.instant_provider(), question(), 64, 4, 3)
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

    def many_connections(self, world: World, plan: Plan) -> Row:
        return self.saturated(world, plan, world.provider(0.5), question(), 1500, 8, 1)

    def saturated(
        self, world: World, plan: Plan, origin: str, body: bytes, connections: int, seconds: float, rounds: int
    ) -> Row:
        """All in each round, one after the other; each has the machine for itself while it is measured."""
        subjects, seen = self._all_started(world, origin)
        subjects.append(direct(origin))
        for subject in subjects:
            world.saturated(subject, 0, body, min(connections, 64), 2)
            quiet(subject)
        for number in world.rounds(rounds):
            for subject in subjects if number % 2 else reversed(subjects):
                seen.append(world.saturated(subject, number, body, connections, world.seconds(seconds)))
                quiet(subject)
        return self._row(plan, seen)

    def latency(self, rate: int) -> Callable[[World, Plan], Row]:
        """At so many requests a second, of those that can do them."""

        def measure(world: World, plan: Plan) -> Row:
            origin = world.instant_provider()
            subjects, seen = self._all_started(world, origin)
            able = [direct(origin)]
            for subject in subjects:
                most = world.saturated(subject, 0, question(), 64, 3).values["rps"]
                quiet(subject)
                if most >= rate * _HEADROOM:
                    able.append(subject)
                else:
                    seen.append(Round(subject=subject.name, round=0, note=f"{most:,.0f}/s is its most"))
            for number in world.rounds(2):
                for subject in able:
                    seen.append(world.steady(subject, number, [question()], rate, world.seconds(6)))
                    quiet(subject)
            return self._row(plan, seen)

        return measure

    def most_streams(self, world: World, plan: Plan) -> Row:
        """For each the largest crowd that it carries, of a few sizes."""
        origin = world.provider(tokens=_STREAM_TOKENS)
        seen = [world.streamed(direct(origin), 1, _CROWDS[0], _STREAM_TOKENS)]
        for peer in self._peers:
            if not peer.there():
                seen.append(Round(subject=peer.name, round=0, note="not installed"))
                continue
            carried = (_one_crowd(world, peer, origin, crowd) for crowd in _CROWDS)
            none = Round(subject=peer.name, round=0, note=f"not even {_CROWDS[-1]} streams")
            seen.append(next((each for each in carried if each is not None), none))
        return self._row(plan, seen)

    def streams(self, world: World, plan: Plan) -> Row:
        """The same crowd for each, in turn."""
        count = streams.tokens(world)
        origin = world.provider(tokens=count)
        subjects, seen = self._all_started(world, origin)
        for number in world.rounds():
            for subject in subjects if number % 2 else reversed(subjects):
                seen.append(world.streamed(subject, number, streams.STREAMS, count))
                quiet(subject)
        return self._row(plan, seen)

    def start(self, world: World, plan: Plan) -> Row:
        """Each alone: the time to its first answer, and its memory when it is quiet."""
        origin = world.instant_provider()
        seen = []
        for number in world.rounds(2):
            for peer in self._peers:
                if peer.there():
                    subject, began = _started(world, peer, origin)
                    quiet(subject)
                    values = {**began, "rss_mb": round(rss_bytes(subject.pids()) / MB, 1)}
                    seen.append(Round(subject=peer.name, round=number, values=values))
                    subject.stop(world.children)
                elif number == 1:
                    seen.append(Round(subject=peer.name, round=0, note="not installed"))
        return self._row(plan, seen)

    def _all_started(self, world: World, origin: str) -> tuple[list[Subject], list[Round]]:
        """Those that run now, and of each how long its start took, or why it does not run."""
        running, seen = [], []
        for peer in self._peers:
            if not peer.there():
                seen.append(Round(subject=peer.name, round=0, note="not installed"))
                continue
            try:
                subject, values = _started(world, peer, origin)
            except (DidNotStart, RuntimeError) as error:
                seen.append(Round(subject=peer.name, round=0, note=" ".join(str(error).split())[:200]))
                continue
            quiet(subject)
            running.append(subject)
            seen.append(Round(subject=peer.name, round=0, values=values))
        return running, seen

    def _row(self, plan: Plan, seen: Sequence[Round]) -> Row:
        others = tuple(peer.name for peer in self._peers if peer.is_peer)
        return msgspec.structs.replace(plan.row(seen), forgiven=(*others, NGINX))


def _started(world: World, peer: Peer, origin: str) -> tuple[Subject, dict[str, float]]:
    world.progress.step(f"{peer.name} starts")
    began = time.perf_counter()
    subject = peer.start(world, origin)
    return subject, {"start_s": round(time.perf_counter() - began, 2)}


def _one_crowd(world: World, peer: Peer, origin: str, crowd: int) -> Round | None:
    """None = it did not carry it."""
    subject = peer.start(world, origin)
    world.streamed(subject, 0, 1, 10)
    seen = world.streamed(subject, 1, crowd, _STREAM_TOKENS)
    subject.stop(world.children)
    carried = not seen.errors and seen.values.get("gap_p99_ms", _EVEN_MS) < _EVEN_MS
    return seen if carried else None


def plans(peers: Sequence[Peer]) -> tuple[Plan, ...]:
    """The rows for these."""
    measured = Peers(peers)
    share = len(peers) / len(PEERS)
    rows: tuple[tuple[str, str, float, tuple[str, ...], Callable[[World, Plan], Row]], ...] = (
        ("throughput", "64 connections, instant provider", 110, ("wrk", "nginx"), measured.throughput),
        ("many-connections", "1,500 connections, 0.5 s provider", 110, ("wrk", "nginx"), measured.many_connections),
        ("latency-100", "Latency at 100 requests/s", 110, ("wrk", "nginx"), measured.latency(100)),
        ("latency-1000", "Latency at 1,000 requests/s", 110, ("wrk", "nginx"), measured.latency(1000)),
        (
            "streams",
            f"Streams at 30 events/s, the most of {_SIZES} each carries",
            200,
            ("nginx",),
            measured.most_streams,
        ),
        ("start", "Start to first answer; memory when idle", 50, ("nginx", "/proc"), measured.start),
    )
    return tuple(
        Plan(name=f"peers-{name}", title=title, about_s=about_s * share, needs=needs, measure=measure)
        for name, title, about_s, needs, measure in rows
    )
