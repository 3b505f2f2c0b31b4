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


def test_one_rate_limit_whose_output_tokens_count_in_two_ways_is_a_mistake(tmp_path: Path) -> None:
    told = mistake_of(tmp_path, (f"{PTU}, output_token_ratio: 4",), (f"{PTU}, output_token_ratio: 2.5",))
    assert "model_groups[1].models[0].output_token_ratio: is 2.5, unlike that of model_groups[0].models[0]" in told
    assert "fix: write output_token_ratio: 4, or output_token_ratio: 2.5 at model_groups[0].models[0]" in told

    told = mistake_of(tmp_path, (f"{PTU}, output_token_ratio: 4",), (PTU,))
    assert "model_groups[1].models[0]: is 1, unlike that of" in told

    told = mistake_of(tmp_path, (f"{PTU}, output_token_ratio: 4",), (METERED,))
    assert "is metered, unlike that of" in told


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("capacity: provisioned, output_token_ratio: 0.5", "a number from 1 up to 100"),
        ("capacity: provisioned, output_token_ratio: 101", "a number from 1 up to 100"),
        ("capacity: provisioned, output_token_ratio: four", "a number from 1 up to 100"),
        ("capacity: metered, output_token_ratio: 4", "is of no use with metered capacity"),
        ("output_token_ratio: 4", "fix: write capacity: provisioned beside it, or leave it out"),
    ],
)
def test_what_no_output_token_counts_for_is_a_mistake(tmp_path: Path, setting: str, told: str) -> None:
    mistake = mistake_of(tmp_path, (f"model: m, {setting}, params: {{api_key: sk-secret}}",))

    assert "model_groups[0].models[0].output_token_ratio: " in mistake
    assert told in mistake


def test_the_ratio_reaches_the_endpoint_and_is_one_if_nothing_is_said(tmp_path: Path) -> None:
    said = read(tmp_path, (f"{PTU}, output_token_ratio: 4",)).groups[0].models[0]
    assert endpoint_of(said).output_token_ratio == 4.0

    unsaid = read(tmp_path, (PTU,)).groups[0].models[0]
    assert endpoint_of(unsaid).output_token_ratio == 1.0


@pytest.mark.parametrize(
    ("price", "ratio", "warned"),
    [
        ("input: 2.5, output: 10", "", True),
        ("input: 2.5, output: 10", "output_token_ratio: 1, ", False),
        ("input: 2.5, output: 10", "output_token_ratio: 4, ", False),
        ("input: 2.5, output: 2.5", "", False),
        ("input: 2.5, output: 0", "", False),
        ("input: 0, output: 10", "", False),
        ("per_hour: 3", "", False),
    ],
)
def test_prices_of_a_group_tell_what_an_output_token_most_likely_counts_for(
    tmp_path: Path, price: str, ratio: str, warned: bool
) -> None:
    reserved = f"{ratio}price: {{per_hour: 36}}, {PTU}"
    warnings = read(tmp_path, (reserved, f"model: n, price: {{{price}}}, params: {{api_key: k}}")).warnings

    told = "model_groups[0].models[0]: counts an output token as one input token"
    assert [told in each and "write output_token_ratio: 4 if" in each for each in warnings] == [True] * warned


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
