"""Requests about what a provider keeps: responses, conversations, stored completions."""

from collections.abc import Mapping
from urllib.parse import parse_qs

from msgspec import structs

from application.answers import Answer
from application.caching.cached import Responder
from application.errors import Closed, InvalidRequest, NoGroup
from application.messages import ProxyRequest, RequestTrace
from application.state.owners import StateOwners
from domain.group import ModelGroup


class AnswerStored:
    """The use case behind their routes: asks the account that keeps a thing, or all where that is unknown."""

    def __init__(
        self,
        groups: Mapping[str, ModelGroup],
        accounts: ModelGroup,
        start_group: ModelGroup | None,
        owners: StateOwners,
        answers: Responder,
        *,
        is_closed: bool = False,
    ) -> None:
        """`groups` are for lists that are asked for by model. `accounts` has one endpoint of each account.
        `start_group` takes what names neither a model nor anything that is kept; None = nobody does. `is_closed`: is
        it meant to be nobody?"""
        self._groups = groups
        self._accounts = accounts
        self._start_group = start_group
        self._owners = owners
        self._answers = answers
        self._is_closed = is_closed

    async def __call__(self, request: ProxyRequest, trace: RequestTrace) -> Answer:
        """The answer; raises `ProxyError`. A stream must be closed by whoever takes it."""
        named = self._groups.get(_model_asked_for(request))
        if named is not None:
            asked = await self._owners.bind(named, structs.replace(request, model=named.name))
            return await self._answers(named, asked, trace)
        bound = await self._owners.bind(self._accounts, request)
        if names_what_is_kept(bound) or (bound.binding.ids and self._start_group is None):
            return await self._answers(self._accounts, bound, trace)
        if self._start_group is None:
            raise Closed.passthrough(request.path) if self._is_closed else NoGroup(request.path)
        return await self._answers(self._start_group, bound, trace)


def _model_asked_for(request: ProxyRequest) -> str:
    """Whose stored completions a list is of, by its query; empty = anybody's. Raises `InvalidRequest`."""
    if request.method != "GET" or "model=" not in request.query:
        return ""
    try:
        return next(iter(parse_qs(request.query, errors="strict").get("model", ())), "")
    except UnicodeDecodeError:
        raise InvalidRequest("The query is not UTF-8.", param="model") from None


def names_what_is_kept(request: ProxyRequest) -> bool:
    """Is it about something that one of all accounts keeps? What is only created may have words that look so."""
    creates = request.method == "POST" and request.path.count("/") == 1
    return bool(request.binding.ids) and not (creates and request.binding.pinned is None)
