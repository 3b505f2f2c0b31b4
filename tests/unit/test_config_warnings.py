"""What is valid and yet seldom meant is told without stopping the start."""

import re
from pathlib import Path

import pytest

from entrypoints.config.load import load_settings


def warnings(tmp_path: Path, models: str, general: str = "{}") -> tuple[str, ...]:
    path = tmp_path / "llmproxy.yaml"
    path.write_text(
        f"general_settings: {general}\nmodel_groups: [{{model_group: g, models: [{models}]}}]\n", encoding="utf-8"
    )
    return load_settings(path, {"FULL": "r", "EMPTY": ""}).warnings


ONE = "{model: m, params: {api_key: k}}"


def test_the_same_endpoint_twice_is_told_with_both_places(tmp_path: Path) -> None:
    told = warnings(tmp_path, f"{ONE}, {{model: m, params: {{api_key: other}}}}, {ONE}")

    assert len(told) == 1
    assert "model_groups[0].models[2]: the same endpoint as models[0]" in told[0]
    assert "the same endpoint twice shares one rate limit" in told[0]


@pytest.mark.parametrize(
    "other",
    [
        "{model: n, params: {api_key: k}}",
        "{model: m, params: {api_key: other}}",
        "{model: m, params: {api_key: k, data_residency: eu}}",
        "{model: m, params: {api_key: k, base_url: 'https://h.example/v1'}}",
        "{model: m, params: {api_key: k, default_headers: {X-Account: b}}}",
    ],
)
def test_endpoints_that_differ_are_no_twins(tmp_path: Path, other: str) -> None:
    assert warnings(tmp_path, f"{ONE}, {other}") == ()


def test_weights_that_are_all_zero_are_told(tmp_path: Path) -> None:
    told = warnings(tmp_path, "{model: m, weight: 0}, {model: n, weight: 0}")

    assert len(told) == 1
    assert "model_groups[0].models: all weights are 0" in told[0]


def test_a_priority_beside_weight_0_is_told_where_others_have_a_weight(tmp_path: Path) -> None:
    (told,) = warnings(tmp_path, "{model: m}, {model: n, weight: 0, priority: 2}")

    assert "model_groups[0].models[1].priority: has no effect" in told
    assert len(warnings(tmp_path, "{model: m, weight: 0}, {model: n, weight: 0, priority: 2}")) == 1


@pytest.mark.parametrize(
    ("other", "count"),
    [("{model: n, weight: 2}", 1), ("{model: n, priority: 1}", 0), ("{model: n, weight: 0}", 0)],
)
def test_a_wait_for_tiers_is_told_where_there_are_none(tmp_path: Path, other: str, count: int) -> None:
    told = warnings(tmp_path, f"{ONE}, {other}", "{max_wait_for_tier: 2}")

    assert [("max_wait_for_tier" in each) for each in told] == [True] * count


def test_one_spare_beside_a_primary_is_nothing_to_tell(tmp_path: Path) -> None:
    assert warnings(tmp_path, "{model: m, weight: 0}, {model: n}") == ()


def test_an_endpoint_without_any_credential_is_told(tmp_path: Path) -> None:
    told = warnings(tmp_path, "{model: m}", "{api_keys: [secret]}")

    assert len(told) == 1
    assert "model_groups[0].models[0].params: has no api_key" in told[0]


def test_params_without_effect_are_told(tmp_path: Path) -> None:
    told = warnings(tmp_path, "{model: m, params: {max_retries: 2, timeout: {read: 5, write: 5}}}")

    assert len(told) == 2
    assert "params.max_retries: has no effect: general_settings.num_retries" in told[0]
    assert "params.timeout: write and pool have no effect" in told[1]


def test_http_to_a_private_azure_endpoint_is_told(tmp_path: Path) -> None:
    told = warnings(tmp_path, "{model: m, params: {azure_endpoint: 'http://mock', api_version: v}}")

    assert "params.azure_endpoint: over http the key travels in clear text" in told[0]


def test_a_redis_without_a_host_is_told(tmp_path: Path) -> None:
    told = warnings(tmp_path, ONE, "{redis_host: os.environ/EMPTY, redis_port: 6379}")

    assert "general_settings.redis_port: has no effect without redis_host" in told[0]


def test_a_variable_that_is_empty_sets_nothing_to_warn_about(tmp_path: Path) -> None:
    assert warnings(tmp_path, ONE, "{redis_host: os.environ/EMPTY}") == ()


