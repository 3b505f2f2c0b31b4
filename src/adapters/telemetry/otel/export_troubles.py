"""What the SDK says of exports that fail, and of variables that it does not take, as lines of the proxy's log: each
kind once in a while, not at each batch."""

import logging
import re
import time

REPEAT_S = 600.0
"""After so long trouble that goes on is told again."""

_SOURCE = "opentelemetry"
_OF_SAMPLERS = "opentelemetry.sdk.trace.sampling"  # it speaks of variables alone, without their names
_VARIABLE = re.compile(r"OTEL_[A-Z_]{1,60}")
_LONGEST = 200


class ExportTroubles(logging.Handler):
    """Of the words only what is fixed in them is shown, with numbers and kinds of errors: the rest might quote an
    address with a password."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger
        self._told: dict[str, float] = {}
        """When, by the words and the variable that they are about."""

    def take_over(self) -> None:
        """From here on what OpenTelemetry says comes here, and goes nowhere else."""
        source = logging.getLogger(_SOURCE)
        source.handlers = [self]
        source.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises: what cannot be told is not."""
        words, now = str(record.msg)[:_LONGEST], time.monotonic()
        given = record.args if isinstance(record.args, tuple) else ()
        variable = next((it for it in given if isinstance(it, str) and _VARIABLE.fullmatch(it)), "")
        if now - self._told.get(words + variable, -REPEAT_S) < REPEAT_S:
            return
        self._told[words + variable] = now
        fields: dict[str, object] = {"says": words}
        if variable or record.name == _OF_SAMPLERS:
            fields |= {"variable": variable} if variable else {}
            self._logger.warning("telemetry variable not taken", extra={"fields": fields})
            return
        errors = [it for it in (*given, *(record.exc_info or ())[1:2]) if isinstance(it, BaseException)]
        if errors:
            fields["error"] = type(errors[-1]).__name__
        if codes := [it for it in given if type(it) is int]:
            fields["code"] = codes[0]
        self._logger.warning("telemetry not exported", extra={"fields": fields})
