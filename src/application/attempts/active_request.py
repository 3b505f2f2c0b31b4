"""One request while endpoints are asked for its answer."""

from math import inf

from msgspec import Struct

from application.messages import Api, ProxyRequest, RequestTrace, WholeReply
from domain.group import ModelGroup
from domain.rate_limit.token_estimate import Demand
from domain.retry_state import RetryState
from domain.routing.route_query import RouteQuery

_STORED = Api.STORED  # bound once: to read a member by its name is slow before Python 3.12


class ActiveRequest(Struct, eq=False):
    """What `Dispatch` knows of it; nothing else changes it."""

    group: ModelGroup
    request: ProxyRequest
    trace: RequestTrace
    query: RouteQuery
    state: RetryState
    replies: list[WholeReply | None] = []
    """What the endpoint said at each failure of `state`; None = nothing that could be shown."""
    spill_at: float = 0.0
    """Until when it may wait for an earlier tier; 0 = it does not, or not again."""

    @classmethod
    def of(
        cls, group: ModelGroup, request: ProxyRequest, trace: RequestTrace, now: float, max_wait_s: float
    ) -> "ActiveRequest":
        """Before the first attempt."""
        received, patience_s, pinned = request.received, request.patience_s, request.binding.pinned
        deadline, wait_until = received + group.request_timeout_s, now + max_wait_s
        state = RetryState(
            deadline,
            inf if patience_s is None else received + patience_s,
            wait_until if wait_until < deadline else deadline,
        )
        if pinned is not None:
            state = state.without(endpoint.id for endpoint in group.endpoints if endpoint.id not in pinned)
        demand = Demand.of(request.body, request.max_output_tokens, request.outline)
        is_beside = not request.model or request.api is _STORED
        query = RouteQuery(demand, request.client, request.affinity, request.api, is_beside, request.body)
        active = cls(group, request, trace, query, state)
        if group.max_wait_for_tier_s:
            active.spill_at = now + group.max_wait_for_tier_s
        return active

    @property
    def is_spent(self) -> bool:
        """Was the body sent on and not kept? Then nobody else can be asked, though the client may well ask again."""
        return self.request.upload is not None and self.request.upload.begun
