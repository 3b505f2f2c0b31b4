"""Keys travel in clear text only to this machine, to private networks and to hosts that were named for it."""

import json
from pathlib import Path
from typing import Any

import pytest

from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.settings import Settings

RULE = "over http the key would travel in clear text over public networks"


def load(folder: Path, url: str, hosts: list[Any] | None, key: str = "base_url") -> Settings:
    params = {"api_key": "k", key: url} | ({"api_version": "2024-10-21"} if key == "azure_endpoint" else {})
    general = {} if hosts is None else {"plain_http_hosts": hosts}
    path = folder / "llmproxy.yaml"
    groups = [{"model_group": "g", "models": [{"model": "m", "params": params}]}]
    path.write_text(json.dumps({"model_groups": groups, "general_settings": general}), encoding="utf-8")
    return load_settings(path, {})


def refusal(folder: Path, url: str, hosts: list[Any] | None, key: str = "base_url") -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, url, hosts, key)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("key", ["base_url", "azure_endpoint"])
@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://llm.corp.example/v1", "llm.corp.example"),
        ("http://LLM.corp.example.:8080/v1", "llm.CORP.example"),
        ("http://llm.corp.example/v1", "llm.corp.example."),
        ("http://a.b.corp.example/v1", "*.corp.example"),
        ("http://203.0.113.7/v1", "203.0.113.7"),
        ("http://203.0.113.7/v1", "203.0.113.0/24"),
        ("http://[2001:db8::7]:80/v1", "2001:db8::7"),
        ("http://[2001:db8::7]/v1", "[2001:db8::7]"),
        ("http://[2001:db8::7]/v1", "2001:db8::/32"),
        ("http://[::ffff:203.0.113.7]/v1", "203.0.113.7"),
    ],
)
def test_a_named_host_may_be_called_over_http_without_a_warning(tmp_path: Path, url: str, host: str, key: str) -> None:
    url = url if key == "base_url" else url.removesuffix("/v1")

    assert load(tmp_path, url, ["other.example", host], key).warnings == ()


@pytest.mark.parametrize("key", ["base_url", "azure_endpoint"])
@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("http://llm.corp.example/v1", None),
        ("http://llm.corp.example/v1", ["corp.example"]),
        ("http://corp.example/v1", ["*.corp.example"]),
        ("http://evilcorp.example/v1", ["*.corp.example", "corp.example"]),
        ("http://llm.corp.example.evil.example/v1", ["llm.corp.example", "*.corp.example"]),
        ("http://203.0.114.7/v1", ["203.0.113.0/24"]),
        ("http://[2001:db9::7]/v1", ["2001:db8::/32", "203.0.113.0/24"]),
    ],
)
def test_any_other_is_refused_with_the_setting_that_would_allow_it(
    tmp_path: Path, url: str, hosts: list[str] | None, key: str
) -> None:
    url = url if key == "base_url" else url.removesuffix("/v1")
    message = refusal(tmp_path, url, hosts, key)

    assert f'params.{key}: got "{url}"; {RULE}; valid: an https:// URL' in message
    assert "or the host in general_settings.plain_http_hosts" in message


def test_a_private_host_that_is_named_is_not_warned_about(tmp_path: Path) -> None:
    (warning,) = load(tmp_path, "http://vllm:8000/v1", None).warnings

    assert "general_settings.plain_http_hosts: [vllm] says that it is meant" in warning
    assert load(tmp_path, "http://vllm:8000/v1", ["vllm"]).warnings == ()
    assert load(tmp_path, "http://10.1.2.3/v1", ["10.0.0.0/8"]).warnings == ()


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("*", "that is everywhere; valid: a host name"),
        ("0.0.0.0/0", "that is everywhere; valid: a host name"),
        ("::/0", "that is everywhere; valid: a host name"),
        ("http://llm.corp.example", "leave out the scheme"),
        ("llm.corp.example:8080", "leave out the port"),
        ("10.0.0.1/8", "a network ends in its length, and its other bits are 0"),
        ("llm.corp.example/v1", "a network ends in its length"),
        ("llm.*.example", "valid: a host name, *.suffix, an IP address or a network"),
        ("169.254.169.254", "link-local and cloud metadata addresses are never called"),
        ("metadata.google.internal", "link-local and cloud metadata addresses are never called"),
        ("", "got an empty text"),
    ],
)
def test_what_names_no_host_is_refused(tmp_path: Path, host: str, told: str) -> None:
    message = refusal(tmp_path, "https://h.example/v1", [host])

    assert "general_settings.plain_http_hosts[0]: " in message
    assert told in message


def test_metadata_addresses_stay_refused_whatever_is_named(tmp_path: Path) -> None:
    assert "never called" in refusal(tmp_path, "http://169.254.169.254/v1", ["169.254.0.0/16"])
