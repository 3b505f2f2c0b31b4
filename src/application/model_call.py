"""Requests that name a model: find the group the name stands for, and have one of its endpoints answer."""

from collections.abc import Mapping

from application.answers import Answer
from application.cached import Answers
from application.errors import UnknownModel
from application.messages import ProxyRequest, Trail
from domain.group import ModelGroup


class AnswerModelCall:
    """The use case behind chat completions, responses, embeddings, completions and moderations."""

    def __init__(self, groups: Mapping[str, ModelGroup], answers: Answers) -> None:
        self._groups = groups
        self._answers = answers

    async def __call__(self, request: ProxyRequest, trail: Trail) -> Answer:
        """The answer, whole or a stream; raises `ProxyError`. A stream must be closed by whoever takes it."""
        group = self._groups.get(request.model)
        if group is None:
            raise UnknownModel(request.model, sorted(self._groups))
        return await self._answers(group, request, trail)
