"""Admission: the first station of every request. Its exchange, whether it may come in, how large its body may be."""

from collections.abc import Awaitable, Sequence

from adapters.http.access.guards import Guard, MetricsAccess, check_no_page, check_upgrade
from adapters.http.bodies.body import read_body, too_large
from adapters.http.bodies.decode_request import Arrival
from adapters.http.bodies.decompress_body import decompressed
from adapters.http.exchange.exchange import Exchange
from adapters.http.exchange.exchange_report import ExchangeContext
from adapters.http.exchange.in_flight import InFlight
from adapters.http.headers import by_name, without_trace_context
from adapters.http.server.client import Receive
from adapters.http.server.request.head import RequestHead
from adapters.http.status_routes import Page
from application.held_bytes import COUNTED_BYTES
from application.observing.request_counts import RequestCounts
from application.ports import Clock
from application.telemetry_ports import RequestLog, Tracing


class Admission:
    def __init__(
        self,
        guard: Guard,
        clock: Clock,
        log: RequestLog,
        counts: RequestCounts,
        in_flight: InFlight,
        max_body_bytes: int,
        write_timeout_s: float,
        *,
        tracing: Tracing | None = None,
        keeps_keys_apart: bool = False,
        metrics: MetricsAccess = "loopback",
        passes_trace_context: bool = False,
    ) -> None:
        """`max_body_bytes` is for bodies that are held, because they have to be read. `tracing` None = no traces are
        recorded. `keeps_keys_apart`: is what one key stores nobody's but its own? `metrics`: who may see them, clients
        on this machine, those with a key, or all. `passes_trace_context`: does the client's go on to endpoints?"""
        self._guard = guard
        self._metrics = metrics
        self._keep_credentials = not guard.needs_key
        self.keeps_keys_apart = keeps_keys_apart
        self.speaks_cors = bool(guard.origins)
        """May any web page call?"""
        self.may_call = guard.origins.allows
        """May pages of that origin?"""
        self._passes_trace_context = passes_trace_context
        self.context = ExchangeContext(
            clock, log, in_flight, counts, counts.went_well, counts.ended, write_timeout_s, tracing
        )
        self.max_body_bytes = max_body_bytes
        self.uncounted_bytes = min(COUNTED_BYTES, max_body_bytes)
        """A body up to this size needs no `hold`."""

    def admit(self, exchange: Exchange) -> Arrival:
        """What has come, if it may come in; else raises `ProxyError`."""
        # Once for each head: what is refused is judged anew each time.
        arrival: Arrival = exchange.head.judged or self.judge(exchange.head, exchange)
        exchange.key_name = arrival.key_name
        return arrival

    def judge(self, head: RequestHead, exchange: Exchange) -> Arrival:
        """What has come with that head, for the exchange, if it may come in; else raises `ProxyError`."""
        headers = by_name(head.headers)
        holder = self._guard.check(headers)
        exchange.key_name = holder.name
        check_no_page(headers)
        check_upgrade(headers)
        query = head.query_string.decode("latin-1")
        if query and not self._keep_credentials:
            query = self._guard.without_keys(query)
        head.judged = arrival = Arrival.of(
            head.method,
            query,
            head.headers if self._passes_trace_context else without_trace_context(head.headers),
            headers,
            keep_credentials=self._keep_credentials,
            key_name=holder.name,
            key_tenant=holder.tenant if self.keeps_keys_apart else "",
        )
        return arrival

    def admit_to_page(self, exchange: Exchange, page: Page) -> bool:
        """Raises `ProxyError` when it may not be shown; False = to a client that shows no key, and may not see all."""
        headers = by_name(exchange.head.headers)
        needs_key = page.needs_key or (page.is_metrics and self._metrics == "keys")
        holder = self._guard.check(headers, key=needs_key, host=not page.is_for_any_host)
        if page.is_metrics and self._metrics == "loopback":
            self._guard.check_local(headers, exchange.client.addresses["client"])
        exchange.key_name = holder.name
        exchange.is_probe = page.is_probe
        return self._guard.is_known(headers)

    def admit_preflight(self, exchange: Exchange) -> dict[bytes, bytes]:
        """The headers of a request for leave, which never has a key; raises `ProxyError` when there is none to give."""
        headers = by_name(exchange.head.headers)
        self._guard.check(headers, key=False)
        return headers

    def hold(self, body: bytes, exchange: Exchange) -> None:
        """A body that has come, for the exchange. Raises `InvalidRequest` (413) where it is too large, and
        `TooMuchHeld`."""
        if len(body) > self.max_body_bytes:
            raise too_large(self.max_body_bytes)
        exchange.held.hold(len(body))

    def body(self, receive: Receive, exchange: Exchange) -> Awaitable[bytes]:
        """The whole body; raises `ProxyError` as `read_body` does."""
        return read_body(receive, exchange.client.length, self.max_body_bytes, exchange)

    async def plain_body(self, receive: Receive, exchange: Exchange, codings: Sequence[str]) -> bytes:
        """The whole body without its codings; raises `ProxyError` as `read_body` and `decompressed` do."""
        body = await self.body(receive, exchange)
        return await decompressed(body, codings, self.max_body_bytes, exchange.held) if codings else body
