"""Who keeps what, as requests and their answers go by, against a plain table of it."""

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from msgspec import structs

from adapters.stores.memory.owners import MemoryResponseOwners
from adapters.upstreams.openai.dialect import OpenAIDialect
from application.messages import Api, ProxyRequest
from application.state.owners import StateOwners
from domain.endpoint import Endpoint
from domain.group import ModelGroup
from tests.examples import examples
from tests.fakes import FakeClock

_ACCOUNTS = {"e1": "a", "e2": "b", "e3": "b"}
_GROUP = ModelGroup("g", tuple(Endpoint(name, "m", "openai", account=_ACCOUNTS[name]) for name in _ACCOUNTS))
_CLIENTS = st.sampled_from(["one", "two"])
_IDS = st.sampled_from([f"resp_{number}234567890" for number in range(3)])
_ENDPOINTS = st.sampled_from(_GROUP.endpoints)
_TTL_S = 100.0


def _follow_up(client: str, *previous: str) -> ProxyRequest:
    body = {
        **({"previous_response_id": previous[0]} if previous else {}),
        "input": [{"type": "item_reference", "id": each} for each in previous[1:]],
    }
    raw = json.dumps(body).encode()
    return ProxyRequest(Api.RESPONSES, "/responses", "", (), (), raw, "g", "m", False, "r", 0.0, client=client)


class AnyDialogues(RuleBasedStateMachine):
    """The model: for each client's id its account, whether it was deleted, and until when that is known."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.owners = StateOwners(OpenAIDialect({}), MemoryResponseOwners(self.clock, _TTL_S))
        self.known: dict[tuple[str, str], tuple[str, bool, float]] = {}

    def teardown(self) -> None:
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def learn(self, endpoint: Endpoint, request: ProxyRequest, text: bytes) -> None:
        async def learnt() -> None:
            self.owners.learn(endpoint, request, text)
            await self.owners.close()

        self.run(learnt())

    def knows(self, client: str, name: str) -> tuple[str, bool] | None:
        account, is_gone, until = self.known.get((client, name), ("", False, 0.0))
        return (account, is_gone) if until > self.clock.now() else None

    def keep(self, client: str, name: str, account: str, *, is_gone: bool = False) -> None:
        self.known[client, name] = account, is_gone, self.clock.now() + _TTL_S

    @rule(client=_CLIENTS, name=_IDS, endpoint=_ENDPOINTS)
    def a_response_is_made(self, client: str, name: str, endpoint: Endpoint) -> None:
        self.learn(endpoint, _follow_up(client), b'{"id":"%b","object":"response"}' % name.encode())

        self.keep(client, name, endpoint.account)

    @rule(client=_CLIENTS, name=_IDS, endpoint=_ENDPOINTS, is_there=st.booleans())
    def one_is_deleted(self, client: str, name: str, endpoint: Endpoint, is_there: bool) -> None:
        request = structs.replace(
            _follow_up(client), api=Api.STORED, path=f"/responses/{name}", method="DELETE", body=b""
        )
        self.learn(endpoint, request, b'{"id":"%b","deleted":%b}' % (name.encode(), b"true" if is_there else b"false"))

        if is_there:
            self.keep(client, name, endpoint.account, is_gone=True)

    @rule(client=_CLIENTS, names=st.lists(_IDS, min_size=1, max_size=3, unique=True), made=_IDS, data=st.data())
    def one_goes_on(self, client: str, names: list[str], made: str, data: st.DataObject) -> None:
        """What is known of the things it names decides where it goes, and who answers keeps what it made."""
        bound = self.run(self.owners.bind(_GROUP, _follow_up(client, *names)))
        binding, known = bound.binding, {name: self.knows(client, name) for name in names}
        told = [state for state in known.values() if state is not None]

        account = told[0][0] if told else None
        assert binding.pinned == (frozenset(e.id for e in _GROUP.endpoints if e.account == account) or None)
        assert binding.gone == next((name for name, state in known.items() if state is not None and state[1]), "")
        assert binding.unclaimed == tuple(name for name, state in known.items() if state is None)
        assert binding.kept == tuple(name for name, state in known.items() if state == (account, False))

        endpoint = data.draw(st.sampled_from([e for e in _GROUP.endpoints if account in (None, e.account)]))
        self.learn(endpoint, bound, b'{"id":"%b","metadata":{"x":"%b"}}' % (made.encode(), names[-1].encode()))
        if made not in names:
            self.keep(client, made, endpoint.account)
        for name in binding.kept:
            self.keep(client, name, endpoint.account)
        if names[0] in binding.unclaimed:  # what it goes on from was there, as it was answered
            self.keep(client, names[0], endpoint.account)

    @rule(seconds=st.sampled_from([1.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)


TestAnyDialogues = AnyDialogues.TestCase
TestAnyDialogues.settings = settings(max_examples=examples(60), stateful_step_count=15, deadline=None)
