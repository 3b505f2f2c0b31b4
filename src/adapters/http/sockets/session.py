"""One Responses socket: its turns in their lanes, what they build on, and its end."""

import asyncio
import secrets
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import structs

from adapters.http.server.error_body import status_of
from adapters.http.server.request.head import RequestHead
from adapters.http.sockets.behind import Behind
from adapters.http.sockets.client_frames import Addition, BadFrame, Cancel, Create, client_event
from adapters.http.sockets.server_frames import encode, error_frame, in_lane, is_thought, kept_items, warmed_up
from adapters.http.sockets.turn import Turn
from adapters.websocket.connection import WebSocket
from adapters.websocket.messages import Closed, Piece
from application.held_bytes import Holding, TooMuchHeld
from domain.sockets.lanes import LaneRefusal, Lanes
from domain.sockets.transcript import Node, Transcript, expanded

MOST_REMEMBERED_BYTES = 64 * 1024 * 1024
"""Of what was said on one socket."""
FAREWELL_S = 5.0
"""After a handover the client has so long to go by itself."""
_ID_BYTES = 24
_CLOSED = "the socket is closed"

REFUSALS = {
    LaneRefusal.INVALID_NAME: "'stream_id' has up to 256 of the characters A-Z a-z 0-9 _ . -",
    LaneRefusal.TOO_MANY_NAMES: "This socket has had 32 named lanes; open another socket.",
    LaneRefusal.QUEUE_FULL: "Too many turns wait on this socket; wait for one to end.",
}


