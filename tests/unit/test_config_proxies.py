"""Proxies in the configuration and in the environment: what is refused, what is warned of, and each model's way."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.settings import Settings
from entrypoints.wiring.endpoints import targets
from entrypoints.wiring.groups import model_groups

MODELS = """
model_groups:
  - model_group: gpt
    models:
      - {model: m, params: {api_key: k}%s}
      - {model: m, params: {api_key: k, base_url: "http://10.1.2.3:8000/v1"}}
"""
TRUSTING = "general_settings: {trust_env: true}"


def settings_of(folder: Path, general: str = "", environ: Mapping[str, str] | None = None, model: str = "") -> Settings:
    path = folder / "llmproxy.yaml"
    path.write_text(MODELS % model + general)
    return load_settings(path, environ or {})


def warnings_of(settings: Settings) -> list[str]:
    return [warning for warning in settings.warnings if "clear text" not in warning]


@pytest.mark.parametrize(
    ("variable", "url", "kind"),
    [
        ("HTTPS_PROXY", "socks5://user:hunter2@h:1080", "SOCKS"),
        ("https_proxy", "socks5h://h:1080", "SOCKS"),
        ("ALL_PROXY", "socks4://h:1080", "SOCKS"),
        ("HTTPS_PROXY", "https://user:hunter2@h:3128", "TLS"),
        ("HTTPS_PROXY", "http://user:hunter2@h:99999", "not the URL"),
        ("HTTPS_PROXY", "user:hunter2@", "not the URL"),
    ],
)
def test_a_proxy_that_no_call_could_go_through_is_a_mistake(tmp_path: Path, variable: str, url: str, kind: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings_of(tmp_path, TRUSTING, {variable: url})
    told = str(refused.value)

    for words in (variable, kind, "model_groups[0].models[0]", "NO_PROXY", "outbound_proxy", "trust_env: false"):
        assert words in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("environ", "model"),
    [
        ({"HTTPS_PROXY": "socks5://h:1", "NO_PROXY": "api.openai.com"}, ""),
        ({"HTTPS_PROXY": "socks5://h:1"}, ", outbound_proxy: none"),
        ({"HTTPS_PROXY": "socks5://h:1"}, ', outbound_proxy: "http://p:1"'),
        ({"HTTP_PROXY": "socks5://h:1", "NO_PROXY": "10.0.0.0/8"}, ""),
    ],
)
def test_it_is_a_warning_where_no_endpoint_is_called_through_it(
    tmp_path: Path, environ: dict[str, str], model: str
) -> None:
    (warning,) = warnings_of(settings_of(tmp_path, TRUSTING, environ, model))

    assert next(iter(environ)) in warning
    assert "SOCKS" in warning


def test_a_proxy_that_can_be_used_is_no_matter(tmp_path: Path) -> None:
    assert not warnings_of(settings_of(tmp_path, TRUSTING, {"HTTPS_PROXY": "http://u:p@h:1", "NO_PROXY": "10.0.0.0/8"}))


@pytest.mark.parametrize(
    ("general", "environ", "is_told"),
    [
        ("", {"HTTPS_PROXY": "http://user:hunter2@h:1"}, True),
        ("", {"HTTPS_PROXY": "socks5://h:1"}, True),
        ("", {"HTTPS_PROXY": "http://h:1", "NO_PROXY": ".openai.com"}, False),
        ("", {"NO_PROXY": "x"}, False),
        ("general_settings: {trust_env: false}", {"HTTPS_PROXY": "http://h:1"}, False),
        ("general_settings: {outbound_proxy: 'http://p:1'}", {"HTTPS_PROXY": "http://h:1"}, False),
    ],
)
def test_a_proxy_of_the_environment_that_is_not_followed_is_told(
    tmp_path: Path, general: str, environ: dict[str, str], is_told: bool
) -> None:
    warnings = warnings_of(settings_of(tmp_path, general, environ))

    assert [("HTTPS_PROXY" in each, "trust_env: true" in each) for each in warnings] == [(True, True)] * is_told
    assert "hunter2" not in "".join(warnings)


def test_entries_of_no_proxy_that_mean_no_host_are_told(tmp_path: Path) -> None:
    environ = {"no_proxy": "10.*, api.openai.com", "NO_PROXY": "x.test", "HTTPS_PROXY": "http://h:1"}
    entry, both = warnings_of(settings_of(tmp_path, TRUSTING, environ))

    assert '"10.*"' in entry and "no_proxy" in entry
    assert "no_proxy is the one" in both


def test_trust_env_beside_a_proxy_of_the_file_is_told(tmp_path: Path) -> None:
    general = "general_settings: {trust_env: true, outbound_proxy: 'http://p:1'}"
    (warning,) = warnings_of(settings_of(tmp_path, general, {"HTTPS_PROXY": "socks5://h:1"}))

    assert "no effect" in warning


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("", None),
        (", outbound_proxy: none", ""),
        (', outbound_proxy: "http://u:p@own:1"', "http://u:p@own:1"),
        (", outbound_proxy: os.environ/OWN", "http://variable:1"),
    ],
)
def test_a_model_may_have_a_proxy_of_its_own_or_none(tmp_path: Path, model: str, expected: str | None) -> None:
    general = "general_settings: {outbound_proxy: 'http://general:1'}"
    settings = settings_of(tmp_path, general, {"OWN": "http://variable:1"}, model)

    assert targets(settings, {})["gpt/1"].outbound_proxy == expected
    assert targets(settings, {})["gpt/2"].outbound_proxy is None
    assert not warnings_of(settings)


@pytest.mark.parametrize("value", ["socks5://h:1", "https://h:1", "h:1", "false", "~", '""', "None", "http://h"])
def test_what_a_models_proxy_cannot_be_is_refused_with_what_it_can_be(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="or none"):
        settings_of(tmp_path, "", {}, f", outbound_proxy: {value}")


def test_none_in_general_settings_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave the setting out"):
        settings_of(tmp_path, "general_settings: {outbound_proxy: none}")


def test_the_same_endpoint_behind_two_proxies_is_two_endpoints(tmp_path: Path) -> None:
    path = tmp_path / "llmproxy.yaml"
    ways = ("", ", outbound_proxy: none", ', outbound_proxy: "http://p:1"')
    models = "".join(f"\n      - {{model: m, params: {{api_key: k}}{way}}}" for way in ways)
    path.write_text(f"model_groups:\n  - model_group: gpt\n    models:{models}\n")
    settings = load_settings(path, {})
    endpoints = model_groups(settings)[0].endpoints

    assert not settings.warnings
    assert len({endpoint.identity for endpoint in endpoints}) == 3
    assert len({endpoint.bucket for endpoint in endpoints}) == 1
