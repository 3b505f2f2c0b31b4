"""What `make` does about its virtual environment, seen by the commands it would run."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pip
import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"
MADE_ANEW = "-m venv --clear .venv"


def plan(folder: Path, *arguments: str) -> str:
    """The commands that `make -n` prints in a folder with this Makefile."""
    shutil.copy(MAKEFILE, folder)
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-azure.txt", "requirements-otel.txt"):
        (folder / name).touch()
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "MAKEFLAGS", "ARGS")}
    done = subprocess.run(
        ["make", "-n", *arguments], cwd=folder, env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize(
    "state", ["nothing", "an empty folder", "no pip", "no pip, and stamped", "its Python has gone"]
)
def test_an_environment_that_is_not_complete_is_made_anew(tmp_path: Path, state: str) -> None:
    made = tmp_path / ".venv"
    match state:
        case "an empty folder":
            made.mkdir()
        case "no pip" | "no pip, and stamped":
            venv.create(made, with_pip=False, symlinks=True)
        case "its Python has gone":
            (made / "bin").mkdir(parents=True)
            (made / "bin/python").symlink_to(tmp_path / "nowhere")
    if "stamped" in state:
        (made / ".runtime").touch()

    assert MADE_ANEW in plan(tmp_path, "setup", f"PYTHON={sys.executable}")


def test_a_complete_one_stays_unless_another_python_is_asked_for(tmp_path: Path) -> None:
    venv.create(tmp_path / ".venv", with_pip=False, symlinks=True)
    (packages,) = (tmp_path / ".venv/lib").glob("python3*/site-packages")
    (packages / "pip").symlink_to(Path(pip.__file__).parent)  # as ensurepip would, which takes its time
    other = tmp_path / "python-of-another-version"
    other.write_text("#!/bin/sh\necho 3 99\n")
    other.chmod(0o755)

    assert MADE_ANEW not in plan(tmp_path, "setup")
    assert MADE_ANEW not in plan(tmp_path, "setup", f"PYTHON={sys.executable}")
    assert MADE_ANEW in plan(tmp_path, "setup", f"PYTHON={other}")


@pytest.mark.parametrize("arguments", ["", "--port 4001", "--config other.yaml", "--demo"])
def test_flags_do_not_take_the_demo_away(tmp_path: Path, arguments: str) -> None:
    assert f"entrypoints.http --or-demo {arguments}" in plan(
        tmp_path, "run", f"PYTHON={sys.executable}", f"ARGS={arguments}"
    )
