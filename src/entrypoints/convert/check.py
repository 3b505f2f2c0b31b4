"""Whether our own reader takes the new file, with stand-ins for the variables that are not set yet."""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from entrypoints.config.load import ConfigError, load_settings

_STAND_INS = (  # by the key that has the variable
    (re.compile(r"base_url"), "https://example.com/v1"),
    (re.compile(r"azure_endpoint"), "https://example.openai.azure.com"),
    (re.compile(r"redis_url"), "redis://localhost:6379/0"),
    (re.compile(r"host"), "localhost"),
    (re.compile(r"api_version"), "2024-10-21"),
    (re.compile(r"azure_ad_scope"), "https://cognitiveservices.azure.com/.default"),
    (re.compile(r"max_body_bytes"), "32MiB"),
    (re.compile(r"port|rpm|tpm|weight|num_retries|allowed_fails|_time|timeout|ttl"), "7"),
    (re.compile(r"cache|redis_ssl"), "true"),
    (re.compile(r"log_format"), "json"),
)
_USE = re.compile(r"^\s*(?:- )?([^\s:]+): \[?'?os\.environ/(\w+)", re.MULTILINE)


def mistakes_in(text: str, environ: Mapping[str, str]) -> list[str]:
    """What our reader finds wrong with the file; empty = it would start, once its variables are set."""
    known = dict(environ)
    for key, variable in _USE.findall(text):
        known[variable] = environ.get(variable) or next(
            (value for pattern, value in _STAND_INS if pattern.search(key)), f"{variable.lower()}-0123456789"
        )
    with tempfile.TemporaryDirectory(prefix="llmproxy-convert-") as folder:
        path = Path(folder) / "llmproxy.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            load_settings(path, known)
        except ConfigError as error:
            return [line.removeprefix(f"{path}:") for line in str(error).splitlines()]
    return []


def variables_in(text: str) -> list[str]:
    return list(dict.fromkeys(name for _, name in _USE.findall(text)))
