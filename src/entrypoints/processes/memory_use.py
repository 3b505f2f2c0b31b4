"""Memory that a crowd has used goes back to the system.

glibc takes large blocks from the system one by one, and gives each back when it is freed; but with the first one that
is freed it raises the size from which on it does so, up to 32 MiB, and what it keeps instead is in pieces that it gives
back only when it is asked to. A size that was set stays (mallopt(3), malloc_trim(3)). Other libraries have no such
calls, or take no notice of them.
"""

import ctypes
import threading
from collections.abc import Callable
from contextlib import suppress

from adapters.metrics.process_use import resident_bytes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_LARGE_BLOCK_BYTES = 128 * 1024
"""glibc's own default."""
_SPARE_BYTES = 8 * 1024 * 1024
"""That may be free at the end of the heap before it is given back, or have come or gone since the last look."""
_LOOK_EVERY_S = 10.0


def give_memory_back() -> None:
    """From here on, for as long as the process lives; nothing where the system's library is another one."""
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _SPARE_BYTES)
        trim = library.malloc_trim  # without the interpreter's lock, as all that ctypes calls
        resident_bytes()
        wait = threading.Event().wait
        threading.Thread(
            target=trim_now_and_then, args=(lambda: trim(0), resident_bytes, wait), name="memory", daemon=True
        ).start()


def trim_now_and_then(
    trim: Callable[[], object], resident: Callable[[], int], wait: Callable[[float], bool | None]
) -> None:
    """Trims whenever `_SPARE_BYTES` more or less are resident than after the last time: what has grown may have been
    freed, and what was freed may have left pieces. Ends when `wait`, which is given seconds, says so."""
    before = resident()
    while not wait(_LOOK_EVERY_S):
        if abs(resident() - before) >= _SPARE_BYTES:
            trim()
            before = resident()
