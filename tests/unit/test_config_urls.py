"""A key is only ever sent to a URL that says clearly where, and safely."""

from pathlib import Path

import pytest

from entrypoints.config import ConfigError, load_settings
from entrypoints.settings import Settings

HIDDEN = "hunter2"


def load(tmp_path: Path, base_url: str, more: str = "") -> Settings:
    path = tmp_path / "llmproxy.yaml"
    path.write_text(
        "model_groups: [{model_group: g, models: [{model: m, params: {api_key: k, base_url: "
        f'"{base_url}"{more}}}}}]}}]',
        encoding="utf-8",
    )
    return load_settings(path, {})


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "https://r.openai.azure.com/openai/v1",
        "https://endpoint.url",
        "https://h.example:8443/some/path",
        "https://[2001:db8::1]/v1",
        "https://203.0.113.7/v1",
        "https://xn--mller-kva.example/v1",
        "http://127.0.0.1:8080/v1",
        "http://localhost/v1",
        "http://[::1]:9/v1",
        "http://vllm.localhost:8000/v1",
    ],
)
def test_good_urls_are_accepted_without_a_warning(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, url).warnings == ()


@pytest.mark.parametrize(
    "url",
    ["http://10.1.2.3/v1", "http://vllm:8000/v1", "http://box.local/v1", "http://m.ns.svc.cluster.local/v1"],
)
def test_http_to_a_private_host_is_accepted_with_a_warning(tmp_path: Path, url: str) -> None:
    warning = load(tmp_path, url).warnings[0]

    assert "params.base_url: over http the key travels in clear text" in warning


@pytest.mark.parametrize(
    ("url", "note"),
    [
        ("", "got an empty text"),
        ("h.example/v1", "it does not begin with http:// or https://"),
        ("ftp://h.example", "it does not begin with http:// or https://"),
        ("https:/h.example", "it does not begin with http:// or https://"),
        ("https://", "the host is missing or is no name"),
        ("https://:443/v1", "the host is missing or is no name"),
        ("https://a..b/v1", "the host is missing or is no name"),
        ("https://-a.example/v1", "the host is missing or is no name"),
        ("https://h.example:0/v1", "the port is not from 1 to 65535"),
        ("https://h.example:/v1", "the port is not from 1 to 65535"),
        ("https://h.example:70000/v1", "the port or the brackets of the host are wrong"),
        ("https://h.example:http/v1", "the port or the brackets of the host are wrong"),
        ("https://[::1/v1", "the port or the brackets of the host are wrong"),
        ("https://h.example/a b", "it holds a space"),
        ("https://h.example\\\\@evil.example/", "a backslash"),
        ("https://h.example/\\r\\nX:1", 'got "https://h.example/\\r\\nX:1"; valid'),
        ("https://müller.example/v1", "a character that is not ASCII"),
        (f"https://user:{HIDDEN}@h.example/v1", "leave out the user and password; a key belongs in api_key"),
        (f"https://{HIDDEN}@h.example/v1", "leave out the user and password"),
        ("https://@h.example/v1", "leave out the user and password"),
        (f"https://h.example/v1?key={HIDDEN}", "leave out the query; it belongs in default_query"),
        ("https://h.example/v1?", "leave out the query; it belongs in default_query"),
        ("https://h.example/v1#top", "leave out the fragment"),
        ("https://h.example/v1/chat/completions", "leave out /chat/completions; the proxy adds it"),
        ("https://h.example/v1/responses/", "leave out /responses; the proxy adds it"),
        ("http://api.openai.com/v1", "write https: over http the key would travel in clear text"),
        ("http://8.8.8.8/v1", "write https: over http the key would travel in clear text"),
        ("http://169.254.169.254/latest", "link-local and cloud metadata addresses are never called"),
        ("https://169.254.0.1/", "link-local and cloud metadata addresses are never called"),
        ("https://[fe80::1]/", "link-local and cloud metadata addresses are never called"),
        ("https://[::ffff:169.254.169.254]/", "link-local and cloud metadata addresses are never called"),
        ("https://[fd00:ec2::254]/", "link-local and cloud metadata addresses are never called"),
        ("https://[fe80::1%25eth0]/", "the host is missing or is no name or IP address"),
        ("http://metadata.google.internal/", "link-local and cloud metadata addresses are never called"),
        ("http://METADATA.google.internal./", "link-local and cloud metadata addresses are never called"),
        ("http://2852039166/", "the host is missing or is no name or IP address"),
        ("http://0xa9fea9fe/", "the host is missing or is no name or IP address"),
        ("http://0251.0376.0251.0376/", "the host is missing or is no name or IP address"),
        ("http://0.0.0.0:8000/v1", "for this one write 127.0.0.1"),
        ("https://224.0.0.1/v1", "no single machine"),
    ],
)
def test_unclear_or_unsafe_urls_are_refused_with_the_reason(tmp_path: Path, url: str, note: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, url)

    message = str(caught.value)
    assert "model_groups[0].models[0].params.base_url: got " in message
    assert note in message
    assert "; valid: an https:// URL without user, query and fragment" in message
    assert HIDDEN not in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("url", "more", "advice"),
    [
        ("https://api.openai.com", "", "OpenAI's base URL ends in /v1"),
        ("https://eu.api.openai.com/", "", "OpenAI's base URL ends in /v1"),
        ("https://r.openai.azure.com", "", "Azure's base_url ends in /openai/v1"),
        (
            "https://r.services.ai.azure.com/openai/v1",
            ", default_query: {api-version: preview}",
            "Foundry endpoints answer 400 to api-version on /openai/v1",
        ),
    ],
)
def test_a_url_that_will_probably_fail_is_warned_about(tmp_path: Path, url: str, more: str, advice: str) -> None:
    settings = load(tmp_path, url, more)

    assert len(settings.warnings) == 1
    assert f"params.base_url: {advice}" in settings.warnings[0]


def test_a_warned_query_is_kept_as_it_is(tmp_path: Path) -> None:
    settings = load(tmp_path, "https://r.example/openai/v1", ", default_query: {api-version: preview}")

    assert settings.groups[0].models[0].params.default_query == {"api-version": "preview"}
