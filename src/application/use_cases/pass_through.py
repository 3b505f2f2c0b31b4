"""Everything else a provider serves: files, audio, images, batches, and whatever it comes up with next."""

from collections.abc import Mapping

from msgspec import structs

from application.answers import Answer
from application.caching.cached import Responder
from application.errors import Closed, NoGroup, UnknownModel
from application.messages import ProxyRequest, RequestTrace
from application.state.owners import StateOwners
from application.state.path_families import asks_a_model, is_administration
from application.use_cases.stored import names_what_is_kept
from domain.group import ModelGroup


class PassThrough:
    """The use case behind it: the group that the request names, else the account that keeps what it is about, else
    whoever takes what names neither."""

    def __init__(
        self,
        groups: Mapping[str, ModelGroup],
        accounts: ModelGroup,
        start_group: ModelGroup | None,
        owners: StateOwners,
        answers: Responder,
        *,
        is_closed: bool = False,
        is_administrable: bool = True,
    ) -> None:
        """`accounts` has one endpoint of each account. `start_group` None = nobody takes the rest. `is_closed`: is
        only what names a group passed on? `is_administrable`: is what administers an account, then?"""
        self._groups = groups
        self._accounts = accounts
        self._start_group = start_group
        self._owners = owners
        self._answers = answers
        self._is_closed = is_closed
        self._is_administrable = is_administrable

    async def __call__(self, request: ProxyRequest, trace: RequestTrace) -> Answer:
        """The answer, whole or as it comes; raises `ProxyError`. One that still comes must be closed by whoever takes
        it. A model that is no group's name is the provider's to know: it stays as it is."""
        if not self._is_administrable and is_administration(request.path):
            raise Closed.administration(request.path)
        group = self._groups.get(request.model)
        if self._is_closed and not (group is not None and asks_a_model(request.method, request.path)):
            raise Closed.passthrough(request.path)
        if group is not None:
            return await self._answers(group, await self._owners.bind(group, request), trace)
        if request.model and request.model != request.body_model:
            raise UnknownModel(request.model, sorted(self._groups))  # a deployment in the path, which nobody here has
        bound = await self._owners.bind(self._accounts, structs.replace(request, model=""))
        if names_what_is_kept(bound) or (bound.binding.ids and self._start_group is None):
            return await self._answers(self._accounts, bound, trace)
        if self._start_group is None:
            raise NoGroup(request.path)
        return await self._answers(self._start_group, bound, trace)
