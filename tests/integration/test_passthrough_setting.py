"""What is passed on with `passthrough: off`, `on` and `admin`."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from simulator import ProviderSettings, SimulatedProvider
from tests.integration.composed import Composed, composed
from tests.integration.harness import config, endpoint
from tests.integration.raw_http import JSON

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADMINISTRATION = (
    "/v1/organization/users", "/organization/admin_api_keys", "/openai/v1/organization/costs", "/v1/v1/organization/x",
    "/v1/Organization/users", "/v1/organiz%61tion/users", "/v1/%256frganization/users", "/v1//organization/users",
    "/v1/organization%2Fusers", "/v1/projects/p/groups/g/roles", "/v1/fine_tuning/checkpoints/c/permissions",
    "/openai/deployments/gpt/organization/users",
)  # fmt: skip


class World:
    """A provider behind one proxy for each of the settings."""

    def __init__(self, provider: SimulatedProvider, proxies: dict[str, Composed]) -> None:
        self.provider = provider
        self.proxies = proxies

    async def ask(self, setting: str, method: str, path: str, body: Any = None) -> tuple[int, str, str, int]:
        """Status, code and words of the answer, and how often the provider was asked for it."""
        before = len(self.provider.records)
        sent = b"" if body is None else json.dumps(body).encode()
        answer = await self.proxies[setting].ask(method, path, *([JSON] if sent else []), body=sent)
        error: dict[str, Any] = {}
        if answer.status >= 400 and answer.body:
            error = json.loads(answer.body)["error"]
        asked = len(self.provider.records) - before
        return answer.status, error.get("code") or "", error.get("message") or "", asked


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(SimulatedProvider(ProviderSettings()))
        proxies = {}
        for setting, general in (
            ("off", {"passthrough": "off"}),
            ("on", {}),
            ("admin", {"passthrough": "admin"}),
            ("on with a group", {"passthrough": True, "passthrough_group": "gpt"}),
        ):
            settings = config([endpoint(provider)], **general)
            folder = tmp_path_factory.mktemp("passthrough")
            proxies[setting] = await stack.enter_async_context(composed(folder, settings))
        yield World(provider, proxies)


@pytest.mark.parametrize("path", ADMINISTRATION)
async def test_the_account_is_administered_only_where_that_was_said(world: World, path: str) -> None:
    for setting in ("off", "on", "on with a group"):
        for method, body in (("GET", None), ("HEAD", None), ("POST", {"model": "gpt"}), ("DELETE", None)):
            status, code, message, asked = await world.ask(setting, method, path, body)
            assert (status, asked) == (403, 0), (setting, method)
            assert method == "HEAD" or (code, "passthrough: admin" in message) == ("administration_closed", True)

    assert (await world.ask("admin", "GET", path))[3] == 1


CLOSED: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/v1/files", None),
    ("HEAD", "/v1/files", None),
    ("POST", "/v1/files", {"purpose": "x"}),
    ("GET", "/v1/files/file-0123456789abcdef", None),
    ("DELETE", "/v1/files/file-0123456789abcdef", {"model": "gpt"}),
    ("GET", "/v1/vector_stores", {"model": "gpt"}),
    ("POST", "/v1/vector_stores/vs_0123456789/search", {"model": "gpt"}),
    ("POST", "/openai/deployments/gpt/files", {}),
    ("POST", "/v1/batches", {"input_file_id": "file-1"}),
    ("POST", "/v1/audio/speech", {"model": "o9", "input": "x"}),
    ("GET", "/v1/whatever/comes", None),
    ("POST", "/v1/whatever/comes", {}),
    ("POST", "/v1/conversations", {}),
    ("GET", "/v1/chat/completions", None),
    ("POST", "/v1/moderations", {"input": "x"}),
    ("POST", "/v1/responses", {"input": "x"}),
    ("DELETE", "/v1/models/ft:x", None),
)


@pytest.mark.parametrize(("method", "path", "body"), CLOSED)
async def test_off_closes_what_names_no_group_and_on_leaves_it_as_it_was(
    world: World, method: str, path: str, body: Any
) -> None:
    status, code, message, asked = await world.ask("off", method, path, body)

    assert (status, asked) == (403, 0)
    if method != "HEAD":
        assert code == "passthrough_off"
        assert "passthrough: on" in message
    status, _, _, asked = await world.ask("on", method, path, body)
    assert status != 403
    assert asked >= 1


async def test_off_leaves_models_unknown_that_are_no_groups(world: World) -> None:
    for path, body in (
        ("/v1/chat/completions", {"model": "o9", "messages": []}),
        ("/v1/responses", {"model": "o9", "input": "x", "stream": True}),
        ("/v1/embeddings", {"model": "o9", "input": "x"}),
    ):
        status, code, message, asked = await world.ask("off", "POST", path, body)
        assert (status, code, asked) == (404, "model_not_found", 0)
        assert "Served: gpt" in message
    assert (await world.ask("off", "GET", "/v1/models/o9"))[:2] == (404, "model_not_found")


async def test_off_serves_groups_and_what_they_keep(world: World) -> None:
    proxy = world.proxies["off"]
    made = await proxy.ask("POST", "/v1/responses", JSON, body=b'{"model":"gpt","input":"x"}')
    name = json.loads(made.body)["id"]
    for method, path, body in (
        ("GET", f"/v1/responses/{name}", None),
        ("GET", f"/v1/responses/{name}/input_items", None),
        ("POST", "/v1/responses", {"model": "gpt", "input": "y", "previous_response_id": name}),
        ("POST", "/v1/chat/completions", {"model": "gpt", "messages": [{"role": "user", "content": "x"}]}),
        ("POST", "/v1/audio/speech", {"model": "gpt", "input": "x", "voice": "alloy"}),
        ("POST", "/v1/images/generations", {"model": "gpt", "prompt": "x"}),
        ("GET", "/v1/chat/completions?model=gpt", None),
        ("DELETE", f"/v1/responses/{name}", None),
    ):
        status, _, _, asked = await world.ask("off", method, path, body)
        assert (status, asked) == (200, 1), path
    assert (await world.ask("off", "GET", "/v1/models"))[0] == 200
