"""Which use case a request line is for."""

import pytest

from adapters.http.paths.routes import find_route
from adapters.http.server.error_body import status_of
from application.errors import InvalidRequest
from application.messages import Api


@pytest.mark.parametrize("prefix", ["/v1", "", "/openai/v1", "/openai"])
@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/chat/completions", Api.CHAT),
        ("/responses", Api.RESPONSES),
        ("/embeddings", Api.EMBEDDINGS),
        ("/completions", Api.COMPLETIONS),
        ("/moderations", Api.MODERATIONS),
        ("/responses/input_tokens", Api.STORED),
        ("/responses/compact", Api.STORED),
    ],
)
def test_posts_that_name_their_model(prefix: str, path: str, api: Api) -> None:
    route = find_route("POST", prefix + path)

    assert (route.api, route.path, route.deployment, route.has_model) == (api, path, None, True)


@pytest.mark.parametrize("prefix", ["/v1", "", "/openai/v1", "/openai"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/responses/resp_1"),
        ("DELETE", "/responses/resp_1"),
        ("POST", "/responses/resp_1/cancel"),
        ("GET", "/responses/resp_1/input_items"),
        ("POST", "/conversations"),
        ("GET", "/conversations/conv_1/items/msg_1"),
        ("GET", "/chat/completions"),
        ("POST", "/chat/completions/chatcmpl-1"),
        ("GET", "/chat/completions/chatcmpl-1/messages"),
    ],
)
def test_what_is_kept_at_a_provider(prefix: str, method: str, path: str) -> None:
    route = find_route(method, prefix + path)

    assert (route.api, route.path, route.has_model) == (Api.STORED, path, False)


def test_an_azure_deployment_is_named_by_the_path() -> None:
    route = find_route("POST", "/openai/deployments/my%20gpt/chat/completions")

    assert (route.api, route.path, route.deployment) == (Api.CHAT, "/chat/completions", "my gpt")


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/embeddings", "/openai/moderations"])
def test_another_method_is_a_405(path: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        find_route("GET", path)

    assert status_of(refused.value) == 405


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/chat/completions"),
        ("GET", "/chat/completions/chatcmpl-1/messages"),
        ("DELETE", "/chat/completions/c1"),
    ],
)
def test_what_an_azure_client_with_a_deployment_keeps_is_found_below_it(method: str, path: str) -> None:
    route = find_route(method, f"/openai/deployments/gpt{path}")

    assert (route.api, route.path, route.deployment) == (Api.STORED, path, None)
