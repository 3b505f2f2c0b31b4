"""Certificates in the environment: what keeps the start from working, and what is warned of."""

import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest

from entrypoints.config.load import ConfigError, load_settings

TLS = "{model: m, params: {api_key: k}}"
PLAIN = '{model: m, params: {api_key: k, base_url: "http://127.0.0.1:8000/v1"}}'
ROOTS = Path(__file__).parents[1] / "data" / "nobodys_certificate.pem"


def warnings_of(folder: Path, environ: Mapping[str, str], model: str = TLS, general: str = "") -> list[str]:
    path = folder / "llmproxy.yaml"
    path.write_text(f"model_groups:\n  - model_group: gpt\n    models: [{model}]\n{general}")
    return list(load_settings(path, environ).warnings)


@pytest.mark.parametrize("name", ["/nowhere/keys.log", "FOLDER", "/" + "x" * 300 + "/keys"])
@pytest.mark.parametrize("model", [TLS, PLAIN])
def test_secrets_of_tls_that_cannot_be_written_are_a_mistake_and_no_crash(
    tmp_path: Path, name: str, model: str
) -> None:
    named = name.replace("FOLDER", str(tmp_path))
    with pytest.raises(ConfigError) as refused:
        warnings_of(tmp_path, {"SSLKEYLOGFILE": named}, model)

    assert "SSLKEYLOGFILE in the environment names a file that cannot be written" in str(refused.value)
    assert "fix: unset SSLKEYLOGFILE" in str(refused.value)


@pytest.mark.parametrize("name", ["/nowhere/keys.log", "FOLDER"])
def test_python_would_not_start_with_them(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", name.replace("FOLDER", str(tmp_path)))

    with pytest.raises(OSError, match=r"No such file|Is a directory"):
        ssl.create_default_context()


def test_secrets_of_tls_that_are_written_are_warned_of_and_nothing_is_written_yet(tmp_path: Path) -> None:
    keys = tmp_path / "keys.log"
    (warning,) = warnings_of(tmp_path, {"SSLKEYLOGFILE": str(keys)})

    assert "secrets of all TLS connections" in warning
    assert not keys.exists()


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"SSL_CERT_FILE": "/nowhere/roots.pem"}, "SSL_CERT_FILE in the environment names no file with certificates"),
        ({"SSL_CERT_FILE": ""}, "SSL_CERT_FILE is empty"),
        ({"SSL_CERT_FILE": "/"}, "names no file with certificates"),
        ({"SSL_CERT_FILE": __file__}, "names no file with certificates"),
        ({"REQUESTS_CA_BUNDLE": "/x.pem"}, "REQUESTS_CA_BUNDLE in the environment is not followed"),
        ({"REQUESTS_CA_BUNDLE": "/x.pem", "CURL_CA_BUNDLE": "/x.pem"}, "REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE"),
    ],
)
def test_roots_that_are_not_there_or_not_followed_are_warned_of(
    tmp_path: Path, environ: Mapping[str, str], words: str
) -> None:
    (warning,) = warnings_of(tmp_path, environ)

    assert words in warning
    assert "general_settings.ca_bundle" in warning
    assert warnings_of(tmp_path, environ, PLAIN) == []


def test_what_is_well_is_not_spoken_of(tmp_path: Path) -> None:
    others = {"REQUESTS_CA_BUNDLE": "/x.pem"}

    assert warnings_of(tmp_path, {"SSL_CERT_FILE": str(ROOTS)}) == []
    assert warnings_of(tmp_path, {"SSL_CERT_FILE": str(ROOTS), **others}) == []
    assert warnings_of(tmp_path, others, general=f'general_settings: {{ca_bundle: "{ROOTS}"}}') == []
    assert warnings_of(tmp_path, {"REQUESTS_CA_BUNDLE": ""}) == []
