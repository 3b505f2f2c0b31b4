"""Requests that one account of a provider answers: about what it keeps, or of kinds that nobody here knows."""

from collections.abc import Awaitable, Mapping
from urllib.parse import parse_qs

from msgspec import Struct, structs

from application.answers import Answer
from application.caching.cached import Responder
from application.errors import Closed, InvalidRequest, NoGroup, UnknownModel
from application.messages import ProxyRequest, RequestTrace
from application.state.owners import StateOwners
from application.state.path_families import asks_a_model, is_administration
from domain.group import ModelGroup


class _ByAccount(Struct, frozen=True):
    """Asks the account that keeps a thing, all where that is unknown, or whoever takes what names neither."""

    _groups: Mapping[str, ModelGroup]  # for what names a model
    _accounts: ModelGroup  # one endpoint of each account
    _start_group: ModelGroup | None  # takes what names neither a model nor anything that is kept; None = nobody does
    _owners: StateOwners
    _answers: Responder
    is_closed: bool = False  # is nobody meant to take that?
    is_administrable: bool = True  # is what administers an account passed on?

    async def _in_group(self, group: ModelGroup, request: ProxyRequest, trace: RequestTrace) -> Answer:
        return await self._answers(group, await self._owners.bind(group, request), trace)

    async def _by_account(self, request: ProxyRequest, trace: RequestTrace) -> Answer:
        bound = await self._owners.bind(self._accounts, request)
        if _names_what_is_kept(bound) or (bound.binding.ids and self._start_group is None):
            return await self._answers(self._accounts, bound, trace)
        if self._start_group is None:
            if self.is_closed:
                raise Closed.passthrough(request.path)
            if request.body_model and request.body_model not in self._groups:
                raise UnknownModel(request.body_model, sorted(self._groups))
            raise NoGroup(request.path)
        return await self._answers(self._start_group, bound, trace)


class AnswerStored(_ByAccount, frozen=True):
    """The use case behind the routes of responses, conversations and stored completions."""

    def __call__(self, request: ProxyRequest, trace: RequestTrace) -> Awaitable[Answer]:
        """The answer; raises `ProxyError`. A stream must be closed by whoever takes it."""
        group = self._groups.get(_model_asked_for(request))
        if group is None:
            return self._by_account(request, trace)
        return self._in_group(group, structs.replace(request, model=group.name), trace)


class PassThrough(_ByAccount, frozen=True):
    """The use case behind everything else a provider serves: files, audio, images, batches, and whatever comes next."""

    def __call__(self, request: ProxyRequest, trace: RequestTrace) -> Awaitable[Answer]:
        """The answer; raises `ProxyError`. A stream must be closed by its taker. A model of no group stays as it is."""
        if not self.is_administrable and is_administration(request.path):
            raise Closed.administration(request.path)
        group = self._groups.get(request.model)
        if self.is_closed and not (group is not None and asks_a_model(request.method, request.path)):
            raise Closed.passthrough(request.path)
        if group is not None:
            return self._in_group(group, request, trace)
        if request.model and request.model != request.body_model:
            raise UnknownModel(request.model, sorted(self._groups))  # a deployment in the path, which nobody here has
        return self._by_account(structs.replace(request, model=""), trace)


class OpenSocket(_ByAccount, frozen=True):
    """The use case behind Realtime sockets: a model, a call that an account keeps, or neither."""

    def __call__(self, request: ProxyRequest, trace: RequestTrace) -> Awaitable[Answer]:
        """The open socket, or a provider's refusal; raises `ProxyError`."""
        group = self._groups.get(request.model)
        if group is not None:
            return self._in_group(group, request, trace)
        if request.model:
            raise UnknownModel(request.model, sorted(self._groups))
        if self.is_closed:
            raise Closed.passthrough(request.path)
        return self._by_account(request, trace)


def _model_asked_for(request: ProxyRequest) -> str:
    """Whose stored completions a list is of, by its query; empty = anybody's. Raises `InvalidRequest`."""
    if request.method != "GET" or "model=" not in request.query:
        return ""
    try:
        return next(iter(parse_qs(request.query, errors="strict").get("model", ())), "")
    except UnicodeDecodeError:
        raise InvalidRequest("The query is not UTF-8.", param="model") from None


def _names_what_is_kept(request: ProxyRequest) -> bool:
    """Is it about something that one of all accounts keeps? What is only created may have words that look so."""
    creates = request.method == "POST" and request.path.count("/") == 1
    return bool(request.binding.ids) and not (creates and request.binding.pinned is None)
