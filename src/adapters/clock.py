"""Real time, behind the `Clock` port."""

import asyncio
import time


class SystemClock:
    """The monotonic clock; uvloop and asyncio take their loop time from the same one."""

    now = staticmethod(time.monotonic)
    """Seconds."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def unix(self) -> float:
        """Unix seconds."""
        return time.time()
