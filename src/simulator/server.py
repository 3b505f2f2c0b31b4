"""A simulated OpenAI or Azure OpenAI provider on a real socket."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from simulator.account import Account
from simulator.calls import Call, Request, understand
from simulator.control import PREFIX, changed, control
from simulator.faults.breakage import Breakage
from simulator.faults.reshape import replacement, replaces, reshaped
from simulator.faults.rules import AnyAction, Arrival, FaultPlan, Latency, Rule, SocketFault
from simulator.faults.wire_faults import needs_reply, performance_of
from simulator.protocol.reply import Reply
from simulator.records import COMPLETE, Counts, Record, Records
from simulator.settings import ProviderSettings
from simulator.sockets.sockets import Sockets
from simulator.wire.connection import Connection
from simulator.wire.delivery import Delivery
from simulator.wire.listening import bound, bound_again, require_loopback

_BACKLOG = 4096
_DEFAULTS = ProviderSettings()


class SimulatedProvider:
    """Serves one provider. Several can run in one process; they share nothing."""

    def __init__(self, settings: ProviderSettings = _DEFAULTS, faults: Sequence[Rule] = ()) -> None:
        self.faults = FaultPlan(faults, settings.seed)
        self._account = Account(settings)
        self._records = Records()
        self._sockets = Sockets(self._account, self._records, self._deliver_refusal)
        self._connections: set[Connection] = set()
        self._deserted = asyncio.Event()
        self._deserted.set()
        self._server: asyncio.Server | None = None
        self._refusal: asyncio.Task[None] | None = None
        self.host = ""
        self.port = 0

    # Running.

    @property
    def url(self) -> str:
        """`http://host:port`, without a path."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listens, and returns the port: any free one for 0.

        Raises `ValueError` for a host that is not loopback, `OSError` when the port cannot be had.
        """
        self.host = require_loopback(host)
        sock = bound(self.host, port)
        self.port = int(sock.getsockname()[1])
        self._server = await self._listen(sock)
        return self.port

    async def stop(self) -> None:
        """Drops every connection and frees the port. What has been recorded stays; `start` may follow."""
        if self._refusal is not None:
            self._refusal.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._refusal
            self._refusal = None
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in tuple(self._connections):
            connection.lost_outcome = "fault:stopped"
            connection.reset()
        await self._deserted.wait()

    async def __aenter__(self) -> "SimulatedProvider":
        """Starts on any free port unless it runs already."""
        if self._server is None:
            await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _listen(self, sock: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: Connection(self), sock=sock, backlog=_BACKLOG)

    def refuse(self, seconds: float) -> None:
        """Connections are refused for that long, idle ones are dropped. Keeps the port meanwhile."""
        if self._refusal is None and self._server is not None:
            self._refusal = asyncio.get_running_loop().create_task(self._refuse(self._server, seconds))

    async def _refuse(self, server: asyncio.Server, seconds: float) -> None:
        server.close()
        self._server = None
        for connection in tuple(self._connections):
            if connection.ongoing is None:
                connection.close()
        # Bound but not listening: the kernel refuses, and nobody else can take the port.
        sock = await bound_again(self.host, self.port)
        try:
            await asyncio.sleep(seconds)
            self._server = await self._listen(sock)
        except asyncio.CancelledError:
            sock.close()
            raise
        self._refusal = None

    # Control, for tests and programs in the same process.

    @property
    def settings(self) -> ProviderSettings:
        return self._account.settings

    @property
    def records(self) -> list[Record]:
        """The last requests, oldest first."""
        return list(self._records.kept)

    def counts(self) -> Counts:
        return self._records.counts()

    def reset(self) -> None:
        """Clears records, counts, and what has been charged to the limits. Faults and responses stay."""
        self._records.clear()
        self._account.forget_charges()

    def set_faults(self, rules: Sequence[Rule | Mapping[str, Any]]) -> None:
        """Replaces all rules and starts their counting and dice afresh.

        Raises `msgspec.ValidationError`, naming the place, for a rule that is not valid.
        """
        checked = [rule if isinstance(rule, Rule) else msgspec.convert(rule, Rule) for rule in rules]
        self.faults = FaultPlan(checked, self.settings.seed)

    def apply(self, settings: ProviderSettings) -> None:
        """New settings for the requests to come."""
        self._account.apply(settings)

    def change(self, **changes: Any) -> None:
        """Some settings, under their scenario names: `provider.change(latency=0.5, rpm=60)`."""
        self.apply(changed(self.settings, changes))

    # What connections tell us.

    def opened(self, connection: Connection) -> int:
        self._connections.add(connection)
        self._deserted.clear()
        self._records.connections_open += 1
        self._records.connections_opened += 1
        return self._records.connections_opened

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._records.connections_open -= 1
        if not self._connections:
            self._deserted.set()

    def received(self, connection: Connection, request: Request) -> None:
        if request.target.startswith(PREFIX):
            self._deliver(connection, request, None, control(self, request), COMPLETE)
            return
        call = understand(request)
        record = self._records.begin(
            request.method,
            request.target,
            request.headers,
            request.body,
            call.model,
            call.stream,
            time.time(),
            connection.serial,
        )
        action = self._fault_for(call) if self.faults.rules else None
        if call.opens_socket and (action is None or isinstance(action, SocketFault | Latency)):
            self._sockets.open(connection, call, record, action)
        elif action is None:
            self._deliver(connection, request, record, self._reply(call), COMPLETE)
        elif performance := performance_of(action):
            self._break(connection, call, record, action, performance)
        else:
            reply = replacement(action) if replaces(action) else self._reply(call)
            reply = reshaped(action, reply, call.route)
            self._deliver(connection, request, record, reply, f"fault:{action.kind}")

    def _deliver_refusal(self, connection: Connection, request: Request, record: Record, reply: Reply) -> None:
        self._deliver(connection, request, record, reply, COMPLETE)

    def _fault_for(self, call: Call) -> AnyAction | None:
        request = call.request
        return self.faults.choose(Arrival(request.target, call.model, call.stream, request.headers, call.opens_socket))

    def _reply(self, call: Call) -> Reply:
        reply = self._account.answer(call, asyncio.get_running_loop().time(), time.time())
        reply.headers += self._account.identity_headers(call)
        return reply

    def _latency_s(self, reply: Reply) -> float:
        return reply.extra_latency_s + (self.settings.latency_s if reply.works else 0.0)

    def _deliver(
        self, connection: Connection, request: Request, record: Record | None, reply: Reply, outcome: str
    ) -> None:
        delivery = Delivery(
            connection,
            self._records,
            record,
            reply,
            outcome=outcome,
            keep_alive=request.keep_alive,
            latency_s=self._latency_s(reply),
            tokens_per_second=self.settings.tokens_per_second,
        )
        connection.ongoing = delivery
        delivery.start()

    def _break(
        self,
        connection: Connection,
        call: Call,
        record: Record,
        action: AnyAction,
        performance: Callable[[Breakage], Awaitable[None]],
    ) -> None:
        reply = self._reply(call) if needs_reply(action) else Reply(200, works=True)
        breakage = Breakage(
            connection,
            self._records,
            record,
            action.kind,
            performance,
            reply,
            keep_alive=call.request.keep_alive,
            latency_s=self._latency_s(reply),
            tokens_per_second=self.settings.tokens_per_second,
            refuse=self.refuse,
        )
        connection.ongoing = breakage
        breakage.start()
