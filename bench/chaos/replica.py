"""`python -m bench.chaos.replica ...`: the proxy as `python -m entrypoints.http ...` runs it, in a world whose names
and clock the run controls, and with a fault planted where it is told to.
"""

import os
import socket
import sys
import time
from pathlib import Path

from adapters.upstreams.http1 import resolver
from bench.chaos.controls import DOMAIN, Controls
from bench.chaos.plants import plant
from entrypoints import http
from entrypoints.processes.parent_watch import die_with

CONTROLS_VARIABLE = "LLMPROXY_CHAOS_CONTROLS"
PLANT_VARIABLE = "LLMPROXY_CHAOS_PLANT"


def _control(controls: Controls) -> None:
    real_time, real_look_up = time.time, resolver._look_up

    async def look_up(host: str) -> list[str]:
        if not host.endswith(DOMAIN):
            return await real_look_up(host)
        if controls.is_gone(host.removesuffix(DOMAIN)):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ["127.0.0.1"]

    resolver._look_up = look_up
    time.time = lambda: real_time() + controls.clock_s


def main() -> int:
    """What the entrypoint does; a run that is killed takes its replicas along. Workers are forked, and inherit it."""
    die_with(os.getppid())
    _control(Controls(Path(os.environ[CONTROLS_VARIABLE])))
    kind = os.environ.get(PLANT_VARIABLE)
    if kind:
        plant(kind)
    return http.main()


if __name__ == "__main__":
    sys.exit(main())
