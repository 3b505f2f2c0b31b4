"""The providers of a soak, what goes wrong at them, and the proxy's configuration in front of them.

Intervals are short and stores small, so that minutes see the cycles of a day: endpoints cool and come back, entries of
the cache end and are evicted, ids are forgotten, connections idle out.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from simulator import ProviderSettings, SimulatedProvider

Faults = dict[str, dict[str, Any]]

LONG_WORDS = 1500
TOKENS_PER_SECOND = 100
LIMITED_RPM = 60
MAX_BODY_BYTES = 2 * 1024 * 1024
CACHE_BYTES = 2 * 1024 * 1024
FAULT_HEADER = "x-soak-fault"
_FLAP_EVERY_S = 20.0
_FLAP_S = 1.5
_FORGET_EVERY_S = 60.0

PROVIDERS = {
    "alpha": ProviderSettings(name="alpha", tokens_per_second=TOKENS_PER_SECOND),
    "beta": ProviderSettings(name="beta", tokens_per_second=TOKENS_PER_SECOND, latency_s=0.02),
    "gamma": ProviderSettings(name="gamma", tokens_per_second=TOKENS_PER_SECOND),
    "long": ProviderSettings(name="long", answer_tokens=LONG_WORDS),
    "slow": ProviderSettings(name="slow", latency_s=1.0),
    "limited": ProviderSettings(name="limited", rpm=LIMITED_RPM),
    "broken": ProviderSettings(name="broken"),
    "own": ProviderSettings(name="own"),
}

GROUPS: Mapping[str, tuple[str, ...]] = {
    "chat": ("alpha", "beta", "gamma"),
    "embed": ("alpha", "beta", "gamma"),
    "talk": ("beta", "gamma"),
    "long": ("long",),
    "slow": ("slow",),
    "limited": ("limited",),
    "broken": ("broken",),
    "own": ("own",),
}
"""Who serves each group. Models are called like their group upstream as well: bodies arrive as they were sent."""

FAILOVER: Faults = {
    "500": {"kind": "status", "status": 500, "body": {"error": {"message": "internal"}}},
    "429": {
        "kind": "status",
        "status": 429,
        "headers": {"retry-after-ms": "300"},
        "body": {"error": {"message": "slow"}},
    },
    "reset": {"kind": "reset"},
    "half": {"kind": "reset", "when": "mid_body"},
    "truncate": {"kind": "truncate"},
    "junk": {"kind": "junk", "body": "<html>"},
    "empty": {"kind": "empty"},
}
"""What these do to any request that asks for it; its client must notice nothing."""

BREAKING: Faults = {
    "break": {"kind": "reset", "when": "mid_stream", "after_events": 5},
    "error": {"kind": "stream_error", "after_events": 5},
    "no-done": {"kind": "no_done"},
}
"""What these do to a stream when asked: its client has to be told."""

FAILING = ("alpha", "beta")
"""Gamma is always well, so that there is always one that can answer."""

HARMLESS: Faults = {
    "chop": {"kind": "chop", "bytes": 97, "delay_ms": 1},
    "latency": {"kind": "latency", "seconds": 0.3},
}
"""What every provider does when asked; it costs time and changes nothing."""


def _rules(actions: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"match": {"header": [FAULT_HEADER, name]}, "action": dict(action)} for name, action in actions.items()]


class World:
    """All providers, in this process; `async with`."""

    def __init__(self) -> None:
        self.providers = {name: SimulatedProvider(settings) for name, settings in PROVIDERS.items()}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "World":
        for name, provider in self.providers.items():
            await self._stack.enter_async_context(provider)
            faults = _rules(HARMLESS) + (_rules(BREAKING | FAILOVER) if name in FAILING else [])
            if name == "broken":
                faults = [{"match": {"path": "chat/completions"}, "action": FAILOVER["500"]}]
            provider.set_faults(faults)
        for work in (self._flap(), self._forget()):
            task = asyncio.create_task(work)
            self._stack.callback(task.cancel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def ports(self) -> list[int]:
        """Where the providers listen."""
        return [provider.port for provider in self.providers.values()]

    def config(self, upstream_client: str | None = None) -> dict[str, Any]:
        """What the proxy reads. `upstream_client` None = its default."""
        return {
            "general_settings": {
                **({"upstream_client": upstream_client} if upstream_client else {}),
                "allowed_fails": 3,
                "cooldown_time": 2,
                "max_wait": 3,
                "cache": True,
                "cache_params": {"type": "memory", "ttl": 120, "max_bytes": CACHE_BYTES},
                "response_affinity_ttl": 600,
                "max_body_bytes": MAX_BODY_BYTES,
                "passthrough_group": "talk",
            },
            "model_groups": [
                {"model_group": group, "models": [self._model(group, name) for name in names]}
                for group, names in GROUPS.items()
            ],
        }

    def _model(self, group: str, name: str) -> dict[str, Any]:
        params = {"base_url": f"{self.providers[name].url}/v1"}
        if group != "own":
            params["api_key"] = f"sk-soak-{name}"
        return {"model": group, "params": params}

    async def _flap(self) -> None:
        while True:
            await asyncio.sleep(_FLAP_EVERY_S)
            self.providers["alpha"].refuse(_FLAP_S)

    async def _forget(self) -> None:
        """Providers remember requests for tests; a soak has no use for that."""
        while True:
            await asyncio.sleep(_FORGET_EVERY_S)
            for name, provider in self.providers.items():
                if name != "limited":  # what it counts would start afresh
                    provider.reset()
