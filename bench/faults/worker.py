"""`python -m bench.faults.worker ...`: the proxy as `python -m entrypoints.http ...` runs it, with a look inside.

`LLMPROXY_FAULTS_CLOCK_S` in the environment sets its wall clock wrong by so many seconds; a file that
`LLMPROXY_FAULTS_CLOCK_FILE` names does so while it runs, whenever what is in it changes.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import cast

from dependency_injector import providers

CLOCK_VARIABLE = "LLMPROXY_FAULTS_CLOCK_S"
CLOCK_FILE_VARIABLE = "LLMPROXY_FAULTS_CLOCK_FILE"


def set_clock_wrong() -> None:
    """Before anything of the proxy is imported, which may take the function and not the module."""
    true = time.time
    path = os.environ.get(CLOCK_FILE_VARIABLE)
    fixed = float(os.environ.get(CLOCK_VARIABLE) or 0)
    if path is not None:
        file = Path(path)
        time.time = lambda: true() + float(file.read_text() or 0)
    elif fixed:
        time.time = lambda: true() + fixed


def main() -> int:
    """What the entrypoint does, with another application; a run that is killed takes its proxies along."""
    set_clock_wrong()
    from application.observing.worker_reports import WorkerReports  # noqa: PLC0415
    from bench.soak.probe import App, Probe  # noqa: PLC0415 - after the clock
    from entrypoints import http  # noqa: PLC0415
    from entrypoints.config.settings import Settings  # noqa: PLC0415
    from entrypoints.container import Container  # noqa: PLC0415
    from entrypoints.processes import worker  # noqa: PLC0415
    from entrypoints.processes.parent_watch import die_with  # noqa: PLC0415

    def probed(settings: Settings, worker_reports: WorkerReports) -> Container:
        container = Container(settings=settings, worker_reports=worker_reports)

        def sizes() -> dict[str, float]:
            return {
                "pid": os.getpid(),
                "in_flight": len(container.in_flight()._running),
                "sockets": container.behind().open,
                "held_bytes": container.held().held_bytes,
                **Counter(f"task {getattr(task.get_coro(), '__qualname__', '?')}" for task in asyncio.all_tasks()),
            }

        app = Probe(cast(App, container.app()), sizes, lambda: None)
        container.app.override(providers.Object(app))
        return container

    die_with(os.getppid())
    worker.Container = probed  # type: ignore[assignment,attr-defined]
    return http.main()


if __name__ == "__main__":
    sys.exit(main())
