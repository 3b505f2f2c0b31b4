"""How each peer is started: one worker, as its documentation recommends for production, without logs and databases."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml
from msgspec import Struct

from bench.peers.installing import LITELLM, PORTKEY_SERVER
from bench.rows.start import first_answer
from bench.servers.children import Child
from bench.servers.llmproxy import HERE, Source
from bench.servers.payloads import KEY, MODEL, UPSTREAM_MODEL
from bench.servers.processes import counted_here, cpu_s
from bench.servers.subjects import HEADERS, PATH, Subject
from bench.world import World
from tests.free_port import free_port

OURS, NGINX, LITELLM_NAME, PORTKEY_NAME = "llmproxy", "nginx", "litellm", "portkey"
_QUIET_CORES = 0.1
_QUIET_LOOK_S = 0.4
_QUIET_WITHIN_S = 40.0


class Peer(Struct, frozen=True):
    """A proxy that can be put in front of a provider."""

    name: str
    start: Callable[[World, str], Subject]
    """Starts it in front of an origin; returns when it has given a good answer."""
    there: Callable[[], bool]
    """Is it installed?"""
    is_peer: bool = True
    """False for ourselves and for nginx, the limit."""


def quiet(subject: Subject) -> None:
    """Wait until it uses no CPU any more: what was asked of it and given up is still worked on."""
    if subject.child is None or not counted_here():
        return
    deadline = time.monotonic() + _QUIET_WITHIN_S
    while time.monotonic() < deadline:
        before = cpu_s(subject.pids())
        time.sleep(_QUIET_LOOK_S)
        if (cpu_s(subject.pids()) - before) / _QUIET_LOOK_S < _QUIET_CORES:
            return


def started(name: str, child: Child, url: str, headers: Mapping[str, str] | None = None, model: str = MODEL) -> Subject:
    """One that is asked at `url`, when it has given a good answer."""
    asked = {**HEADERS, **(headers or {})}
    subject = Subject(name=name, url=url, child=child, headers=asked, model=model, passes_events_on=False)
    first_answer(subject)
    return subject


def _litellm(world: World, origin: str) -> Subject:
    """LiteLLM's "Production Best Practices": one Uvicorn worker, a master key, no debug output, LITELLM_LOG=ERROR,
    LITELLM_MODE=PRODUCTION. No database, no Redis, no callbacks; the price list that comes with it."""
    port = free_port()
    path = world.scratch / f"litellm-{port}.yaml"
    params = {"model": f"openai/{UPSTREAM_MODEL}", "api_key": "sk-endpoint", "api_base": f"{origin}/v1"}
    path.write_text(
        yaml.safe_dump(
            {
                "model_list": [{"model_name": MODEL, "litellm_params": params}],
                "general_settings": {"master_key": KEY, "disable_spend_logs": True, "disable_error_logs": True},
                "litellm_settings": {
                    "request_timeout": 600,
                    "set_verbose": False,
                    "json_logs": True,
                    "telemetry": False,
                },
            }
        ),
        encoding="utf-8",
    )
    environ = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    options = ["--config", str(path), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    child = world.children.start(LITELLM_NAME, [str(LITELLM / "bin/litellm"), *options], {**environ, "PYTHONPATH": ""})
    return started(LITELLM_NAME, child, f"http://127.0.0.1:{port}{PATH}")


def _portkey(world: World, origin: str) -> Subject:
    """Portkey's gateway without its console; where to go is said with each request, as its documentation has it."""
    port = free_port()
    command = ["node", str(PORTKEY_SERVER), "--headless", f"--port={port}"]
    child = world.children.start(PORTKEY_NAME, command, {"NODE_ENV": "production"})
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{origin}/v1"}
    return started(PORTKEY_NAME, child, f"http://127.0.0.1:{port}{PATH}", headers)


def _exists(path: Path) -> Callable[[], bool]:
    return path.exists


def ours(name: str = OURS, of: Source = HERE) -> Peer:
    """A version of the proxy."""
    return Peer(name, lambda world, origin: world.llmproxy(origin, name, of), lambda: True, is_peer=False)


REFERENCE = Peer(NGINX, lambda world, origin: world.nginx(origin), lambda: True, is_peer=False)

PEERS: tuple[Peer, ...] = (
    ours(),
    REFERENCE,
    Peer(LITELLM_NAME, _litellm, _exists(LITELLM / "bin/litellm")),
    Peer(PORTKEY_NAME, _portkey, _exists(PORTKEY_SERVER)),
)
