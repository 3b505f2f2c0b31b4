"""What the environment says of certificates and of secrets of TLS: said at start, where a call would only say that it
failed. OpenSSL and Python's `ssl` follow `SSL_CERT_FILE`, `SSL_CERT_DIR` and `SSLKEYLOGFILE`, and no other variable."""

import os
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from entrypoints.config.reading.mistakes import Place, Report
from entrypoints.config.settings import EndpointSettings, GeneralSettings, GroupSettings, models_of

_ROOTS, _SECRETS = "SSL_CERT_FILE", "SSLKEYLOGFILE"
_OF_OTHERS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""What requests and curl read, and so LiteLLM and much else."""


def check_environment_certificates(
    groups: Sequence[GroupSettings], general: GeneralSettings, environ: Mapping[str, str], report: Report
) -> None:
    """A mistake where no worker could start, a warning where calls may fail or their secrets are written down."""
    here = report.at("general_settings")
    _check_secrets(environ.get(_SECRETS, ""), here)
    if not any(_is_tls(model) for _, model in models_of(groups)):
        return
    if _ROOTS in environ:
        _check_roots(environ[_ROOTS], here)
    elif general.ca_bundle is None:
        named = [name for name in _OF_OTHERS if environ.get(name)]
        if named:
            here.warn(
                "ca_bundle", f"{' and '.join(named)} in the environment is not followed; valid: ca_bundle, or {_ROOTS}"
            )


def _check_secrets(name: str, here: Place) -> None:
    if not name:
        return
    path = Path(name)
    try:
        is_writable = os.access(path if path.exists() else path.parent, os.W_OK) and not path.is_dir()
    except OSError:  # its name is too long, or its folder may not be searched
        is_writable = False
    if is_writable:
        here.warn(
            "ca_bundle", f"{_SECRETS} in the environment has the secrets of all TLS connections written to a file"
        )
        return
    problem = f"{_SECRETS} in the environment names a file that cannot be written"
    here.add("ca_bundle", problem, "the path of a file that can, or none", f"unset {_SECRETS}")


def _check_roots(name: str, here: Place) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(name)
    except (OSError, ValueError):
        state = f"{_ROOTS} in the environment names no file with certificates" if name else f"{_ROOTS} is empty"
        folder = ssl.get_default_verify_paths().capath or "ca_bundle"
        here.warn("ca_bundle", f"{state}: only those in {folder} are trusted; valid: the path of a PEM file, or unset")


def _is_tls(model: EndpointSettings) -> bool:
    return urlsplit(model.params.azure_endpoint or model.params.base_url or "https://").scheme == "https"
