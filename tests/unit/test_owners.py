"""Who keeps what: requests that build on it go there, and what nobody has heard of is found by asking."""

import asyncio
import json
from collections.abc import Callable, Sequence

import pytest
from msgspec import structs

from adapters.http.server.error_body import status_of
from adapters.stores.memory.owners import MemoryResponseOwners
from adapters.upstreams.openai.dialect import OpenAIDialect
from application.answers import Answer, WholeAnswer
from application.errors import AllLimited, UpstreamsFailed, WasDeleted
from application.messages import Api, Binding, ProxyRequest, RequestTrace
from application.state.owners import StateOwners
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.rate_limit.token_estimate import Demand
from domain.routing.route_query import RouteQuery
from tests.fakes import FakeClock, FakeReply
from tests.flows import next_piece
from tests.unit.dispatch_bench import Bench, good, refused, status, stream

RESPONSE = b'{"id":"resp_1234567890","object":"response","status":"completed","output":[]}'
NOT_FOUND = {
    "message": "Previous response with id 'resp_1234567890' not found.",
    "type": "invalid_request_error",
    "param": "previous_response_id",
    "code": "previous_response_not_found",
}


def response() -> FakeReply:
    return FakeReply(200, [RESPONSE])


def denied() -> FakeReply:
    return status(400, NOT_FOUND)()


def endpoint(name: str, account: str) -> Endpoint:
    return Endpoint(id=name, model="m", provider="openai", bucket=name, account=account)


def follow_up(**changes: object) -> ProxyRequest:
    body = json.dumps({"model": "m", "input": "Hi", "previous_response_id": "resp_1234567890"}).encode()
    request = ProxyRequest(Api.RESPONSES, "/responses", "", (), (), body, "g", "m", False, "req", 0.0, client="one")
    return structs.replace(request, **changes)


