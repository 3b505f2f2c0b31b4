"""Which account keeps what: responses, conversations, files, and the reasoning that only its maker can decrypt.

Ids stay as the providers made them. What they belong to is learned from replies as they pass, and a request that names
one goes to the endpoints of that account. What nobody has heard of is found by asking (see `Dispatch`). What was
deleted through the proxy is remembered as gone: its keeper is asked once, and believed.
"""

import asyncio
import re
from collections.abc import Coroutine, Sequence

from msgspec import structs

from application.messages import Api, Binding, ProxyRequest
from application.ports import Providers
from application.store_ports import ResponseOwners
from domain.endpoint import Endpoint
from domain.group import ModelGroup

GONE = "gone:"  # stands before the account of what was deleted there
_NOT_DELETED = re.compile(rb'"deleted"\s*:\s*false')

_ID_LENGTH = 8
_DIGIT = re.compile(r"[0-9]")

MAX_IDS = 256  # more ids than this in one text are not looked up, nor learned: the first are the ones that matter

_STATEFUL = frozenset({Api.RESPONSES, Api.STORED, Api.REALTIME, Api.OTHER})
_WITH_ITEMS = frozenset({Api.RESPONSES, Api.STORED})
_WITH_IDS_IN_PATH = frozenset({Api.STORED, Api.REALTIME, Api.OTHER})
_FILE, _AUDIO = b'"file_id"', b'"audio"'  # fields of chat requests that name what is kept

_ROOTS = re.compile(rb'"(?:previous_response_id|conversation)"\s*:\s*(?:\{\s*"id"\s*:\s*)?"([A-Za-z0-9_.\-]{1,200})"')
_REFERENCE = b'"item_reference"'
_CARRIED_WHOLE = ("msg_", "fc_", "ctc_", "item_")
"""Items with all their content: nearly anybody can go on from them."""
_CARRIED = re.compile(rb'"id"\s*:\s*"(?:%b)' % "|".join(_CARRIED_WHOLE).encode())


class StateOwners:
    """The owner of each id. Ids of different credentials are kept apart, where clients bring their own."""

    def __init__(self, providers: Providers, owners: ResponseOwners) -> None:
        self._providers = providers
        self._owners = owners
        self._writing: set[asyncio.Task[None]] = set()

    def is_free(self, request: ProxyRequest) -> bool:
        """Does the request build on nothing, as can be seen at once? Then `bind` has nothing to say to it."""
        if request.api not in _STATEFUL:
            text = request.outline or request.body
            if text.find(_FILE) < 0 and text.find(_AUDIO) < 0:
                return True
        return not self._named(request)

    async def bind(self, group: ModelGroup, request: ProxyRequest) -> ProxyRequest:
        """The request, tied to the endpoints that alone can answer it, if it builds on something that is known."""
        ids = self._named(request)
        if not ids:
            return request
        found = await self._owners.find([_scoped(request, name) for name in ids[:MAX_IDS]])
        return tied(group, request, ids, found)

    def learn(self, endpoint: Endpoint, request: ProxyRequest, text: bytes) -> None:
        """The endpoint said this: what it names is kept there. Written down in the background.

        What the request named itself is no news: a reply repeats whatever words a client puts into its tools or
        metadata, which may look like ids, or be the ids of somebody else. Of those, who answers keeps what was known to
        be kept where it went, what another account has just denied to know, and what the request goes on from.
        """
        if request.api not in _STATEFUL and not request.is_kept:
            return
        if request.method == "DELETE":
            gone = _asked_for(request.path)
            is_id = gone in _in_path(self._providers, structs.replace(request, query=""))
            if is_id and deletes(request, gone, text):
                self._start(self._owners.remember([_scoped(request, gone)], GONE + endpoint.account))
            return
        binding = request.binding
        named = set(binding.ids if request.api in _STATEFUL else self._providers.state_ids(request.body))
        ids = [name for name in self._providers.made_ids(text) if name not in named][:MAX_IDS]
        if request.api in _WITH_IDS_IN_PATH:
            ids += _in_path(self._providers, structs.replace(request, query=""))
        ids += binding.kept
        if binding.is_denied:
            ids += binding.unclaimed
        elif binding.unclaimed:
            ids += [name for name in map(bytes.decode, _ROOTS.findall(request.body)) if name in binding.unclaimed]
        if ids:
            self._start(self._owners.remember([_scoped(request, name) for name in ids], endpoint.account))

    async def close(self) -> None:
        """Wait for what is still being written down, as long as the store lets it."""
        await asyncio.gather(*self._writing, return_exceptions=True)

    def _named(self, request: ProxyRequest) -> Sequence[str]:
        """The ids in it; for people who write of ids in a chat, only where that names a file or audio."""
        body = request.body
        ids = list(_in_path(self._providers, request)) if request.api in _WITH_IDS_IN_PATH else []
        if body and (request.api in _STATEFUL or _names_file_or_audio(request)):
            named = self._providers.state_ids(body)
            if request.api in _WITH_ITEMS and _REFERENCE not in body:
                named = [name for name in named if not name.startswith(_CARRIED_WHOLE)]
            ids += named
        return list(dict.fromkeys(ids)) if ids else ids

    def _start(self, writing: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(writing)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)