def test_every_warning_names_its_file(tmp_path: Path) -> None:
    told = warnings(tmp_path, "{model: m, weight: 0, rpm: 5, params: {max_retries: 2}}", "{redis_port: 6379}")

    assert len(told) == 3
    assert all(warning.startswith(f"{tmp_path}/llmproxy.yaml") for warning in told)


@pytest.mark.parametrize("workers", ["2", "auto"])
def test_workers_that_share_nothing_are_told(tmp_path: Path, workers: str) -> None:
    told = warnings(tmp_path, ONE, f"{{workers: {workers}}}")

    assert len(told) == 1
    assert "general_settings.workers: without Redis each worker keeps cooldowns" in told[0]


@pytest.mark.parametrize("general", ["{workers: 1}", "{workers: 2, redis_host: h}", "{workers: auto, redis_host: h}"])
def test_workers_that_share_and_one_alone_are_not(tmp_path: Path, general: str) -> None:
    assert warnings(tmp_path, ONE, general) == ()


def test_an_origin_that_any_page_can_have_is_told_unless_a_key_is_needed(tmp_path: Path) -> None:
    (told,) = warnings(tmp_path, ONE, "{allowed_origins: ['app://a', 'null']}")

    assert "allowed_origins[1]: any web page can have the origin null" in told
    assert warnings(tmp_path, ONE, "{allowed_origins: ['null', '*'], api_keys: [k]}") == ()


@pytest.mark.parametrize(
    ("general", "version", "told"),
    [
        (
            "{websockets: native}",
            "2025-04-01-preview",
            "models[0].params.api_version: Azure has Responses over WebSocket",
        ),
        ("{websockets: native}", None, ""),
        ("{websockets: bridge}", "2025-04-01-preview", ""),
    ],
)
def test_an_endpoint_that_has_no_sockets_is_told_in_a_native_group(
    tmp_path: Path, general: str, version: str | None, told: str
) -> None:
    dated = f", api_version: {version}" if version else ", api_version: preview"
    params = f"{{api_key: k, azure_endpoint: 'https://r.openai.azure.com'{dated}}}"
    found = [each for each in warnings(tmp_path, f"{{model: m, params: {params}}}", general) if "WebSocket" in each]

    assert len(found) == bool(told)
    assert all(told in each for each in found)


def test_native_beside_keys_that_are_kept_apart_is_told_to_be_bridged(tmp_path: Path) -> None:
    path = tmp_path / "llmproxy.yaml"
    path.write_text(
        "general_settings: {tenancy: key, api_keys: [sk-0123456789abcdef0123]}\n"
        f"model_groups: [{{model_group: g, websockets: native, models: [{ONE}]}}]\n",
        encoding="utf-8",
    )

    (told,) = [each for each in load_settings(path, {}).warnings if "websockets" in each]
    assert "model_groups[0].websockets: native has no effect with tenancy: key" in told


BY_TOKEN = "{input: 2.5, output: 10}"


@pytest.mark.parametrize(
    ("models", "setting", "says"),
    [
        (f"{{model: m, price: {BY_TOKEN}}}, {{model: n}}", "models[1]", "has no price, as others .*; fix: write its"),
        ("{model: m, price: {input: 1, output: 2, cached_input: 1.5}}", "models[0].price.cached_input",
         "is more than input, 1; fix: write 1 or less"),
        ("{model: m, price: {input: 0.0000025, output: 10}}", "models[0].price.input",
         "is for a million tokens, .*; fix: write 2.5 if 2.5e-06 is for one token"),
        ("{model: m, price: {input: 0.1234567, output: 10}}", "models[0].price.input",
         "has more than 6 decimals; fix: write 0.123457,"),
    ],
)  # fmt: skip
def test_prices_that_are_seldom_meant_are_told_with_their_place(
    tmp_path: Path, models: str, setting: str, says: str
) -> None:
    (told,) = warnings(tmp_path, models)

    assert re.search(rf":2:[0-9]+: model_groups\[0\]\.{re.escape(setting)}: {says}", told)


@pytest.mark.parametrize(
    "models",
    [
        f"{{model: m, price: {BY_TOKEN}}}, {{model: n, price: {{per_hour: 36}}}}",
        "{model: m}, {model: n}",
        "{model: m, price: {input: 0.02, output: 0, cached_input: 0.02, cache_write: 0.025}}",
        "{model: m, price: {input: 0, output: 0}}",
    ],
)
def test_prices_that_may_be_meant_are_not_told(tmp_path: Path, models: str) -> None:
    assert warnings(tmp_path, models) == ()
