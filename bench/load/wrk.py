"""wrk: as many requests as so many connections can carry. Closed loop, so its latencies are those of saturation."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench.load.distribution import PERCENTILES
from bench.load.seen import Seen

_MARK = "bench-result "

_SCRIPT = """\
local file = io.open("{body}", "rb")
wrk.method = "POST"
wrk.path = "{path}"
wrk.body = file:read("*a")
{headers}
function done(summary, latency, requests)
  local points = {{}}
  for i, percent in ipairs({{ {percentiles} }}) do
    local us = percent < 100 and latency:percentile(percent) or latency.max
    points[i] = string.format("[%g,%.3f]", percent, us / 1000)
  end
  local errors = summary.errors
  io.write(string.format('{mark}{{"requests":%d,"duration_us":%d,"curve":[%s],"errors":{{"connect":%d,"read":%d,' ..
    '"write":%d,"status":%d,"timeout":%d}}}}\\n', summary.requests, summary.duration, table.concat(points, ","),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
"""


def installed() -> bool:
    """Is wrk on PATH?"""
    return shutil.which("wrk") is not None


def run(scratch: Path, url: str, headers: Mapping[str, str], body: bytes, connections: int, seconds: float) -> Seen:
    """Post `body` to `url` over and over, in one thread. wrk takes whole seconds."""
    origin, _, path = url.removeprefix("http://").partition("/")
    payload, script = scratch / "wrk-body", scratch / "wrk.lua"
    payload.write_bytes(body)
    script.write_text(_script(payload, f"/{path}", headers), encoding="utf-8")
    length = max(1, round(seconds))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{length}s", "--timeout", "20s", "-s", str(script)]
    said = subprocess.run(  # noqa: S603 - a command of our own
        [*command, f"http://{origin}"], capture_output=True, text=True, check=False, timeout=length + 60
    )
    return parsed(said.stdout + said.stderr)


def parsed(output: str) -> Seen:
    """What our script made wrk print. Raises `ValueError` with wrk's words where it did not get that far."""
    for line in output.splitlines():
        if line.startswith(_MARK):
            told = json.loads(line.removeprefix(_MARK))
            return Seen(
                requests=told["requests"],
                rps=told["requests"] / (told["duration_us"] / 1e6),
                errors={kind: count for kind, count in told["errors"].items() if count},
                latencies_ms=tuple((float(percent), float(ms)) for percent, ms in told["curve"]),
            )
    raise ValueError(f"wrk did not finish: {output.strip()[-400:]}")


def _script(payload: Path, path: str, headers: Mapping[str, str]) -> str:
    return _SCRIPT.format(
        body=payload,
        path=path,
        headers="\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()),
        percentiles=", ".join(f"{percent:g}" for percent in PERCENTILES),
        mark=_MARK,
    )
