"""What runs here: the version, the generation of its configuration, the worker."""

import os
import time
from importlib.metadata import PackageNotFoundError, version

from application.use_cases.overview import Running, Worker
from entrypoints.config.settings import GeneralSettings


def running_now(general: GeneralSettings) -> Running:
    """Of this process."""
    try:
        name = version("llmproxy")
    except PackageNotFoundError:
        name = "unknown"
    workers = (os.cpu_count() or 1) if general.workers == "auto" else general.workers
    return Running(name, 1, int(time.time()), Worker(os.getpid(), workers))
