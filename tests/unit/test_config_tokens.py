"""Settings of endpoints whose Entra tokens are fetched: what is valid, what becomes of it, what is missing for it."""

import tomllib
from pathlib import Path

import pytest

from entrypoints.config import endpoints_section
from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.settings import Settings
from entrypoints.container import Container
from entrypoints.wiring.groups import model_groups

ENTRA = "azure_ad_token_provider: default"
DATED = "azure_endpoint: https://r.openai.azure.com, api_version: 2024-10-21"
ROOT = Path(__file__).parents[2]
V1 = "base_url: https://r.openai.azure.com/openai/v1"


@pytest.fixture
def azure_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were installed."""
    monkeypatch.setattr(endpoints_section, "has_azure_identity", lambda: True)


def settings_of(tmp_path: Path, *params: str) -> Settings:
    path = tmp_path / "llmproxy.yaml"
    models = "\n".join(f"      - {{model: m, params: {{{one}}}}}" for one in params)
    path.write_text(f"model_groups:\n  - model_group: g\n    models:\n{models}\n")
    return load_settings(path, {})


@pytest.mark.usefixtures("azure_identity")
@pytest.mark.parametrize("address", [DATED, V1])
def test_endpoints_with_a_token_provider_have_a_credential_of_their_own(tmp_path: Path, address: str) -> None:
    settings = settings_of(tmp_path, f"{ENTRA}, {address}")
    container = Container(settings=settings)

    assert settings.warnings == ()
    assert settings.groups[0].models[0].params.azure_ad_scope == "https://ai.azure.com/.default"
    assert model_groups(settings)[0].endpoints[0].owns_credential
    assert model_groups(settings)[0].endpoints[0].provider == "azure"
    assert list(container.tokens()) == ["https://ai.azure.com/.default"]


@pytest.mark.usefixtures("azure_identity")
def test_endpoints_of_one_scope_share_a_source_and_others_have_their_own(tmp_path: Path) -> None:
    other = "azure_ad_scope: https://cognitiveservices.azure.com/.default"
    settings = settings_of(
        tmp_path, f"{ENTRA}, {DATED}", f"{ENTRA}, {V1}", f"{ENTRA}, {V1}, {other}", f"api_key: k, {V1}"
    )
    container = Container(settings=settings)
    targets = container.endpoints()._targets

    assert targets["g/1"].token is targets["g/2"].token
    assert targets["g/3"].token is not targets["g/1"].token
    assert targets["g/4"].token is None
    assert len(container.tokens()) == 2


@pytest.mark.usefixtures("azure_identity")
def test_replicas_agree_on_an_endpoint_whatever_its_token_and_tell_scopes_and_keys_apart(tmp_path: Path) -> None:
    other = "azure_ad_scope: https://cognitiveservices.azure.com/.default"
    models = (f"{ENTRA}, {V1}", f"{ENTRA}, {V1}, {other}", f"api_key: default, {V1}", V1)

    def digests() -> list[tuple[str, str, str]]:
        endpoints = model_groups(settings_of(tmp_path, *models))[0].endpoints
        return [(e.identity, e.account, e.bucket) for e in endpoints]

    assert digests() == digests()
    assert len({digest for triple in digests() for digest in triple}) == 3 * len(models)


def test_without_the_package_the_file_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints_section, "has_azure_identity", lambda: False)
    with pytest.raises(ConfigError) as caught:
        settings_of(tmp_path, f"{ENTRA}, {V1}")

    assert "models[0].params.azure_ad_token_provider: needs the optional package azure-identity" in str(caught.value)
    assert "pip install 'azure-identity>=1.25,<2' 'aiohttp>=3.14.5'" in str(caught.value)


def test_what_is_to_be_installed_is_what_the_extra_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert tuple(project["optional-dependencies"]["azure"]) == endpoints_section.AZURE_PACKAGES


@pytest.mark.parametrize("absent", ["azure.identity", "aiohttp"])
def test_a_package_that_is_not_there_is_noticed(monkeypatch: pytest.MonkeyPatch, absent: str) -> None:
    def find(name: str) -> object | None:
        if name != absent:
            return object()
        if "." in name:
            raise ModuleNotFoundError(f"No module named {name}")
        return None

    monkeypatch.setattr(endpoints_section.importlib.util, "find_spec", find)

    assert not endpoints_section.has_azure_identity()


def test_no_source_stands_between_requests_and_the_wire_where_none_is_needed(tmp_path: Path) -> None:
    container = Container(settings=settings_of(tmp_path, f"api_key: k, {V1}"))

    assert container.tokens() == {}
    assert type(container.upstream()).__name__ == "Http1Upstream"


@pytest.mark.usefixtures("azure_identity")
def test_a_gateways_key_goes_along_with_a_token(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, f"{ENTRA}, {DATED}, default_headers: {{Ocp-Apim-Subscription-Key: s}}")

    assert settings.warnings == ()
    assert settings.groups[0].models[0].params.default_headers["Ocp-Apim-Subscription-Key"].reveal() == "s"
