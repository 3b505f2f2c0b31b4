"""Whose things are whose, where those of each key are nobody's but its own (`tenancy: key`).

What a key did not make through the proxy is not found, in the same words whether another key made it or nobody did, and
no provider is asked. So nothing is guessed here: all that a request refers to has to be the key's own, and only what a
provider itself says that it made becomes so. What lists everybody's things, and what is not known to be about anybody's
in particular, is refused.
"""

import asyncio
from collections.abc import Sequence
from urllib.parse import unquote

from msgspec import structs

from application.body.narrowed import MAX_MEMBERS, has_too_many_values
from application.errors import Closed, InvalidRequest, NotFound, NotKnownNow
from application.messages import Api, Binding, ProxyRequest
from application.ports import Clock, Named, Providers, Things
from application.state.owners import GONE, MAX_IDS, StateOwners, deletes, tied
from application.state.path_families import place_of
from application.store_ports import ResponseOwners, StoreUnavailable
from domain.endpoint import Endpoint
from domain.group import ModelGroup

MOST_NAMED = 4096  # things that one request may name
LOOK_AGAIN_S = 0.1  # what another worker has just written down may not be there yet

_ASIDE_ABOVE_BYTES = 64 * 1024  # larger bodies are read in a thread, not to hold up other requests

_DIALOGUES = frozenset({Api.RESPONSES, Api.STORED, Api.CHAT})
_REASONING = "enc_"  # before digests of encrypted reasoning: not kept, but only one account can use it

_TUNED = "ft:"  # what the names of fine-tuned models begin with

_NOTHING = Named(())


class KeyedOwners(StateOwners):
    def __init__(
        self, providers: Providers, owners: ResponseOwners, things: Things, clock: Clock, *, others_write: bool
    ) -> None:
        """`others_write`: do other workers write to the store as well?"""
        super().__init__(providers, owners)
        self._others_write = others_write
        self._things = things
        self._clock = clock

    def is_free(self, request: ProxyRequest) -> bool:  # noqa: ARG002 - nobody's is, before `bind` has read all of it
        """Never: `bind` also refuses."""
        return False

    async def bind(self, group: ModelGroup, request: ProxyRequest) -> ProxyRequest:
        """The request, tied to the endpoints that alone can answer it. Raises `NotFound` when it refers to what is not
        its key's, `Closed` when nobody knows whose affair it is, `NotKnownNow` when the store is away."""
        place = place_of(request.method, request.path)
        if not place.is_told_apart:
            raise Closed.tenancy(request.method, request.path, is_list=place.is_list)
        named = await self._named_in(request)
        in_query = () if place.root or not request.query else self._things.in_query(request.query)
        tuned = request.body_model if not request.model and (request.body_model or "").startswith(_TUNED) else ""
        own = [name for name in dict.fromkeys((place.root, tuned, *in_query, *named.ids)) if name]
        if len(own) > MOST_NAMED:
            raise InvalidRequest(f"The request names {len(own)} stored things; valid: up to {MOST_NAMED}.")
        hints = [name for name in self._hints(request) if name not in own][:MAX_IDS]
        if not own and not hints:
            return structs.replace(request, binding=Binding(unclaimed=named.whole)) if named.whole else request
        ids = [*own, *hints]
        found = await self._found(request, ids, len(own))
        for name, owner in zip(own, found, strict=False):
            if owner is None:
                raise NotFound(name)
        bound = tied(group, request, ids, found)
        binding = structs.replace(bound.binding, unclaimed=(*bound.binding.unclaimed, *named.whole))
        return structs.replace(bound, binding=binding)

    def learn(self, endpoint: Endpoint, request: ProxyRequest, text: bytes) -> None:
        """The endpoint said this: what it made is the key's, and kept there. What the request had in it is not."""
        if request.api not in (Api.RESPONSES, Api.STORED, Api.OTHER) and not request.is_kept:
            return
        if request.method == "DELETE":
            name = unquote(request.path.rpartition("/")[2])
            if name == place_of(request.method, request.path).root and deletes(request, name, text):
                self._start(self._owners.remember([_kept_under(request, name)], GONE + endpoint.account))
            return
        is_dialogue, binding = request.api in _DIALOGUES, request.binding
        made = list(self._things.made(text, is_dialogue=is_dialogue))
        if is_dialogue:
            made += [name for name in self._providers.made_ids(text) if name.startswith(_REASONING)]
        ids = [name for name in made if name not in binding.unclaimed][:MAX_IDS] + list(binding.kept)
        if ids:
            self._start(self._owners.remember([_kept_under(request, name) for name in ids], endpoint.account))

    async def _named_in(self, request: ProxyRequest) -> Named:
        if len(request.body) <= _ASIDE_ABOVE_BYTES:
            return self._read(request)
        return await asyncio.to_thread(self._read, request)

    def _read(self, request: ProxyRequest) -> Named:
        body = request.body
        if has_too_many_values(body):
            raise InvalidRequest(
                f"The body has more than {MAX_MEMBERS} values, too many to see whose the things are that it names "
                "(tenancy: key).",
                code="request_too_large",
            )
        try:
            if request.form:
                return Named(tuple(self._things.in_form(request.form)))
            named = self._things.named(body) if body else _NOTHING
        except (ValueError, RecursionError):
            raise InvalidRequest("The body is not valid JSON, or nested too deeply.", code="invalid_json") from None
        # Other APIs have no items, and nothing that is only called something.
        return named if request.api is not Api.OTHER else Named((*named.ids, *named.whole))

    def _hints(self, request: ProxyRequest) -> Sequence[str]:
        """What may be known of: it says where the request is best sent, and nothing of what it may do."""
        is_stateful = request.api in (Api.RESPONSES, Api.STORED) and request.body
        return self._providers.state_ids(request.body) if is_stateful else ()

    async def _found(self, request: ProxyRequest, ids: Sequence[str], decisive: int) -> Sequence[str | None]:
        """Who keeps each; the first `decisive` of them are looked for again."""
        names = [_kept_under(request, name) for name in ids]
        try:
            found = await self._owners.look_up(names)
            if None in found[:decisive]:
                await self._clock.sleep(LOOK_AGAIN_S if self._others_write else 0)
                found = await self._owners.look_up(names)
        except StoreUnavailable:
            raise NotKnownNow from None
        return found


def _kept_under(request: ProxyRequest, name: str) -> str:
    return f"{request.tenant}:{name}"
