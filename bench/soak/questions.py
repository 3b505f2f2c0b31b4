"""Bodies and headers of requests, from a seeded dice."""

import json
import random
from typing import Any

POPULAR = 40
TENANT_SHARE = 0.2
"""So many requests come from a client that was never seen before; the others share one credential."""

_SHARED_KEY = "sk-soak-client"
_TEXT = "Tell me something about the weather in the mountains, and why it changes as quickly as it does. "


class Dice:
    """Random and unique numbers; the same seed gives the same requests."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._serial = 0

    def unique(self) -> int:
        """Never the same twice."""
        self._serial += 1
        return self._serial

    def popular(self) -> int:
        """One of `POPULAR`, the small ones far more often."""
        return int(POPULAR * self.random.random() ** 2)

    def headers(self, fault: str | None = None) -> dict[str, str]:
        """Of a JSON request."""
        key = f"sk-tenant-{self.unique()}" if self.random.random() < TENANT_SHARE else _SHARED_KEY
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        return headers if fault is None else headers | {"x-soak-fault": fault}

    def text(self) -> str:
        """Between a hundred bytes and four thousand."""
        return f"{self.unique()} " + _TEXT * self.random.choice((1, 2, 4, 10, 40))


def chat(group: str, text: str, **more: Any) -> bytes:
    """A chat request as the SDKs write it."""
    return _json({"messages": [{"role": "user", "content": text}], "model": group, **more})


def respond(text: str, **more: Any) -> bytes:
    return _json({"input": text, "model": "talk", **more})


def embed(text: str) -> bytes:
    return _json({"input": text, "model": "embed", "encoding_format": "base64"})


def popular_text(number: int) -> str:
    return f"popular {number} " + _TEXT * (1 + number % 5)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


def form(content: bytes) -> tuple[bytes, str]:
    """A file upload as multipart/form-data (RFC 7578), and its content type."""
    boundary = "soak-boundary-7MA4YWxkTrZu0gW"
    parts = (
        f'--{boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
        f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="soak.bin"\r\n'
        "content-type: application/octet-stream\r\n\r\n"
    ).encode()
    return parts + content + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
