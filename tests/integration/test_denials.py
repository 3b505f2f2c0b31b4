"""An account says that it keeps nothing such: in Azure's and OpenAI's own words, while no keeper is known."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.contracts.scripted_server import Script, ScriptedServer, answering, reply
from tests.integration.composed import Composed, composed
from tests.integration.harness import config, endpoint
from tests.integration.raw_http import JSON, Reply

ELSEWHERE = (
    "The requested item was created under a different Azure OpenAI resource. Use the same resource that created the "
    "item to access it.\n[trace_id=15d282710125406b3b990feef345de65]"
)
NOT_PERSISTED = (
    "Item with id 'rs_0f123456789abcdef0123456' not found. Items are not persisted when `store` is set to false. "
    "Try again with `store` set to true, or remove this item from your input."
)
REASONING = {"type": "reasoning", "id": "rs_0f123456789abcdef0123456", "summary": [], "encrypted_content": "gAAA" * 20}
CALL = {"type": "function_call", "id": "fc_0f123456789abcdef0123456", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "1"}
FILE = {"type": "input_file", "file_id": "file-Ab12Cd34Ef56Gh78"}


class Denial(NamedTuple):
    """What is asked for, and how an account refuses it that does not keep it."""

    asked: Mapping[str, Any]
    message: str
    code: str | None = None
    param: str | None = None
    status: int = 400


DENIALS: dict[str, Denial] = {
    "Azure, an item": Denial({"input": [REASONING]}, ELSEWHERE, param=""),
    "Azure, a call that is carried whole": Denial({"input": [CALL, OUTPUT]}, ELSEWHERE, param=""),
    "Azure, a response": Denial(
        {"input": "x", "previous_response_id": "resp_0f123456789a"}, ELSEWHERE.replace("item", "response")
    ),
    "Azure, items not kept": Denial({"input": [REASONING]}, NOT_PERSISTED, param="input"),
    "Azure, files": Denial(
        {
            "input": "x",
            "tools": [{"type": "code_interpreter", "container": {"file_ids": ["assistant-Ab12Cd34Ef56Gh78"]}}],
        },
        "Files [assistant-Ab12Cd34Ef56Gh78] were not found due to ownership verification failure. Ensure the same AOAI "
        "resource is used to create and access files.",
    ),
    "OpenAI, reasoning, without a code": Denial(
        {"input": [REASONING]},
        "The encrypted content gAAA...c90= could not be verified. Reason: Encrypted content could not be decrypted or "
        "parsed.",
    ),
    "OpenAI, encrypted outputs": Denial(
        {"input": [REASONING]}, "Encrypted function output content could not be decrypted or decoded"
    ),
    "a store, with status 400": Denial(
        {"input": "x", "tools": [{"type": "file_search", "vector_store_ids": ["vs_0f123456789abcdef0123456"]}]},
        "Vector store with id 'vs_0f123456789abcdef0123456' not found.",
        "invalid_value",
        "tools",
    ),
    "a file, with status 400": Denial(
        {"input": [{"role": "user", "content": [FILE]}]},
        "The file with ID file-Ab12Cd34Ef56Gh78 could not be found.",
        param="input[0].content[0].file_id",
    ),
    "a container, with status 404": Denial(
        {"input": "x", "tools": [{"type": "code_interpreter", "container": "cntr_0f123456789abcdef0123456"}]},
        "Container with id 'cntr_0f123456789abcdef0123456' not found.",
        status=404,
    ),
}
ANSWER = {"id": "resp_1", "object": "response", "status": "completed", "output": [{"type": "message", "content": []}]}
GOOD = reply(json.dumps(ANSWER).encode(), "content-type: application/json")


def denying(denial: Denial) -> Script:
    error = {"message": denial.message, "type": "invalid_request_error", "param": denial.param, "code": denial.code}
    body = json.dumps({"error": error}).encode()
    return answering(reply(body, "content-type: application/json", status=f"{denial.status} No"))


class World(NamedTuple):
    proxy: Composed
    accounts: list[ScriptedServer]

    async def ask(self, asked: Mapping[str, Any]) -> Reply:
        return await self.proxy.ask("POST", "/v1/responses", JSON, body=json.dumps({"model": "gpt", **asked}).encode())

    @property
    def calls(self) -> list[int]:
        return [len(account.requests) for account in self.accounts]


@asynccontextmanager
async def world(folder: Path, *scripts: Script) -> AsyncIterator[World]:
    """Accounts that share nothing, asked in this order."""
    async with AsyncExitStack() as stack:
        accounts = [await stack.enter_async_context(ScriptedServer(script)) for script in scripts]
        models = [
            endpoint(account.url("/v1"), priority=number, params={"api_key": f"sk-{number}"})
            for number, account in enumerate(accounts)
        ]
        yield World(await stack.enter_async_context(composed(folder, config(models))), accounts)


@pytest.mark.parametrize("denial", DENIALS.values(), ids=DENIALS)
async def test_the_account_that_keeps_it_is_found_by_asking(denial: Denial, tmp_path: Path) -> None:
    async with world(tmp_path, denying(denial), denying(denial), answering(GOOD)) as them:
        got = await them.ask(denial.asked)

        assert (got.status, them.calls) == (200, [1, 1, 1])
        assert {line["state"] for line in await states(them.proxy)} == {"closed"}


@pytest.mark.parametrize("denial", DENIALS.values(), ids=DENIALS)
async def test_when_no_account_keeps_it_the_client_reads_their_words(denial: Denial, tmp_path: Path) -> None:
    async with world(tmp_path, denying(denial), denying(denial)) as them:
        got = await them.ask(denial.asked)

        assert (got.status, got.error["message"], them.calls) == (denial.status, denial.message, [1, 1])


@pytest.mark.parametrize("name", ["Azure, an item", "a file, with status 400", "OpenAI, encrypted outputs"])
async def test_a_request_that_brings_nothing_along_is_refused_by_one(name: str, tmp_path: Path) -> None:
    async with world(tmp_path, denying(DENIALS[name]), answering(GOOD)) as them:
        got = await them.ask({"input": [{"role": "user", "content": "Hi"}]})

        assert (got.status, them.calls) == (400, [1, 0])


async def states(proxy: Composed) -> list[dict[str, Any]]:
    page = json.loads((await proxy.ask("GET", "/status", b"accept: application/json")).body)
    return [each for group in page["groups"] for each in group["endpoints"]]
