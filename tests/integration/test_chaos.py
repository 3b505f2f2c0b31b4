"""The chaos run in little: what is planted must make it fail."""

import json
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path

import pytest

from tests.integration.fronts import nginx_program
from tests.integration.harness import ROOT
from tests.redis_server import find_binary


async def test_a_run_fails_when_clients_get_the_answers_of_others(tmp_path: Path) -> None:
    nginx_program()
    if find_binary() is None:
        pytest.skip("there is no redis-server")
    options = ("--minutes", "0.2", "--rate", "20", "--plant", "mix-answers", "--results", str(tmp_path))
    process = await create_subprocess_exec(
        sys.executable, "-m", "bench.chaos", *options, cwd=ROOT, env={"PYTHONPATH": "src:."}, stdout=PIPE, stderr=PIPE
    )
    said, problems = await process.communicate()

    assert process.returncode == 1, (said, problems)
    result = json.loads((tmp_path / "chaos.json").read_text())
    assert "mixed" in {failure["seen"] for failure in result["failures"]}
    assert result["answered"] > result["failed"] > 0
    assert not result["wrong"]
