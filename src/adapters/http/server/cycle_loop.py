"""Answers the requests of one connection, one after the other: at once where it can be, else in a task."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from adapters.http.server.cycle import RequestCycle
from adapters.http.server.host import ServerContext
from adapters.http.server.request.body import ClientTransport


class CycleLoop:
    """One task for all requests of a connection: another one for each would cost more than what it is given to do."""

    def __init__(self, line: ClientTransport, host: ServerContext[Any]) -> None:
        self.is_free = True
        """May `answer` be called? Else the request comes next by itself."""
        self._line = line
        self._host = host
        self._begun: tuple[RequestCycle, Awaitable[None]] | None = None
        """What the task is to go on with, whether its client leaves or not."""
        self._task: asyncio.Task[None] | None = None
        self._next: asyncio.Future[None] | None = None

    def answer(self, cycle: RequestCycle) -> None:
        """Have the application answer: at once if it can, else in the task, with those that follow."""
        work = cycle.begin(self._host.app)
        if work is not None:
            self._begun = cycle, work
        elif self._line.cycle is None:
            return
        self.is_free = False
        if self._task is None:
            self._task = self._host.loop.create_task(self._run())
        else:
            self.wake()

    def wake(self) -> None:
        """Let a task that waits for a request look again."""
        if self._next is not None:
            self._next.set_result(None)
            self._next = None

    async def _run(self) -> None:
        line, host = self._line, self._host
        cycle: RequestCycle | None
        work: Awaitable[None] | None
        host.running.add(line)
        try:
            while True:
                if self._begun is not None:
                    (cycle, work), self._begun = self._begun, None
                elif (cycle := line.cycle) is not None:
                    work = cycle.begin(host.app)
                elif line.transport is None:
                    break
                else:
                    host.running.discard(line)
                    self._next = host.loop.create_future()
                    self.is_free = True
                    await self._next
                    self.is_free = False
                    host.running.add(line)
                    continue
                if work is not None:
                    cycle.task = self._task
                    try:
                        await work
                    except Exception as error:
                        line.crashed(error)
                    finally:
                        cycle.end()
                cycle = work = None  # they are not kept while the next one is waited for
                if line.cycle is not None:
                    await asyncio.sleep(0)  # a client with many requests at once does not keep others waiting
        finally:
            host.running.discard(line)
            self._next = self._task = None
            self.is_free = True
            if line.transport is None:
                host.left(line)
