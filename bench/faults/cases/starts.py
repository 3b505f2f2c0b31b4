"""Starts and reloads: ports, addresses, proxies of the environment, names, the demo."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from typing import Any
from urllib.parse import quote

import yaml

from bench.faults.asking import OK, TOLD, Asker
from bench.faults.case import Figure, at_least, cases_of, exactly, none
from bench.faults.cases.mistakes import start
from bench.faults.general import CANARIES, PROVIDER_KEY
from bench.faults.world import World, config, model
from bench.servers.children import ROOT
from bench.servers.payloads import REPLY
from tests.contracts.scripted_server import ScriptedServer, answering, reply
from tests.free_port import free_port

case = cases_of("Configuration and start")

_START_S = 30.0


@case(
    "ports",
    "a port that is taken; an address that is not here; a name with two addresses; closed standard error",
    "what may work later ends with 1 and says who has the port; `localhost` listens on all of its "
    "addresses; without standard error it serves",
)
async def ports(world: World) -> list[Figure]:
    well = await world.provider()
    taken = world.folder / "taken.yaml"
    elsewhere = world.folder / "elsewhere.yaml"
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
        taken.write_text(yaml.safe_dump(config(model(well), bind_port=port)))
        is_taken = await start(taken)
    elsewhere.write_text(
        yaml.safe_dump(config(model(well), bind_address="203.0.113.7", bind_port=free_port(), api_keys=["k" * 20]))
    )
    is_elsewhere = await start(elsewhere)
    both, _ = await world.proxy(config(model(well), bind_address="localhost"))
    names = {each[4][0] for each in socket.getaddrinfo("localhost", both.port, type=socket.SOCK_STREAM)}
    reached = 0
    for name in names:
        with contextlib.suppress(OSError), socket.create_connection((str(name), both.port), 2):
            reached += 1
    mute, asker = await world.proxy(config(model(well)), before=["/bin/sh", "-c", 'exec "$@" 2>&-', "sh"])
    answer = await asker.ask()
    return [
        exactly("port taken: exit code", is_taken.code, 1, is_taken.said[-300:]),
        exactly("and it names the port", float(str(port) in is_taken.said), 1),
        exactly("address not here: exit code", is_elsewhere.code, 1, is_elsewhere.said[-300:]),
        exactly(f"addresses of localhost that listen of {len(names)}", reached, len(names)),
        exactly("without standard error: served", float(answer.outcome == OK and mute.is_running), 1),
    ]


@case(
    "azure-strict",
    "`base_url` with `api_version` and a key; `azure_endpoint` with a path too much, at a provider as strict as Azure",
    "the key goes as `api-key`; what is added by the proxy itself is cut off, with a warning; all are answered",
)
async def azure(world: World) -> list[Figure]:
    provider = await world.provider("azure", api_keys=(PROVIDER_KEY,))
    root, dated = provider.url, {"api_key": PROVIDER_KEY, "api_version": "2024-10-21"}
    shapes: dict[str, dict[str, Any]] = {
        "base": {**dated, "base_url": f"{root}/openai/deployments/base"},
        "plain": {**dated, "azure_endpoint": root},
        "openai": {**dated, "azure_endpoint": f"{root}/openai"},
        "deployment": {**dated, "azure_endpoint": f"{root}/openai/deployments/deployment"},
    }
    groups = [{"model_group": name, "models": [{"model": name, "params": params}]} for name, params in shapes.items()]
    replica, _ = await world.proxy({"model_groups": groups, "general_settings": config()["general_settings"]})
    asked = {name: await world.asker(replica, group=name).ask(stream=False) for name in shapes}
    bearers = sum(record.header("authorization") is not None for record in provider.records)
    wrong = {name: (one.status, one.body[:200]) for name, one in asked.items() if one.outcome not in (OK, "another's")}
    return [
        none(f"not answered of {len(shapes)}", len(wrong), str(wrong)),
        none("keys sent as Bearer", bearers),
        at_least("warnings", replica.said.count("azure_endpoint"), 1),
    ]


def own_address() -> str:
    """An address of this machine that others may reach, where it has one: no proxy is asked for loopback anyway."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing
        return str(probe.getsockname()[0])
    return "127.0.0.1"


