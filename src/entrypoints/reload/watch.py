"""Whether the configuration's files have changed, for `reload: watch`: looked at once a second, without inotify.

Kubernetes replaces a mounted ConfigMap or Secret by pointing a symbolic link elsewhere, which no watch on the file
notices; so links are followed anew at each look. Editors write twice, or take a file away before they put it back: a
change counts when the files have been the same for a second.
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

LOOK_S = 1.0
QUIET_S = 1.0

Seen = tuple[tuple[str, int, int, int] | None, ...]
"""Where each file really is, when it was written (ns), its inode and its size; None = it is not there."""


def seen_now(files: Iterable[Path]) -> Seen:
    """What the files look like from outside."""
    return tuple(map(_seen, files))


def _seen(file: Path) -> tuple[str, int, int, int] | None:
    try:
        real = file.resolve()
        found = real.stat()
    except (OSError, ValueError, RuntimeError):  # the last for links that lead in a circle
        return None
    return str(real), found.st_mtime_ns, found.st_ino, found.st_size


def content_of(files: Sequence[Path], at_most: int) -> bytes:
    """A digest of what is in them, of `at_most` bytes each; what cannot be read counts as empty."""
    digest = hashlib.blake2b()
    for file in files:
        try:
            with file.open("rb") as opened:
                text = opened.read(at_most)
        except (OSError, ValueError):
            text = b""
        digest.update(b"%d:" % len(text) + text)
    return digest.digest()


class Quiet:
    """Notices a change once it is over. Times by the monotonic clock."""

    def __init__(self, seen: Seen) -> None:
        """`seen` is nothing new."""
        self._known = seen
        self._candidate = seen
        self._since = 0.0

    def look(self, seen: Seen, now: float) -> bool:
        """Have the files changed, and been as they are for `QUIET_S`? Once for each change."""
        if seen != self._candidate:
            self._candidate, self._since = seen, now
        if seen == self._known or now - self._since < QUIET_S:
            return False
        self._known = seen
        return True
