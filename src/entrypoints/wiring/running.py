"""What runs here: the version, the process."""

import os
import time

from adapters.metrics.process_use import ProcessMeter
from application.ports import Clock
from application.use_cases.proxy_report import Running
from application.use_cases.workers import Process
from entrypoints.config.settings import GeneralSettings
from entrypoints.version import version


def running_now(general: GeneralSettings) -> Running:
    """Of this process. Where its files are is nobody's business."""
    workers = (os.cpu_count() or 1) if general.workers == "auto" else general.workers
    return Running(version().partition(" ")[0], os.getpid(), workers)


def process_now(clock: Clock) -> Process:
    """This one, which has just started."""
    return Process(os.getpid(), time.time(), ProcessMeter(clock))
