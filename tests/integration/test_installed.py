"""The package as it is installed: everything is in it, and its command serves in an environment of its own."""

import asyncio
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import aiohttp
import pytest

from tests.free_port import free_port
from tests.integration.harness import ROOT

START_S = 60


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the project builds, without a network."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(folder / "dist"), str(folder))
    (built,) = (folder / "dist").glob("llmproxy-*.whl")
    return built


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`llmproxy` of a fresh environment, in which the dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    pip("--python", str(folder / "bin/python"), "install", str(wheel))
    (packages,) = (folder / "lib").glob("python3*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin/llmproxy"


def pip(*arguments: str) -> None:
    options = ["--disable-pip-version-check", "--quiet"]
    first = arguments.index("wheel") if "wheel" in arguments else arguments.index("install")
    command = [*arguments[: first + 1], "--no-deps", "--no-index", *arguments[first + 1 :]]
    subprocess.run([sys.executable, "-m", "pip", *options, *command], check=True, capture_output=True)


def environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LLMPROXY_CONFIG")}


def test_all_that_is_in_src_is_in_the_wheel(wheel: Path) -> None:
    src = ROOT / "src"
    wanted = {
        str(path.relative_to(src))
        for path in src.rglob("*")
        if path.is_file() and not {"__pycache__", "llmproxy.egg-info"} & set(path.parts)
    }

    assert {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name} == wanted


def test_the_installed_command_knows_its_version(program: Path, wheel: Path, tmp_path: Path) -> None:
    said = subprocess.run(
        [program, "--version"], cwd=tmp_path, env=environ(), check=True, capture_output=True, text=True
    )

    assert said.stdout == f"llmproxy {wheel.name.split('-')[1]}\n"


async def test_the_installed_command_serves_the_demo(program: Path, tmp_path: Path) -> None:
    port = free_port()
    with (tmp_path / "out.txt").open("wb") as out, (tmp_path / "err.txt").open("wb") as err:
        process = subprocess.Popen(
            [program, "serve", "--demo", "--port", str(port)], cwd=tmp_path, env=environ(), stdout=out, stderr=err
        )
    try:
        async with asyncio.timeout(START_S):
            while "listens on" not in (tmp_path / "out.txt").read_text():
                assert process.poll() is None, (tmp_path / "err.txt").read_text()
                await asyncio.sleep(0.05)
        body = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as reply:
            assert reply.status == 200
            assert (await reply.json())["choices"][0]["message"]["content"]
    finally:
        process.terminate()
        assert await asyncio.to_thread(process.wait, 60) == 0
