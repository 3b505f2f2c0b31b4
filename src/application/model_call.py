"""Requests that name a model: find the group the name stands for, and have one of its endpoints answer."""

import asyncio
from collections.abc import Mapping

from msgspec import structs

from application.answers import Answer, WholeAnswer
from application.cached import Answers
from application.errors import NoGroup, UnknownModel
from application.messages import ProxyRequest, Trail
from application.owners import StateOwners
from domain.group import ModelGroup


class AnswerModelCall:
    """The use case behind chat completions, responses, embeddings, completions and moderations."""

    def __init__(
        self,
        groups: Mapping[str, ModelGroup],
        start_group: ModelGroup | None,
        owners: StateOwners,
        answers: Answers,
    ) -> None:
        """`start_group` takes what need not name a model, and does not; None = nobody does."""
        self._groups = groups
        self._start_group = start_group
        self._owners = owners
        self._answers = answers
        self._background: set[asyncio.Task[Answer]] = set()

    async def __call__(self, request: ProxyRequest, trail: Trail) -> Answer:
        """The answer, whole or a stream; raises `ProxyError`. A stream must be closed by whoever takes it."""
        group = self._groups.get(request.model) if request.model else self._start_group
        if group is None:
            raise UnknownModel(request.model, sorted(self._groups)) if request.model else NoGroup(request.path)
        bound = await self._owners.bind(group, request)
        if bound.background:
            # Who waits for it, and how long, is no matter; a second attempt would be a second job.
            bound = structs.replace(bound, patience_s=None)
            return await self._whoever_leaves(group, bound, trail)
        return await self._answers(group, bound, trail)

    async def _whoever_leaves(self, group: ModelGroup, request: ProxyRequest, trail: Trail) -> Answer:
        """A background response is begun, and what it is called is learned, also when its client has left meanwhile."""
        task = asyncio.ensure_future(self._answers(group, request, trail))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_let_go)
            raise


def _let_go(task: asyncio.Task[Answer]) -> None:
    """Nobody is there to take the answer."""
    if task.cancelled() or task.exception() is not None:
        return
    answer = task.result()
    if not isinstance(answer, WholeAnswer):
        answer.close()
