"""Whether something waits in a socket for the event loop to read it."""

import asyncio
import select


def has_unread(transport: asyncio.BaseTransport) -> bool:
    """Has something come, or the end, that the loop has not read yet?"""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return False
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))
