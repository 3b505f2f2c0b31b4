"""What others warn about, asyncio and the libraries, as log lines: without it Python prints them, bare, between ours.

A line names the source, the place and the kind of error, and of the text only the first line, without what is filled
in: that, or the text of an exception, might quote a body or a key.
"""

import logging
import traceback
import warnings
from typing import TextIO

_EVENT = "warning"
_LONGEST = 200


class ForeignLines(logging.Handler):
    """Of all loggers that are not the proxy's own."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises: a line that cannot be made is none."""
        text = record.msg.partition("\n")[0] if isinstance(record.msg, str) else ""
        fields = {"source": record.name, "says": text[:_LONGEST], "where": f"{record.filename}:{record.lineno}"}
        kind, _, trace = record.exc_info or (None, None, None)
        if kind is not None:
            fields["error"] = kind.__name__
        if frames := traceback.extract_tb(trace):
            fields["where"] = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}"
        self._logger.log(record.levelno, _EVENT, extra={"fields": fields})

    def show(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,  # noqa: ARG002 - as Python calls it
        line: str | None = None,  # noqa: ARG002
    ) -> None:
        text = str(message).partition("\n")[0]
        where = f"{filename.rpartition('/')[2]}:{lineno}"
        fields = {"source": "python", "says": text[:_LONGEST], "where": where, "error": category.__name__}
        self._logger.warning(_EVENT, extra={"fields": fields})


def take_in_others(logger: logging.Logger) -> None:
    """From here on what others say goes to `logger`, in its format. A second call replaces the first."""
    lines = ForeignLines(logger)
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, ForeignLines)]:
        root.removeHandler(handler)
    root.addHandler(lines)
    warnings.showwarning = lines.show
