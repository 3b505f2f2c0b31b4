"""The books of all rate limits: a bucket each for what shares one, charged at the pick, read from every reply.

The rules are `domain.rate_limit`'s; here they meet the endpoints. An endpoint with a key of its own has one bucket for
everybody, which replicas report to each other; where clients bring their keys each client has its own.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from application.endpoints.charge_history import ChargeHistory
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.rate_limit.bucket import Bucket, Charged, Marks, Readings, Room
from domain.rate_limit.limit_report import NO_LIMIT, BucketReport
from domain.rate_limit.token_estimate import UNTAUGHT, Demand, Usage

MAX_BUCKETS = 10_000
"""Clients may bring their own keys; beyond this many buckets those that hold nothing are forgotten."""

_AMPLE = Room.AMPLE


class Page:
    """The page of one bucket: its state now, and what was learned of the requests that it is charged for."""

    __slots__ = ("bucket", "estimate")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.estimate = UNTAUGHT


class Reservation(Struct, frozen=True, gc=False):
    """What one attempt holds of a bucket."""

    page: Page
    marks: Marks
    sent: float


class Ledger:
    """Synchronous, like all of routing: between a look at the room and the reservation nothing else runs."""

    def __init__(self, reserve: float, now: float) -> None:
        self._reserve = reserve
        self._started = now
        self._pages: dict[str, Page] = {}
        self._charges = ChargeHistory()

    def room(self, endpoint: Endpoint, client: str, demand: Demand, now: float) -> Room:
        """How well a request fits where it would be charged."""
        name = endpoint.bucket if endpoint.owns_credential else _of_client(endpoint, client)
        page = self._pages.get(name)
        if page is None:
            if endpoint.rpm is None and endpoint.tpm is None:
                return _AMPLE
            page = self._open(name, endpoint)
        return page.bucket.room_for(page.estimate.tokens(demand), now)

    def share_left(self, endpoint: Endpoint, client: str, demand: Demand, now: float) -> float:
        """To choose among the scarce: the fraction of the limit that would be left."""
        page = self._page(endpoint, client)
        return 1.0 if page is None else page.bucket.share_left(page.estimate.tokens(demand), now)

    def fits_in_s(self, endpoint: Endpoint, client: str, demand: Demand, now: float) -> float:
        """Seconds until a request fits, as far as is known; 0 = now."""
        page = self._page(endpoint, client)
        return 0.0 if page is None else page.bucket.fits_in_s(page.estimate.tokens(demand), now)

    def charge(self, endpoint: Endpoint, client: str, demand: Demand, now: float) -> Reservation:
        """A request is sent."""
        name = endpoint.bucket if endpoint.owns_credential else _of_client(endpoint, client)
        page = self._pages.get(name) or self._open(name, endpoint)
        page.bucket, marks = page.bucket.reserve(page.estimate.tokens(demand), now)
        return Reservation(page, marks, now)

    def overdrawn(self, held: Reservation, now: float) -> bool:
        """Is more charged than there is room for? Then what was not sent yet should not be."""
        return held.page.bucket.is_overdrawn(now)

    def settle(
        self, held: Reservation, now: float, *, reached: bool, refused: bool = False, answered: bool = True
    ) -> None:
        """The request is over; to be called once for each `charge`. See `Bucket.settle`."""
        page = held.page
        page.bucket = page.bucket.settle(held.marks, now, reached=reached, refused=refused, answered=answered)

    def read(self, held: Reservation, readings: Readings, now: float) -> None:
        """The headers of its reply came."""
        page = held.page
        page.bucket = page.bucket.after_reading(readings, held.marks, held.sent, now)

    def limited(self, held: Reservation, failure: Failure, now: float) -> tuple[float, bool]:
        """It was answered 429, or with overload: (seconds until the bucket may be asked again, is that new?)."""
        page = held.page
        is_new = not page.bucket.clock.wait_s(now)
        overload = failure.kind is FailureKind.OVERLOADED
        page.bucket = page.bucket.after_limit(failure.retry_after_s, held.sent, now, overload=overload)
        return page.bucket.clock.wait_s(now), is_new

    def succeeded(self, held: Reservation) -> None:
        """The request was answered well."""
        page = held.page
        if page.bucket.clock.unexplained:
            page.bucket = page.bucket.after_success()

    def learn(self, held: Reservation, demand: Demand, usage: Usage) -> None:
        """Its reply said what it took."""
        page = held.page
        page.estimate = page.estimate.after_usage(demand, usage)

    def clock_s(self, endpoint: Endpoint, now: float) -> float:
        """Seconds until the endpoint's own 429 clock ends; 0 = none runs."""
        page = self._pages.get(endpoint.bucket)
        return 0.0 if page is None else page.bucket.clock.wait_s(now)

    def is_overloaded(self, endpoint: Endpoint, client: str, now: float) -> bool:
        """Does it rest because it said that it is overloaded, and not because somebody asked for too much?"""
        page = self._page(endpoint, client)
        return page is not None and page.bucket.clock.overload and page.bucket.clock.until > now

    def own_buckets(self, endpoints: Iterable[Endpoint]) -> Mapping[str, Bucket | None]:
        """The bucket of each endpoint (by endpoint id) that has a key of its own; None = nothing was heard yet."""
        pages = {e.id: self._pages.get(e.bucket) for e in endpoints if e.owns_credential}
        return {name: None if page is None else page.bucket for name, page in pages.items()}

    def checkpoint(self, names: Iterable[str], now: float) -> None:
        """Remember where the books of these buckets stand, to be called about ten times a second while replicas tell
        each other what they read."""
        for name in names:
            page = self._pages.get(name)
            if page is not None:
                self._charges.note(name, page.bucket, now)

    def report(self, names: Iterable[str], now: float) -> dict[str, BucketReport]:
        """What this replica found out of these buckets and is still of interest."""
        report = {}
        for name in names:
            page = self._pages.get(name)
            known = NO_LIMIT if page is None else page.bucket.report().of_interest(now)
            if known != NO_LIMIT:
                report[name] = known
        return report

    def take(self, endpoint: Endpoint, report: BucketReport, now: float) -> bool:
        """Another replica says this of the endpoint's bucket: does it change anything?"""
        name = endpoint.bucket
        page = self._pages.get(name) or self._open(name, endpoint)
        marks = Charged(
            self._charges.at(name, report.requests.read_at).requests,
            self._charges.at(name, report.tokens.read_at).tokens,
        )
        before = page.bucket
        page.bucket = before.after_report(report, marks, now)
        return page.bucket is not before

    def _page(self, endpoint: Endpoint, client: str) -> Page | None:
        return self._pages.get(endpoint.bucket if endpoint.owns_credential else _of_client(endpoint, client))

    def _open(self, name: str, endpoint: Endpoint) -> Page:
        if len(self._pages) >= MAX_BUCKETS:
            self._forget_idle()
        page = Page(Bucket.fresh(endpoint.provider, endpoint.rpm, endpoint.tpm, self._started, self._reserve))
        self._pages[name] = page
        if endpoint.owns_credential:
            self._charges.begin(name)
        return page

    def _forget_idle(self) -> None:
        """What no request holds; what it knew is learned again from the next reply."""
        self._pages = {name: page for name, page in self._pages.items() if page.bucket.reserved_requests > 0}


def _of_client(endpoint: Endpoint, client: str) -> str:
    """The bucket of a client that brings its own key."""
    return f"{endpoint.bucket}/{client}"
