"""Log lines written by a thread of their own: a full pipe or a slow disk must not stop the requests."""

import logging
import queue
import threading

MAX_WAITING = 10_000
"""Lines that wait to be written; what comes beyond is dropped and counted."""

_STOP_S = 2.0


class BackgroundHandler(logging.Handler):
    """Hands records to `target` in a thread. The thread starts with the first record, so it survives no fork."""

    def __init__(self, target: logging.Handler) -> None:
        super().__init__()
        self._target = target
        self._waiting: queue.SimpleQueue[logging.LogRecord | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Never blocks: a line that finds no room is dropped, and the next that does says how many were."""
        if self._waiting.qsize() >= MAX_WAITING:
            self._dropped += 1
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="log-writer", daemon=True)
            self._thread.start()
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            lost = logging.LogRecord(record.name, logging.WARNING, "", 0, "log lines dropped", None, None)
            lost.fields = {"lines": dropped}
            self._waiting.put(lost)
        self._waiting.put(record)

    def close(self) -> None:
        """Write what waits, for at most two seconds."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(_STOP_S)
            self._thread = None
        super().close()

    def _write(self) -> None:
        while (record := self._waiting.get()) is not None:
            self._target.handle(record)
