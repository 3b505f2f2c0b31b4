"""The proxy that a soak watches is the real one, with a probe around it."""

import ast
import inspect
import textwrap

import pytest

from bench.soak import worker as soaked
from entrypoints.processes import worker


def test_the_worker_is_composed_with_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "Container", worker.Container)  # fails where the worker composes by another name
    monkeypatch.setattr(soaked, "die_with", lambda pid: None)
    monkeypatch.setattr(soaked.http, "main", lambda: 0)

    assert soaked.main() == 0
    assert worker.Container is soaked.probed
    assert inspect.signature(soaked.probed).parameters.keys() == composed_of()


def composed_of() -> set[str]:
    """What the worker composes it of."""
    source = textwrap.dedent(inspect.getsource(worker.work))
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    (made,) = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id == "Container"]
    return {str(keyword.arg) for keyword in made.keywords}
