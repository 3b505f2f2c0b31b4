"""1,000 turns on WebSockets at 30 events a second beside as many over HTTP, and what an idle socket holds."""

from msgspec import structs

from bench.load.idle_sockets import idle_socket_bytes
from bench.results import Check, Row
from bench.rows.streams import STREAMS, tokens
from bench.servers import responses
from bench.servers.processes import counted_here
from bench.servers.subjects import Subject
from bench.world import PACE, Plan, World

IDLE = 1000
_CPU_RATIO = 1.2
_IDLE_KB = 25
_MILLION = 1e6


def measure(world: World, plan: Plan) -> Row:
    count = tokens(world)
    proxy = world.llmproxy(world.provider(tokens=count), max_websockets=4000)
    over_http = structs.replace(proxy, name="over HTTP", url=proxy.url.replace("/v1/chat/completions", responses.PATH))
    bridged = structs.replace(over_http, name="WebSockets", url=over_http.url.replace("http:", "ws:"))
    idle_kb = idle_socket_bytes(_fresh(world), IDLE) / 1000 if counted_here() else 0.0
    for subject in (over_http, bridged):  # pools and caches fill
        world.streamed(subject, 0, STREAMS // 10, count // 4)
    rounds = [
        world.streamed(subject, number, STREAMS, count)
        for number in world.rounds()
        for subject in ((bridged, over_http) if number % 2 else (over_http, bridged))
    ]
    row = plan.row(rounds)
    complete = min(one.values["complete"] for one in rounds if one.subject == bridged.name)
    gap = row.median(bridged.name, "gap_p99_ms")
    checks = [
        Check(what="turns complete", unit="", measured=complete, budget=STREAMS, at_most=False),
        Check(
            what="p99 of the gap between events",
            unit="ms",
            measured=gap,
            budget=45,
            at_most=True,
            note=f"over HTTP {row.median(over_http.name, 'gap_p99_ms'):.1f} ms, nominal {1000 / PACE:.1f} ms",
        ),
    ]
    if counted_here():
        used = {
            subject.name: row.median(subject.name, "cpu_cores") / (STREAMS * PACE) * _MILLION
            for subject in (bridged, over_http)
        }
        checks += [
            Check(
                what="CPU beside the same over HTTP",
                unit="",
                measured=row.ratio(bridged.name, over_http.name, "cpu_cores"),
                budget=_CPU_RATIO,
                at_most=True,
                note=f"{used[bridged.name]:.1f} s and {used[over_http.name]:.1f} s for 1,000,000 events",
            ),
            Check(what="for each idle socket", unit="kB", measured=idle_kb, budget=_IDLE_KB, at_most=True),
        ]
    return row.judged(*checks)


def _fresh(world: World) -> Subject:
    """A proxy that has served nothing yet: no memory that is free already."""
    return world.llmproxy(world.provider(), "llmproxy-idle", max_websockets=4000)


PLAN = Plan(
    name="sockets",
    title="1,000 turns on WebSockets at 30 events/s, and idle sockets",
    about_s=90,
    needs=(),
    measure=measure,
)
