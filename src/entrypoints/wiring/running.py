"""What runs here: the version, and the worker."""

import os
import time

from application.use_cases.overview import Running, Worker
from entrypoints.config.settings import GeneralSettings
from entrypoints.version import version


def running_now(general: GeneralSettings) -> Running:
    """Of this process. Where its files are is nobody's business."""
    workers = (os.cpu_count() or 1) if general.workers == "auto" else general.workers
    return Running(version().partition(" ")[0], int(time.time()), Worker(os.getpid(), workers))
