"""What counts against an endpoint, and what is beside what it is there for."""

from collections.abc import Callable

import pytest
from msgspec import structs

from adapters.http.server.error_body import status_of
from application.answers import WholeAnswer
from application.errors import UpstreamsFailed
from application.messages import Api, ProxyRequest, RequestTrace
from domain.failure import Failure
from tests.fakes import FakeReply
from tests.unit.dispatch_bench import Bench, good, refused, status

MISSING_SCOPE = status(403, {"message": "Missing scopes: api.responses.write", "type": "invalid_request_error"})
NOT_THERE = status(404, {"code": "404", "message": "Resource not found"})
Script = list[Callable[[], FakeReply | Failure]]


async def ask(bench: Bench, api: Api, path: str, model: str, **changes: object) -> int:
    """The status the client gets."""
    bench.trace = RequestTrace()
    request = ProxyRequest(api, path, "", (), (), b"{}", model, None, False, "req", bench.clock.now())
    try:
        answer = await bench.dispatch(bench.group, structs.replace(request, **changes), bench.trace)
    except UpstreamsFailed as failed:
        return status_of(failed)
    if isinstance(answer, WholeAnswer):
        return answer.reply.status
    answer.close()
    return answer.status


def healths(bench: Bench) -> list[str]:
    return [bench.picture.state(endpoint).value for endpoint in bench.group.endpoints]


@pytest.mark.parametrize(
    ("api", "path", "model"),
    [
        (Api.OTHER, "/files", ""),
        (Api.STORED, "/responses/resp_12345678", ""),
        (Api.STORED, "/responses/compact", "g"),
        (Api.MODERATIONS, "/moderations", ""),
    ],
)
@pytest.mark.parametrize("script", [[status(501)], [status(500)], [MISSING_SCOPE], [NOT_THERE]])
async def test_what_is_beside_an_endpoints_purpose_never_cools_it(
    api: Api, path: str, model: str, script: Script
) -> None:
    bench = Bench(script, script, retries=1)
    await ask(bench, api, path, model)

    assert bench.asked
    assert healths(bench) == ["closed", "closed"]
    assert bench.alarm.told == []


async def test_a_connection_that_cannot_be_made_counts_whatever_it_was_for() -> None:
    bench = Bench([refused], [good])
    await ask(bench, Api.OTHER, "/files", "")

    assert healths(bench) == ["cooling", "closed"]


async def test_an_endpoint_that_does_not_take_audio_is_cooled_where_audio_is_its_purpose() -> None:
    bench = Bench([status(500)], [good])
    await ask(bench, Api.OTHER, "/audio/speech", "g")

    assert healths(bench) == ["cooling", "closed"]


async def test_a_stored_response_that_is_fetched_does_not_call_a_cooling_endpoint_well() -> None:
    bench = Bench([status(500), good], retries=0)
    await ask(bench, Api.CHAT, "/chat/completions", "g")
    bench.alarm.told.clear()
    code = await ask(bench, Api.STORED, "/responses/resp_12345678", "", method="GET")

    assert code == 200
    assert healths(bench) == ["cooling"]
    assert bench.alarm.told == []


@pytest.mark.parametrize("refusal", [MISSING_SCOPE, NOT_THERE])
async def test_what_is_refused_for_one_api_does_not_end_another_that_goes_well(
    refusal: Callable[[], FakeReply],
) -> None:
    bench = Bench([good, refusal, refusal, good], retries=0)
    codes = [await ask(bench, Api.CHAT, "/chat/completions", "g")]
    codes += [await ask(bench, Api.RESPONSES, "/responses", "g") for _ in range(2)]

    assert codes[0] == 200
    assert all(code >= 400 for code in codes[1:])
    assert healths(bench) == ["closed"]
    assert await ask(bench, Api.CHAT, "/chat/completions", "g") == 200


async def test_what_is_refused_for_all_apis_one_after_the_other_is_a_fault() -> None:
    bench = Bench([good, NOT_THERE], retries=0)
    await ask(bench, Api.CHAT, "/chat/completions", "g")
    await ask(bench, Api.RESPONSES, "/responses", "g")
    await ask(bench, Api.CHAT, "/chat/completions", "g")

    assert healths(bench) == ["cooling"]
    assert bench.alarm.told == [("fault", "e1")]


@pytest.mark.parametrize(("refusal", "health"), [(MISSING_SCOPE, "cooling"), (NOT_THERE, "closed")])
async def test_what_went_well_long_ago_says_nothing_of_a_key_and_enough_of_what_is_not_there_for_another_api(
    refusal: Callable[[], FakeReply], health: str
) -> None:
    bench = Bench([good, refusal], retries=0)
    await ask(bench, Api.CHAT, "/chat/completions", "g")
    bench.clock.advance(301)
    await ask(bench, Api.RESPONSES, "/responses", "g")

    assert healths(bench) == [health]
