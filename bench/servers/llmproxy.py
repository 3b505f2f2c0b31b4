"""LLMProxy as a user runs it: `python -m entrypoints.http --config FILE`, one worker, all else as it comes."""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bench.servers.children import ROOT, Child, Children, answers
from bench.servers.payloads import MODEL, UPSTREAM_MODEL
from bench.servers.subjects import PATH, Subject
from tests.free_port import free_port

NAME = "llmproxy"


class Source(NamedTuple):
    """A version of the proxy: its modules, and an interpreter that has what they need."""

    modules: Path
    python: str


HERE = Source(ROOT / "src", sys.executable)


def configuration(origin: str, **general: Any) -> dict[str, Any]:
    """Two endpoints, 3:1, at one provider. 4,000 connections because 1,500 are more than the default allows."""
    endpoints = [
        {
            "model": UPSTREAM_MODEL,
            "weight": weight,
            "params": {"api_key": f"sk-endpoint-{number}", "base_url": f"{origin}/v1"},
        }
        for number, weight in enumerate((3, 1), start=1)
    ]
    return {
        "model_groups": [{"model_group": MODEL, "models": endpoints}],
        "general_settings": {"max_connections": 4000, "cache": True, **general},
    }


def start(
    children: Children, folder: Path, origin: str, name: str = NAME, of: Source = HERE, **general: Any
) -> Subject:
    """Start it in front of `origin` and wait until it serves. Its log goes to a file."""
    child, url = launch(children, folder, origin, name, of, **general)
    child.wait_until(lambda: answers(f"{url}/health/live"))
    subject = Subject(name=name, url=f"{url}{PATH}", child=child)
    subject.check()
    return subject


def launch(
    children: Children, folder: Path, origin: str, name: str = NAME, of: Source = HERE, **general: Any
) -> tuple[Child, str]:
    """Start it and do not wait."""
    port = free_port()
    config = folder / f"llmproxy-{port}.yaml"
    config.write_text(yaml.safe_dump(configuration(origin, **general), sort_keys=False), encoding="utf-8")
    command = [of.python, "-m", "entrypoints.http", "--config", str(config), "--port", str(port)]
    return children.start(name, command, {"PYTHONPATH": str(of.modules)}), f"http://127.0.0.1:{port}"
