"""Configurations with a mistake, ports that are taken, names that lead elsewhere: said at the start, in one sentence."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bench.faults.asking import OK, TOLD, Asker
from bench.faults.case import Figure, at_least, at_most, cases_of, exactly, none
from bench.faults.general import CANARIES, PROVIDER_KEY
from bench.faults.world import World, config, model
from bench.servers.children import ROOT, free_port
from bench.servers.payloads import REPLY
from tests.contracts.scripted_server import ScriptedServer, answering, reply

case = cases_of("Configuration and start")

_START_S = 30.0
_URL = "https://example.com/v1"


class Ended(NamedTuple):
    """A start that came to nothing."""

    code: int
    said: str
    took_s: float


async def start(path: Path, environ: Mapping[str, str] | None = None, *arguments: str) -> Ended:
    """A start that has to end; one that serves is ended after `_START_S` with the code -1."""

    def run() -> Ended:
        began = time.monotonic()
        command = [sys.executable, "-m", "entrypoints.http", "--config", str(path), *arguments]
        environment = {**os.environ, "PYTHONPATH": "src", **(environ or {})}
        with subprocess.Popen(  # noqa: S603 - a command of our own
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0
        ) as process:
            try:
                said, _ = process.communicate(timeout=_START_S)
                code = process.returncode
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                said, _ = process.communicate()
                code = -1
        return Ended(code, said.decode("utf-8", "replace"), time.monotonic() - began)

    return await asyncio.to_thread(run)


def one(general: Mapping[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    """A configuration with one endpoint, whose `params` may be wrong."""
    endpoint: dict[str, Any] = {"model": "m", "params": {"api_key": PROVIDER_KEY, "base_url": _URL, **params}}
    return {
        "model_groups": [{"model_group": "g", "models": [endpoint]}],
        "general_settings": {"bind_port": free_port(), **(general or {})},
    }


def of_model(**keys: Any) -> dict[str, Any]:
    """The same, with keys beside `params`."""
    made = one()
    made["model_groups"][0]["models"][0] |= keys
    return made


_VALID = yaml.safe_dump(one())
_BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)

MISTAKES: dict[str, tuple[object, str]] = {
    "empty": (b"", ""),
    "binary": (bytes(range(256)) * 4, ""),
    "UTF-16": (_VALID.encode("utf-16"), ""),
    "a tab": (b"general_settings:\n\tbind_port: 1\n", ""),
    "a key twice": (b"general_settings: {}\n" + _VALID.encode(), "general_settings"),
    "an unknown key": ({**one(), "modelgroups": []}, "modelgroups"),
    "an unknown setting": (one({"max_waits": 1}), "max_waits"),
    "a wrong type": (one({"num_retries": "many"}), "num_retries"),
    "a list for a map": ({**one(), "general_settings": ["x"]}, "general_settings"),
    "a map for a list": ({"model_groups": {"g": 1}}, "model_groups"),
    "a list at the top": ([1, 2], ""),
    "no groups": ({"model_groups": []}, "model_groups"),
    "no endpoints": ({"model_groups": [{"model_group": "g", "models": []}]}, "models"),
    "a group twice": ({"model_groups": one()["model_groups"] * 2}, "g"),
    "an endpoint's id twice": (
        {"model_groups": [{"model_group": "g", "models": [{"id": "x", "model": "m", "params": {"api_key": "k"}}] * 2}]},
        "x",
    ),
    "an empty key": (one(api_key=""), "api_key"),
    "a variable that is not there": (one(api_key="os.environ/NOT_THERE_AT_ALL"), "NOT_THERE_AT_ALL"),
    "a file that is not there": (one(api_key="file:/nowhere/key"), "/nowhere/key"),
    "no URL": (one(base_url="example.com"), "base_url"),
    "a URL of another kind": (one(base_url="ftp://example.com/v1"), "base_url"),
    "http to a public host": (one(base_url="http://example.com/v1"), "base_url"),
    "user and password in a URL": (one(base_url=f"https://user:{PROVIDER_KEY}@example.com/v1"), "base_url"),
    "the address of cloud metadata": (one(base_url="http://169.254.169.254/v1"), "base_url"),
    "port 70000": (one({"bind_port": 70000}), "bind_port"),
    "port -1": (one({"bind_port": -1}), "bind_port"),
    "a negative limit": (of_model(rpm=-5), "rpm"),
    "a limit of .nan": (of_model(tpm=float("nan")), "tpm"),
    "a time of .inf": (one({"cooldown_time": float("inf")}), "cooldown_time"),
    "a negative weight": (of_model(weight=-1), "weight"),
    "a time with a wrong unit": (one({"connect_timeout": "5 parsecs"}), "connect_timeout"),
    "a size with a wrong unit": (one({"max_body_bytes": "5 elephants"}), "max_body_bytes"),
    "a time to live of 0": (one({"cache": True, "cache_params": {"ttl": 0}}), "ttl"),
    "passthrough_group that is none": (one({"passthrough_group": "nobody"}), "passthrough_group"),
    "a bad Redis URL": (one({"redis_url": "http://x"}), "redis_url"),
    "aliases that expand to 9^9": (_BOMB.encode() + _VALID.encode(), ""),
    "a tag of Python": (b"x: !!python/object/apply:os.system ['true']\n" + _VALID.encode(), ""),
    "5 MB": (_VALID.encode() + b"# " + b"x" * 5_000_000 + b"\n", ""),
    "0.0.0.0 without keys": (one({"bind_address": "0.0.0.0"}), "bind_address"),
    "${X}": (one(api_key="${OPENAI_API_KEY}"), "api_key"),
    "$X": (one(api_key="$OPENAI_API_KEY"), "api_key"),
    "{{X}}": (one(api_key="{{ OPENAI_API_KEY }}"), "api_key"),
    "%X%": (one(api_key="%OPENAI_API_KEY%"), "api_key"),
    "Bearer in front of a key": (one(api_key=f"Bearer {PROVIDER_KEY}"), "api_key"),
}
"""What is written, and a word that the message must have besides the file's name."""