class Shop:
    """What is known of ids, in memory."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.owners = StateOwners(OpenAIDialect({}), MemoryResponseOwners(clock or FakeClock(), 100.0))
        self.group = ModelGroup("g", (endpoint("e1", "a"), endpoint("e2", "b"), endpoint("e3", "b")))

    async def learn(self, name: str, request: ProxyRequest, text: bytes = RESPONSE) -> None:
        self.owners.learn(next(e for e in self.group.endpoints if e.id == name), request, text)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def pinned(self, request: ProxyRequest, group: ModelGroup | None = None) -> frozenset[str] | None:
        return (await self.owners.bind(group or self.group, request)).binding.pinned


async def test_what_was_never_heard_of_pins_nothing_but_is_known_to_be_kept_somewhere() -> None:
    shop = Shop()
    bound = await shop.owners.bind(shop.group, follow_up())

    assert bound.binding.pinned is None
    assert bound.binding.ids == ("resp_1234567890",)


async def test_a_follow_up_goes_to_all_endpoints_of_the_account_that_answered() -> None:
    shop = Shop()
    await shop.learn("e2", follow_up())

    assert await shop.pinned(follow_up()) == {"e2", "e3"}


async def test_clients_with_other_credentials_do_not_share_what_is_known() -> None:
    shop = Shop()
    await shop.learn("e2", follow_up())

    assert await shop.pinned(follow_up(client="two")) is None


async def test_a_group_without_an_endpoint_of_the_account_is_not_pinned_to_nothing() -> None:
    shop = Shop()
    await shop.learn("e2", follow_up())

    assert await shop.pinned(follow_up(), ModelGroup("h", (endpoint("f1", "c"),))) is None


async def test_paths_conversations_files_and_reasoning_bind_as_well() -> None:
    shop = Shop()
    kept = {"conversation": {"id": "conv_12345678"}, "output": [{"id": "msg_12345678", "encrypted_content": "g" * 40}]}
    await shop.learn("e1", follow_up(), json.dumps(kept).encode())
    bodies = [
        {"conversation": "conv_12345678"},
        {"input": [{"type": "item_reference", "id": "msg_12345678"}]},
        {"input": [{"type": "reasoning", "encrypted_content": "g" * 40}]},
    ]

    for body in bodies:
        assert await shop.pinned(follow_up(body=json.dumps(body).encode())) == {"e1"}
    get = follow_up(api=Api.STORED, method="GET", path="/conversations/conv_12345678/items", body=b"")
    assert await shop.pinned(get) == {"e1"}


def deleting(path: str) -> ProxyRequest:
    return follow_up(api=Api.STORED, method="DELETE", path=path, body=b"")


GET_IT = follow_up(api=Api.STORED, method="GET", path="/responses/resp_1234567890", body=b"", model="")


async def after_its_deletion(request: ProxyRequest) -> tuple[Shop, ProxyRequest]:
    shop = Shop()
    await shop.learn("e2", follow_up())
    await shop.learn("e2", deleting("/responses/resp_1234567890"), b'{"id":"resp_1234567890","deleted":true}')
    return shop, await shop.owners.bind(shop.group, request)


def as_denied(request: ProxyRequest) -> ProxyRequest:
    return structs.replace(request, binding=structs.replace(request.binding, is_denied=True))


def asked_at(bench: Bench, request: ProxyRequest) -> ProxyRequest:
    """Asked now, of the keeper that the bench has."""
    binding = structs.replace(request.binding, pinned=frozenset({"e2"}))
    return structs.replace(request, received=bench.clock.now(), binding=binding)


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
@pytest.mark.parametrize("below", ["", "/input_items", "/cancel"])
async def test_of_what_was_deleted_its_keeper_is_asked_once_and_believed(method: str, below: str) -> None:
    _, bound = await after_its_deletion(
        structs.replace(GET_IT, method=method, path=f"/responses/resp_1234567890{below}")
    )
    assert (bound.binding.pinned, bound.binding.gone) == ({"e2", "e3"}, "resp_1234567890")
    bench = Pinned([response], [NO_SUCH], [response])
    answer = await bench.dispatch(bench.group, asked_at(bench, bound), bench.trace)

    assert told(answer)[0] == 404
    assert bench.asked == ["e2"]
    assert bench.clock.slept == []


@pytest.mark.parametrize("trouble", [refused, status(500), status(429, retry_after="100"), status(401)])
async def test_what_was_deleted_is_not_found_though_its_keeper_cannot_say_so(trouble: Callable[[], FakeReply]) -> None:
    _, bound = await after_its_deletion(GET_IT)
    bench = Pinned([response], [trouble], [response])
    for _ in range(3):
        with pytest.raises(WasDeleted) as denied_by_us:
            await bench.dispatch(bench.group, asked_at(bench, bound), RequestTrace())

        assert status_of(denied_by_us.value) == 404
        assert "resp_1234567890" in str(denied_by_us.value)
    assert bench.clock.slept == []


async def test_what_is_there_again_is_no_longer_gone() -> None:
    shop, bound = await after_its_deletion(GET_IT)
    await shop.learn("e2", bound)

    assert (await shop.owners.bind(shop.group, GET_IT)).binding.gone == ""
    assert await shop.pinned(GET_IT) == {"e2", "e3"}


@pytest.mark.parametrize(
    "path", ["/chat/completions/chatcmpl-12345678", "/files/file-12345678", "/vector_stores/vs_123"]
)
async def test_other_things_that_were_deleted_are_gone_as_well(path: str) -> None:
    shop = Shop()
    api = Api.STORED if path.startswith("/chat") else Api.OTHER
    await shop.learn("e2", structs.replace(deleting(path), api=api), b'{"deleted":true}')
    bound = await shop.owners.bind(shop.group, follow_up(api=api, method="GET", path=path, body=b""))

    assert (bound.binding.pinned, bound.binding.gone) == ({"e2", "e3"}, path.rpartition("/")[2])


async def test_another_client_with_a_key_of_its_own_is_not_told_what_was_deleted() -> None:
    shop = Shop()
    await shop.learn("e2", deleting("/responses/resp_1234567890"), b'{"deleted":true}')
    theirs = follow_up(api=Api.STORED, method="GET", path="/responses/resp_1234567890", body=b"", client="two")

    assert (await shop.owners.bind(shop.group, theirs)).binding.pinned is None


async def test_what_a_provider_did_not_delete_is_still_there() -> None:
    shop = Shop()
    await shop.learn("e2", follow_up())
    await shop.learn("e2", deleting("/responses/resp_1234567890"), b'{"id":"resp_1234567890","deleted": false}')

    assert await shop.pinned(follow_up()) == {"e2", "e3"}


async def test_what_was_deleted_from_something_else_is_still_there_itself() -> None:
    shop = Shop()
    detached = structs.replace(deleting("/vector_stores/vs_12345678/files/file-12345678"), api=Api.OTHER)
    await shop.learn("e2", detached, b'{"id":"file-12345678","deleted":true}')
    file = follow_up(api=Api.OTHER, method="GET", path="/files/file-12345678", body=b"")

    assert (await shop.owners.bind(shop.group, file)).binding.ids == ("file-12345678",)


async def test_going_on_from_what_was_deleted_is_denied_by_its_keeper_alone_and_at_once() -> None:
    shop, bench = Shop(), Pinned([response], [denied], [response])
    await shop.learn("e2", deleting("/responses/resp_1234567890"), b'{"deleted":true}')
    bound = await shop.owners.bind(shop.group, follow_up())
    assert bound.binding.pinned == {"e2", "e3"}
    asked = asked_at(bench, bound)
    code, body = told(await bench.dispatch(bench.group, asked, bench.trace))

    assert (code, json.loads(body)["error"]) == (400, NOT_FOUND)
    assert bench.asked == ["e2"]
    assert bench.clock.slept == []


async def test_chat_is_learned_only_where_it_is_stored() -> None:
    shop = Shop()
    completion = b'{"id":"chatcmpl-1234567890","choices":[]}'
    get = follow_up(api=Api.STORED, method="GET", path="/chat/completions/chatcmpl-1234567890", body=b"")
    await shop.learn("e1", follow_up(api=Api.CHAT, body=b'{"messages":[]}'), completion)
    assert await shop.pinned(get) is None
    await shop.learn("e1", follow_up(api=Api.CHAT, body=b'{"store":true,"messages":[]}', is_kept=True), completion)

    assert await shop.pinned(get) == {"e1"}


class Pinned(Bench):
    """Scripted upstreams, each an account of its own, and a request that builds on what one of them keeps."""

    async def follow_up(self, *pinned: str) -> Answer:
        self.trace = RequestTrace()
        request = follow_up(
            received=self.clock.now(), binding=Binding(("resp_1234567890",), pinned=frozenset(pinned) or None)
        )
        return await self.dispatch(self.group, request, self.trace)


def told(answer: Answer) -> tuple[int, bytes]:
    assert isinstance(answer, WholeAnswer)
    return answer.reply.status, answer.reply.body


async def test_only_who_keeps_it_is_asked() -> None:
    bench = Pinned([response], [response], [response])

    for _ in range(4):
        await bench.follow_up("e2")
        assert bench.asked == ["e2"]


@pytest.mark.parametrize("script", [[refused], [status(500)]])
async def test_who_keeps_it_and_fails_is_asked_again_and_never_another(
    script: Sequence[Callable[[], FakeReply | Failure]],
) -> None:
    bench = Pinned([response], script, retries=2)

    with pytest.raises(UpstreamsFailed):
        await bench.follow_up("e2")
    assert set(bench.asked) == {"e2"}
    assert len(bench.asked) == 3


async def test_who_keeps_it_and_is_limited_is_waited_for() -> None:
    limited = status(429, {"code": "rate_limit_exceeded", "message": "m"}, retry_after="5")
    bench = Pinned([response], [limited, response])

    assert told(await bench.follow_up("e2"))[0] == 200
    assert bench.asked == ["e2", "e2"]


async def test_who_keeps_it_and_is_limited_for_too_long_is_a_429_that_says_when() -> None:
    limited = status(429, {"code": "rate_limit_exceeded", "message": "m"}, retry_after="200")
    bench = Pinned([response], [limited])

    with pytest.raises(AllLimited) as refusal:
        await bench.follow_up("e2")
    assert refusal.value.retry_after_s == pytest.approx(200)
    assert bench.asked == ["e2"]


async def test_who_keeps_it_and_cools_is_asked_though_others_wait_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    limited = status(429, {"code": "rate_limit_exceeded", "message": "m"}, retry_after="20")
    bench = Pinned([limited, response], [refused, response], retries=0)
    with pytest.raises(UpstreamsFailed):
        await bench.follow_up("e2")
    with pytest.raises(AllLimited):
        await bench.follow_up("e1")
    lease = bench.waiting.lease(
        bench.group, RouteQuery(Demand.of(b"{}", None), ""), frozenset({"e2"}), bench.clock.now() + 15
    )
    waiting = asyncio.ensure_future(lease)
    await asyncio.sleep(0)
    assert bench.waiting.waiting("g") == 1
    monkeypatch.delattr(bench.waiting.__class__, "lease")  # nobody else may wait

    assert told(await bench.follow_up("e2"))[0] == 200
    waiting.cancel()


async def test_its_keeper_is_not_believed_at_once_when_it_denies() -> None:
    bench = Pinned([response], [denied, denied, response])

    assert told(await bench.follow_up("e2"))[0] == 200
    assert bench.asked == ["e2"] * 3


async def test_a_keeper_that_goes_on_denying_is_believed_once_the_others_deny_as_well() -> None:
    bench = Pinned([denied], [denied])
    code, body = told(await bench.follow_up("e2"))

    assert (code, json.loads(body)["error"]) == (400, NOT_FOUND)
    assert bench.asked == ["e2"] * 3 + ["e1"]


async def test_a_keeper_that_was_learned_wrongly_does_not_hide_the_right_one() -> None:
    bench = Pinned([response], [denied])

    assert told(await bench.follow_up("e2"))[0] == 200
    assert bench.asked == ["e2"] * 3 + ["e1"]


async def test_what_a_reply_only_repeats_teaches_nothing() -> None:
    shop = Shop()
    bound = await shop.owners.bind(shop.group, follow_up(body=b'{"metadata":{"parent":"resp_1234567890"}}'))
    await shop.learn("e2", bound, b'{"id":"resp_new1234567","metadata":{"parent":"resp_1234567890"}}')

    assert await shop.pinned(follow_up()) is None


async def test_words_of_a_client_are_not_learned_from_who_repeats_them_pinned_or_not() -> None:
    shop = Shop()
    await shop.learn("e2", follow_up())
    words = {"tools": [{"name": "file_v2_search"}], "metadata": {"thread": "thread_12345678"}}
    body = json.dumps({"previous_response_id": "resp_1234567890", **words}).encode()
    pinned = await shop.owners.bind(shop.group, follow_up(body=body))
    assert pinned.binding.pinned == {"e2", "e3"}

    await shop.learn("e2", pinned, json.dumps({"id": "resp_new1234567", **words}).encode())

    assert await shop.pinned(follow_up(body=json.dumps(words).encode())) is None
    assert await shop.pinned(follow_up(body=b'{"previous_response_id":"resp_new1234567"}')) == {"e2", "e3"}


async def test_what_was_found_by_asking_is_known_from_then_on() -> None:
    shop = Shop()
    bound = await shop.owners.bind(shop.group, follow_up())
    await shop.learn("e2", as_denied(bound), b'{"id":"resp_new1234567"}')

    assert await shop.pinned(follow_up()) == {"e2", "e3"}


@pytest.mark.parametrize("conversation", ["conv_12345678", {"id": "conv_12345678"}])
async def test_who_goes_on_from_something_keeps_it(conversation: object) -> None:
    shop = Shop()
    turn = follow_up(body=json.dumps({"input": "Hi", "conversation": conversation}).encode())
    await shop.learn("e2", await shop.owners.bind(shop.group, turn), b'{"id":"resp_new1234567"}')

    assert await shop.pinned(turn) == {"e2", "e3"}


@pytest.mark.parametrize(
    "name", ["0b5e0f0c-8c1c-4f6a-9d0a-1f2e3d4c5b6a", "resp-abc", "gen-17", "resp_ab==", "a:b", "7"]
)
async def test_ids_of_any_shape_are_followed_where_a_field_says_that_they_are_ids(name: str) -> None:
    shop = Shop()
    reply = {"id": name, "object": "response", "output": [{"type": "reasoning", "id": f"{name}-item"}]}
    await shop.learn("e2", follow_up(body=b'{"input":"Hi"}'), json.dumps(reply).encode())
    bodies = [
        {"previous_response_id": name},
        {"conversation": name},
        {"conversation": {"id": name}},
        {"input": [{"type": "item_reference", "id": f"{name}-item"}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": name}]}]},
    ]

    for body in bodies:
        assert await shop.pinned(follow_up(body=json.dumps(body).encode())) == {"e2", "e3"}


async def test_calls_and_items_that_are_carried_whole_do_not_bind_whatever_their_ids_look_like() -> None:
    shop = Shop()
    call = {"type": "function_call", "id": "9f0c", "call_id": "call_77", "name": "f", "arguments": "{}"}
    await shop.learn("e2", follow_up(body=b'{"input":"Hi"}'), json.dumps({"id": "x1", "output": [call]}).encode())
    carried = {"input": [call, {"type": "function_call_output", "call_id": "call_77", "output": "1"}]}

    assert await shop.pinned(follow_up(body=json.dumps(carried).encode())) is None


async def test_an_id_that_is_known_to_be_anothers_is_never_claimed() -> None:
    shop = Shop()
    await shop.learn("e1", follow_up(), b'["resp_stranger1234"]')
    await shop.learn("e2", follow_up())
    body = b'{"previous_response_id":"resp_1234567890","metadata":{"x":"resp_stranger1234"}}'
    bound = await shop.owners.bind(shop.group, follow_up(body=body))
    await shop.learn("e2", as_denied(bound), body)

    assert await shop.pinned(follow_up(body=b'{"previous_response_id":"resp_stranger1234"}')) == {"e1"}


async def test_going_on_with_it_keeps_what_is_known_from_growing_old() -> None:
    clock = FakeClock()
    shop = Shop(clock)
    await shop.learn("e2", follow_up())
    for _ in range(3):
        clock.advance(60.0)
        await shop.learn("e2", await shop.owners.bind(shop.group, follow_up()), b'{"id":"resp_new1234567"}')

    assert await shop.pinned(follow_up()) == {"e2", "e3"}


async def test_who_has_answered_about_a_path_keeps_what_it_names_whatever_its_ids_look_like() -> None:
    shop = Shop()
    get = follow_up(api=Api.OTHER, method="GET", path="/things/odd-id-4711/content", body=b"")
    bound = await shop.owners.bind(shop.group, get)
    await shop.learn("e1", bound, b"")

    assert bound.binding.ids == ("odd-id-4711",)
    assert await shop.pinned(get) == {"e1"}


async def test_what_nobody_has_heard_of_is_asked_for_everywhere_however_many_there_are() -> None:
    bench = Pinned(*[[denied]] * 8, [response], retries=1)

    assert told(await bench.follow_up())[0] == 200
    assert len(bench.asked) == len(set(bench.asked)) == 9
    assert bench.clock.slept == []


async def test_when_all_deny_the_client_reads_it_once() -> None:
    bench = Pinned([denied], [denied], [denied])
    code, body = told(await bench.follow_up())

    assert (code, json.loads(body)["error"]) == (400, NOT_FOUND)
    assert sorted(bench.asked) == ["e1", "e2", "e3"]


async def test_it_is_not_denied_while_one_that_may_keep_it_is_down() -> None:
    bench = Pinned([denied], [refused], retries=1)

    with pytest.raises(UpstreamsFailed) as failure:
        await bench.follow_up()
    assert status_of(failure.value) == 502


async def test_denying_costs_an_endpoint_nothing() -> None:
    bench = Pinned([denied], [denied])
    await bench.follow_up()

    assert all(bench.picture.state(e).value == "closed" for e in bench.group.endpoints)
    assert FailureKind.STATE.value in str(bench.trace.attempts)


async def test_items_carried_whole_do_not_bind_and_references_do() -> None:
    shop = Shop()
    await shop.learn("e1", follow_up(), b'{"id":"resp_1234567890","output":[{"id":"msg_12345678"}]}')
    carried = {"input": [{"type": "message", "id": "msg_12345678", "role": "assistant", "content": "Hi"}]}
    referred = {"input": [{"type": "item_reference", "id": "msg_12345678"}]}

    assert await shop.pinned(follow_up(body=json.dumps(carried).encode())) is None
    assert await shop.pinned(follow_up(body=json.dumps(referred).encode())) == {"e1"}


async def test_a_page_of_a_list_is_asked_for_where_the_last_one_came_from() -> None:
    shop = Shop()
    await shop.learn("e2", follow_up(api=Api.STORED, method="GET", path="/chat/completions"), b'["chatcmpl-12345678"]')
    page = follow_up(api=Api.STORED, method="GET", path="/chat/completions", query="after=chatcmpl-12345678", body=b"")

    assert await shop.pinned(page) == {"e2", "e3"}


async def test_deleting_a_part_does_not_forget_the_whole() -> None:
    shop = Shop()
    await shop.learn("e2", follow_up(), b'["conv_12345678","msg_12345678"]')
    part = follow_up(api=Api.STORED, method="DELETE", path="/conversations/conv_12345678/items/msg_12345678", body=b"")
    await shop.learn("e2", part, b"{}")

    whole = follow_up(api=Api.STORED, method="GET", path="/conversations/conv_12345678", body=b"")
    assert await shop.pinned(whole) == {"e2", "e3"}


async def test_nothing_is_unknown_while_one_that_may_keep_it_is_limited() -> None:
    limited = status(429, {"code": "rate_limit_exceeded", "message": "m"}, retry_after="60")
    bench = Pinned([denied], [limited, response])
    for _ in range(2):
        with pytest.raises(AllLimited):
            await bench.follow_up()

    assert bench.asked == ["e1"]


async def test_who_names_nothing_is_told_the_first_denial() -> None:
    bench = Pinned([denied], [response])
    answer = await bench.dispatch(bench.group, follow_up(received=bench.clock.now()), bench.trace)

    assert told(answer)[0] == 400
    assert bench.asked == ["e1"]


def about_a_path(bench: Pinned) -> ProxyRequest:
    get = follow_up(api=Api.STORED, method="GET", path="/responses/resp_1234567890", body=b"", model="")
    return structs.replace(get, received=bench.clock.now(), binding=Binding(("resp_1234567890",)))


NO_SUCH = status(404, {"message": "Response with id 'resp_1234567890' not found.", "type": "invalid_request_error"})
NOT_ALLOWED = status(405, {"message": "Method not allowed", "type": "invalid_request_error"})
NO_SCOPE = status(403, {"message": "Missing scopes: api.responses.read", "type": "invalid_request_error"})


@pytest.mark.parametrize("other", [NOT_ALLOWED, NO_SCOPE])
async def test_an_account_that_does_not_take_the_question_does_not_hide_the_one_that_answers(
    other: Callable[[], FakeReply],
) -> None:
    bench = Pinned([other], [response])
    answer = await bench.dispatch(bench.group, about_a_path(bench), bench.trace)

    assert told(answer)[0] == 200
    assert bench.asked == ["e1", "e2"]


@pytest.mark.parametrize("other", [NOT_ALLOWED, NO_SCOPE])
@pytest.mark.parametrize("is_first", [True, False])
async def test_not_found_is_told_though_another_account_may_not_be_asked(
    other: Callable[[], FakeReply], is_first: bool
) -> None:
    bench = Pinned([other], [NO_SUCH]) if is_first else Pinned([NO_SUCH], [other])
    answer = await bench.dispatch(bench.group, about_a_path(bench), bench.trace)

    assert told(answer)[0] == 404
    assert bench.asked == ["e1", "e2"]


REFUSED_KEY = status(401, {"message": "Incorrect API key provided", "code": "invalid_api_key"})


@pytest.mark.parametrize("other", [REFUSED_KEY, status(401), status(403), NO_SCOPE])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("is_path", [True, False])
async def test_not_found_is_told_however_often_though_one_accounts_key_is_refused(
    other: Callable[[], FakeReply], is_first: bool, is_path: bool
) -> None:
    missing = NO_SUCH if is_path else denied
    bench = Pinned([other], [missing]) if is_first else Pinned([missing], [other])
    for _ in range(40):
        bench.trace = RequestTrace()
        asked = about_a_path(bench) if is_path else structs.replace(follow_up(), received=bench.clock.now())
        asked = structs.replace(asked, binding=Binding(("resp_1234567890",)))
        answer = await bench.dispatch(bench.group, asked, bench.trace)

        assert told(answer)[0] == (404 if is_path else 400)
    assert bench.clock.slept == []


async def test_not_found_is_told_while_an_account_is_out_for_its_refused_key() -> None:
    bench = Pinned([REFUSED_KEY], [good, NO_SUCH])
    await bench.dispatch(bench.group, bench.request(), RequestTrace())
    assert bench.picture.state(bench.group.endpoints[0]).value == "cooling"
    for _ in range(40):
        answer = await bench.dispatch(bench.group, about_a_path(bench), RequestTrace())

        assert told(answer)[0] == 404


@pytest.mark.parametrize("rests_for", [status(429, {"code": "insufficient_quota"}), status(500), refused, REFUSED_KEY])
async def test_an_account_that_rests_is_asked_all_the_same_however_often(rests_for: Callable[[], FakeReply]) -> None:
    bench = Pinned([rests_for, NO_SUCH], [good, NO_SUCH])
    await bench.dispatch(bench.group, bench.request(), RequestTrace())
    assert bench.picture.state(bench.group.endpoints[0]).value == "cooling"
    for _ in range(40):
        answer = await bench.dispatch(bench.group, about_a_path(bench), RequestTrace())

        assert told(answer)[0] == 404
    assert bench.clock.slept == []


async def test_many_accounts_whose_keys_are_refused_do_not_hide_the_one_that_keeps_it() -> None:
    bench = Pinned(*[[REFUSED_KEY]] * 6, [response], retries=1)

    assert told(await bench.follow_up())[0] == 200


async def test_what_is_being_written_down_is_waited_for_at_the_end() -> None:
    shop = Shop()
    shop.owners.learn(shop.group.endpoints[0], follow_up(), RESPONSE)
    await shop.owners.close()

    assert await shop.pinned(follow_up()) == {"e1"}


async def test_an_error_in_a_stream_that_is_replayed_is_what_happened_then_and_no_news_of_the_endpoint() -> None:
    failed = (
        b'event: response.failed\ndata: {"type":"response.failed","response":{"error":{"code":"server_error"}}}\n\n'
    )
    bench = Pinned([stream(failed)], [response])
    get = follow_up(api=Api.STORED, method="GET", path="/responses/resp_1234567890", body=b"", stream=True, model="")
    binding = Binding(("resp_1234567890",), pinned=frozenset({"e1"}))
    bound = structs.replace(get, received=bench.clock.now(), binding=binding)
    answer = await bench.dispatch(bench.group, bound, bench.trace)

    assert not isinstance(answer, WholeAnswer)
    assert await next_piece(answer) == failed
    assert await next_piece(answer) == b""
    answer.close()
    assert bench.picture.state(bench.group.endpoints[0]).value == "closed"
    assert bench.asked == ["e1"]
