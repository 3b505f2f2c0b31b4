"""Each key's things are its own: what is asked for, what becomes whose, and what happens when nobody can say."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import structs

from adapters.http.server.error_body import status_of
from adapters.stores.memory.owners import MemoryResponseOwners
from adapters.upstreams.openai.dialect import OpenAIDialect
from adapters.upstreams.stored_things.openai_things import OpenAIThings
from application.errors import Closed, InvalidRequest, NotFound, NotKnownNow
from application.messages import Api, ProxyRequest
from application.state.owners_per_key import LOOK_AGAIN_S, MOST_NAMED, KeyedOwners
from application.store_ports import ResponseOwners, StoreUnavailable
from domain.endpoint import Endpoint
from domain.group import ModelGroup
from tests.fakes import FakeClock

GROUP = ModelGroup("g", tuple(Endpoint(id=n, model="m", provider="openai", account=f"at-{n}") for n in ("e1", "e2")))
RESP = "resp_0123456789abcdef0123"


def request(tenant: str = "name a", **changes: Any) -> ProxyRequest:
    start = ProxyRequest(Api.RESPONSES, "/responses", "", (), (), b"", "g", "g", False, "r", 0.0, tenant=tenant)
    return structs.replace(start, **changes)


def following(tenant: str = "name a", **fields: Any) -> ProxyRequest:
    return request(tenant, body=json.dumps({"previous_response_id": RESP} | fields).encode())


def asking(path: str, method: str = "GET", tenant: str = "name a", api: Api = Api.STORED, **more: Any) -> ProxyRequest:
    return request(tenant, api=api, path=path, method=method, model="", body_model=None, **more)


class Shop:
    """What is known, in memory or in another store."""

    def __init__(self, store: ResponseOwners | None = None) -> None:
        self.clock = FakeClock()
        self.owners = KeyedOwners(
            OpenAIDialect({}),
            store or MemoryResponseOwners(self.clock, 100.0),
            OpenAIThings(),
            self.clock,
            others_write=True,
        )

    async def learn(self, asked: ProxyRequest, reply: Any, at: str = "e2") -> None:
        endpoint = next(e for e in GROUP.endpoints if e.id == at)
        self.owners.learn(endpoint, asked, json.dumps(reply).encode())
        await self.owners.close()

    async def bind(self, asked: ProxyRequest) -> ProxyRequest:
        return await self.owners.bind(GROUP, asked)

    async def knows(self, name: str, tenant: str = "name a") -> bool:
        try:
            await self.bind(following(tenant, previous_response_id=name))
        except NotFound:
            return False
        return True


async def test_what_a_key_made_is_its_own_and_unknown_to_every_other() -> None:
    shop = Shop()
    await shop.learn(request(), {"id": RESP})

    assert (await shop.bind(following())).binding.pinned == {"e2"}
    for stranger in ("name b", "key 00", ""):
        with pytest.raises(NotFound) as refused:
            await shop.bind(following(stranger))
        assert str(refused.value) == f"'{RESP}' is not found."


async def test_what_it_used_again_is_remembered_anew() -> None:
    shop = Shop()
    await shop.learn(request(), {"id": RESP})
    shop.clock.advance(90)
    await shop.learn(await shop.bind(following()), {"id": "resp_2"})
    shop.clock.advance(90)

    assert await shop.knows(RESP)


async def test_one_that_is_anothers_among_many_of_ones_own_is_enough() -> None:
    shop = Shop()
    for tenant, name in (("name a", "file-1"), ("name b", "file-2")):
        await shop.learn(asking("/files", "POST", tenant, Api.OTHER), {"id": name})
    body = json.dumps({"file_ids": ["file-1"] * 300 + ["file-2"]}).encode()

    with pytest.raises(NotFound, match="file-2"):
        await shop.bind(asking("/vector_stores", "POST", api=Api.OTHER, body=body))


async def test_a_list_and_what_is_nobodys_in_particular_are_refused_with_the_reason() -> None:
    shop = Shop()
    for path, told in (("/files", "lists what all keys have made"), ("/agents/x", "is not known to be about one key")):
        with pytest.raises(Closed, match=told) as refused:
            await shop.bind(asking(path, api=Api.OTHER))
        assert (status_of(refused.value), refused.value.code) == (403, "not_per_key")
        assert "tenancy: shared" in str(refused.value)


async def test_calls_that_name_nothing_ask_no_store() -> None:
    shop = Shop(Away())
    asked = request(body=b'{"model":"g","input":"hi"}')

    assert await shop.bind(asked) is asked
    for api, path in ((Api.CHAT, "/chat/completions"), (Api.EMBEDDINGS, "/embeddings"), (Api.OTHER, "/audio/speech")):
        await shop.bind(request(api=api, path=path, body=b'{"input":"resp_1234567890abcdef1234"}'))


class Away:
    """A store that does not answer."""

    async def find(self, ids: Sequence[str]) -> Sequence[str | None]:
        return [None] * len(ids)

    async def look_up(self, ids: Sequence[str]) -> Sequence[str | None]:
        raise StoreUnavailable("away")

    async def remember(self, ids: Sequence[str], owner: str) -> None:
        return


async def test_while_the_store_is_away_nothing_is_called_unknown() -> None:
    with pytest.raises(NotKnownNow) as refused:
        await Shop(Away()).bind(following())
    assert (status_of(refused.value), refused.value.code) == (503, "owners_unavailable")


async def test_what_another_worker_is_just_writing_down_is_looked_for_again() -> None:
    shop = Shop()
    store = shop.owners._owners
    asked = asyncio.create_task(shop.bind(following()))
    await asyncio.sleep(0)
    await store.remember([f"name a:{RESP}"], "at-e1")

    assert (await asked).binding.pinned == {"e1"}
    assert shop.clock.slept == [LOOK_AGAIN_S]


@pytest.mark.parametrize(
    ("path", "api"), [(f"/responses/{RESP}", Api.STORED), ("/files/file-1", Api.OTHER), ("/files/file%2D1", Api.OTHER)]
)
async def test_what_its_key_deleted_is_gone_and_what_was_only_detached_is_not(path: str, api: Api) -> None:
    shop = Shop()
    name = RESP if api is Api.STORED else "file-1"
    for made in (name, "vs_1"):
        await shop.learn(request(), {"id": made})
    await shop.learn(asking(f"/vector_stores/vs_1/files/{name}", "DELETE", api=Api.OTHER), {"deleted": True})
    assert (await shop.bind(asking(path, api=api))).binding.gone == ""
    await shop.learn(asking(path, "DELETE", "name b", api), {"deleted": True})
    assert (await shop.bind(asking(path, api=api))).binding.gone == ""
    if "%" not in path:
        await shop.learn(asking(path, "DELETE", api=api), {"deleted": True})
        assert (await shop.bind(asking(path, api=api))).binding.gone == name


async def test_what_the_request_itself_had_in_it_does_not_become_its_keys() -> None:
    shop = Shop()
    items = [{"type": "message", "role": "user", "content": "x", "id": f"msg_{n}"} for n in range(400)]
    asked = request(
        api=Api.STORED, path="/conversations/conv_1/items", body=json.dumps({"items": items, "input": "x"}).encode()
    )
    await shop.learn(request(), {"id": "conv_1"})
    bound = await shop.bind(asked)
    await shop.learn(bound, {"data": [*reversed(items), {"id": "msg_new"}]})

    assert await shop.knows("msg_new")
    assert not await shop.knows("msg_399")
    assert not await shop.knows("msg_0")


async def test_chat_makes_things_only_where_it_is_stored() -> None:
    shop = Shop()
    chat = request(api=Api.CHAT, path="/chat/completions")
    await shop.learn(chat, {"id": "chatcmpl-1"})
    assert not await shop.knows("chatcmpl-1")
    await shop.learn(structs.replace(chat, is_kept=True), {"id": "chatcmpl-1"})
    assert await shop.knows("chatcmpl-1")


async def test_encrypted_reasoning_goes_where_it_was_made_and_is_never_refused() -> None:
    shop = Shop()
    reasoning = {"type": "reasoning", "id": "rs_1", "encrypted_content": "g" * 40}
    asked = request(body=json.dumps({"input": [reasoning]}).encode())
    assert (await shop.bind(asked)).binding.pinned is None
    await shop.learn(request(), {"id": RESP, "output": [reasoning]})

    assert (await shop.bind(asked)).binding.pinned == {"e2"}


async def test_a_fine_tuned_model_is_its_keys_where_no_group_is_called_so() -> None:
    shop = Shop()
    chat = request(api=Api.CHAT, path="/chat/completions", model="", body_model="ft:m:x")
    with pytest.raises(NotFound):
        await shop.bind(chat)
    await shop.bind(structs.replace(chat, model="ft:m:x"))
    await shop.learn(
        asking("/fine_tuning/jobs", "POST", api=Api.OTHER), {"id": "ftjob-1", "fine_tuned_model": "ft:m:x"}
    )

    assert (await shop.bind(chat)).binding.pinned == {"e2"}


async def test_forms_and_queries_name_things_too() -> None:
    shop = Shop()
    for asked in (
        asking("/videos", "POST", api=Api.OTHER, form=(("input_reference[file_id]", "file-1"),)),
        asking("/responses", "POST", query=f"previous={RESP}"),
        asking("/responses", "POST", query=f"previous=%72{RESP[1:]}"),
    ):
        with pytest.raises(NotFound):
            await shop.bind(asked)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"input":', 400),
        (b"[" * 50_000, 400),
        (json.dumps({"file_ids": [f"f{n}" for n in range(MOST_NAMED + 1)]}).encode(), 400),
        (b'{"input":[%b0]}' % (b"0," * 200_001), 413),
        (b'{"previous_response_id":"\xff"}', 400),
    ],
)
async def test_what_cannot_be_looked_through_is_refused(body: bytes, status: int) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await Shop().bind(request(body=body))
    assert status_of(refused.value) == status


async def test_a_large_body_is_looked_through_to_its_end() -> None:
    body = json.dumps({"input": "x" * 200_000, "conversation": {"id": "conv_of_b"}}).encode()

    with pytest.raises(NotFound, match="conv_of_b"):
        await Shop().bind(request(body=body))


async def test_an_id_of_half_an_emoji_can_be_told() -> None:
    with pytest.raises(NotFound) as refused:
        await Shop().bind(request(body=b'{"file_id":"\\ud83d"}'))
    assert str(refused.value) == "'?' is not found."
