"""Requests that name a model: find the group the name stands for, and have one of its endpoints answer."""

from collections.abc import Mapping

from application.answers import Answer
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

    async def __call__(self, request: ProxyRequest, trail: Trail) -> Answer:
        """The answer, whole or a stream; raises `ProxyError`. A stream must be closed by whoever takes it."""
        group = self._groups.get(request.model) if request.model else self._start_group
        if group is None:
            raise UnknownModel(request.model, sorted(self._groups)) if request.model else NoGroup(request.path)
        bound = await self._owners.bind(group, request)
        return await self._answers(group, bound, trail)
