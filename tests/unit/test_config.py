"""A valid configuration becomes settings that need no further thought."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from domain.secret import Secret
from entrypoints.config.load import load_settings
from entrypoints.config.settings import EndpointSettings, GeneralSettings, Settings

Load = Callable[..., Settings]

CERTIFICATE = Path(__file__).parents[1] / "data/nobodys_certificate.pem"

MINIMAL = """
model_groups:
  - model_group: gpt
    models:
      - model: gpt-4o
        params: {api_key: k}
"""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(text: str, environ: Mapping[str, str] | None = None) -> Settings:
        path = tmp_path / "llmproxy.yaml"
        path.write_text(text, encoding="utf-8")
        return load_settings(path, environ or {})

    return load


def endpoint(load: Load, params: str = "{api_key: k}", more: str = "", general: str = "{}") -> EndpointSettings:
    text = (
        f"general_settings: {general}\n"
        f"model_groups: [{{model_group: g, models: [{{model: m, params: {params}{more}}}]}}]\n"
    )
    return load(text).groups[0].models[0]


def test_a_minimal_file_gets_every_default_of_the_design(load: Load) -> None:
    settings = load(MINIMAL)

    assert settings.general == GeneralSettings()
    assert settings.warnings == ()
    assert settings.path.name == "llmproxy.yaml"
    general = settings.general
    assert (general.bind_address, general.bind_port) == ("127.0.0.1", 4000)
    assert (general.num_retries, general.allowed_fails, general.cooldown_time) == (3, 1, 60)
    assert (general.connect_timeout, general.first_byte_timeout) == (5, 120)
    assert (general.stream_idle_timeout, general.request_timeout) == (300, 600)
    assert (general.stream_hold, general.max_wait, general.rate_limit_reserve) == (5, 30, 0.02)
    assert (general.max_body_bytes, general.max_connections) == (33_554_432, 1000)
    assert (general.drain_timeout, general.workers, general.upstream_client) == (30, 1, "http1")
    assert (general.cache, general.cache_params.ttl, general.cache_params.scope) == (False, 604_800, "credential")
    assert not general.uses_redis


def test_an_endpoint_is_numbered_weighs_one_and_goes_to_openai(load: Load) -> None:
    only = load(MINIMAL).groups[0].models[0]

    assert (only.id, only.model, only.weight) == ("gpt/1", "gpt-4o", 1)
    assert only.params.base_url == "https://api.openai.com/v1"
    assert only.params.api_key == Secret("k")
    assert not only.params.is_azure
    assert not only.params.passes_client_credential
    assert (only.connect_timeout, only.first_byte_timeout) == (5, 120)
    assert (only.stream_idle_timeout, only.request_timeout) == (300, 600)


def test_ids_follow_the_order_of_the_file_and_a_given_id_wins(load: Load) -> None:
    settings = load(
        """
        model_groups:
          - model_group: a
            models: [{model: m}, {model: m, id: spare-1}, {model: m}]
          - model_group: b
            models: [{model: m}]
        """
    )

    ids = [[model.id for model in group.models] for group in settings.groups]
    assert ids == [["a/1", "spare-1", "a/3"], ["b/1"]]


def test_without_params_the_client_pays_with_its_own_key(load: Load) -> None:
    only = load("model_groups: [{model_group: g, models: [{model: m}]}]").groups[0].models[0]

    assert only.params.api_key is None
    assert only.params.passes_client_credential


@pytest.mark.parametrize(
    ("region", "url"),
    [
        ("eu", "https://eu.api.openai.com/v1"),
        ("in", "https://in.api.openai.com/v1"),
        ("global", "https://api.openai.com/v1"),
    ],
)
def test_data_residency_chooses_the_base_url(load: Load, region: str, url: str) -> None:
    assert endpoint(load, f"{{data_residency: {region}}}").params.base_url == url


def test_a_slash_at_the_end_of_a_url_is_dropped(load: Load) -> None:
    assert endpoint(load, "{base_url: 'https://h.example/v1/'}").params.base_url == "https://h.example/v1"


def test_azure_keeps_its_own_arguments_and_has_no_base_url(load: Load) -> None:
    params = endpoint(
        load,
        "{api_key: k, azure_endpoint: 'https://r.openai.azure.com/', api_version: 2024-10-21, azure_deployment: d}",
    ).params

    assert params.base_url is None
    assert params.azure_endpoint == "https://r.openai.azure.com"
    assert (params.azure_deployment, params.api_version) == ("d", "2024-10-21")
    assert params.is_azure


def test_azure_v1_endpoint_needs_no_api_version(load: Load) -> None:
    params = endpoint(load, "{api_key: k, azure_endpoint: 'https://r.openai.azure.com/openai/v1'}").params

    assert params.azure_endpoint == "https://r.openai.azure.com/openai/v1"


def test_query_values_keep_the_text_of_the_file(load: Load) -> None:
    params = endpoint(load, "{default_query: {api-version: 2024-10-21, n: 1.10, on: 5, flag: true, t: 'x y'}}").params

    assert params.default_query == {"api-version": "2024-10-21", "n": "1.10", "on": "5", "flag": "true", "t": "x y"}


def test_header_values_are_secret(load: Load) -> None:
    params = endpoint(load, "{default_headers: {X-Key: hush-hush}}").params

    assert params.default_headers == {"X-Key": Secret("hush-hush")}
    assert "hush" not in repr(params)


@pytest.mark.parametrize("header", ["Authorization", "api-key"])
def test_a_credential_in_a_header_belongs_to_the_proxy(load: Load, header: str) -> None:
    assert not endpoint(load, f"{{default_headers: {{{header}: x}}}}").params.passes_client_credential


@pytest.mark.parametrize(
    ("timeout", "connect", "first_byte"),
    [
        ("90", 5, 90),
        ("2", 2, 2),
        ("{connect: 9, read: 70}", 9, 70),
        ("{connect: 9}", 9, 120),
        ("{read: 70, write: 1, pool: 1}", 5, 70),
    ],
)
def test_params_timeout_stands_in_for_connect_and_first_byte(
    load: Load, timeout: str, connect: float, first_byte: float
) -> None:
    only = endpoint(load, f"{{api_key: k, timeout: {timeout}}}")

    assert (only.connect_timeout, only.first_byte_timeout) == (connect, first_byte)


def test_a_models_own_timeouts_win_over_params_and_general(load: Load) -> None:
    only = endpoint(
        load,
        "{api_key: k, timeout: 90}",
        ", connect_timeout: 1, first_byte_timeout: 2, stream_idle_timeout: 3, request_timeout: 4",
        "{connect_timeout: 50, first_byte_timeout: 50, stream_idle_timeout: 50, request_timeout: 50}",
    )

    assert (only.connect_timeout, only.first_byte_timeout) == (1, 2)
    assert (only.stream_idle_timeout, only.request_timeout) == (3, 4)


def test_general_timeouts_hold_for_models_without_their_own(load: Load) -> None:
    only = endpoint(load, general="{connect_timeout: 1.5, stream_idle_timeout: 7}")

    assert (only.connect_timeout, only.stream_idle_timeout) == (1.5, 7)


@pytest.mark.parametrize(
    ("size", "expected"),
    [("4096", 4096), ("64KiB", 65_536), ("2 MiB", 2_097_152), ("5MB", 5_000_000)],
)
def test_sizes_are_bytes_or_have_a_unit(load: Load, size: str, expected: int) -> None:
    settings = load(f"general_settings: {{max_body_bytes: {size}}}\n" + MINIMAL)

    assert settings.general.max_body_bytes == expected


@pytest.mark.parametrize(
    "general",
    [
        "",
        "{bind_address: '::1'}",
        "{bind_address: localhost}",
        "{bind_address: 127.8.9.10}",
        "{bind_address: 0.0.0.0, api_keys: [k]}",
        "{bind_address: 0.0.0.0, allow_unauthenticated: true}",
        "{workers: auto}",
        "{cooldown_time: 1e1, max_wait: 0, stream_hold: 0, drain_timeout: 0, rate_limit_reserve: 0}",
        "{redis_url: 'rediss://u:p@redis.example:6380/3'}",
        "{redis_url: 'unix:///run/redis.sock?db=1'}",
        "{allowed_hosts: ['proxy.internal:80', '[::1]:4000'], allowed_origins: ['https://a.example:8443']}",
        "{outbound_proxy: 'http://u:p@proxy.example:3128'}",
        "{cache: true, cache_params: {type: memory, scope: global, max_bytes: 1GiB}}",
        "{cache: true, cache_params: {type: redis, host: r}}",
        "{passthrough_group: gpt, log_level: debug, log_format: json, trust_env: yes}",
    ],
)
def test_valid_general_settings_are_accepted(load: Load, general: str) -> None:
    assert load(f"general_settings: {general}\n" + MINIMAL).groups[0].model_group == "gpt"


def test_anchors_and_merge_keys_spare_repetition(load: Load) -> None:
    settings = load(
        """
        model_groups:
          - model_group: g
            models:
              - {model: m, params: &azure {api_key: k, organization: org, timeout: 9}}
              - {model: m, params: {<<: *azure, organization: other}}
        """
    )

    second = settings.groups[0].models[1].params
    assert (second.api_key, second.organization, second.timeout) == (Secret("k"), "other", 9)


def test_a_key_may_be_an_alias_and_a_key_in_quotes_merges_nothing(load: Load) -> None:
    settings = load(
        """
        x-name: &name api_key
        model_groups:
          - model_group: g
            models: [{model: m, params: {*name : k, default_query: {"<<": a}}}]
        """
    )

    params = settings.groups[0].models[0].params
    assert (params.api_key, params.default_query) == (Secret("k"), {"<<": "a"})


def test_a_ca_bundle_is_seen_from_the_file_that_names_it(load: Load, tmp_path: Path) -> None:
    shutil.copy(CERTIFICATE, tmp_path / "ca.pem")

    settings = load("general_settings: {ca_bundle: ca.pem}\n" + MINIMAL)

    assert settings.general.ca_bundle == tmp_path / "ca.pem"


def test_printed_settings_show_no_secret(load: Load) -> None:
    settings = load(
        """
        general_settings:
          api_keys: [canary-a]
          redis_url: redis://:canary-b@r
          outbound_proxy: http://u:canary-c@p:1
        model_groups:
          - model_group: g
            models: [{model: m, params: {azure_ad_token: canary-d, base_url: https://h.example/v1}}]
        """
    )

    assert "canary" not in repr(settings)


@pytest.mark.parametrize(
    ("general", "model", "seconds"),
    [
        ("{}", "", 600),
        ("{request_timeout: 300}", "", 300),
        ("{first_byte_timeout: 120}", "", 120),
        ("{}", ", first_byte_timeout: 50", 50),
        ("{}", ", params: {api_key: k, timeout: 40}", 40),
        ("{}", ", params: {api_key: k, timeout: {connect: 1}}", 600),
        ("{}", ", params: {api_key: k, timeout: {read: 30}}", 30),
    ],
)
def test_a_whole_reply_may_take_request_timeout_unless_first_byte_timeout_is_set(
    tmp_path: Path, general: str, model: str, seconds: float
) -> None:
    model = model if "params" in model else model + ", params: {api_key: k}"
    path = tmp_path / "llmproxy.yaml"
    path.write_text(f"general_settings: {general}\nmodel_groups: [{{model_group: g, models: [{{model: m{model}}}]}}]\n")

    assert load_settings(path, {}).groups[0].models[0].whole_reply_timeout == seconds
