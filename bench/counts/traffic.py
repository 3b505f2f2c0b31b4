"""What is asked: a mixture of all that is counted apart, from clients some of which leave."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from bench.wire import Client, head_of
from simulator import ProviderSettings, SimulatedProvider

Counts = Counter[tuple[str, ...]]

KEY = "sk-counted"
_CHAT = "/v1/chat/completions"
_BUSY = {"kind": "status", "status": 503, "body": {"error": {"message": "busy", "type": "server_error"}}}
_WRONG = {"kind": "status", "status": 400, "body": {"error": {"message": "no", "type": "invalid_request_error"}}}
_BROKEN = {"kind": "reset", "when": "mid_stream", "after_events": 5}
_FAULTS: Mapping[str, list[dict[str, Any]]] = {
    "shaky": [{"action": _BUSY, "every": 9}, {"action": _WRONG, "every": 14}, {"action": _BROKEN, "every": 8}],
    "broken": [{"action": _BUSY}],
    "silent": [{"action": {"kind": "hang"}}],
}
_PROVIDERS = (
    ProviderSettings(name="shaky"),
    ProviderSettings(name="well"),
    ProviderSettings(name="limited", rpm=20),
    ProviderSettings(name="broken"),
    ProviderSettings(name="silent"),
    ProviderSettings(name="slow", latency_s=0.3),
    ProviderSettings(name="long", answer_tokens=400, tokens_per_second=400),
)
_GROUPS: Mapping[str, tuple[str, ...]] = {
    "gpt": ("shaky", "well"),
    **{name: (name,) for name in ("limited", "broken", "silent", "slow", "long")},
}
LEFT = frozenset({"slow", "long"})
"""Groups whose clients all leave."""
_QUIET_S = 0.3

KINDS: Mapping[str, int] = {
    "chat": 25,
    "stream": 22,
    "repeated": 20,
    "embedding": 8,
    "unknown": 4,
    "keyless": 4,
    "invalid": 3,
    "limited": 4,
    "broken": 3,
    "silent": 2,
    "leaves early": 2,
    "leaves a stream": 3,
}
"""Of a hundred requests."""


class Providers:
    """Those that are asked, in this process; `async with`."""

    def __init__(self) -> None:
        self.by_name = {settings.name: SimulatedProvider(settings) for settings in _PROVIDERS}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Providers":
        for name, provider in self.by_name.items():
            await self._stack.enter_async_context(provider)
            provider.set_faults(_FAULTS.get(name, []))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def config(self) -> dict[str, Any]:
        """Of a proxy with two workers before them."""
        return {
            "general_settings": {
                "workers": 2, "cache": True, "cooldown_time": 0.2, "max_wait": 0, "num_retries": 2,
                "api_keys": [KEY], "log_format": "json",
            },
            "model_groups": [
                {"model_group": group, "models": [self._model(name) for name in names]}
                for group, names in _GROUPS.items()
            ],
        }  # fmt: skip

    def _model(self, name: str) -> dict[str, Any]:
        params = {"api_key": f"sk-{name}", "base_url": f"{self.by_name[name].url}/v1"}
        return {"id": name, "model": "gpt-sim", "params": params, "first_byte_timeout": 5 * _QUIET_S}


class Traffic:
    """Asks, and keeps what came of it."""

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._dice = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.stayed: Counter[str] = Counter()
        """By the status they got, or `cut`."""
        self.left = 0

    async def ask(self, count: int, at_once: int) -> None:
        """So many requests, from so many clients."""
        client, left = Client(self._port), iter(range(count))

        async def one_after_another() -> None:
            for _ in left:
                await self._ask(client)

        await asyncio.gather(*(one_after_another() for _ in range(at_once)))
        client.close()

    async def _ask(self, client: Client) -> None:
        (kind,) = self._dice.choices(tuple(KINDS), tuple(KINDS.values()))
        path, key, body = _CHAT, KEY, self._body(kind)
        if kind == "embedding":
            path, body = "/v1/embeddings", {"model": "gpt", "input": "Hello"}
        if kind == "keyless":
            key = "sk-nobody"
        text = json.dumps(body).encode()[: -1 if kind == "invalid" else None]
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        if kind.startswith("leaves"):
            await self._leave(client, head_of("POST", path, headers, len(text)) + text, is_stream="stream" in kind)
            return
        reply = await client.ask("POST", path, headers, text)
        self.stayed[str(reply.status)] += 1

    def _body(self, kind: str) -> dict[str, Any]:
        model = {"unknown": "nobody's", "leaves early": "slow", "leaves a stream": "long"}.get(kind, kind)
        body: dict[str, Any] = {
            "model": model if model in _GROUPS or kind == "unknown" else "gpt",
            "messages": [{"role": "user", "content": f"Hello {self._dice.randrange(50)}"}],
        }
        if kind in ("stream", "silent", "leaves a stream"):
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if kind == "repeated":
            body["temperature"] = 0
        return body

    async def _leave(self, client: Client, request: bytes, *, is_stream: bool) -> None:
        """Before the answer, or in its midst."""
        self.left += 1
        call = await client.open(receive_buffer_bytes=4096)
        call.send(request)
        if is_stream:
            await call.head()
            await call.piece(300)
        else:
            await asyncio.sleep(self._dice.random() * _QUIET_S)
        call.leave()
