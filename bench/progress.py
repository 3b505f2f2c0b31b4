"""Says what is being measured, how far it is and how long it will take."""

import sys
import time


class Progress:
    """One line that is rewritten on a terminal; a line for each row elsewhere."""

    def __init__(self, about_s: float) -> None:
        self._about_s = about_s
        self._began = time.monotonic()
        self._planned_s = 0.0
        self._row = ""
        self._terminal = sys.stdout.isatty()

    @property
    def elapsed_s(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._began

    def row(self, title: str, about_s: float) -> None:
        """A row begins, which takes about so long."""
        self._row = title
        self._planned_s += about_s
        if not self._terminal:
            print(f"[{_clock(self.elapsed_s)} of about {_clock(self._about_s)}] {title}", flush=True)

    def step(self, what: str) -> None:
        """Within the row: this is done now."""
        if self._terminal:
            share = min(1.0, self.elapsed_s / self._about_s) if self._about_s else 1.0
            bar = ("#" * round(share * 20)).ljust(20, ".")
            line = f"[{bar}] {_clock(self.elapsed_s)} of about {_clock(self._about_s)}  {self._row}: {what}"
            print(f"\r\x1b[2K{line[:160]}", end="", flush=True)

    def done(self, text: str) -> None:
        """The row is measured; `text` stays on the screen."""
        print(f"\r\x1b[2K{text}" if self._terminal else text, flush=True)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
