"""Files that users write: the configuration, and one of LiteLLM's."""

import re
import tempfile
from collections.abc import Hashable
from pathlib import Path

from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.reading.schema import keys_of
from entrypoints.config.settings import ConfigFile, EndpointSettings, GeneralSettings, GroupSettings
from entrypoints.config.settings_params import ParamsSettings
from entrypoints.convert.conversion import convert
from entrypoints.convert.document import document
from entrypoints.convert.source import SourceError, read_source
from tests.parsers.target import Target

_CANARY = "sk-canary-0123456789abcdef"
_ENVIRON = {"FULL": _CANARY, "EMPTY": "", "PORT": "6379"}
_FOLDER = tempfile.TemporaryDirectory(prefix="fuzzed-")
_PATH = Path(_FOLDER.name) / "file.yaml"
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|\bx[0-9a-f]{2}\b|[^\sA-Za-z]+")
_EXAMPLES = Path(__file__).parents[3] / "examples"


def _settings(data: bytes) -> Hashable:
    _PATH.write_bytes(data)
    try:
        settings = load_settings(_PATH, _ENVIRON)
    except ConfigError as error:
        text = str(error)
        assert text.startswith(str(_PATH))
        assert _CANARY not in text
        assert text.isprintable() or "\n" in text
        return min(5, text.count("\n")), _problem(text.partition("\n")[0])
    assert settings.groups
    assert _CANARY not in "".join(settings.warnings) + repr(settings)
    return min(3, len(settings.groups)), min(5, len(settings.warnings))


def _problem(line: str) -> str:
    """The first words of what is wrong, without what was given: mistakes of one kind are one end."""
    told = _VALUES.sub("", line.removeprefix(str(_PATH)).split(": ", 2)[-1])
    return " ".join(told.split()[:3])


def _litellm(data: bytes) -> Hashable:
    _PATH.write_bytes(data)
    try:
        converted = convert(read_source(_PATH), literals_kept=False)
    except SourceError as error:
        return _problem(str(error).replace("\n", " "))
    text = document(converted, _PATH.name)
    _PATH.write_text(text, encoding="utf-8")
    try:
        load_settings(_PATH, _ENVIRON)
    except ConfigError as error:
        return min(3, len(converted.groups)), min(5, str(error).count("\n"))
    return min(3, len(converted.groups)), "good"


_YAML = (
    b": ", b"- ", b"\n", b"\n  ", b"\n    ", b"&a ", b"*a", b"<<: *a\n", b"!!str ", b"!!python/object:x ", b"|\n",
    b">-\n", b"'", b'"',
    b"{", b"}", b"[", b"]", b", ", b"# ", b"---\n", b"...\n", b"? ", b"\t", b"os.environ/FULL", b"os.environ/NONE",
    b"~", b"0o17", b"0x1f",
    b"1:30", b".inf", b"2026-01-01", b"60s", b"32MiB", b"https://h.example/v1", b"http://10.0.0.1", b"redis://r:1/0",
    b"auto",
    b"\xc2\x85", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"%YAML 1.1\n", b"!", b"<<",
)  # fmt: skip
_KEYS = tuple(
    f"{key}: ".encode()
    for section in (GeneralSettings, EndpointSettings, GroupSettings, ConfigFile, ParamsSettings)
    for key in sorted(keys_of(section))
)
_SMALL = (
    b"model_groups:\n- model_group: g\n  models:\n  - params:\n      model: openai/m\n      api_key: os.environ/FULL\n"
)
_LITELLM = (
    b"model_list:\n- model_name: g\n  litellm_params:\n    model: azure/d\n    api_base: https://x.openai.azure.com\n"
    b"    api_key: os.environ/FULL\n    rpm: 5\nrouter_settings:\n  num_retries: 2\n  fallbacks: [{g: [h]}]\n"
)

TARGETS = (
    Target("settings", _settings, (*_YAML, *_KEYS, _SMALL, (_EXAMPLES / "minimal.yaml").read_bytes())),
    Target(
        "litellm-files",
        _litellm,
        (
            *_YAML, _LITELLM, b"include: [file.yaml]\n",
            b"litellm_settings:\n  cache: true\n  cache_params: {type: redis}\n",
            b"general_settings:\n  master_key: sk-x\n", b"model_info: {mode: chat}\n", b"tpm: ", b"order: ",
            b"timeout: ",
        ),
    ),
)  # fmt: skip
