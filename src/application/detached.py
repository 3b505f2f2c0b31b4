"""Work that goes on when the client that asked for it has left."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from application.answers import Answer, WholeAnswer


class Detached:
    """Background responses: they are begun, and what they are called is learned, whoever leaves meanwhile."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Answer]] = set()

    async def __call__(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """What `work` gives; a cancelled caller leaves it running, and its answer is let go of."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_let_go)
            raise
        finally:
            del task  # which knows an error that it ended with, which knows what it was raised through: this


def _let_go(task: asyncio.Task[Answer]) -> None:
    """Nobody is there to take the answer."""
    if task.cancelled() or task.exception() is not None:
        return
    answer = task.result()
    if not isinstance(answer, WholeAnswer):
        answer.close()
