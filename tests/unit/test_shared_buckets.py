"""Endpoints that share one rate limit, and say different things of it."""

from pathlib import Path

import pytest

from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.settings import Settings
from entrypoints.wiring.endpoints import endpoint_of

DATED = "azure_endpoint: 'https://r.openai.azure.com', api_version: 2024-10-21"


def read(folder: Path, *groups: tuple[str, ...]) -> Settings:
    path = folder / "llmproxy.yaml"
    lines = ["model_groups:"]
    for number, models in enumerate(groups):
        lines += [f"  - model_group: g{number}", "    models:", *(f"      - {{{model}}}" for model in models)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_settings(path, {})


def mistake_of(folder: Path, *groups: tuple[str, ...]) -> str:
    with pytest.raises(ConfigError) as raised:
        read(folder, *groups)
    (mistake,) = raised.value.mistakes
    return str(mistake)


PTU = "model: m, capacity: provisioned, params: {api_key: sk-secret}"
METERED = "model: m, params: {api_key: sk-secret}"


def test_one_rate_limit_of_two_capacities_is_a_mistake_with_its_place_and_what_to_do(tmp_path: Path) -> None:
    told = mistake_of(tmp_path, (METERED,), (PTU,))

    assert ":7:30: model_groups[1].models[0].capacity: is provisioned, unlike that of model_groups[0].models[0]" in told
    assert "fix: write capacity: metered, or capacity: provisioned at model_groups[0].models[0]" in told
    assert "sk-secret" not in told


def test_where_the_second_leaves_it_out_the_model_is_the_place(tmp_path: Path) -> None:
    told = mistake_of(tmp_path, (PTU, METERED))

    assert ":5:9: model_groups[0].models[1]: is metered, unlike" in told


@pytest.mark.parametrize(
    "other",
    [
        "model: n, params: {api_key: sk-secret}",
        "model: m, params: {api_key: sk-other}",
        "model: m, params: {api_key: sk-secret, data_residency: eu}",
    ],
)
def test_two_rate_limits_may_be_of_two_capacities(tmp_path: Path, other: str) -> None:
    assert read(tmp_path, (PTU, other)).warnings == ()


def test_one_capacity_may_stand_twice(tmp_path: Path) -> None:
    assert read(tmp_path, (PTU,), (PTU,)).warnings == ()


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("rpm: 10", "rpm: 20", "model_groups[1].models[0].rpm: is 20, unlike 10 at model_groups[0].models[0]"),
        ("tpm: 10", "weight: 1", "model_groups[1].models[0]: leaves out tpm, unlike 10 at model_groups[0].models[0]"),
        ("weight: 1", "tpm: 10", "model_groups[1].models[0].tpm: is 10, unlike none at model_groups[0].models[0]"),
    ],
)
def test_limits_that_differ_are_warned_of(tmp_path: Path, first: str, second: str, told: str) -> None:
    (warning,) = read(tmp_path, (f"{METERED}, {first}",), (f"{METERED}, {second}",)).warnings

    assert told in warning


@pytest.mark.parametrize(
    "params",
    [
        (f"{{api_key: k, {DATED}, azure_deployment: reserved}}", f"{{api_key: k, {DATED}, azure_deployment: payg}}"),
        (f"{{api_key: k, {DATED}, azure_deployment: reserved}}", f"{{api_key: k, {DATED}}}"),
    ],
)
def test_azures_deployments_have_a_rate_limit_each_whatever_the_model_is_called(
    tmp_path: Path, params: tuple[str, str]
) -> None:
    settings = read(
        tmp_path, (f"model: m, capacity: provisioned, params: {params[0]}", f"model: m, params: {params[1]}")
    )

    one, other = map(endpoint_of, settings.groups[0].models)
    assert one.bucket != other.bucket
    assert one.account == other.account


def test_one_deployment_has_one_rate_limit_whatever_the_model_is_called(tmp_path: Path) -> None:
    params = f"params: {{api_key: k, {DATED}, azure_deployment: d}}"

    one, other = map(endpoint_of, read(tmp_path, (f"model: m, {params}", f"model: n, {params}")).groups[0].models)

    assert one.bucket == other.bucket
