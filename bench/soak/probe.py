"""A look inside a worker: an application around the proxy's that answers one path of its own, and a longer look
(the census) at what is left after a garbage collection.

What the kernel cannot tell: tasks, what the Python heap and malloc hold, the pools of upstream connections, live
objects by type, how late the event loop is.
"""

import asyncio
import ctypes
import gc
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import msgspec

from adapters.http.server.client import Application, Client

PATH = "/_soak"
CENSUS_PATH = f"{PATH}/census"
REST_PATH = f"{PATH}/rest"
"""A census after all is forgotten that is only remembered to be quicker: it swings between nothing and its bound."""

TOP_TYPES = 50

_PACKAGES = frozenset({"domain", "application", "adapters", "entrypoints"})
_HTTP1_POOL = "adapters.upstreams.http1.pool"
_LAG_EVERY_S = 0.05


class App(Application, Protocol):
    """An application that says itself what is to be done before and after."""

    lifespan: Callable[[], AbstractAsyncContextManager[None]]


class Probe:
    """The application of one worker. `leak`, where there is one, is called for each request; `sizes` tells how much
    the stores hold, `forget` drops what is remembered only to be quicker."""

    def __init__(
        self,
        app: App,
        sizes: Callable[[], dict[str, float]],
        forget: Callable[[], None],
        leak: Callable[[], None] | None = None,
    ) -> None:
        self._app = app
        self.lifespan = app.lifespan
        self._sizes = sizes
        self._forget = forget
        self._leak = leak
        self._requests = 0
        self._lag = LoopLag()

    def begin(self, client: Client) -> Awaitable[None] | None:
        """Answer one request, or hand it on."""
        path = client.head.path
        if path.startswith(PATH):
            return _answer(client, self._look(path))
        self._requests += 1
        if self._leak is not None:
            self._leak()
        return self._app.begin(client)

    def _look(self, path: str) -> dict[str, Any]:
        metrics = self._metrics()
        if path not in (CENSUS_PATH, REST_PATH):
            return {"requests": self._requests, "metrics": metrics}
        gc.collect()
        if path == REST_PATH:
            self._forget()
        live = {"live_blocks": sys.getallocatedblocks(), "live_malloc": malloc_in_use_bytes()}
        return {"requests": self._requests, "metrics": metrics | live, "types": census()}

    def _metrics(self) -> dict[str, float]:
        self._lag.start()
        # The request that asks is a task as well.
        return {
            "tasks": len(asyncio.all_tasks()) - 1,
            "python_threads": threading.active_count(),
            "python_blocks": sys.getallocatedblocks(),
            "malloc": malloc_in_use_bytes(),
            "loop_lag_ms": self._lag.take_worst_ms(),
            **self._sizes(),
        }


class LoopLag:
    """How late a timer of the event loop rang at worst. A timer and not a task: it is not to be counted itself."""

    def __init__(self) -> None:
        self._worst_s = 0.0
        self._due: float | None = None

    def start(self) -> None:
        """From now on, in the running loop; again does nothing."""
        if self._due is None:
            self._arm()

    def take_worst_ms(self) -> float:
        """Since the last call."""
        worst_s, self._worst_s = self._worst_s, 0.0
        return worst_s * 1000

    def _arm(self) -> None:
        self._due = time.monotonic() + _LAG_EVERY_S
        asyncio.get_running_loop().call_later(_LAG_EVERY_S, self._ring)

    def _ring(self) -> None:
        if self._due is not None:
            self._worst_s = max(self._worst_s, time.monotonic() - self._due)
        self._arm()


def census() -> dict[str, float]:
    """Objects that the collector knows: all, the most frequent types, and every type of the proxy's own.

    Pools of upstream connections are in here as well, by what they hold.
    """
    objects = gc.get_objects()
    counted = Counter(map(type, objects))
    chosen = {kind for kind, _ in counted.most_common(TOP_TYPES)}
    chosen |= {kind for kind in counted if str(kind.__module__).partition(".")[0] in _PACKAGES}
    found: dict[str, float] = {f"type {kind.__module__}.{kind.__qualname__}": counted[kind] for kind in chosen}
    found["objects"] = len(objects)
    return found | _pools(objects)


def _pools(objects: Iterable[Any]) -> dict[str, float]:
    """What the pools of upstream connections say of themselves: connections lent out, and connections idle. A lost one
    stays lent for ever."""
    lent = idle = 0
    for each in objects:
        kind = type(each)  # to ask a dead weak proxy for its class raises
        if kind.__qualname__ == "Pool" and kind.__module__ == _HTTP1_POOL:
            lent += each._taken - len(each._idle)
            idle += len(each._idle)
    return {"pool_lent": lent, "pool_idle": idle}


class _MallInfo2(ctypes.Structure):
    """mallinfo2(3)."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


_mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
if _mallinfo2 is not None:
    _mallinfo2.restype = _MallInfo2


def malloc_in_use_bytes() -> float:
    """What C's allocator has given out, all arenas; 0 where it cannot tell (musl, macOS, glibc before 2.33)."""
    if _mallinfo2 is None:
        return 0.0
    info = _mallinfo2()
    return float(info.uordblks + info.hblkhd)


async def _answer(client: Client, report: dict[str, Any]) -> None:
    body = msgspec.json.encode(report)
    taken = client.reply(200, ("content-type: application/json", f"content-length: {len(body)}"), body)
    if taken is not None:
        await taken
