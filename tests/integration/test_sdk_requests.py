"""Whatever the official SDK can ask for arrives at the provider as it was sent, through one group that takes it all."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.contracts.scripted_server import ScriptedServer, answering, reply
from tests.integration.composed import composed

REQUESTS = Path(__file__).parents[1] / "data" / "openai_requests.txt"
QUERY = "?after=a%2Fb+c&include%5B%5D=x&limit=1"
ANSWER = b'{"object":"list","data":[],"choices":[],"output":[],"results":[],"deleted":true}'
_FORM = 'multipart/form-data; boundary="a b=c"'
BODIES = {
    "nothing": (b"", None),
    "json": (b'{ "text" :"Z\\u00fcrich \xe6\x9d\xb1",\t"n":1.0, "nested":{"model":"x"} }\n', "application/json"),
    "json_with_model": (b'{"a":[] , "model" : "some-model","n":1e0}', "application/json"),
    "form": (
        b'--a b=c\r\nContent-Disposition: form-data; name="file"; filename="\xc3\xbc"\r\n\r\n\x00\xff\r\n--a b=c--\r\n',
        _FORM,
    ),
    "form_with_model": (
        b'--a b=c\r\nContent-Disposition: form-data; name="model"\r\n\r\nsome-model\r\n--a b=c--\r\n',
        _FORM,
    ),
}
"""Spelt as no library would, so that whoever writes one anew is seen."""


def requests() -> list[tuple[str, str, str]]:
    lines = [line.split() for line in REQUESTS.read_text().splitlines() if not line.startswith("#")]
    return [(method, path, kind) for method, path, *kinds in lines for kind in kinds]


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(answering(reply(ANSWER, "content-type: application/json"))) as server:
        yield server


def one_group(upstream: ScriptedServer) -> dict[str, Any]:
    params = {"api_key": "sk-upstream", "base_url": upstream.url("/v1")}
    return {
        "model_groups": [{"model_group": "everything", "models": [{"model": "own-name", "params": params}]}],
        "general_settings": {"passthrough": "admin", "passthrough_group": "everything", "api_keys": ["sk-proxy"]},
    }


async def test_everything_the_sdk_sends_arrives_byte_for_byte(upstream: ScriptedServer, tmp_path: Path) -> None:
    async with composed(tmp_path, one_group(upstream)) as proxy, aiohttp.ClientSession() as http:
        for method, path, kind in requests():
            body, content_type = BODIES[kind]
            headers = {"authorization": "Bearer sk-proxy", "openai-beta": "x=v2", "idempotency-key": path}
            headers |= {} if content_type is None else {"content-type": content_type}
            target = URL(f"{proxy.url}/v1{path}{QUERY}", encoded=True)
            async with http.request(
                method, target, data=body or None, headers=headers, skip_auto_headers=["content-type"]
            ) as answer:
                assert (answer.status, await answer.read()) == (200, ANSWER), (method, path, kind)

    for (method, path, kind), request in zip(requests(), upstream.requests, strict=True):
        body, content_type = BODIES[kind]
        sent = {name.lower(): value for name, value in request.headers}
        assert request.line.decode() == f"{method} /v1{path}{QUERY} HTTP/1.1"
        assert request.body == body, (method, path, kind)
        assert sent.get(b"content-type") == (None if content_type is None else content_type.encode())
        assert (sent[b"authorization"], sent[b"openai-beta"]) == (b"Bearer sk-upstream", b"x=v2")
        assert sent[b"idempotency-key"].decode() == path