_AT_ONCE = 4


@case(
    "configurations",
    f"{len(MISTAKES) + 2} configurations with a mistake, a file that is not there, a folder",
    "the start ends with 2 and a message that names file and place, without a traceback and without a key",
)
async def configurations(world: World) -> list[Figure]:
    found: dict[str, tuple[Ended, str, str]] = {}
    gate = asyncio.Semaphore(_AT_ONCE)

    async def tried(name: str, path: Path, word: str) -> None:
        async with gate:
            found[name] = (await start(path), path.name, word)

    work = [tried("not there", world.folder / "nowhere.yaml", ""), tried("a folder", world.folder, "")]
    for number, (name, (written, word)) in enumerate(MISTAKES.items()):
        path = world.folder / f"mistake-{number}.yaml"
        path.write_bytes(written if isinstance(written, bytes) else yaml.safe_dump(written).encode())
        work.append(tried(name, path, word))
    await asyncio.gather(*work)
    other = {name: (ended.code, ended.said[-200:]) for name, (ended, _, _) in found.items() if ended.code != 2}
    vague = {
        name: ended.said[-300:]
        for name, (ended, file, word) in found.items()
        if file not in ended.said or word not in ended.said
    }
    said = "".join(ended.said for ended, _, _ in found.values())
    return [
        none(f"other exit codes than 2 of {len(found)}", len(other), str(other)[:400]),
        none("messages without file or place", len(vague), str(vague)[:400]),
        none("tracebacks", said.count("Traceback")),
        none("keys shown", sum(said.count(canary) for canary in CANARIES)),
        at_most("slowest", max(ended.took_s for ended, _, _ in found.values()), 10, "s"),
    ]


@case(
    "ports",
    "a port that is taken; an address that is not here; a name with two addresses; closed standard error",
    "what may work later ends with 1 and says who has the port; `localhost` listens on all of its addresses; without standard error it serves",
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
        with contextlib.suppress(OSError), socket.create_connection((name, both.port), 2):
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
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        with contextlib.suppress(OSError):
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


@case("demo", "`make run` with flags and without a configuration", "the demo serves, with its simulated providers")
async def demo(world: World) -> list[Figure]:
    port = free_port()
    command = [sys.executable, "-m", "entrypoints.http", "--or-demo", "--port", str(port)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(  # noqa: S603 - a command of our own
        command, cwd=world.folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    ) as process:
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
            code = await asyncio.to_thread(process.wait, 60)
        finally:
            if process.poll() is None:
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