class Session:
    """From the handshake to the end of the socket."""

    def __init__(
        self, socket: WebSocket, head: RequestHead, addresses: Mapping[str, Any], behind: Behind, *, shows_turns: bool
    ) -> None:
        """`head`: of each turn, as a request. `shows_turns`: is each to be told of by an event of ours?"""
        self.turns = self.handovers = 0
        self._socket = socket
        self._head = head
        self._addresses = addresses
        self._behind = behind
        self._shows_turns = shows_turns
        self._lanes = Lanes()
        self._waiting: defaultdict[str, deque[Create]] = defaultdict(deque)
        self._queued = Holding(behind.held)
        """What turns that wait take."""
        self._running: dict[str, Turn] = {}
        """By lane."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._transcript = Transcript()
        self._memory = Holding(behind.held)
        self._ends_because = ""
        """Why no more turns are taken; empty = they are."""

    async def run(self, first: Piece | None = None) -> Closed:
        """Until the socket is closed; then all its turns are over as well. `first`: what the client has said already;
        None = nothing."""
        self._socket.when_stopping = self._drain
        try:
            piece: Piece | Closed = first or await self._socket.receive()
            while isinstance(piece, Piece):
                if self._socket.is_open:  # else nobody would be answered
                    if piece.is_text:
                        self._take(piece.data)
                    else:
                        self._socket.close(1003, "messages are text")
                    # Turns begin, others have their turn, and to a client that reads nothing no more is said.
                    await (self._socket.writable() or asyncio.sleep(0))
                piece = await self._socket.receive()
            return piece
        finally:
            self._ends_because = _CLOSED
            self._waiting.clear()
            self._lanes = structs.replace(self._lanes, waiting=())
            for turn in tuple(self._running.values()):
                turn.disconnect()
            if self._tasks:
                await asyncio.wait(self._tasks)
            self._memory.close()
            self._queued.close()

    def _take(self, message: bytes) -> None:
        try:
            event = client_event(message)
        except BadFrame as bad:
            self._socket.send(error_frame(str(bad), bad.code, 400, bad.lane, param=bad.param))
            return
        match event:
            case Create():
                self._offer(event)
            case Cancel():
                self._cancel(event)
            case Addition():
                self._socket.send(_not_taken(event))

    def _offer(self, create: Create) -> None:
        """Have it run when its lane is free."""
        if self._is_refused(create):
            return
        lanes, size = self._lanes.offered(create.lane), create.size
        waiting_bytes = self._queued.held_bytes + size
        if isinstance(lanes, Lanes) and waiting_bytes > self._behind.max_body_bytes and lanes.running:
            lanes = LaneRefusal.QUEUE_FULL
        if isinstance(lanes, LaneRefusal):
            status = 429 if lanes is LaneRefusal.QUEUE_FULL else 400
            lane = "" if lanes is LaneRefusal.INVALID_NAME else create.lane
            self._socket.send(error_frame(REFUSALS[lanes], lanes.value, status, lane, param="stream_id"))
            return
        try:
            self._queued.hold(size)
        except TooMuchHeld as full:
            self._socket.send(error_frame(str(full), full.code, status_of(full), create.lane))
            return
        self._lanes = lanes
        self._waiting[create.lane].append(create)
        self._start()

    def _start(self) -> None:
        """All turns that may run now."""
        while (started := self._lanes.started()) is not None:
            self._lanes, lane = started
            create = self._waiting[lane].popleft()
            self._queued.count(-create.size)
            task = asyncio.get_running_loop().create_task(self._run(create))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, create: Create) -> None:
        try:
            await self._answer(create)
        except RecursionError:  # here the stack is deeper than where the message was read
            told = "The message is nested too deeply."
            self._socket.send(error_frame(told, "invalid_json", 400, create.lane))
        except Exception:  # no reason to let the client wait; the loop logs it
            turn = self._running.get(create.lane)
            if turn is None or not turn.has_ended:
                told = "The proxy failed to handle this turn."
                self._socket.send(error_frame(told, "internal_error", 500, create.lane))
            raise
        finally:
            self._running.pop(create.lane, None)
            self._lanes = self._lanes.ended(create.lane)
            self._start()
            if self._ends_because and self._lanes.is_idle:
                self._say_farewell()

    async def _answer(self, create: Create) -> None:
        if self._is_refused(create):
            return
        if self._behind.modes.of(create.model) == "off":
            told = "Models of this group are not served over WebSocket here; use the HTTP API with stream: true."
            self._socket.send(error_frame(told, "upgrade_not_served", 400, create.lane, param="model"))
            return
        self.turns += 1
        node = self._transcript.find(create.previous) if create.previous else None
        if node is None and create.previous in self._transcript.lost:
            self._hand_over(create.lane, "what this turn builds on was forgotten for want of room")
        elif not create.generate:
            self._warm_up(create, node)
        elif not await self._ask(create, node, moves=False) and not self._is_refused(create):
            await self._ask(create, node, moves=True)

    async def _ask(self, create: Create, node: Node | None, *, moves: bool) -> bool:
        """Like a request over HTTP. False = the account that it builds on cannot answer, and nothing was said yet.
        `moves`: any other is asked, with all that was said; what was thought only the first can read."""
        if moves:
            create = create.with_items(_readable(create.items))
        body = create.body()
        if node is not None and (moves or not node.is_stored):
            before = expanded(node, past_stored=moves)
            items = before.items
            if moves:
                items = _readable(items)
                node = Node("", items, is_stored=False, base=before.base)
            body = create.body(items, before.base)
        if len(body) > self._behind.max_body_bytes:
            self._hand_over(create.lane, "what this turn builds on is larger than a request may be")
            return True
        may_move = not moves and (node is not None or any(map(is_thought, create.items)))
        turn = Turn(
            self._socket, self._head, self._addresses, create.lane, body,
            shows_itself=self._shows_turns, may_move=may_move,
        )  # fmt: skip
        self._running[create.lane] = turn
        self._socket.outlets.lend(turn.alike)
        try:
            work = self._behind.begin(turn)
            if work is not None:
                await work
        finally:
            self._socket.outlets.take_back(turn.alike)
        if turn.answer is not None and turn.answer.id:
            self._remember(create, node, turn.answer.id, (*create.items, *kept_items(turn.answer.output)))
        return not turn.wants_another

    def _warm_up(self, create: Create, node: Node | None) -> None:
        """Answered here: nothing is asked of anybody, as the turns that follow may go to several."""
        response_id = f"resp_{secrets.token_hex(_ID_BYTES)}"
        model = create.fields.get("model", b"null")
        for payload in warmed_up(response_id, msgspec.Raw(model), int(time.time())):
            self._socket.send(in_lane(payload, create.lane))
        unstored = structs.replace(create, fields={**create.fields, "store": b"false"})
        self._remember(unstored, node, response_id, create.items)

    def _remember(self, create: Create, node: Node | None, response_id: str, items: Any) -> None:
        if create.fields.get("conversation", b"null") != b"null":
            return  # which knows all that was said, and is kept elsewhere
        base = create.previous if node is None else ""
        said = Node(response_id, items, create.is_stored, node, base)
        self._transcript = self._transcript.added(create.lane, said)
        size = self._transcript.size
        try:
            if size <= MOST_REMEMBERED_BYTES:
                self._memory.hold_in_all(size)
                return
        except TooMuchHeld:
            pass
        self._transcript = self._transcript.forgotten()
        self._memory.hold_in_all(0)

    def _cancel(self, cancel: Cancel) -> None:
        for lane, turn in self._running.items():
            if turn.has_ended:
                continue
            if turn.response_id == cancel.response_id if cancel.response_id else lane == cancel.lane:
                turn.cancel()
                return
        self._socket.send(error_frame("No such response runs on this socket.", "response_not_found", 400, cancel.lane))

    def _is_refused(self, create: Create) -> bool:
        """Are no more turns taken? The client is told, if it is still there."""
        if self._ends_because and self._ends_because != _CLOSED:
            self._hand_over(create.lane, self._ends_because)
        return self._ends_because != ""

    def _hand_over(self, lane: str, reason: str) -> None:
        """Tell the client to go on with another socket: every one that recovers at all sends the whole conversation
        there (Codex, pi, opencode: each of them at this code, and not at others)."""
        self.handovers += 1
        self._ends_because = self._ends_because or reason
        told = f"Go on with a new socket, and the whole input: {reason}."
        self._socket.send(error_frame(told, "websocket_connection_limit_reached", 400, lane))

    def _drain(self) -> None:
        """The proxy stops: turns that run may end."""
        self._ends_because = "the proxy is restarted"
        if self._lanes.is_idle:
            self._socket.close(1001, "the proxy stops")

    def _say_farewell(self) -> None:
        """Nothing runs any more, and nothing will."""
        if self._ends_because != _CLOSED:
            later = FAREWELL_S if self.handovers else 0.0
            loop = asyncio.get_running_loop()
            loop.call_later(later, self._socket.close, 1001, "go on with a new socket")


def _readable(items: Sequence[bytes]) -> Sequence[bytes]:
    """What every account can read: not what was thought at one."""
    return [item for item in items if not is_thought(item)]


def _not_taken(addition: Addition) -> bytes:
    """As providers refuse it, with the input given back."""
    is_steer = addition.type == "response.steer"
    told = "steering_not_supported" if is_steer else "response_not_found"
    failed = {"type": f"{addition.type}.failed", "error": {"code": told, "message": "This is not served here."}}
    more = {
        "previous_response_id" if is_steer else "response_id": addition.response_id,
        "input": msgspec.Raw(addition.input),
    }
    return encode(failed | more)
