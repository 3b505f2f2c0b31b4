"""What the simulated provider says, without a socket."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.account import Account
from simulator.calls import Request, understand
from simulator.content.schemas import fitting
from simulator.protocol.reply import Reply
from simulator.protocol.routes import find_route
from simulator.records import COMPLETE, MAX_RECORDS, Records
from simulator.settings import ProviderSettings

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
QUESTION = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "required": ["name", "next", "more"],
            "properties": {
                "name": {"type": "string"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                "more": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
        }
    },
}


def answer(
    body: Any, path: str = CHAT, method: str = "POST", account: Account | None = None, now_s: float = 0.0
) -> Reply:
    account = account or Account(ProviderSettings(name="alpha"))
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return account.answer(understand(Request(method, path, [], content)), now_s, 1_700_000_000.0)


def value_of(reply: Reply) -> Any:
    return msgspec.json.decode(reply.body)


def frames_of(reply: Reply) -> list[bytes]:
    assert reply.events is not None
    return list(reply.events.frames())


def events_of(reply: Reply) -> list[dict[str, Any]]:
    lines = b"".join(frames_of(reply)).split(b"\n")
    data = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]
    return [msgspec.json.decode(line) for line in data if line != b"[DONE]"]


@pytest.mark.parametrize(
    ("method", "path", "operation", "deployment"),
    [
        ("POST", "/v1/chat/completions", "chat", None),
        ("POST", "/chat/completions", "chat", None),
        ("POST", "/openai/v1/chat/completions?api-version=preview", "chat", None),
        ("POST", "/openai/deployments/my%20one/chat/completions?api-version=2024-10-21", "chat", "my one"),
        ("POST", "/openai/responses?api-version=2025-03-01-preview", "responses", None),
        ("GET", "/v1/responses/resp_1?stream=true&starting_after=3", "response", None),
        ("POST", "/responses/resp_1/cancel", "response_cancel", None),
        ("GET", "/v1/responses/resp_1/input_items", "response_input_items", None),
        ("GET", "/v1/models/", "models", None),
    ],
)
def test_both_providers_paths_lead_to_the_operation(
    method: str, path: str, operation: str, deployment: str | None
) -> None:
    route = find_route(method, path)

    assert (route.operation, route.deployment, route.fault) == (operation, deployment, None)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/nothing", 404),
        ("GET", "/v1/embeddings", 405),
        ("POST", "/openai/deployments/d/chat/completions", 404),
        ("POST", "/openai/v1/chat/completions?api-version=2024-10-21", 400),
    ],
)
def test_what_does_not_exist_is_refused(method: str, path: str, status: int) -> None:
    assert answer(QUESTION, path, method).status == status


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b'{"model": ', b"could not parse"),
        (b'{"messages": []}', b"you must provide a model parameter"),
        (b'{"model": "m"}', b"'messages'"),
        (b'{"model": 5, "messages": []}', b'"param":"model"'),
        (b'{"model": "m", "messages": [], "n": 0}', b'"param":"n"'),
    ],
)
def test_a_body_that_cannot_be_used_is_a_400_in_the_openai_shape(body: bytes, part: bytes) -> None:
    reply = answer(body)

    assert reply.status == 400
    assert part in reply.body
    assert set(value_of(reply)["error"]) == {"message", "type", "param", "code"}


def test_the_same_request_gets_the_same_words_under_another_id() -> None:
    account = Account(ProviderSettings(name="alpha"))

    first, second = (value_of(answer(QUESTION, account=account)) for _ in range(2))

    assert first["choices"] == second["choices"]
    assert first["choices"][0]["message"]["content"].startswith("alpha/")
    assert first["id"] != second["id"]


def test_another_request_or_provider_gets_other_words() -> None:
    texts = {
        value_of(reply)["choices"][0]["message"]["content"]
        for reply in (
            answer(QUESTION),
            answer({**QUESTION, "temperature": 0}),
            answer(QUESTION, account=Account(ProviderSettings(name="beta"))),
        )
    }

    assert len(texts) == 3


@pytest.mark.parametrize(
    ("limits", "tokens", "reason"),
    [
        ({}, 16, "stop"),
        ({"max_tokens": 5}, 5, "length"),
        ({"max_completion_tokens": 4}, 4, "length"),
        ({"max_tokens": 100}, 16, "stop"),
    ],
)
def test_max_tokens_bounds_the_answer(limits: dict[str, int], tokens: int, reason: str) -> None:
    value = value_of(answer({**QUESTION, **limits}))

    assert value["usage"]["completion_tokens"] == tokens
    assert len(value["choices"][0]["message"]["content"].split()) == tokens
    assert value["choices"][0]["finish_reason"] == reason


def test_a_stream_says_what_the_whole_reply_would_say() -> None:
    reply = answer({**QUESTION, "stream": True, "n": 2, "stream_options": {"include_usage": True}})

    events = events_of(reply)
    assert frames_of(reply)[0] != b""
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 32
    assert all(event["usage"] is None for event in events[:-1])
    assert [event["choices"][0]["finish_reason"] for event in events[-3:-1]] == ["stop", "stop"]


def test_a_stream_ends_with_done_and_azure_opens_with_its_filter_results() -> None:
    plain = frames_of(answer({**QUESTION, "stream": True}))
    azure = frames_of(
        answer({**QUESTION, "stream": True}, "/openai/deployments/d/chat/completions?api-version=2024-10-21")
    )

    assert plain[-1] == b"data: [DONE]\n\n"
    assert azure[-1] == b"data: [DONE]\n\n"
    assert azure[0].startswith(b'data: {"choices":[],"created":0,"id":""')
    assert len(azure) == len(plain) + 1


def test_tokens_of_a_stream_add_up_to_the_text_whatever_its_characters() -> None:
    name = 'quote " backslash \\ 東京'
    account = Account(ProviderSettings(name=name, answer_tokens=60))

    events = events_of(answer({**QUESTION, "stream": True}, account=account))

    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    assert text.startswith(f"{name}/")
    assert "🦊" in text


def test_a_tool_is_called_when_required_named_or_spoken_of() -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": TREE}} for name in ("first", "second")]
    asked = {**QUESTION, "tools": tools}
    named = {"type": "function", "function": {"name": "second"}}
    speaking = [{"role": "user", "content": [{"type": "text", "text": "use the tool"}]}]

    def called(body: dict[str, Any]) -> str | None:
        calls = value_of(answer(body))["choices"][0]["message"].get("tool_calls")
        return calls[0]["function"]["name"] if calls else None

    assert called(asked) is None
    assert called({**asked, "tool_choice": "required"}) == "first"
    assert called({**asked, "tool_choice": named}) == "second"
    assert called({**asked, "messages": speaking}) == "first"
    assert called({**asked, "messages": speaking, "tool_choice": "none"}) is None
    assert called({**asked, "messages": [*speaking, {"role": "tool", "content": "42"}]}) is None


def test_a_recursive_schema_comes_to_an_end() -> None:
    value = fitting(TREE, "text")

    while value["next"] is not None:
        value = value["next"]
    assert value["name"] == "text"


@given(low=st.integers(-50, 50), width=st.integers(2, 30))
def test_numbers_stay_within_their_bounds(low: int, width: int) -> None:
    high = low + width

    assert low <= fitting({"type": "integer", "minimum": low, "maximum": high}, "") <= high
    assert low < fitting({"type": "integer", "exclusiveMinimum": low, "exclusiveMaximum": high}, "") < high
    assert low < fitting({"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": high}, "") < high


def test_events_of_a_response_are_numbered_without_gaps_and_end_with_the_whole_response() -> None:
    events = events_of(answer({"model": "m", "input": "hi", "stream": True}, RESPONSES))

    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:4]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert events[-1]["type"] == "response.completed"
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == text


def test_a_stored_response_can_be_streamed_again_from_any_event() -> None:
    account = Account(ProviderSettings())
    events = events_of(answer({"model": "m", "input": "hi", "stream": True}, RESPONSES, account=account))
    path = f"{RESPONSES}/{events[0]['response']['id']}?stream=true&starting_after=3"

    again = events_of(answer(b"", path, "GET", account=account))

    assert again == events[4:]


def test_a_response_is_known_only_where_it_was_made_and_stored() -> None:
    account, other = Account(ProviderSettings()), Account(ProviderSettings())
    made = value_of(answer({"model": "m", "input": "hi"}, RESPONSES, account=account))["id"]
    unstored = value_of(answer({"model": "m", "input": "hi", "store": False}, RESPONSES, account=account))["id"]
    follow_up = {"model": "m", "input": "go on", "previous_response_id": made}

    assert answer(follow_up, RESPONSES, account=account).status == 200
    refused = answer(follow_up, RESPONSES, account=other)
    assert (refused.status, value_of(refused)["error"]["code"]) == (400, "previous_response_not_found")
    assert answer(b"", f"{RESPONSES}/{made}", "GET", account=account).status == 200
    assert answer(b"", f"{RESPONSES}/{made}", "GET", account=other).status == 404
    assert answer(b"", f"{RESPONSES}/{unstored}", "GET", account=account).status == 404
    assert value_of(answer(b"", f"{RESPONSES}/{made}", "DELETE", account=account))["deleted"] is True
    assert answer(b"", f"{RESPONSES}/{made}", "GET", account=account).status == 404


def test_a_background_response_is_queued_until_its_time_or_its_cancellation() -> None:
    account = Account(ProviderSettings(latency_s=10))
    body = {"model": "m", "input": "hi", "background": True}
    ids = [value_of(answer(body, RESPONSES, account=account))["id"] for _ in range(2)]

    cancelled = value_of(answer(b"", f"{RESPONSES}/{ids[1]}/cancel", account=account, now_s=5))

    assert cancelled["status"] == "cancelled"
    states = [
        [value_of(answer(b"", f"{RESPONSES}/{made}", "GET", account=account, now_s=at))["status"] for at in (5, 10)]
        for made in ids
    ]
    assert states == [["queued", "completed"], ["cancelled", "cancelled"]]


def test_encrypted_reasoning_is_accepted_only_from_its_own_account() -> None:
    account, other = Account(ProviderSettings()), Account(ProviderSettings())
    asking = {"model": "m", "input": "hi", "include": ["reasoning.encrypted_content"], "store": False}
    output = value_of(answer(asking, RESPONSES, account=account))["output"]

    follow_up = {"model": "m", "input": [*output, {"role": "user", "content": "go on"}]}

    assert output[0]["type"] == "reasoning"
    assert answer(follow_up, RESPONSES, account=account).status == 200
    assert value_of(answer(follow_up, RESPONSES, account=other))["error"]["code"] == "invalid_encrypted_content"


def test_models_that_do_not_exist_are_refused_in_each_providers_words() -> None:
    account = Account(ProviderSettings(models=("known",)))
    azure = "/openai/deployments/gone/chat/completions?api-version=2024-10-21"

    assert value_of(answer(QUESTION, account=account))["error"]["code"] == "model_not_found"
    assert (
        value_of(answer(QUESTION | {"model": "gone"}, azure, account=account))["error"]["code"] == "DeploymentNotFound"
    )
    assert [model["id"] for model in value_of(answer(b"", "/v1/models", "GET", account=account))["data"]] == ["known"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, QUESTION | {"model": "gone"}),
        ("/v1/responses/input_tokens", {"model": "gone", "input": "hi"}),
        ("/v1/moderations", {"model": "gone", "input": "hi"}),
    ],
)
def test_whatever_names_a_model_names_one_that_exists(path: str, body: dict[str, Any]) -> None:
    account = Account(ProviderSettings(models=("known",)))

    assert value_of(answer(body, path, account=account))["error"]["code"] == "model_not_found"


def test_moderations_have_a_model_of_their_own_and_a_result_for_each_text() -> None:
    account = Account(ProviderSettings(models=("known",)))

    moderated = value_of(answer({"input": ["a", "b"]}, "/v1/moderations", account=account))

    assert moderated["model"] == "omni-moderation-latest"
    assert [len(result["categories"]) for result in moderated["results"]] == [13, 13]


def test_a_kept_prompt_names_model_and_input_itself() -> None:
    assert answer({"prompt": {"id": "pmpt_1"}}, RESPONSES).status == 200
    assert answer({"instructions": "x"}, RESPONSES).status == 400


def test_a_model_can_be_deleted() -> None:
    deleted = value_of(answer(b"", "/v1/models/ft:gpt:me", "DELETE"))

    assert deleted == {"id": "ft:gpt:me", "object": "model", "deleted": True}


def test_records_are_bounded_and_counts_are_not() -> None:
    records = Records()

    for _ in range(MAX_RECORDS + 5):
        record = records.begin("POST", CHAT, [], b"", None, False, 0.0, 1)
        records.answered(record, 200)
        records.end(record, COMPLETE, 1.0)

    assert len(records.kept) == MAX_RECORDS
    assert records.counts().received == MAX_RECORDS + 5
    assert records.counts().in_flight == 0


def test_requests_in_flight_at_a_reset_do_not_disturb_the_counts_after_it() -> None:
    records = Records()
    before = records.begin("POST", CHAT, [], b"", None, False, 0.0, 1)

    records.clear()
    records.answered(before, 200)
    records.end(before, COMPLETE, 1.0)

    assert (records.counts().received, records.counts().in_flight, records.counts().by_status) == (0, 0, {})


def test_a_body_that_is_not_text_is_shown_in_base64() -> None:
    record = Records().begin("POST", CHAT, [(b"x-a", b"1")], b"\xff\x00", None, False, 0.0, 1)

    assert record.as_dict(with_body=True)["body_base64"] == "/wA="
    assert "body_base64" not in record.as_dict(with_body=False)
    assert record.header("X-A") == "1"
