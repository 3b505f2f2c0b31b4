"""The retry state of one request: endpoints that were tried, those that need not be tried again, and the time left."""

import math

from msgspec import Struct

from application.attempts.attempt import AttemptFailed
from application.endpoints.endpoint_state import Lease
from application.messages import Api, ClientBody, ProxyRequest
from domain.failure import Blame, Effect
from domain.group import ModelGroup
from domain.rate_limit.token_estimate import Demand
from domain.route_query import RouteQuery


class RetryState(Struct, eq=False):
    """Where one request stands in its attempts."""

    query: RouteQuery
    upload: ClientBody | None
    deadline: float
    """When the proxy's own time for the request is up."""
    patience_ends: float
    """When the client is expected to leave: nothing is begun that could only come to something later, and nothing is
    answered because of it."""
    wait_until: float
    """Until when a rate limit is waited for."""
    gone: str = ""
    """See `ProxyRequest.gone`."""
    out: set[str] = set()
    """Ids that this request is none of the business of: it builds on what another account keeps."""
    tried: set[str] = set()
    """Ids that failed for this request, other than by a rate limit, and those that are out."""
    passed_over: set[str] = set()
    """Ids that failed since the last backoff, or are barred."""
    barred: set[str] = set()
    """Ids that cannot do better for this request."""
    elsewhere: int = 0
    """Attempts that only showed that what the request builds on is not kept there."""
    recalls: int = 0
    """How often its own account was asked again for it."""
    unknown: int = 0
    """Attempts that ended with an error of unknown cause."""
    failures: list[AttemptFailed] = []
    backoffs: int = 0
    retrying: bool = False
    """Has the budget allowed the next attempt?"""
    on_credit: bool = False
    """Was it allowed though nothing is saved up? Then it waits first, lest quick failures make quick retries."""
    denied: bool = False
    """Has it refused the last one that was asked for?"""

    @classmethod
    def of(cls, group: ModelGroup, request: ProxyRequest, deadline: float, wait_until: float) -> "RetryState":
        """Before the first attempt."""
        body = request.body
        is_beside = not request.model or request.api is Api.STORED
        demand = Demand.of(body, request.max_output_tokens)
        query = RouteQuery(demand, request.client, request.affinity, request.api, is_beside, body)
        patience_ends = math.inf if request.patience_s is None else request.received + request.patience_s
        wait_until = min(deadline, wait_until)
        start = cls(query, request.upload, deadline, patience_ends, wait_until, request.gone)
        pinned = request.pinned
        if pinned is not None:
            start.out = {e.id for e in group.endpoints if e.id not in pinned}
            start.tried, start.passed_over, start.barred = set(start.out), set(start.out), set(start.out)
        return start

    @property
    def must_end_by(self) -> float:
        """When an attempt must have come to something to be of use to anybody."""
        return min(self.deadline, self.patience_ends)

    @property
    def is_unexplained(self) -> bool:
        """Has nothing come but an error of unknown cause? It may well be the request's: then nobody is troubled with it
        who is not well, and nobody twice."""
        return 0 < self.unknown == len(self.failures)

    @property
    def is_search(self) -> bool:
        """Has it, so far, only been found out where it cannot be answered, if anything? To go on is no retry then."""
        return self.elsewhere == len(self.failures)

    @property
    def is_spent(self) -> bool:
        """Was the body sent on and not kept? Then nobody else can be asked, though the client may well ask again."""
        return self.upload is not None and self.upload.begun

    def note(self, endpoint_id: str, failed: AttemptFailed) -> None:
        """An attempt failed. A rate limit keeps its endpoint away by its own clock, and only as long as that runs."""
        self.failures.append(failed)
        meaning = failed.failure.meaning
        if not meaning.relayed:
            failed.reply = None  # nobody is shown it, and it may be large
        self.unknown += meaning.blame is Blame.UNKNOWN
        if meaning.effect is not Effect.CLOCK:
            self.tried.add(endpoint_id)
            self.passed_over.add(endpoint_id)
        if not meaning.same_endpoint:
            self.barred.add(endpoint_id)

    def let_others_in(self) -> None:
        """Other accounts may know what its keeper denies: they may be asked after all."""
        for ids in (self.tried, self.passed_over, self.barred):
            ids.difference_update(self.out)
        self.out = set()

    def note_elsewhere(self, group: ModelGroup, lease: Lease) -> None:
        """What this request builds on is not kept by this account, so no endpoint of the account needs to be asked."""
        self.elsewhere += 1
        siblings = {e.id for e in group.endpoints if e.account == lease.endpoint.account}
        self.tried |= siblings
        self.passed_over |= siblings
        self.barred |= siblings
