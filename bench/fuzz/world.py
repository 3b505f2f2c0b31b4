"""The configuration of the proxy that is fuzzed."""

from typing import Any

from bench.fuzz.drafts import CLIENT_KEY, GROUP

KEYS = ("sk-fuzz-1", "sk-fuzz-2")
"""Of the endpoints, which are two accounts of one provider."""


def settings(url: str, *, tenants: bool = False) -> dict[str, Any]:
    """In front of the provider at `url`; as much as possible is switched on. `tenants`: the client has a key, and is a
    tenant of its own."""
    access = {"api_keys": [CLIENT_KEY, "sk-of-another"], "tenancy": "key", "passthrough": "on"} if tenants else {}
    models = [{"model": GROUP, "params": {"api_key": key, "base_url": f"{url}/v1"}} for key in KEYS]
    return {
        "model_groups": [{"model_group": GROUP, "models": models}],
        "general_settings": {
            "cache": True,
            "cache_params": {"type": "memory", "max_bytes": 4 << 20},
            "passthrough": "admin",
            "passthrough_group": GROUP,
            "max_body_bytes": 1 << 20,
            **access,
        },
    }
