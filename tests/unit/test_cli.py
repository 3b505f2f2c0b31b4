"""The command `llmproxy`: what each word does, what it imports, and when it refuses to start."""

import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from entrypoints.cli.command import COMMANDS, main
from entrypoints.version import version

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
CONFIG = (
    "model_groups: [{model_group: m, models: [{model: m, params: {api_key: k, base_url: 'http://127.0.0.1:9/v1'}}]}]"
)


def run(folder: Path, *arguments: str, path: Path = SRC) -> subprocess.CompletedProcess[str]:
    """`python ARGUMENTS` in a folder, with the packages of `path`."""
    environ = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_help_names_every_command(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 0

    said = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"  {name} " in said and command.summary in said


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself_under_its_own_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])

    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: llmproxy {name} ")


def test_the_version_is_that_of_the_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"llmproxy {wanted} (source checkout {ROOT})\n"
    assert "checkout" not in version(tmp_path)


def test_serving_is_what_is_done_without_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLMPROXY_CONFIG", raising=False)

    for arguments in ([], ["serve"], ["--host", "127.0.0.1"]):
        assert main(arguments) == 2
        assert "llmproxy: no configuration" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("provdier", "did you mean provider?"),
        ("frobnicate", f"valid: {', '.join(COMMANDS)}"),
        ("my.yaml", "llmproxy serve --config my.yaml"),
    ],
)
def test_a_word_that_is_no_command_is_a_mistake(word: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 2
    assert said in capsys.readouterr().err


def test_serving_imports_nothing_of_the_other_commands(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text(CONFIG)
    program = (
        "import sys\nfrom llmproxy.__main__ import main\n"
        "code = main(['serve', '--port', sys.argv[1]])\n"
        "import entrypoints.processes.worker\nprint(code, *sys.modules)"
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run(tmp_path, "-c", program, str(taken.getsockname()[1]))

    code, *modules = done.stdout.split()
    assert code in "12" and "in use" in done.stderr  # it came as far as that
    assert "entrypoints.container" in modules
    assert not {name.split(".")[0] for name in modules} & {"rich", "simulator"}
    assert not {"entrypoints.check", "entrypoints.convert", "entrypoints.demo", "entrypoints.schema"} & set(modules)


@pytest.mark.parametrize("name", ["domain", "entrypoints", "simulator"])
@pytest.mark.parametrize("is_package", [True, False])
def test_it_does_not_start_with_what_stands_in_the_place_of_a_package(
    tmp_path: Path, name: str, is_package: bool
) -> None:
    other = tmp_path / name / "__init__.py" if is_package else tmp_path / f"{name}.py"
    other.parent.mkdir(exist_ok=True)
    other.write_text("raise SystemExit('this is not to be imported')")

    done = run(tmp_path, "-m", "llmproxy", "--version")

    assert done.returncode == 2
    assert f'"{name}" is something else: {other} stands before {SRC / name}' in done.stderr
    assert "pipx" in done.stderr and done.stdout == ""


def test_a_folder_that_is_no_package_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "domain").mkdir()

    assert run(tmp_path, "-m", "llmproxy", "--version").returncode == 0


def installed(folder: Path) -> Path:
    """A folder like site-packages, in which the proxy has been installed with packages that are empty."""
    record = ""
    for name in ("domain", "application", "adapters", "entrypoints", "simulator"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").touch()
        record += f"{name}/__init__.py,sha256=,0\n"
    (folder / "llmproxy").mkdir()
    for name in ("__init__", "__main__", "shadows"):
        (folder / f"llmproxy/{name}.py").write_text((SRC / f"llmproxy/{name}.py").read_text())
    (folder / "llmproxy-1.dist-info").mkdir()
    (folder / "llmproxy-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: llmproxy\nVersion: 1\n")
    (folder / "llmproxy-1.dist-info/RECORD").write_text(record)
    return folder


def test_it_does_not_start_where_another_distribution_has_overwritten_a_package(tmp_path: Path) -> None:
    site = installed(tmp_path / "site")
    check = "from llmproxy.shadows import shadows; print(*shadows(), sep='\\n')"
    assert run(tmp_path, "-c", check, path=site).stdout.strip() == ""

    (site / "adapters/__init__.py").write_text("'''Adapters for transformers.'''")

    done = run(tmp_path, "-m", "llmproxy", "--version", path=site)
    assert done.returncode == 2
    assert f"another distribution has overwritten {site}/adapters/__init__.py" in done.stderr


def test_it_does_not_start_where_a_package_is_missing(tmp_path: Path) -> None:
    site = installed(tmp_path / "site")
    (site / "simulator/__init__.py").unlink()
    (site / "simulator").rmdir()

    done = run(tmp_path, "-m", "llmproxy", path=site)

    assert done.returncode == 2 and 'the package "simulator" is missing' in done.stderr
