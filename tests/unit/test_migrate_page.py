"""What docs/migrate.md says of this proxy is true."""

import re
from pathlib import Path

import yaml

from entrypoints.config.load import load_settings
from entrypoints.config.settings import EndpointSettings, GeneralSettings
from entrypoints.config.settings_cache import CacheParams

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/migrate.md").read_text()


def part(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def test_its_configurations_are_read(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

    assert blocks
    for text in blocks:
        path = tmp_path / "llmproxy.yaml"
        path.write_text(text)
        assert load_settings(path, {"OPENAI_API_KEY": "k", "AZURE_API_KEY": "k"}).warnings == ()


def test_the_keys_that_are_the_same_in_coral_llmproxy_are_settings_here() -> None:
    same = part("From coral-li/llmproxy").split("What to change")[0]
    named = set(re.findall(r"`([a-z_]+)`", same)) - {"llmproxy", "model_groups", "params", "general_settings"}
    known = {name for each in (GeneralSettings, CacheParams, EndpointSettings) for name in each.__struct_fields__}

    assert {"bind_address", "redis_ssl", "response_affinity_ttl"} <= named <= known


def test_the_configuration_of_coral_llmproxy_is_read_with_the_changes_that_are_named(tmp_path: Path) -> None:
    config = {
        "model_groups": [
            {
                "model_group": "gpt-4o-mini",
                "models": [
                    {
                        "model": "gpt-4o-mini",
                        "weight": 1,
                        "params": {"api_key": "os.environ/KEY", "base_url": "https://r.openai.azure.com/openai/v1"},
                    },
                    {
                        "model": "gpt-4o-mini",
                        "weight": 0,
                        "params": {"api_key": "os.environ/KEY", "base_url": "https://api.openai.com/v1"},
                    },
                ],
            }
        ],
        "general_settings": {
            "bind_address": "localhost", "bind_port": 4000, "num_retries": 3, "allowed_fails": 1, "cooldown_time": 60,
            "first_byte_timeout": 300, "max_connections": 100, "max_body_bytes": 33554432,
            "redis_host": "os.environ/REDIS_HOST", "redis_port": "os.environ/REDIS_PORT",
            "redis_password": "os.environ/REDIS_PASSWORD", "redis_ssl": "os.environ/REDIS_SSL",
            "cache": True, "response_affinity_ttl": 21600,
            "cache_params": {
                "type": "redis", "ttl": 604800, "namespace": "llmproxy.cache", "host": "os.environ/REDIS_HOST",
                "port": "os.environ/REDIS_PORT", "password": "os.environ/REDIS_PASSWORD",
            },
        },
    }  # fmt: skip
    path = tmp_path / "llmproxy.yaml"
    path.write_text(yaml.safe_dump(config))
    environ = {"KEY": "k", "REDIS_HOST": "redis", "REDIS_PORT": "6379", "REDIS_PASSWORD": "", "REDIS_SSL": "true"}

    assert load_settings(path, environ).warnings == ()
