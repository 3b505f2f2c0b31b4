"""What happens to the proxy as a whole, in the log and in its format: one line for all workers."""

import logging
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from adapters.telemetry.log_lines import LOGGER, line_format


class _Lines(logging.StreamHandler):  # type: ignore[type-arg] # generic only for type checkers
    """Writes at once, and without a thread: that would not survive the forks of the workers."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's
        """That nobody can read a line is no reason to stop."""


class Events:
    """Lines of the process that starts and stops the workers."""

    def __init__(self, level: str, log_format: str | None) -> None:
        """As in general_settings."""
        self._logger = logging.getLogger(f"{LOGGER}.parent")
        handler = _Lines()
        handler.setFormatter(line_format(log_format))
        self._logger.handlers = [handler]
        self._logger.setLevel(level.upper())
        self._logger.propagate = False

    def starting(self, config: Path, workers: int, warnings: Sequence[str]) -> None:
        """The configuration is valid; `warnings` are sentences about it."""
        self._write(logging.INFO, "start", config=str(config), workers=workers, python=platform.python_version())
        for warning in warnings:
            self._write(logging.WARNING, "configuration warning", warning=warning)

    def cannot_listen(self, reason: str) -> None:
        """The start ends here."""
        self._write(logging.ERROR, "cannot listen", reason=reason)

    def address_absent(self, host: str, address: str) -> None:
        """The name has an address that is none of this machine's."""
        self._write(
            logging.WARNING, "address not available", host=host, address=address, remedy="name the address to listen on"
        )

    def ready(self, url: str, addresses: Sequence[str]) -> None:
        """All workers take connections."""
        self._write(logging.INFO, "ready", url=url, addresses=", ".join(addresses))

    def draining(self, signal_name: str, drain_timeout_s: float) -> None:
        """No more connections are taken, requests that run may end."""
        self._write(logging.INFO, "draining", signal=signal_name, seconds=drain_timeout_s)

    def cutting(self, reason: str) -> None:
        """Workers that have not ended are killed, with the requests they run."""
        self._write(logging.WARNING, "workers killed", reason=reason)

    def stopped(self, exit_code: int) -> None:
        """No worker is left."""
        self._write(logging.INFO, "stop", exit_code=exit_code)

    def worker_not_started(self, number: int, reason: str) -> None:
        """No memory or no process is left; it is tried again."""
        self._write(logging.WARNING, "worker not started", worker=number, reason=f"{reason}; trying again")

    def worker_lost(self, number: int, pid: int | None, how: str) -> None:
        """A worker that served ended unasked."""
        self._write(logging.WARNING, "worker lost", worker=number, pid=pid, how=f"{how}; it is replaced")

    def worker_silent(self, number: int, pid: int, seconds: float) -> None:
        """A worker is there and does nothing: it is stopped, or its loop is stuck."""
        told = f"no sign of life for {seconds:.0f} s; it is killed"
        self._write(logging.WARNING, "worker silent", worker=number, pid=pid, how=told)

    def worker_failed(self, number: int, pid: int | None, how: str) -> None:
        """A worker ended before it took a request: the next would end so too."""
        told = f"{how}, before it took a request; giving up"
        self._write(logging.ERROR, "worker failed", worker=number, pid=pid, how=told)

    def reloaded(self, generation: int, seconds: float, workers: int, asked_by: str, warnings: Sequence[str]) -> None:
        """All workers serve with another configuration; `warnings` are sentences about it that are new."""
        fields = {"generation": generation, "seconds": seconds, "workers": workers, "asked_by": asked_by}
        self._write(logging.INFO, "reload", **fields)
        for warning in warnings:
            self._write(logging.WARNING, "configuration warning", warning=warning)

    def reload_refused(self, reasons: Sequence[str], asked_by: str) -> None:
        """The configuration before stays. Each reason is a mistake, or a worker's trouble."""
        self._write(logging.ERROR, "reload refused", asked_by=asked_by, reasons=reasons)

    def not_controllable(self, reason: str) -> None:
        """`llmproxy reload` will not find this proxy."""
        told = f"{reason}; llmproxy reload will not find this proxy, SIGHUP works"
        self._write(logging.WARNING, "no control socket", reason=told)

    def level(self, level: str) -> None:
        """As in general_settings, from now on."""
        self._logger.setLevel(level.upper())

    def _write(self, level: int, event: str, **fields: object) -> None:
        with suppress(OSError, ValueError):
            self._logger.log(level, event, extra={"fields": fields})
