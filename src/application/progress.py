"""Where one request stands in its attempts: who was asked, who need not be asked again, how long there is."""

from application.attempt import AttemptFailed
from application.leases import Lease
from application.messages import ProxyRequest
from domain.failure import Effect
from domain.group import ModelGroup
from domain.tokens import Demand


class Progress:
    """Where one request stands in its attempts."""

    __slots__ = (
        "affinity", "backoffs", "barred", "client", "deadline", "demand", "denied", "elsewhere", "failures",
        "on_credit", "out", "passed_over", "recalls", "retrying", "size", "tried", "upload", "wait_until",
    )  # fmt: skip

    def __init__(self, group: ModelGroup, request: ProxyRequest, deadline: float, wait_until: float) -> None:
        self.client = request.client
        self.affinity = request.affinity
        self.demand = Demand.of(request.body, request.max_output_tokens)
        self.size = len(request.body)
        self.upload = request.upload
        self.deadline = deadline
        self.wait_until = min(deadline, wait_until)
        """Until when a rate limit is waited for."""
        pinned = request.pinned
        self.out = set() if pinned is None else {e.id for e in group.endpoints if e.id not in pinned}
        """Ids that this request is none of the business of: it builds on what another account keeps."""
        self.tried: set[str] = set(self.out)
        """Ids that failed for this request, other than by a rate limit, and those that are out."""
        self.passed_over: set[str] = set(self.out)
        """Ids that failed since the last backoff, or are barred."""
        self.barred: set[str] = set(self.out)
        """Ids that cannot do better for this request."""
        self.elsewhere = 0
        """Attempts that only showed that what the request builds on is not kept there."""
        self.recalls = 0
        """How often its own account was asked again for it."""
        self.failures: list[AttemptFailed] = []
        self.backoffs = 0
        self.retrying = False
        """Has the budget allowed the next attempt?"""
        self.on_credit = False
        """Was it allowed though nothing is saved up? Then it waits first, lest quick failures make quick retries."""
        self.denied = False
        """Has it refused the last one that was asked for?"""

    @property
    def is_spent(self) -> bool:
        """Was the body sent on and not kept? Then nobody else can be asked, though the client may well ask again."""
        return self.upload is not None and self.upload.begun

    def note(self, endpoint_id: str, failed: AttemptFailed) -> None:
        """An attempt failed. A rate limit keeps its endpoint away by its own clock, and only as long as that runs."""
        self.failures.append(failed)
        meaning = failed.failure.meaning
        if meaning.effect is not Effect.CLOCK:
            self.tried.add(endpoint_id)
            self.passed_over.add(endpoint_id)
        if not meaning.same_endpoint:
            self.barred.add(endpoint_id)

    def let_others_in(self) -> None:
        """Who was none of this request's business may know what its keeper denies."""
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
