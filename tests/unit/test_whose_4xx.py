"""4xx that are not the request's: what an endpoint does not have, takes less of, or says of somebody further up.

The bodies are those of public reports on OpenAI, DeepSeek, OpenRouter, SiliconFlow, Groq, llama.cpp and gateways.
"""

import json
from typing import Any

import pytest

from adapters.upstreams.openai.errors.error_fields import ErrorFields
from adapters.upstreams.openai.errors.error_kinds import classify
from adapters.upstreams.openai.errors.reply_judge import judge
from application.messages import Api, WholeReply
from domain.failure import Effect, Failure, FailureKind

GROQ = (
    "Request too large for model `llama-3.3-70b-versatile` in organization `org_1` service tier `on_demand` on tokens "
    "per minute (TPM): Limit 12000, Requested 14137, please reduce your message size and try again."
)


def judged(status: int, body: Any, api: Api = Api.CHAT, *, owns: bool = True) -> Failure:
    said = body if isinstance(body, bytes) else json.dumps(body).encode()
    failure = judge(api, WholeReply(status, (), said), owns_credential=owns).failure
    assert failure is not None
    return failure


def openai_error(message: str, **fields: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **fields}}


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "This model is only supported in v1/responses and not in v1/chat/completions."),
        (404, "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean to "
         "use v1/completions?"),
        (404, "This is a chat model and not supported in the v1/completions endpoint. Did you mean to use "
         "v1/chat/completions?"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("owns", [True, False])
def test_a_model_that_is_there_for_another_api_rests_nobody(status: int, message: str, owns: bool) -> None:
    failure = judged(status, openai_error(message, param="model"), owns=owns)

    assert failure.kind is FailureKind.UNSERVABLE
    assert failure.meaning.effect is Effect.NONE


@pytest.mark.parametrize(
    "body",
    [
        openai_error("Model Not Exist", code="invalid_request_error"),
        {"error": {"message": "foo/bar is not a valid model ID", "code": 400}, "user_id": "u"},
        openai_error("invalid model ID"),
        {"code": 20012, "message": "Model does not exist. Please check it carefully.", "data": None},
        openai_error("The model `x` does not exist", param="model"),
        openai_error("Error from provider (A): Upstream request failed"),
        {"error": {"message": "upstream connect error or disconnect/reset before headers"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("status", [400, 422])
def test_a_400_about_the_model_or_somebody_further_up_is_asked_elsewhere_and_rests_nobody(
    status: int, body: dict[str, Any]
) -> None:
    failure = judged(status, body)

    assert failure.kind is FailureKind.UNSERVABLE


@pytest.mark.parametrize(
    "message",
    [
        "Invalid value: 'the model does not exist'",
        'Tool "unknown model" is not valid',
        "This model does not support image input",
        "Invalid model input: expected a list",
        "This model's maximum context length is 128000 tokens",
        "Unsupported parameter: max_tokens is not supported with this model",
        "messages[1]: the tool named upstream has no schema",
        "The file was not found, so that the model cannot read it",
    ],
)
def test_a_400_that_only_speaks_of_a_model_is_the_requests(message: str) -> None:
    assert judged(400, openai_error(message)).kind is FailureKind.CLIENT
    assert judged(400, openai_error(message, param="messages")).kind is FailureKind.CLIENT


@pytest.mark.parametrize(
    "error",
    [
        {"type": "server_error", "code": "internal_error", "message": "m"},
        {"type": "UpstreamError", "message": "m"},
        {"type": "invalid_request_error", "code": "rate_limit_exceeded", "message": "m"},
        {"code": "Timeout", "message": "m"},
    ],
    ids=str,
)
@pytest.mark.parametrize("status", [400, 422])
def test_a_code_of_an_outage_counts_for_more_than_a_status_of_requests(status: int, error: dict[str, str]) -> None:
    assert judged(status, {"error": error}).kind is FailureKind.UNKNOWN


def test_a_code_of_the_request_counts_for_more_than_a_type_of_an_outage() -> None:
    error = {"code": "context_length_exceeded", "type": "upstream_error", "message": "m"}

    assert judged(400, {"error": error}).kind is FailureKind.CLIENT


@pytest.mark.parametrize("status", [407, 418, 421, 423, 424, 425, 426, 428, 430, 449, 460, 499])
@pytest.mark.parametrize("body", [b"", b"<html>no</html>", {"error": {"message": "no"}}, openai_error("no"), [1]])
def test_of_a_status_that_is_not_of_requests_only_words_can_tell(status: int, body: Any) -> None:
    assert judged(status, body).kind is FailureKind.UNKNOWN
    assert judged(status, {"error": {"code": "content_filter"}}).kind is FailureKind.CLIENT
    assert judged(status, openai_error("no", param="messages")).kind is FailureKind.CLIENT


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (405, b"", FailureKind.NOT_FOUND),
        (405, b"<html>405 Not Allowed</html>", FailureKind.NOT_FOUND),
        (405, {"detail": "Method Not Allowed"}, FailureKind.NOT_FOUND),
        (410, b"", FailureKind.NOT_FOUND),
        (410, openai_error("The model `x` has been deprecated"), FailureKind.NOT_FOUND),
        (410, openai_error("The file is gone", param="file_id"), FailureKind.CLIENT),
        (501, b"", FailureKind.NOT_FOUND),
        (
            501,
            {
                "error": {
                    "code": 501,
                    "message": "This server does not support embeddings. Start it with `--embeddings`",
                    "type": "not_supported_error",
                }
            },
            FailureKind.NOT_FOUND,
        ),
        (501, {"error": {"message": "suffix is not currently supported", "param": "suffix"}}, FailureKind.CLIENT),
        (501, {"error": {"message": "Something is off"}}, FailureKind.UNKNOWN),
    ],
)
def test_an_endpoint_that_lacks_the_path_says_so_in_several_ways(status: int, body: Any, kind: FailureKind) -> None:
    assert judged(status, body).kind is kind


@pytest.mark.parametrize("status", [404, 405, 410, 501])
def test_what_an_endpoint_lacks_of_what_passes_through_says_nothing_of_it(status: int) -> None:
    error = {"message": "Not allowed to PUT on /v1/files.", "code": "method_not_supported"}
    for body in (b"", {"error": error}, b"Something nobody knows"):
        assert judged(status, body, Api.OTHER).kind is FailureKind.UNSERVABLE


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"message": GROQ, "type": "tokens", "code": "rate_limit_exceeded"}}, FailureKind.OVER_LIMIT),
        (b"<html><h1>413 Request Entity Too Large</h1></html>", FailureKind.OVER_LIMIT),
        (b"", FailureKind.OVER_LIMIT),
        ({"error": {"type": "request_too_large", "message": "m"}}, FailureKind.OVER_LIMIT),
        ({"error": {"code": "context_length_exceeded", "message": "m"}}, FailureKind.CLIENT),
    ],
    ids=str,
)
def test_how_large_a_body_one_endpoint_takes_says_nothing_of_another(body: Any, kind: FailureKind) -> None:
    assert judged(413, body).kind is kind


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, b'event:error\ndata:{"error":{"code":"insufficient_quota","message":"m"}}\n\n', FailureKind.MONEY),
        (429, b'data: {"code":"insufficient_quota"}', FailureKind.MONEY),
        (500, b'event: error\r\ndata: {"code":"content_filter","message":"m"}\r\n\r\n', FailureKind.CLIENT),
        (404, b': ping\n\ndata: {"error":{"code":"model_not_found"}}\n\ndata: [DONE]\n\n', FailureKind.NOT_FOUND),
        (403, b'id: 1\ndata: {"error":{"code":"permission_denied"}}\n\n', FailureKind.AUTH),
        (500, b"data: no JSON", FailureKind.SERVER_ERROR),
        (500, b"event: error\n\n", FailureKind.SERVER_ERROR),
        (500, b": ping\n\n", FailureKind.SERVER_ERROR),
    ],
)
def test_an_error_status_with_an_event_for_a_body_is_read_as_the_error_in_it(
    status: int, body: bytes, kind: FailureKind
) -> None:
    assert judged(status, body).kind is kind


@pytest.mark.parametrize("status", [400, 404, 413, 424, 501])
def test_what_a_clients_own_key_earned_is_no_fault_of_the_endpoint(status: int) -> None:
    for message in ("m", "Model Not Exist", GROQ):
        failure = classify(status, ErrorFields.of({"message": message}), owns_credential=False)

        assert failure.meaning.effect in (Effect.NONE, Effect.SUSPECT)
