"""A way to a server that delays what comes back by `delay_s`, which may change at any time."""

import asyncio
from contextlib import suppress


class SlowWay:
    """Listens on a port of its own; `async with`."""

    def __init__(self, port: int) -> None:
        self.delay_s = 0.0
        self.port = 0
        self._target = port
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "SlowWay":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        ways = [self._carry(reader, other_writer, delayed=False), self._carry(other_reader, writer, delayed=True)]
        for task in map(asyncio.ensure_future, ways):
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delayed: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if delayed:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
        writer.close()
