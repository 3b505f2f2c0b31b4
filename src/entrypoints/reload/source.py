"""Where the configuration that is served comes from, and how it is read anew."""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from entrypoints.config.reading.mistakes import Report
from entrypoints.config.settings import Settings


class Source(Struct, frozen=True):
    """A file, and what the command line says besides."""

    path: Path
    read: Callable[[Report], Settings]
    """Raises `ConfigError`; the report then has all mistakes, and in any case the other files that were read."""
    refusal: str = ""
    """Why it cannot be read anew; empty = it can be."""
