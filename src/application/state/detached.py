"""Work that goes on when the client that asked for it has left."""

import asyncio
from collections.abc import Awaitable

from application.answers import Answer, WholeAnswer
from application.held_bytes import HeldBytes, Holding

MAX_DETACHED = 100  # so many go on without their clients; beyond it a client's leaving ends its request


class Detached:
    """Background responses: they are begun, and what they are called is learned, whoever leaves meanwhile."""

    def __init__(self, held: HeldBytes, max_detached: int = MAX_DETACHED) -> None:
        self._held = held
        self._max_detached = max_detached
        self._tasks: set[asyncio.Future[Answer]] = set()
        self.count = 0  # how many go on whose clients have left

    async def __call__(self, work: Awaitable[Answer], asked_bytes: int) -> Answer:
        """What `work` gives; a cancelled caller leaves it running, if not too many run so, and its answer is let go of.
        `asked_bytes` is what the request holds: as long as the caller is there, that is the caller's to count."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._leave(task, asked_bytes)
            raise
        finally:
            del task  # what it raises leads to this frame, and from here to it again

    def _leave(self, task: asyncio.Future[Answer], asked_bytes: int) -> None:
        task.add_done_callback(_let_go)
        if task.done():
            return
        if self.count >= self._max_detached:
            task.cancel()
            return
        self.count += 1
        holding = Holding(self._held)
        holding.count(asked_bytes)

        def over(_: asyncio.Future[Answer]) -> None:
            self.count -= 1
            holding.close()

        task.add_done_callback(over)


def _let_go(task: asyncio.Future[Answer]) -> None:
    if task.cancelled() or task.exception() is not None:
        return
    answer = task.result()
    if not isinstance(answer, WholeAnswer):
        answer.close()
