"""Which paths are passed on without being understood."""

import pytest

from adapters.http.paths.routes import find_route, other_route
from adapters.http.server.error_body import status_of
from application.errors import InvalidRequest
from application.messages import Api


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1", "/openai", ""])
@pytest.mark.parametrize(
    "path", ["/files", "/files/file-1/content", "/audio/speech", "/vector_stores/vs_1/files/a%2fb"]
)
def test_what_the_api_also_serves(prefix: str, path: str) -> None:
    route = other_route(prefix + path)

    assert route is not None
    assert (route.api, route.path, route.deployment) == (Api.OTHER, path, None)


def test_below_a_version_root_anything_is_passed_on() -> None:
    route = other_route("/v1/something/new")

    assert route is not None
    assert route.path == "/something/new"


def test_a_deployment_is_named_by_the_path() -> None:
    route = other_route("/openai/deployments/my%20gpt/images/edits")

    assert route is not None
    assert (route.path, route.deployment) == ("/images/edits", "my gpt")


@pytest.mark.parametrize(
    "path",
    [
        "/", "/v1", "/v1/", "/v1x/files", "/filesystem", "/etc/passwd", "/something/new", "/openai/deployments",
        "/openai/deployments/", "/openai/deployments/gpt", "/openai/deployments//files", "/v1/chat/completions",
        "/v1/responses/resp_1", "/v1/conversations", "/openai/deployments/gpt/responses", "/v1/files/../x",
        "/v1/files/%2e%2e/x", "/v1/files/..%2fx", "/v1/files/.%5C..%5Cx", "/v1/./files",
    ],
)  # fmt: skip
def test_what_is_not_passed_on(path: str) -> None:
    assert other_route(path) is None


@pytest.mark.parametrize(
    "path", ["/v1/responses/../x", "/v1/responses/..%2fx", "/openai/deployments//chat/completions"]
)
def test_paths_that_lead_out_of_what_is_kept_are_unknown(path: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        find_route("GET", path)

    assert status_of(refused.value) == 404
