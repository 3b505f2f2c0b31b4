"""Turns on a Responses socket (OpenAI's guide "WebSocket mode"): each is answered like a request that is posted, and
its events are messages. What is not stored is remembered here: the latest response of each lane.
"""

import asyncio
import string
import time
from collections import defaultdict
from typing import Any

import msgspec

from adapters.websocket.messages import Piece
from simulator.account import Account
from simulator.calls import Call, Request, understand
from simulator.protocol.reply import Reply
from simulator.sockets.session import SocketSession

MOST_RUNNING = 16
MOST_NAMES = 32
LONGEST_NAME = 256
_LETTERS = frozenset(string.ascii_letters + string.digits + "_.-")
_TOLD = ("retry-after", "x-ratelimit-")
_FOR_THE_SOCKET = ("type", "stream_id", "generate")

Event = dict[str, Any]


class Turns:
    """All of one socket: those of a lane one after the other, lanes beside one another."""

    def __init__(self, session: SocketSession, call: Call, account: Account) -> None:
        self._session = session
        self._call = call
        self._account = account
        self._began_s = time.monotonic()
        self._lanes: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._slots = asyncio.Semaphore(1 if call.route.is_azure else MOST_RUNNING)
        self._latest: dict[str, str] = {}
        """Ids of the latest responses, by lane."""

    async def run(self) -> None:
        """Until the socket is closed."""
        session, running = self._session, set[asyncio.Task[None]]()
        try:
            if not session.goes_wrong():
                while isinstance(piece := await session.socket.receive(), Piece):
                    if not session.is_silent:
                        session.heard(piece.data)
                        task = asyncio.get_running_loop().create_task(self._hear(piece))
                        running.add(task)
                        task.add_done_callback(running.discard)
        finally:
            for task in running:
                task.cancel()
            await session.end()

    async def _hear(self, piece: Piece) -> None:
        try:
            event = msgspec.json.decode(piece.data) if piece.is_text else None
        except ValueError:
            event = None
        kind = event.get("type") if isinstance(event, dict) else None
        if not isinstance(event, dict) or not isinstance(kind, str):
            await self._refuse(400, "Messages are JSON objects with a 'type'.", "invalid_event")
        elif kind == "response.create":
            await self._create(event)
        elif kind in ("response.steer", "response.inject"):
            error = {"code": "steering_not_supported", "message": "Not here."}
            await self._session.say(
                msgspec.json.encode({"type": f"{kind}.failed", "error": error, "input": event.get("input")})
            )
        elif kind != "response.processed":
            await self._refuse(400, f"Unknown event type '{kind}'.", "unknown_event_type")

    async def _create(self, event: Event) -> None:
        lane = event.get("stream_id", "")
        if "stream_id" in event and (not lane or len(lane) > LONGEST_NAME or not _LETTERS.issuperset(lane)):
            await self._refuse(400, "'stream_id' is not valid.", "invalid_stream_id")
        elif lane not in self._lanes and len([name for name in self._lanes if name]) >= MOST_NAMES:
            await self._refuse(400, "Too many lanes.", "websocket_stream_limit_reached", lane)
        elif time.monotonic() - self._began_s > self._session.settings.session_s:
            await self._refuse(400, "Open another connection.", "websocket_connection_limit_reached", lane)
        elif event.get("background"):
            await self._refuse(400, "'background' is not supported over WebSocket.", "invalid_value", lane)
        else:
            async with self._lanes[lane], self._slots:
                self._session.begin_turn()
                if not self._session.goes_wrong():
                    await self._answer(event, lane)

    async def _answer(self, event: Event, lane: str) -> None:
        fields = {name: value for name, value in event.items() if name not in _FOR_THE_SOCKET} | {"stream": True}
        previous = fields.get("previous_response_id")
        if previous in self._latest.values():
            fields.pop("previous_response_id")
        posted = self._call.request
        request = Request("POST", posted.target, posted.headers, msgspec.json.encode(fields))
        reply = self._account.answer(understand(request), time.monotonic(), time.time())
        if reply.events is None:
            for name in [name for name, known in self._latest.items() if known == previous]:
                del self._latest[name]
            await self._session.say(_in_lane(_error_frame(reply), lane))
            return
        await asyncio.sleep(self._session.settings.latency_s)
        opening, closing = list(map(_payload, reply.events.opening)), list(map(_payload, reply.events.closing))
        if event.get("generate") is False:
            await self._say_all([opening[0], _emptied(closing[-1])], lane)
        else:
            await self._say_all(opening, lane)
            for frame in reply.events.tokens:
                if self._session.settings.tokens_per_second:
                    await asyncio.sleep(1 / self._session.settings.tokens_per_second)
                await self._say_all([_payload(frame)], lane)
            await self._say_all(closing, lane)
        self._latest[lane] = msgspec.json.decode(opening[0])["response"]["id"]

    async def _say_all(self, payloads: list[bytes], lane: str) -> None:
        for payload in payloads:
            await self._session.say(_in_lane(payload, lane))

    async def _refuse(self, status: int, message: str, code: str, lane: str = "") -> None:
        error = {"type": "invalid_request_error", "code": code, "message": message, "param": None}
        frame = msgspec.json.encode({"type": "error", "status": status, "error": error})
        await self._session.say(_in_lane(frame, lane))


def _payload(frame: bytes) -> bytes:
    """Of an event of a stream."""
    return frame.partition(b"data: ")[2].rstrip(b"\n")


def _in_lane(payload: bytes, lane: str) -> bytes:
    return b'{"stream_id":"%b",%b' % (lane.encode(), payload[1:]) if lane else payload


def _emptied(completed: bytes) -> bytes:
    """The end of a turn that only warms up."""
    event = msgspec.json.decode(completed)
    event["sequence_number"], event["response"]["output"] = 1, []
    return msgspec.json.encode(event)


def _error_frame(reply: Reply) -> bytes:
    lines = (line.partition(": ") for line in reply.headers.decode("latin-1").split("\r\n"))
    headers = {name: value for name, _, value in lines if name.startswith(_TOLD)}
    return msgspec.json.encode(
        {"type": "error", "status": reply.status, "headers": headers} | msgspec.json.decode(reply.body)
    )
