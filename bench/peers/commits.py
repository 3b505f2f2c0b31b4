"""Another commit of LLMProxy: its files and, where its dependencies are others, an environment with these."""

import io
import subprocess
import sys
import tarfile

from bench.peers.installing import FOLDER
from bench.servers.children import ROOT
from bench.servers.llmproxy import HERE, Source


def source_of(commit: str) -> tuple[str, Source]:
    """Its short name and where it is, below bench/.peers, made once. Raises `ValueError` where git knows none such."""
    found = _git("rev-parse", "--verify", "--short=12", f"{commit}^{{commit}}")
    if found.returncode:
        raise ValueError(f"git knows no commit {commit}: {found.stderr.decode().strip()}")
    name = found.stdout.decode().strip()
    folder = FOLDER / name
    if not (folder / "src").exists():
        packed = _git("archive", name, "src", "requirements.txt")
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as files:
            if hasattr(tarfile, "data_filter"):  # from Python 3.11.4 on; these are our own files either way
                files.extraction_filter = tarfile.data_filter
            files.extractall(folder)  # noqa: S202 - packed by git just now, out of our own repository
    needed = folder / "requirements.txt"
    if needed.read_bytes() == (ROOT / needed.name).read_bytes():
        return name, Source(folder / "src", HERE.python)
    environment = folder / "environment"
    if not (environment / "complete").exists():
        print(f"installing what {name} needs into {environment.relative_to(ROOT)} (once)", flush=True)
        _do(sys.executable, "-m", "venv", "--clear", str(environment))
        pip = [str(environment / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
        _do(*pip, "--require-hashes", "-r", str(needed))
        (environment / "complete").touch()
    return name, Source(folder / "src", str(environment / "bin/python"))


def _git(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=False)  # noqa: S603, S607 - our own


def _do(*command: str) -> None:
    subprocess.run(command, check=True, timeout=900)  # noqa: S603 - our own
