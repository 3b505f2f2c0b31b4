"""Every command in README and docs is run as it stands there, or the page says above it why it was not tried:
`<!-- not tried: REASON -->`.

A block is a script for bash in a folder of its own, which holds what the pages take for given: `llmproxy.yaml` (where
the block does not write it), a LiteLLM configuration, a trace, the examples. Where it says 127.0.0.1:4000 a proxy of
the test answers. `llmproxy` is that of this checkout; what serves is ended when it says that it listens. Of `make` it
is seen that there is such a target.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml

from simulator import ProviderSettings, SimulatedProvider
from tests.documented import ROOT, SHELL, Block, blocks, blocks_of
from tests.free_port import free_port
from tests.integration.composed import Composed, composed
from tests.integration.harness import config, endpoint

BLOCKS = blocks(*SHELL)
TRIED = list({block.text: block for block in BLOCKS if not block.not_tried}.values())
"""What stands on two pages is tried once."""
PATIENCE_S = 120

LITELLM = {
    "model_list": [{"model_name": "gpt-4o", "litellm_params": {"model": "openai/gpt-4o", "api_key": "os.environ/A"}}]
}
TRACE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,374,44\n2023-11-16 18:17:04.0319600,396,109\n"
)

LLMPROXY = """#!/bin/sh
case "$1" in
    serve | provider) exec {python} {root}/tests/until_it_listens.py "$@" --port "$FREE_PORT" ;;
    *) exec {python} -m llmproxy "$@" ;;
esac
"""
MAKE = """#!/bin/sh
exec {make} --directory {root} --dry-run "$@"
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[SimulatedProvider]:
    """What answers at 127.0.0.1:4101."""
    async with SimulatedProvider(ProviderSettings(models=("gpt-sim", "gpt-5-mini"))) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(provider: SimulatedProvider, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Composed]:
    """What answers at 127.0.0.1:4000; one request is behind it."""
    folder = tmp_path_factory.mktemp("proxy")
    async with composed(folder, settings_for(provider)) as running, aiohttp.ClientSession() as session:
        body = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}
        async with session.post(f"{running.url}/v1/chat/completions", json=body) as reply:
            assert reply.status == 200
        yield running


def settings_for(provider: SimulatedProvider) -> dict[str, Any]:
    """The groups that the pages ask for."""
    return {"model_groups": [config([endpoint(provider)], name)["model_groups"][0] for name in ("gpt-4o", "demo")]}


@pytest.fixture
def folder(tmp_path: Path, block: Block, provider: SimulatedProvider) -> Path:
    """Where a block runs; beside it in bin/ the programs that it finds."""
    made = tmp_path / "work"
    shutil.copytree(ROOT / "examples", made / "examples")
    (made / "docs/images").mkdir(parents=True)
    if "-o llmproxy.yaml" not in block.text:
        (made / "llmproxy.yaml").write_text(yaml.safe_dump(settings_for(provider)))
    (made / "litellm.yaml").write_text(yaml.safe_dump(LITELLM))
    (made / "AzureLLMInferenceTrace_conv.csv").write_text(TRACE)
    (tmp_path / "bin").mkdir()
    for name, script in (("llmproxy", LLMPROXY), ("make", MAKE)):
        program = tmp_path / "bin" / name
        program.write_text(script.format(python=sys.executable, root=ROOT, make=shutil.which("make")))
        program.chmod(0o755)
    return made


def test_blocks_that_are_not_tried_say_why_and_are_not_most_of_them() -> None:
    assert all(len(block.not_tried) > 5 for block in BLOCKS if block.not_tried)
    assert sum(not block.not_tried for block in BLOCKS) > len(BLOCKS) / 2


def test_no_command_hides_in_a_fence_without_a_language() -> None:
    hidden = [
        block.name for block in blocks("", "text") if any(line.startswith("$ ") for line in block.text.split("\n"))
    ]

    assert hidden == []


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="needs bash and curl")
@pytest.mark.parametrize("block", TRIED, ids=lambda block: block.name)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_block_does_what_it_says(
    block: Block, folder: Path, proxy: Composed, provider: SimulatedProvider
) -> None:
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", here(block.text, proxy, provider), cwd=folder, env=environ(folder),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE_S):
        said, _ = await process.communicate()

    assert process.returncode == 0, said.decode()
    assert b"Traceback" not in said and b'"error"' not in said, said.decode()
    for picture in (folder / "docs/images").iterdir():
        assert picture.read_bytes() == (ROOT / "docs/images" / picture.name).read_bytes(), (
            "the page shows another picture"
        )


@pytest.mark.asyncio(loop_scope="module")
async def test_the_first_request_in_python_is_answered(
    proxy: Composed, provider: SimulatedProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = [block for block in blocks_of(ROOT / "README.md") if block.language == "python"]

    await asyncio.to_thread(exec, here(program.text, proxy, provider), {})

    assert capsys.readouterr().out.strip()


def here(text: str, proxy: Composed, provider: SimulatedProvider) -> str:
    return text.replace("127.0.0.1:4000", f"127.0.0.1:{proxy.port}").replace(
        "127.0.0.1:4101", f"127.0.0.1:{provider.port}"
    )


def environ(folder: Path) -> dict[str, str]:
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR", "LANG")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    paths = {
        "PATH": f"{folder.parent}/bin:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}/src",
        "HOME": str(folder.parent),
    }
    return {**kept, **paths, "FREE_PORT": str(free_port()), "OPENAI_API_KEY": "not-used", "A": "not-used"}
