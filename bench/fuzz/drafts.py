"""Good requests, as drafts: what is mutated before it becomes bytes. Each is marked with a token that no other has."""

import json
import random
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

TOKEN_BYTES = 18
GROUP = "gpt"
CLIENT_KEY = "sk-of-the-client"
_LINES = Path(__file__).parents[2] / "tests/data/openai_requests.txt"
_FORM = b"multipart/form-data; boundary=limit"
_SDK_HEADERS = (
    (b"Accept", b"application/json"),
    (b"x-stainless-lang", b"python"),
    (b"x-stainless-retry-count", b"0"),
    (b"x-stainless-read-timeout", b"600"),
    (b"Authorization", b"Bearer " + CLIENT_KEY.encode()),
    (b"OpenAI-Beta", b"assistants=v2"),
)


def token_of(seed: int, number: int) -> bytes:
    """Of the case with that number: a bit that flips does not make it another's."""
    return b"fz" + blake2b(b"%d:%d" % (seed, number), digest_size=(TOKEN_BYTES - 2) // 2).hexdigest().encode()


class Draft:
    """One request before it is written down. Mutations change it as they like."""

    def __init__(self, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.method = method
        self.target = target
        self.version = b"HTTP/1.1"
        self.headers = headers
        self.body = body
        self.is_chunked = False

    def written(self, rng: random.Random) -> bytes:
        """As bytes."""
        headers, body = list(self.headers), self.body
        if self.is_chunked:
            headers.append((b"Transfer-Encoding", b"chunked"))
            body = chunked(body, rng)
        elif body or self.method == b"POST":
            headers.append((b"Content-Length", b"%d" % len(body)))
        lines = [b"%b %b %b" % (self.method, self.target, self.version), *(b"%b: %b" % pair for pair in headers)]
        return b"\r\n".join([*lines, b"", body])


def chunked(body: bytes, rng: random.Random) -> bytes:
    """In chunks of any size, some with extensions."""
    parts = []
    while body:
        size = rng.choice((1, 7, 100, 4096, len(body)))
        piece, body = body[:size], body[size:]
        parts.append(b"%x%b\r\n%b\r\n" % (len(piece), rng.choice((b"", b"", b"", b";a=b")), piece))
    return b"".join([*parts, b"0\r\n", rng.choice((b"", b"", b"x-trailer: 1\r\n")), b"\r\n"])


def _chat(token: str, **more: object) -> dict[str, object]:
    return {"model": GROUP, "messages": [{"role": "user", "content": f"Hello {token}"}], **more}


_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
_BODIES: Sequence[tuple[str, Callable[[str], dict[str, object]]]] = (
    ("/v1/chat/completions", _chat),
    ("/v1/chat/completions", lambda token: _chat(token, stream=True)),
    ("/v1/chat/completions", lambda token: _chat(token, stream=True, stream_options={"include_usage": True}, n=2)),
    ("/v1/chat/completions", lambda token: _chat(token, temperature=0, max_tokens=5, user=token)),
    ("/v1/chat/completions", lambda token: _chat(token, tools=[_TOOL], tool_choice="required", store=True)),
    ("/openai/deployments/gpt/chat/completions?api-version=2024-10-21", _chat),
    ("/v1/responses", lambda token: {"model": GROUP, "input": token, "store": False}),
    ("/v1/responses", lambda token: {"model": GROUP, "input": [{"role": "user", "content": token}], "stream": True}),
    ("/v1/responses", lambda token: {"model": GROUP, "input": token, "previous_response_id": f"resp_{token}"}),
    ("/v1/responses/input_tokens", lambda token: {"model": GROUP, "input": token}),
    ("/v1/responses/compact", lambda token: {"model": GROUP, "input": token}),
    ("/v1/embeddings", lambda token: {"model": GROUP, "input": [token, "b"], "encoding_format": "base64"}),
    ("/v1/completions", lambda token: {"model": GROUP, "prompt": [token, "b"], "n": 2}),
    ("/v1/moderations", lambda token: {"input": token}),
    ("/v1/conversations", lambda token: {"metadata": {"token": token}, "items": []}),
    ("/v1/audio/speech", lambda token: {"model": GROUP, "input": token, "voice": "alloy"}),
    ("/v1/images/generations", lambda token: {"model": GROUP, "prompt": token}),
    ("/v1/batches", lambda token: {"input_file_id": f"file-{token}", "endpoint": "/v1/responses"}),
)
_ASKED = (
    "/v1/models", "/v1/models/gpt", "/health", "/health/live", "/status", "/metrics", "/openapi.json", "/",
    "/v1/responses/resp_1", "/v1/responses/resp_1?stream=true&starting_after=3", "/v1/chat/completions", "/v1/files",
    "/v1/conversations/conv_1/items", "/v1/files/file-1/content",
)  # fmt: skip


def draft_of(number: int, token: bytes) -> Draft:
    """One of `COUNT`, marked: in the query, in headers, and in the body. The first `OWN` are what the proxy reads."""
    text = token.decode()
    if number < len(_BODIES):
        path, body = _BODIES[number]
        draft = Draft(b"POST", path.encode(), [(b"Content-Type", b"application/json")], json.dumps(body(text)).encode())
    elif number < OWN:
        draft = Draft(b"GET", _ASKED[number - len(_BODIES)].encode(), [], b"")
    else:
        draft = _of_the_sdk(_SDK_LINES[number - OWN], text)
    draft.target += (b"&" if b"?" in draft.target else b"?") + b"fz=" + token
    draft.headers[:0] = [(b"Host", b"localhost"), (b"User-Agent", b"fuzz/" + token), (b"X-Fuzz", token)]
    draft.headers += _SDK_HEADERS
    return draft


_SDK_LINES = [
    (method, path, kind)
    for method, path, *kinds in (line.split() for line in _LINES.read_text().splitlines() if line[0] != "#")
    for kind in kinds
]
"""What openai-python sends: method, path below the version root, kind of body."""

OWN = len(_BODIES) + len(_ASKED)
COUNT = OWN + len(_SDK_LINES)


def _of_the_sdk(line: tuple[str, str, str], token: str) -> Draft:
    method, path, kind = line
    headers, body = [], b""
    if kind.startswith("json"):
        told = {"text": f"Z\u00fcrich {token}", "n": 1} | ({"model": GROUP} if kind == "json_with_model" else {})
        headers, body = [(b"Content-Type", b"application/json")], json.dumps(told).encode()
    elif kind.startswith("form"):
        headers, body = [(b"Content-Type", _FORM)], _form(token, model=kind == "form_with_model")
    return Draft(method.encode(), f"/v1{path}".encode(), headers, body)


def _form(token: str, *, model: bool) -> bytes:
    fields = [b'name="model"\r\n\r\n' + GROUP.encode()] if model else []
    fields.append(b'name="file"; filename="a.bin"\r\n\r\n\x00\xff' + token.encode())
    return b"".join(b"--limit\r\nContent-Disposition: form-data; %b\r\n" % field for field in fields) + b"--limit--\r\n"