def carries_items(request: ProxyRequest) -> bool:
    """Does it bring items along that somebody has made? Azure is known to take some of them where they were made alone
    (error 400, "created under a different Azure OpenAI resource")."""
    return request.api in _WITH_ITEMS and _CARRIED.search(request.body) is not None


def tied(group: ModelGroup, request: ProxyRequest, ids: Sequence[str], found: Sequence[str | None]) -> ProxyRequest:
    """The request, tied to the endpoints of the account that keeps what it names; `found` has who keeps the first ones
    of `ids`."""
    gone = [name for name, owner in zip(ids, found, strict=False) if owner is not None and owner.startswith(GONE)]
    owners = {
        name: None if owner is None else owner.removeprefix(GONE) for name, owner in zip(ids, found, strict=False)
    }
    account = next((owner for owner in owners.values() if owner is not None), None)
    pinned = frozenset(endpoint.id for endpoint in group.endpoints if endpoint.account == account)
    binding = Binding(
        ids=tuple(ids),
        kept=tuple(n for n, owner in owners.items() if owner is not None and owner == account and n not in gone),
        unclaimed=tuple(name for name, owner in owners.items() if owner is None),
        pinned=pinned or None,
        gone=gone[0] if gone else "",
    )
    return structs.replace(request, binding=binding)


def _names_file_or_audio(request: ProxyRequest) -> bool:
    text = request.outline or request.body
    return text.find(_FILE) >= 0 or text.find(_AUDIO) >= 0


def deletes(request: ProxyRequest, name: str, text: bytes) -> bool:
    """Did it delete the very thing of that name, and not a part of it, as the reply says?"""
    return request.path.endswith(f"/{name}") and not _NOT_DELETED.search(text)


def _asked_for(path: str) -> str:
    """The id of the thing that a path is about, or about a part of; empty = it names none."""
    below = path.removeprefix("/chat").split("/", 3)
    return below[2] if len(below) > 2 else ""


def _in_path(providers: Providers, request: ProxyRequest) -> Sequence[str]:
    """Whatever looks like an id below the first part of the path, and what the query names that certainly is one."""
    segments = [
        part
        for part in request.path.split("/")[2:]
        if (len(part) >= _ID_LENGTH and _DIGIT.search(part)) or providers.state_ids(f'"{part}"'.encode())
    ]
    named = providers.state_ids("".join(f'"{p.partition("=")[2]}"' for p in request.query.split("&") if p).encode())
    return list(dict.fromkeys([*segments, *named]))


def _scoped(request: ProxyRequest, name: str) -> str:
    return f"{request.client}:{name}"
