"""A way to a server that delays what comes back: `python -m bench.faults.slow_way PORT SECONDS` prints its own port.

A process of its own, so that nothing but the delay is added however busy a run's own loop is.
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator

from bench.servers.children import ROOT


@contextlib.contextmanager
def slow_way(port: int, delay_s: float) -> Iterator[int]:
    """Its port, as long as it is entered."""
    command = [sys.executable, "-m", "bench.faults.slow_way", str(port), str(delay_s)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own
        try:
            yield int(process.stdout.readline() if process.stdout else 0)
        finally:
            process.kill()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            if delay_s:
                await asyncio.sleep(delay_s)
            writer.write(data)
    writer.close()


async def _serve(port: int, delay_s: float) -> None:
    async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_carry(reader, other_writer, 0), _carry(other_reader, writer, delay_s))

    server = await asyncio.start_server(joined, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