@case(
    "no-proxy",
    "an internal endpoint beside a proxy of the environment: NO_PROXY with a network, a prefix, a port, a name",
    "the endpoint is called directly, as Go and curl read the variable: its key does not reach the proxy",
)
async def no_proxy(world: World) -> list[Figure]:
    address = own_address()
    seen: list[str] = []

    async def count(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append("")
        writer.close()

    between: asyncio.Server = await asyncio.start_server(count, "127.0.0.1", 0)
    port = between.sockets[0].getsockname()[1]
    answer = answering(reply(REPLY, "content-type: application/json"))
    target: ScriptedServer = await world.entered(ScriptedServer(answer, host=address))
    values = {
        "network": f"{address.rpartition('.')[0]}.0/24",
        "port": f"{address}:{target.port}",
        "address": f"somewhere.example, {address}",
        "everything": "*",
        "none of them": "elsewhere.example",
    }
    settings = config(model(target), trust_env=True, num_retries=0, plain_http_hosts=[address])
    direct, outcomes = {}, {}
    for name, value in values.items():
        before = len(target.requests)
        seen.clear()
        proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy"), f"http://127.0.0.1:{port}")
        replica, asker = await world.proxy(settings, {**proxies, "NO_PROXY": value, "no_proxy": value})
        await asker.ask(stream=False)
        asker.close()
        await replica.stop()
        direct[name] = len(target.requests) - before
        outcomes[name] = len(seen)
    between.close()
    without = outcomes.pop("none of them")
    return [
        exactly("calls directly of 4", sum(direct.values()), 4, str(direct)),
        none("connections that the proxy saw", sum(outcomes.values()), str(outcomes)),
        exactly("and without such a NO_PROXY", without, int(not address.startswith("127."))),
    ]


@case(
    "names-and-anchors",
    "a configuration with anchors under an `x-` key; models called `a/b`, `100%` and `..`",
    "anchors are taken; every listed model is found, percent-encoded or not",
)
async def names(world: World) -> list[Figure]:
    well = await world.provider()
    called = ("a/b", "100%", "..", "group")
    settings: dict[str, Any] = config(*(model(well, group=name) for name in called))
    shared = settings["model_groups"][0]["models"][0]["params"]
    for group in settings["model_groups"]:
        group["models"][0]["params"] = shared  # which is written once, with an anchor
    replica, asker = await world.proxy({"x-shared": shared, **settings})
    paths = [f"/v1/models/{each}" for name in called for each in {name, quote(name, safe="")}]
    found = [(await asker.send(path, None, method="GET")).status for path in paths]
    served = [(await world.asker(replica, group=name).ask(stream=False)).outcome for name in called]
    return [
        exactly("anchors in the file", float("&id001" in replica.path.read_text()), 1),
        exactly(f"found of {len(paths)}", found.count(200), len(paths), str(list(zip(paths, found, strict=True)))),
        none(f"not served of {len(called)}", len(called) - served.count(OK), str(served)),
    ]


@case("demo", "`make run` with flags and without a configuration", "the demo serves, with its simulated providers")
async def demo(world: World) -> list[Figure]:
    port = free_port()
    command = [sys.executable, "-m", "entrypoints.http", "--or-demo", "--port", str(port)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=world.folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    )
    asker = Asker(port)
    try:
        models: list[str] = []
        async with asyncio.timeout(_START_S):
            while not models:
                told = await asker.send("/v1/models", None, method="GET")
                models = [each["id"] for each in json.loads(told.body or b'{"data":[]}')["data"]]
                await asyncio.sleep(0.1)
        asker.group = models[0]
        tally = await asker.many(50)
        asker.close()
        process.send_signal(signal.SIGTERM)
        code = await process.wait()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
    return [none("failed of 50", tally.failed(OK, "another's"), tally.errors()), exactly("exit code", code, 0)]


@case(
    "reload-under-load",
    "a configuration that is wrong, and one that is right, are taken over under 100 requests a second with streams",
    "no request fails; the wrong one changes nothing and is told; two workers change together",
)
async def reload_under_load(world: World) -> list[Figure]:
    well, other = await world.provider("one", tokens_per_second=50), await world.provider("two", tokens_per_second=50)
    replica, asker = await world.proxy(config(model(well), workers=2))
    over = asyncio.Event()
    asking = asyncio.create_task(asker.offer(100, over.is_set))
    verdicts = []
    for settings in (
        config(model(other), workers=2),
        {"model_groups": []},
        config(model(well), model(other), workers=2),
    ):
        await asyncio.sleep(0.5)
        replica.path.write_text(yaml.safe_dump(settings))
        command = [sys.executable, "-m", "llmproxy", "reload", "--port", str(replica.port)]
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=ROOT, env={**os.environ, "PYTHONPATH": "src"}, capture_output=True, timeout=60
        )
        verdicts.append(done.returncode)
    await asyncio.sleep(0.5)
    over.set()
    tally = await asking
    asker.close()
    refusals = json.loads((await replica.get("/status")).body)["proxy"]["reload_refusal"]
    status = replica.said.count('"event":"reload refused"')
    world.replicas.pop(replica)  # the look inside ended with the first configuration
    shown = [canary for canary in CANARIES if canary in replica.said]
    await replica.stop()
    return [
        none(f"failed of {len(tally.asked)}", tally.failed(OK, TOLD) + tally.outcomes[TOLD], tally.errors()),
        exactly("verdicts: 0, 2, 0", float(verdicts == [0, 2, 0]), 1, str(verdicts)),
        at_least("answered by both", min(tally.by()["one"], tally.by()["two"]), 10),
        exactly("told in the log", status, 1, str(refusals)),
        none("canaries in the log", len(shown)),
    ]
