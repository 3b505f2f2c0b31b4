"""A server in a process of its own."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_OTHER = """
import socket
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
sock, _ = listening.accept()
sock.recv(65536)
sock.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 5\\r\\n\\r\\nother")
sock.recv(65536)
"""


@asynccontextmanager
async def other_process() -> AsyncIterator[str]:
    """The URL of a server that needs no file of this process; it answers one request."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _OTHER, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}/v1"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
