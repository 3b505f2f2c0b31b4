"""`python -m bench.fuzz.surface [--examples 20] [--minutes 5]`: what schemathesis makes of `/openapi.json`, sent to the
real proxy. It is installed into an environment of its own, bench/.fuzz, as it brings thirty packages along.

The exit code is 1 where a reply is a 5xx or not as the document has it, else 0.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.fuzz.provider import WatchedProvider
from bench.fuzz.world import settings
from bench.soak.proxy import SoakedProxy

_FOLDER = Path(__file__).parents[1]
RESULT = _FOLDER / "results/fuzz-surface.json"
_PROGRAM = _FOLDER / ".fuzz/bin/st"
_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "own_errors_are_in_the_document",
)
"""Not checked is which data is good, and which methods there are behind a parameter: providers say that."""


def install() -> None:
    """Once."""
    if _PROGRAM.exists():
        return
    print("installing schemathesis into bench/.fuzz (once)", flush=True)
    _said([sys.executable, "-m", "venv", str(_FOLDER / ".fuzz")])
    _said(
        [str(_PROGRAM.with_name("pip")), "install", "--quiet", "--disable-pip-version-check", "schemathesis>=4.32,<5"]
    )


def _said(command: list[str]) -> None:
    subprocess.run(command, check=True, timeout=900)  # noqa: S603 - our own


async def run(options: argparse.Namespace) -> bool:
    """Was nothing found?"""
    odd: list[str] = []
    async with WatchedProvider(lambda _: None, odd.append) as provider:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            proxy = SoakedProxy(folder, settings(provider.url), provider.port)
            await proxy.start()
            try:
                failed = await _schemathesis(options, f"http://127.0.0.1:{proxy.port}/openapi.json", folder)
            finally:
                await proxy.stop()
            told = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    internal = [line for line in proxy.log_counts if "internal error" in line or "no log line" in line]
    result = _result(told, options) | {"calls_at_the_provider": provider.requests, "odd": odd[:20], "log": internal}
    options.result.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print("written:", options.result)
    return not (failed or odd or internal)


async def _schemathesis(options: argparse.Namespace, url: str, folder: Path) -> bool:
    """Did it find anything?"""
    process = await asyncio.create_subprocess_exec(
        _PROGRAM, "run", url, "--checks", ",".join(_CHECKS), "--max-examples", str(options.examples), "--seed",
        str(options.seed), "--max-time", str(round(60 * options.minutes)), "--continue-on-failure", "--no-shrink",
        "--warnings", "off", "--report-json-path", str(folder / "report.json"), cwd=folder,
        env={**os.environ, "PYTHONPATH": "", "SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("hooks.py"))},
    )  # fmt: skip
    return await process.wait() != 0


def _result(told: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    kept = ("schemathesis_version", "running_time", "stop_reason", "operations", "phases", "test_cases", "failures")
    about = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "seed": options.seed, "checks": _CHECKS}
    return about | {name: told[name] for name in kept}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz.surface", description=__doc__.partition("\n")[0])
    parser.add_argument("--examples", type=int, default=20, help="of each operation and kind")
    parser.add_argument("--minutes", type=float, default=5, help="at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--result", type=Path, default=RESULT, metavar="FILE")
    options = parser.parse_args()
    install()
    return 0 if asyncio.run(run(options)) else 1


if __name__ == "__main__":
    sys.exit(main())
