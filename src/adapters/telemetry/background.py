"""Log lines written by a thread of their own: a full pipe or a slow disk must not stop the requests."""

import contextlib
import logging
import threading
import time
from typing import TextIO

MAX_WAITING = 10_000  # lines that wait to be written; what comes beyond is dropped and counted

_STOP_S = 2.0
_BATCH_S = 0.02


class BackgroundHandler(logging.Handler):
    """Writes to `stream` in a thread. That starts with the first record: it would not survive a fork."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._waiting: list[logging.LogRecord | None] = []  # None = the thread may end
        self._thread: threading.Thread | None = None
        self._is_called = False  # was the thread told that something waits? It needs telling once
        self._call = threading.Event()
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Never blocks: a line that finds no room is dropped, and the next that does says how many were."""
        if len(self._waiting) >= MAX_WAITING:
            self._dropped += 1
            return
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            lost = logging.LogRecord(record.name, logging.WARNING, "", 0, "log lines dropped", None, None)
            lost.fields = {"lines": dropped}
            self._waiting.append(lost)
        self._waiting.append(record)
        if not self._is_called:
            self._wake()

    def close(self) -> None:
        """Write what waits, for at most two seconds."""
        if self._thread is not None:
            self._waiting.append(None)
            self._call.set()
            self._thread.join(_STOP_S)
            self._thread = None
        super().close()

    def _wake(self) -> None:
        self._is_called = True
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="log-writer", daemon=True)
            self._thread.start()
        self._call.set()

    def _write(self) -> None:
        """In batches: a thread that woke for every line would take the interpreter from the requests as often."""
        while True:
            self._call.wait()
            self._call.clear()
            time.sleep(_BATCH_S)
            self._is_called = False  # before the look: what comes after it calls again
            batch = self._waiting[:]
            del self._waiting[: len(batch)]
            with contextlib.suppress(OSError, ValueError):  # nobody is there to read it any more
                self._stream.write("".join([self._line(record) for record in batch if record is not None]))
                self._stream.flush()
            if None in batch:
                return

    def _line(self, record: logging.LogRecord) -> str:
        """Each by itself: one that cannot be written, whatever a client put into it, takes no other along."""
        try:
            line = self.format(record)
            line.encode(self._stream.encoding or "utf-8", self._stream.errors or "strict")
        except Exception as error:
            lost = logging.LogRecord(record.name, logging.WARNING, "", 0, "log line lost", None, None)
            lost.fields = {"error": type(error).__name__}
            line = self.format(lost)
        return f"{line}\n"
