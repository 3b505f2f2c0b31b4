"""Requests that name a model: find the group the name stands for, and have one of its endpoints answer."""

from collections.abc import Awaitable, Mapping

from msgspec import Struct, structs

from application.answers import Answer
from application.caching.cached import Responder
from application.errors import Closed, NoGroup, UnknownModel
from application.messages import ProxyRequest, RequestTrace
from application.state.owners import StateOwners
from domain.group import ModelGroup


class AnswerModelCall(Struct):
    """The use case behind chat completions, responses, embeddings, completions and moderations."""

    _groups: Mapping[str, ModelGroup]
    _start_group: ModelGroup | None  # takes what need not name a model, and does not; None = nobody does
    _stranger_group: ModelGroup | None  # takes what names a model that is no group's, as it is; None = nobody does
    _owners: StateOwners
    _answers: Responder
    is_closed: bool = False  # is nobody meant to take that?

    def __post_init__(self) -> None:
        self._answers = self._answers.__call__  # bound, it is called without a detour

    def __call__(self, request: ProxyRequest, trace: RequestTrace) -> Awaitable[Answer]:
        """The answer, whole or a stream; raises `ProxyError`. A stream must be closed by whoever takes it."""
        group = self._groups.get(request.model) if request.model else self._start_group
        if group is None:
            group, request = self._strangers(request)
        if self._owners.is_free(request):
            return self._answers(group, request, trace)
        return self._answer_bound(group, request, trace)

    async def _answer_bound(self, group: ModelGroup, request: ProxyRequest, trace: RequestTrace) -> Answer:
        return await self._answers(group, await self._owners.bind(group, request), trace)

    def _strangers(self, request: ProxyRequest) -> tuple[ModelGroup, ProxyRequest]:
        """The group for a model that is no group's, which stays as it is. Raises `UnknownModel`, `NoGroup`."""
        if not request.model:
            raise Closed.passthrough(request.path) if self.is_closed else NoGroup(request.path)
        # A deployment that only the path names would be lost on the way.
        if self._stranger_group is None or request.model != request.body_model:
            raise UnknownModel(request.model, sorted(self._groups))
        return self._stranger_group, structs.replace(request, model="")
