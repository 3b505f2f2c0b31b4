"""Signals, workers and replicas that die, files that run out, clocks that jump, a cluster that loses a node."""

import asyncio
import os
import signal
import time
from contextlib import suppress

from redis.crc import key_slot

from bench.faults.asking import OK, TOLD, Tally
from bench.faults.case import Figure, at_least, at_most, between, cases_of, exactly, none
from bench.faults.cases.limits import limited
from bench.faults.inside import look
from bench.faults.worker import CLOCK_FILE_VARIABLE, CLOCK_VARIABLE
from bench.faults.world import World, config, model, until
from bench.servers.processes import cpu_s
from bench.wire import Call
from tests.redis_server import RedisServer

case = cases_of("Processes")


async def _refused(port: int) -> bool:
    try:
        (await Call.open(port)).leave()
    except OSError:
        return True
    return False


@case(
    "sigterm",
    "SIGTERM with 50 short and 50 endless streams, drain_timeout 3 s; a second SIGTERM",
    "short ones finish, endless ones end with an error event; new connections are refused; exit code 0",
)
async def sigterm(world: World) -> list[Figure]:
    short = await world.provider("short", tokens_per_second=20, answer_tokens=20)
    endless = await world.provider("endless", tokens_per_second=5, answer_tokens=10_000)
    replica, asker = await world.proxy(config(model(short), model(endless, group="endless"), workers=2))
    others = world.asker(replica, group="endless")
    running = [
        asyncio.create_task(asker.many(50, 50, stream=True)),
        asyncio.create_task(others.many(50, 50, stream=True)),
    ]
    await until(lambda: short.counts().in_flight + endless.counts().in_flight >= 100)
    began = time.monotonic()
    replica.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.5)
    is_refused = await _refused(replica.port)
    code = await replica.ended()
    took = time.monotonic() - began
    finished, told = await asyncio.gather(*running)

    again, more = await world.proxy(config(model(endless, group="group"), drain_timeout=60))
    stuck = asyncio.create_task(more.ask(stream=True))
    await until(lambda: endless.counts().in_flight > 0)
    again.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.5)
    began = time.monotonic()
    await again.stop()
    twice = time.monotonic() - began
    await stuck
    return [
        none("short streams cut of 50", finished.failed(), finished.errors()),
        none("endless streams without an error event of 50", told.failed(TOLD), told.errors()),
        exactly("new connections are refused", float(is_refused), 1),
        exactly("exit code", code, 0),
        at_most("ended after", took, 6, "s"),
        at_most("after a second signal", twice, 1.5, "s"),
    ]


@case(
    "worker-killed",
    "`kill -9` of one of two workers, five times, under 100 requests a second",
    "it is replaced; only what it was answering is lost, or its client sends it again on another connection",
)
async def worker_killed(world: World) -> list[Figure]:
    well = await world.provider()
    replica, _ = await world.proxy(config(model(well), workers=2))
    asker = world.asker(replica, tries=3)
    over = asyncio.Event()
    asking = asyncio.create_task(asker.offer(100, over.is_set))
    for _ in range(5):
        await asyncio.sleep(0.7)
        os.kill(replica.workers()[0], signal.SIGKILL)
        await until(lambda: len(replica.workers()) == 2)
    await asyncio.sleep(0.7)
    over.set()
    tally = await asking
    await until(lambda: len(replica.log("worker lost")) == 5 and len(replica.workers()) == 2, 30)
    await look(replica)
    later = await asker.many(200)
    return [
        at_most(f"connections lost under {len(tally.asked)} requests, which were sent again", asker.tried_again, 40),
        at_most("answers cut with their worker", tally.failed(), 15, note=tally.errors()),
        none("failed otherwise", tally.failed(OK, "no reply", "undeclared"), tally.errors()),
        none("later failed of 200", later.failed(), later.errors()),
        exactly("said in the log", len(replica.log("worker lost")), 5),
    ]


@case(
    "replica-killed",
    "`kill -9` of one of two replicas that share a Redis, while it probes an endpoint",
    "the other one is not affected; what the dead one knew goes on; restarted, it is ready soon and knows it again",
)
async def replica_killed(world: World) -> list[Figure]:
    server = await world.redis()
    sick, well = await world.failing({"kind": "status", "status": 500}), await world.provider()
    settings = config(model(sick, 3), model(well), redis_url=server.url, cooldown_time=30)
    one, asker = await world.proxy(settings)
    two, other = await world.proxy(settings)
    first = await asker.ask()
    await asyncio.sleep(0.6)
    one.kill()
    await one.ended()
    asker.close()
    tally = await other.many(500)
    calls = sick.counts().received
    ready_s = await one.start()
    again = await asker.many(100)
    return [
        exactly("first answer came from the one that is well", float(first.by == "well"), 1),
        none("the other: failed of 500", tally.failed(), tally.errors()),
        exactly("calls of the endpoint that rests", calls, 1),
        at_most("ready again after", ready_s, 5, "s"),
        none("restarted: failed of 100", again.failed(), again.errors()),
        exactly("calls of it after the restart", sick.counts().received, 1),
        exactly("state at the other", float((await two.endpoints())["group/1"]["state"] == "cooling"), 1),
    ]


