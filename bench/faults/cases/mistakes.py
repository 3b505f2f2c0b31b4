"""Configurations with a mistake: said at the start, in one sentence."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bench.faults.case import Figure, at_most, cases_of, none
from bench.faults.general import CANARIES, PROVIDER_KEY
from bench.faults.world import World
from bench.servers.children import ROOT
from tests.free_port import free_port

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
    "LiteLLM's api_base": (one(api_base=_URL), "base_url"),
    "LiteLLM's master_key": (one({"master_key": PROVIDER_KEY}), "api_keys"),
    "LiteLLM's model_list": ({"model_list": []}, "model_groups"),
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
