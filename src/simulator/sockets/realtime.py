"""A Realtime socket of the provider."""

import asyncio
import time

import msgspec

from adapters.websocket.messages import Piece
from simulator.sockets.conversation import Conversation, Event
from simulator.sockets.session import SocketSession

MOST_MESSAGE_BYTES = 32 * 1024 * 1024


async def talk(session: SocketSession, conversation: Conversation, refusal: tuple[Event, int, str] | None) -> None:
    """`refusal`: an error, and the close that follows it; None = the client may come in."""
    try:
        if refusal is not None:
            event, code, reason = refusal
            await session.say(msgspec.json.encode(event))
            session.socket.close(code, reason)
        elif not session.goes_wrong():
            await _converse(session, conversation)
    except TimeoutError:
        await session.say(msgspec.json.encode(conversation.expired()))
        session.socket.close(1001, "Your session hit the maximum duration of 60 minutes.")
    finally:
        await session.end()


async def _converse(session: SocketSession, conversation: Conversation) -> None:
    settings = session.settings
    async with asyncio.timeout(settings.session_s):
        first = await session.socket.receive() if session.waits else None
        await session.say(msgspec.json.encode(conversation.opened(int(time.time() + settings.session_s))))
        while isinstance(piece := first or await session.socket.receive(), Piece):
            first = None
            if session.is_silent:
                continue
            session.heard(piece.data)
            for event in conversation.answers(piece.data, is_text=piece.is_text):
                if not session.socket.is_open:
                    return
                if settings.tokens_per_second and event["type"].endswith(".delta"):
                    await asyncio.sleep(1 / settings.tokens_per_second)
                await session.say(msgspec.json.encode(event))