@case(
    "few-files",
    "128 files may be open, and 200 clients connect at a time",
    "no crash and no busy loop; /health/live answers; all are served when files are there",
)
async def few_files(world: World) -> list[Figure]:
    well = await world.provider(latency_s=0.2)
    limit = ["prlimit", "--nofile=128:128", "--"]
    replica, asker = await world.proxy(config(model(well), connect_timeout=5), before=limit)
    calls: list[Call] = []
    for _ in range(200):
        with suppress(OSError):
            calls.append(await asker.client.open())
    used, began = cpu_s(replica.workers()), time.monotonic()
    await asyncio.sleep(2)
    cores = (cpu_s(replica.workers()) - used) / (time.monotonic() - began)
    live = await replica.get("/health/live")
    tally = await asker.many(400, at_once=100)
    for call in calls:
        call.leave()
    began = time.monotonic()
    later = await asker.ask()
    return [
        at_most("cores used while full", cores, 0.5),
        exactly("/health/live", live.status, 200),
        none("answered neither well nor with 503 of 400", tally.failed(OK, "503", "no reply"), tally.errors()),
        at_most("an answer once files are there", time.monotonic() - began, 1.5, "s"),
        exactly("and it is well", float(later.outcome == OK), 1),
        exactly("workers that died", len(replica.log("worker lost")), 0),
    ]


@case(
    "clock-jumps",
    "the wall clock jumps an hour ahead and back, while an endpoint rests; replicas are 90 s apart",
    "delays go by another clock: none becomes longer or shorter; of reports of replicas neither",
)
async def clock_jumps(world: World) -> list[Figure]:
    full, free = await world.failing(limited(retry_after="20"), "full"), await world.provider("free")
    wrong = world.folder / "clock"
    wrong.write_text("0")
    server = await world.redis()
    settings = config(model(full, 3), model(free), redis_url=server.url, cache=True)
    one, asker = await world.proxy(settings, {CLOCK_FILE_VARIABLE: str(wrong)})
    two, other = await world.proxy(settings, {CLOCK_VARIABLE: "90"})
    await asker.ask()
    clocks, tally = [], Tally()
    for jump in (3600, -3600, 0):
        wrong.write_text(str(jump))
        tally.asked += (await asker.many(100, temperature=0)).asked + (await other.many(100, temperature=0)).asked
        await asyncio.sleep(0.5)
        clocks += [(await each.endpoints())["group/1"]["clock_s"] for each in (one, two)]
    return [
        none("failed of 600", tally.failed(), tally.errors()),
        between(10, "shortest delay seen of 20 s", min(clocks), 20, "s"),
        between(10, "longest delay seen of 20 s", max(clocks), 20, "s"),
        exactly("calls of the endpoint that rests", full.counts().received, 1),
    ]


def _join(nodes: list[RedisServer]) -> None:
    """A cluster of three, each with a third of the slots, and without replicas."""
    for number, node in enumerate(nodes):
        begin, end = number * 16384 // 3, (number + 1) * 16384 // 3
        node.command("CLUSTER", "ADDSLOTS", *range(begin, end))
        node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for node in nodes[1:]:
        nodes[0].command("CLUSTER", "MEET", "127.0.0.1", node.port)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if all(b"cluster_state:ok" in _bytes(node.command("CLUSTER", "INFO")) for node in nodes):
            return
        time.sleep(0.1)
    raise RuntimeError("the nodes do not make a cluster")


def _bytes(told: object) -> bytes:
    if isinstance(told, dict):
        return b"\n".join(f"{name}:{value}".encode() for name, value in told.items())
    return told if isinstance(told, bytes) else str(told).encode()


@case(
    "redis-cluster",
    "a cluster of three: one is killed and comes back; slots move while it is used (MOVED)",
    "no request fails; other slots are used on; used again when it is there",
)
async def redis_cluster(world: World) -> list[Figure]:
    options = ("cluster-enabled yes", "cluster-node-timeout 1000", "cluster-require-full-coverage no")
    nodes = [await world.redis(*options) for _ in range(3)]
    await asyncio.to_thread(_join, nodes)
    well = await world.provider()
    url = f"redis+cluster://127.0.0.1:{nodes[0].port}"
    replica, asker = await world.proxy(config(model(well), redis_url=url, cache=True))
    over = asyncio.Event()
    asking = asyncio.create_task(
        asker.offer(50, over.is_set, lambda n: {"number": n % 60, "temperature": 0, "stream": False})
    )
    await asyncio.sleep(3)
    before = len(replica.log())
    nodes[2].freeze()
    await asyncio.sleep(4)
    nodes[2].thaw()
    await asyncio.sleep(4)
    await asyncio.to_thread(
        _move, nodes[0], nodes[1], [key_slot(f"llmproxy:{number}".encode()) for number in range(20)]
    )
    await asyncio.sleep(2)
    over.set()
    tally = await asking
    states = [one.headers.get("x-llmproxy-cache") for one in tally.asked]
    return [
        none(f"failed of {len(tally.asked)}", tally.failed(), tally.errors()),
        at_most("slowest", tally.slowest_s(), 2, "s"),
        at_least("hits of the last 60", states[-60:].count("hit"), 40),
        at_least("requests before the fault", before, 100),
    ]


def _move(source: RedisServer, target: RedisServer, slots: list[int]) -> None:
    """Empty slots, or what is in them is lost: a cache is."""
    new = target.command("CLUSTER", "MYID").decode()
    for slot in set(slots):
        for node in (source, target):
            with suppress(Exception):
                node.command("CLUSTER", "SETSLOT", slot, "NODE", new)
