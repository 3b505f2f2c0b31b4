"""Whose fault an error is: by its status, by its words, by its numbers, as a reply of its own or inside a 200."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses.response_error import ResponseError

from adapters.upstreams.openai.errors.error_fields import ErrorFields
from adapters.upstreams.openai.errors.error_kinds import classify, classify_in_stream
from adapters.upstreams.openai.errors.reply_judge import judge
from adapters.upstreams.openai.streams.stream_scanner import OpenAIStreamScanner
from application.messages import Api, FrameKind, WholeReply
from domain.failure import MEANINGS, Blame, Effect, Failure, FailureKind

RESPONSE_ERRORS: tuple[str, ...] = get_args(ResponseError.model_fields["code"].annotation)
OUTAGES = ("server_error", "rate_limit_exceeded")

REFUSALS: list[dict[str, Any]] = [
    *({"code": code, "message": "m"} for code in RESPONSE_ERRORS if code not in OUTAGES),
    {"type": "invalid_request", "code": "cyber_policy", "message": "m"},
    {"type": "invalid_request_error", "code": None, "message": "m"},
    {"type": "invalid_request_error", "code": "context_length_exceeded", "message": "m"},
    {"code": "content_policy_violation", "type": "image_generation_user_error"},
    {"code": "moderation_blocked", "type": "image_generation_user_error"},
    {"code": "content_filter", "message": "m"},
    {"code": None, "innererror": {"code": "ResponsibleAIPolicyViolation"}},
    {"code": "invalid_image_url", "message": "m"},
    {"code": "invalid_image_format"},
    {"code": "unsupported_value", "param": "temperature"},
    {"code": "unsupported_parameter", "param": "max_tokens"},
    {"code": "unsupported_file_type"},
    {"code": "string_above_max_length"},
    {"type": "BadRequestError", "message": "m"},
    {"type": "BadRequestError", "code": 400, "message": "m"},
    {"code": "BadRequest", "message": "m"},
    {"type": "UnprocessableEntityError"},
    {"type": "ContentPolicyViolationError"},
    {"type": "ContextWindowExceededError"},
    {"code": 400, "status": "INVALID_ARGUMENT", "message": "m"},
    {"status": "FAILED_PRECONDITION", "message": "m"},
    {"code": 400, "message": "m"},
    {"code": "400", "message": "m"},
    {"code": 400.0, "message": "m"},
    {"code": "422", "message": "m"},
    {"status": 400, "message": "m"},
    {"status_code": 422, "message": "m"},
    {"type": "request_too_large"},
    {"code": 413, "message": "m"},
    {"code": "413", "type": "invalid_request_error", "message": "m"},
    {"status": 413},
]
BROKEN: list[dict[str, Any]] = [
    {"code": "server_error", "message": "m"},
    {"type": "server_error", "message": "m"},
    {"type": "api_error", "message": "m"},
    {"type": "overloaded_error", "message": "m"},
    {"type": "InternalServerError", "message": "m"},
    {"type": "invalid_request_error", "code": "server_error"},
    {"code": 500, "message": "m"},
    {"code": "500", "message": "m"},
    {"code": 502, "message": "m"},
    {"code": 504},
    {"code": 529, "message": "Overloaded"},
    {"code": 503, "status": "UNAVAILABLE"},
    {"status": "INTERNAL"},
    {"code": 408, "message": "m"},
    {"type": "litellm.InternalServerError", "message": "m"},
    [{"code": 500}, {"code": 500}],
    {"error": {"code": 500, "message": "m"}},
]
UNKNOWN: list[Any] = [
    {"message": "Something went wrong"},
    {"code": "oops", "message": "m"},
    {"code": 1301, "message": "m"},
    {"code": 0, "message": "m"},
    {"code": True, "message": "m"},
    {"type": "error", "message": "m"},
    {"code": 403, "message": "The input was flagged"},
    {"code": "403", "message": "Your request was blocked by our safety system"},
    {"code": 404, "message": "No endpoints found that support image input"},
    {"code": 402, "message": "m"},
    "upstream gone",
    ["a", "b"],
    17,
]


WRAPPED: list[Any] = [
    {"error": {"code": "bio_policy", "message": "m"}},
    {"error": {"error": {"code": 400, "message": "m"}}},
    {"message": {"code": "cyber_policy", "message": "m"}},
    {"detail": {"type": "BadRequestError", "message": "m"}},
    {"errors": [{"code": 422, "message": "m"}, {"code": 422, "message": "n"}]},
    [{"code": 400}, {"code": 400}],
    {"type": "openai.BadRequestError", "message": "m"},
    {"type": "litellm.exceptions.ContentPolicyViolationError", "message": "m"},
    "content_policy_violation",
]
REFUSALS += WRAPPED


def in_a_200(error: object) -> list[Failure]:
    """What is made of it as a whole reply and as an event, of each API that streams."""
    whole = [
        judge(Api.CHAT, WholeReply(200, (), json.dumps({"error": error}).encode()), owns_credential=True).failure,
        judge(
            Api.RESPONSES,
            WholeReply(200, (), json.dumps({"status": "failed", "error": error, "output": []}).encode()),
            owns_credential=True,
        ).failure,
    ]
    events = [
        {"error": error},
        {"type": "error", "error": error},
        {"type": "response.failed", "response": {"status": "failed", "error": error}},
    ]
    return [failure for failure in [*whole, *map(event, events)] if failure is not None]


def event(data: object) -> Failure | None:
    (frame,) = OpenAIStreamScanner(owns_credential=True).feed(b"data: " + json.dumps(data).encode() + b"\n\n")
    assert frame.kind is FrameKind.ERROR
    return frame.failure


@pytest.mark.parametrize("error", REFUSALS, ids=json.dumps)
def test_a_refusal_inside_a_200_is_the_requests(error: dict[str, Any]) -> None:
    failures = in_a_200(error)

    assert len(failures) == 5
    assert {failure.kind for failure in failures} == {FailureKind.CLIENT}


@pytest.mark.parametrize("name", [b"", b"event: error\n"])
@pytest.mark.parametrize(
    "error",
    [
        {"type": "BadRequestError", "message": "m"},
        {"type": "error", "status": 400, "message": "m"},
        {"type": "error", "statusCode": "422", "message": "m"},
        {"type": "error", "code": 3, "status": "INVALID_ARGUMENT", "message": "m"},
        {"type": "error", "error": "Bad Request", "statusCode": 400},
        {"type": "error", "message": {"code": "content_filter"}},
        {"type": "error", "errors": [{"code": "content_filter"}]},
    ],
    ids=json.dumps,
)
def test_a_flat_error_event_says_as_much_as_a_nested_one(name: bytes, error: dict[str, Any]) -> None:
    if not name:
        error = {"code": error["type"], **error, "type": "error"} if error["type"] != "error" else error
    frame = name + b"data: " + json.dumps(error).encode() + b"\n\n"
    scanner = OpenAIStreamScanner(owns_credential=True)
    scanner.relay(b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n')
    scanner.relay(frame)
    (first,) = OpenAIStreamScanner(owns_credential=True).feed(frame)

    for failure in (scanner.failure, first.failure):
        assert failure is not None
        assert failure.kind is FailureKind.CLIENT


@pytest.mark.parametrize("text", [b"The prompt was flagged", b"[1]", b'"no"', b"17"])
def test_an_error_event_in_plain_text_is_no_junk(text: bytes) -> None:
    (frame,) = OpenAIStreamScanner(owns_credential=True).feed(b"event: error\ndata: " + text + b"\n\n")

    assert frame.kind is FrameKind.ERROR
    assert frame.failure is not None
    assert frame.failure.kind is FailureKind.UNKNOWN


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, FailureKind.CLIENT),
        ({"code": "content_filter", "message": "m"}, FailureKind.CLIENT),
        ({"message": "busy"}, FailureKind.JUNK),
        ({"errors": [{"code": 500, "message": "m"}]}, FailureKind.SERVER_ERROR),
        ({"error": "", "object": "chat.completion"}, FailureKind.JUNK),
    ],
    ids=str,
)
def test_a_200_without_an_answer_is_what_its_words_say(body: dict[str, Any], kind: FailureKind) -> None:
    for api in (Api.CHAT, Api.COMPLETIONS, Api.RESPONSES, Api.EMBEDDINGS, Api.MODERATIONS):
        failure = judge(api, WholeReply(200, (), json.dumps(body).encode()), owns_credential=True).failure

        assert failure is not None
        assert failure.kind is kind


@pytest.mark.parametrize("error", BROKEN, ids=json.dumps)
def test_an_outage_inside_a_200_is_the_endpoints(error: dict[str, Any]) -> None:
    failures = in_a_200(error)

    assert len(failures) == 5
    assert {failure.meaning.blame for failure in failures} == {Blame.ENDPOINT}


@pytest.mark.parametrize("error", UNKNOWN, ids=json.dumps)
def test_what_nothing_is_known_of_is_nobodys(error: object) -> None:
    failures = in_a_200(error)

    assert len(failures) == 5
    assert {failure.kind for failure in failures} == {FailureKind.UNKNOWN}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 401, "message": "m"}, FailureKind.AUTH),
        ({"code": "401", "message": "m"}, FailureKind.AUTH),
        ({"type": "AuthenticationError"}, FailureKind.KEY),
        ({"code": "invalid_api_key", "type": "invalid_request_error"}, FailureKind.KEY),
        ({"code": 403, "message": "Your project does not have access to this model"}, FailureKind.AUTH),
        ({"type": "permission_error", "message": "m"}, FailureKind.AUTH),
        ({"code": 402, "message": "Insufficient credits. Add more"}, FailureKind.MONEY),
        ({"code": 402, "message": "This request requires more credits, or fewer max_tokens."}, FailureKind.OVER_LIMIT),
        ({"code": "insufficient_quota", "type": "insufficient_quota"}, FailureKind.MONEY),
        ({"code": 404, "message": "The model `x` does not exist"}, FailureKind.NOT_FOUND),
        ({"code": "model_not_found"}, FailureKind.NOT_FOUND),
        ({"code": 429, "message": "m"}, FailureKind.RATE_LIMITED),
        ({"code": "429", "message": "m"}, FailureKind.RATE_LIMITED),
        ({"type": "RateLimitError"}, FailureKind.RATE_LIMITED),
        ({"status": "RESOURCE_EXHAUSTED"}, FailureKind.RATE_LIMITED),
        ({"code": "rate_limit_exceeded"}, FailureKind.RATE_LIMITED),
        ({"code": "server_is_overloaded"}, FailureKind.OVERLOADED),
        ({"code": "previous_response_not_found"}, FailureKind.STATE),
        ({"code": 409, "message": "m"}, FailureKind.CONFLICT),
        ({"code": "rate_limit_exceeded", "status": 413}, FailureKind.OVER_LIMIT),
    ],
    ids=str,
)
def test_keys_limits_and_state_inside_a_200_are_what_they_are_outside(error: dict[str, Any], kind: FailureKind) -> None:
    assert {failure.kind for failure in in_a_200(error)} == {kind}


@pytest.mark.parametrize("status", [None, "completed", "incomplete", "in_progress", "queued", "cancelled"])
def test_a_response_that_fills_in_its_error_is_an_answer_unless_it_failed(status: str | None) -> None:
    body = {"object": "response", "status": status, "output": [], "error": {"code": "server_error", "message": "m"}}
    failure = judge(Api.RESPONSES, WholeReply(200, (), json.dumps(body).encode()), owns_credential=True).failure

    assert (failure is None) == (status is not None)
    if status is not None:
        done = b"data: " + json.dumps({"type": "response.completed", "response": body}).encode() + b"\n\n"
        (frame,) = OpenAIStreamScanner(owns_credential=True).feed(done)
        assert frame.kind is FrameKind.END


FORBIDDEN = [
    (b"<html><h1>Request blocked</h1></html>", FailureKind.UNKNOWN),
    (b"", FailureKind.UNKNOWN),
    (b"Forbidden", FailureKind.UNKNOWN),
    (b'{"error":{"code":403,"message":"The input was flagged"}}', FailureKind.UNKNOWN),
    (b'{"error":{"message":"Your prompt violates our usage policies","type":"invalid_request_error"}}', None),
    (b'{"error":{"message":"Your input \'my API key is invalid\' was flagged"}}', FailureKind.UNKNOWN),
    (b'{"error":{"message":"m","code":"content_policy_violation"}}', FailureKind.CLIENT),
    (b'{"error":{"message":"Project does not have access to model","code":"model_not_found"}}', FailureKind.NOT_FOUND),
    (b'{"error":{"message":"You have insufficient permissions for this operation."}}', FailureKind.AUTH),
    (b'{"error":{"message":"Missing scopes: model.request"}}', FailureKind.AUTH),
    (b'{"error":{"message":"Your organization has been disabled."}}', FailureKind.AUTH),
    (b'{"error":{"message":"The API key has expired"}}', FailureKind.AUTH),
    (b'{"error":{"message":"Key limit exceeded (total limit)"}}', FailureKind.AUTH),
    (b'{"error":{"message":"Invalid API key"}}', FailureKind.AUTH),
    (b'{"error":{"message":"Country, region, or territory not supported"}}', FailureKind.AUTH),
    (b'{"error":{"message":"This model is not supported in your region"}}', FailureKind.AUTH),
    (b'{"error":{"message":"Public access is disabled. Please configure private endpoint."}}', FailureKind.AUTH),
    (b'{"error":{"message":"Traffic is not from an approved private endpoint."}}', FailureKind.AUTH),
    (b'{"error":{"code":"AuthorizationFailed","message":"m"}}', FailureKind.AUTH),
    (b'{"error":{"status":"PERMISSION_DENIED","code":403,"message":"m"}}', FailureKind.AUTH),
    (b'{"statusCode":403,"message":"Access denied due to Virtual Network/Firewall rules."}', FailureKind.AUTH),
    (b'{"error":{"message":"Your IP address is not allowed"}}', FailureKind.AUTH),
    (b"Your API key sk-1 is not allowed to use this", FailureKind.AUTH),
    (b'{"error":{"error":{"code":"permission_denied","message":"m"}}}', FailureKind.AUTH),
    (b'{"error":{"error":{"code":"content_filter","message":"m"}}}', FailureKind.CLIENT),
    (b'{"errors":[{"code":10000,"message":"Invalid API key"}]}', FailureKind.AUTH),
    (b'{"errors":[{"code":"content_filter","message":"m"}]}', FailureKind.CLIENT),
    (b'{"detail":{"code":"moderation_blocked","message":"m"}}', FailureKind.CLIENT),
    (b'{"detail":{"error":{"message":"The API key has expired"}}}', FailureKind.AUTH),
    (b'{"message":{"code":"permission_denied","message":"m"}}', FailureKind.AUTH),
    (b'{"error":"Forbidden","statusCode":403,"message":"Your API key is disabled"}', FailureKind.AUTH),
    (b'{"error":"Forbidden","code":"content_filter"}', FailureKind.CLIENT),
    (b'{"error":{"message":"The user message was blocked by our safety system"}}', FailureKind.UNKNOWN),
    (b'{"error":{"message":"This prompt asks for a project that is not allowed"}}', FailureKind.UNKNOWN),
    (b'{"error":{"message":"Input rejected: user is not permitted to say that"}}', FailureKind.UNKNOWN),
]


@pytest.mark.parametrize(("body", "kind"), FORBIDDEN)
def test_a_403_blames_the_key_only_where_it_speaks_of_one(body: bytes, kind: FailureKind | None) -> None:
    failure = judge(Api.CHAT, WholeReply(403, (), body), owns_credential=True).failure

    assert failure is not None
    assert failure.kind is (kind or FailureKind.UNKNOWN)


NOT_FOUND = [
    (b"", FailureKind.NOT_FOUND),
    (b'{"error":{"message":"The model `gpt-9` does not exist or you do not have access to it."}}', None),
    (b'{"error":{"message":"Invalid URL (POST /v1/chat/completion)","type":"invalid_request_error"}}', None),
    (b'{"error":{"message":"Unknown request URL: POST /chat/completions","code":"unknown_url"}}', None),
    (b'{"detail":"Not Found"}', FailureKind.NOT_FOUND),
    (b"404 page not found", FailureKind.NOT_FOUND),
    (b'[{"error":{"code":404,"message":"models/x is not found","status":"NOT_FOUND"}}]', FailureKind.UNKNOWN),
    (b'{"error":{"message":"No endpoints found that support tool use","code":404}}', FailureKind.UNKNOWN),
    (b'{"error":{"message":"No such File object: file-1","param":"file_id"}}', FailureKind.CLIENT),
    (b'{"error":{"message":"Tool web_search was not found"}}', FailureKind.UNKNOWN),
    (b'{"errors":[{"message":"No image found at that address"}]}', FailureKind.UNKNOWN),
    (b'{"message":{"message":"Tool web_search was not found"}}', FailureKind.UNKNOWN),
    (b'{"error":{"error":{"message":"No such File object: file-1","param":"file_id"}}}', FailureKind.CLIENT),
    (b'{"detail":{"message":"The model `x` does not exist"}}', FailureKind.NOT_FOUND),
    (b"default backend - 404", FailureKind.NOT_FOUND),
    (b'{"message":"no Route matched with those values"}', FailureKind.NOT_FOUND),
]


@pytest.mark.parametrize(("body", "kind"), NOT_FOUND)
def test_a_404_blames_the_configuration_only_where_it_speaks_of_it(body: bytes, kind: FailureKind | None) -> None:
    failure = judge(Api.CHAT, WholeReply(404, (), body), owns_credential=True).failure

    assert failure is not None
    assert failure.kind is (kind or FailureKind.NOT_FOUND)


@pytest.mark.parametrize("status", [400, 406, 411, 412, 414, 415, 416, 417, 422, 431, 451])
@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b'{"error":{"message":"no"}}', b"[1]", b'{"error":"no"}'])
def test_a_status_of_requests_is_the_requests_unless_its_words_say_otherwise(status: int, body: bytes) -> None:
    failure = judge(Api.CHAT, WholeReply(status, (), body), owns_credential=True).failure

    assert failure is not None
    assert failure.kind is FailureKind.CLIENT


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"code": "billing_hard_limit_reached", "type": "invalid_request_error"}, FailureKind.MONEY),
        (400, {"message": "API key not valid. Please pass a valid API key."}, FailureKind.KEY),
        (400, {"message": "Invalid value: 'API key not valid'"}, FailureKind.CLIENT),
        (500, {"code": "content_policy_violation"}, FailureKind.CLIENT),
        (500, {"type": "invalid_request_error", "message": "m"}, FailureKind.UNKNOWN),
        (500, {"type": "invalid_request_error", "code": "server_error"}, FailureKind.SERVER_ERROR),
        (503, {"code": "context_length_exceeded"}, FailureKind.CLIENT),
        (500, {"code": "content_filter", "type": "server_error"}, FailureKind.CLIENT),
        (500, {"error": {"code": "content_filter", "message": "m"}}, FailureKind.CLIENT),
        (502, {"code": "litellm.ContentPolicyViolationError", "message": "m"}, FailureKind.CLIENT),
        (502, {"code": "400", "message": "m"}, FailureKind.UNKNOWN),
        (500, {"code": 500, "message": "m"}, FailureKind.SERVER_ERROR),
        (500, {"message": "content policy"}, FailureKind.SERVER_ERROR),
        (402, {"message": "Insufficient Balance"}, FailureKind.MONEY),
        (402, {"message": "You can only afford 12 tokens"}, FailureKind.OVER_LIMIT),
    ],
)
def test_plain_words_count_for_more_than_a_status_that_says_something_else(
    status: int, error: dict[str, str], kind: FailureKind
) -> None:
    assert classify(status, ErrorFields.of(error), owns_credential=True).kind is kind


def test_every_kind_is_of_one_class_and_only_what_is_the_endpoints_own_counts_at_once() -> None:
    assert set(MEANINGS) == set(FailureKind)
    for kind, meaning in MEANINGS.items():
        if meaning.blame in (Blame.REQUEST, Blame.PROXY):
            assert meaning.effect is Effect.NONE, kind
        if meaning.effect is Effect.COUNT:
            assert meaning.blame is Blame.ENDPOINT, kind
        if meaning.blame is Blame.UNKNOWN:
            assert (meaning.effect, meaning.relayed) == (Effect.SUSPECT, True)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from(["code", "type", "message", "status"]), x),
    max_leaves=8,
)


@given(ANY_JSON, st.booleans())
def test_no_error_in_a_200_whatever_its_shape_breaks_the_classification(error: object, owns: bool) -> None:
    failure = classify_in_stream(ErrorFields.of(error), owns_credential=owns)

    assert not failure.is_error_reply
    assert failure.reason.startswith("error in a 200")


@given(st.text(st.characters(exclude_characters="'"), max_size=250) | st.just("api-version is not allowed"))
def test_no_message_of_a_4xx_alone_brings_an_endpoint_down(message: str) -> None:
    """What a message quotes may be the client's: a prompt must not be able to rest an endpoint."""
    failure = classify(400, ErrorFields.of({"message": f"Invalid value: '{message}'."}), owns_credential=True)

    assert failure.meaning.effect is Effect.NONE
