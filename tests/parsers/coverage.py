"""Which ways through the code an input takes, and how many lines: by `sys.settrace`, for the product's own modules.

Parsers in C show in what becomes of an input, and not here.
"""

import sys
from collections.abc import Callable, Hashable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_PRODUCT = str(Path(__file__).parents[2] / "src")

Feature = Hashable
"""A line that came after another, or an end that an input came to."""


class Coverage:
    """What one input after the other does."""

    def __init__(self) -> None:
        self.features: set[Feature] = set()
        """Of the last input."""
        self.steps = 0
        """Lines that it took."""
        self._places: dict[CodeType, int] = {}
        self._last = 0

    def of(self, run: Callable[[bytes], Hashable], data: bytes, *, is_traced: bool = True) -> None:
        """Run it; raises what it raises. Without a trace, in a third of the time, only its end is seen."""
        self.features = set()
        self.steps = self._last = 0
        before = sys.gettrace()
        if is_traced:
            sys.settrace(self._called)
        try:
            end = run(data)
        finally:
            sys.settrace(before)
        self.features.add(("end", end))

    def _called(self, frame: FrameType, event: str, _: Any) -> Any:
        place = self._places.get(frame.f_code)
        if place is None:
            is_ours = frame.f_code.co_filename.startswith(_PRODUCT)
            place = self._places[frame.f_code] = (len(self._places) + 1) << 16 if is_ours else 0
        if not place:
            return None
        features = self.features

        def line(frame: FrameType, event: str, _: Any) -> Any:
            if event == "line":
                self.steps += 1
                here = place + frame.f_lineno
                features.add(self._last << 32 | here)
                self._last = here
            return line

        return line
