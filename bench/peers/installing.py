"""`python -m bench.peers.installing`: LiteLLM and Portkey, each into an environment of its own below bench/.peers."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".peers"
LITELLM = FOLDER / "litellm"
PORTKEY = FOLDER / "portkey"
PORTKEY_SERVER = PORTKEY / "node_modules/@portkey-ai/gateway/build/start-server.js"

_LITELLM = "litellm[proxy]!=1.82.7,!=1.82.8"
"""The two versions that are left out carried a credential stealer (OSV MAL-2026-2144)."""


def install(without: Sequence[str] = ()) -> dict[str, str]:
    """Install what is not there yet. Returns what could not be, by peer, with the reason."""
    problems = {}
    for name, there, how in (
        ("litellm", LITELLM / "bin/litellm", _install_litellm),
        ("portkey", PORTKEY_SERVER, _install_portkey),
    ):
        problem = "" if there.exists() or name in without else _tried(name, how)
        if problem:
            problems[name] = problem
    return problems


def versions() -> Mapping[str, str]:
    """Of what is installed."""
    found = {}
    for path in (LITELLM / "lib").glob("python*/site-packages/litellm-*.dist-info"):
        found["litellm"] = path.name.removeprefix("litellm-").removesuffix(".dist-info")
    package = PORTKEY_SERVER.parents[1] / "package.json"
    if package.exists():
        found["portkey"] = json.loads(package.read_text(encoding="utf-8"))["version"]
        found["node"] = _said(["node", "--version"]).strip().removeprefix("v")
    return found


def _tried(name: str, how: Callable[[], None]) -> str:
    print(f"installing {name} into bench/.peers (once)", flush=True)
    try:
        how()
    except FileNotFoundError as error:
        return f"needs {error.filename}"
    except subprocess.CalledProcessError as error:
        return f"could not be installed: {(error.stderr or '').strip()[-300:]}"
    return ""


def _install_litellm() -> None:
    _said([sys.executable, "-m", "venv", str(LITELLM)])
    _said([str(LITELLM / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", _LITELLM])


def _install_portkey() -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise FileNotFoundError(2, "not found", "node and npm (apt install nodejs npm, or brew install node)")
    _said(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(PORTKEY), "@portkey-ai/gateway"])


def _said(command: list[str]) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=900)  # noqa: S603 - our own
    return done.stdout


if __name__ == "__main__":
    trouble = install()
    print("\n".join(f"{name}: {why}" for name, why in trouble.items()) or "installed")
