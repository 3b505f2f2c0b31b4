"""`file:` in place of a secret: what stands in the file, every way in which there is none, and never its content."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrypoints.check.routes import routes_of
from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.reading.mistakes import Report
from entrypoints.config.reading.secret_files import MAX_BYTES
from entrypoints.config.settings import NamedKey, Settings

CANARY = "sk-canary-0123456789abcdef"


def load(
    folder: Path, params: dict[str, Any], general: dict[str, Any] | None = None, report: Report | None = None
) -> Settings:
    path = folder / "llmproxy.yaml"
    models = [{"model": "m", "params": {"base_url": "https://h.example/v1", **params}}]
    document = {"model_groups": [{"model_group": "g", "models": models}], "general_settings": general or {}}
    path.write_text(yaml.safe_dump(document))
    return load_settings(path, {"NAMES_A_FILE": "file:/etc/hostname"}, report=report)


def refusal(folder: Path, params: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, params)
    assert CANARY not in str(caught.value)
    return str(caught.value)


def key_of(loaded: Settings) -> str:
    key = loaded.groups[0].models[0].params.api_key
    assert key is not None
    return key.reveal()


def test_every_place_of_a_secret_takes_one_from_a_file_beside_the_configuration_or_anywhere(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    for name in ("a", "b", "c", "d", "e"):
        (tmp_path / "keys" / name).write_text(f"{CANARY}-{name}\n")
    report = Report(tmp_path / "llmproxy.yaml")

    loaded = load(
        tmp_path,
        {"api_key": "file:keys/a", "default_headers": {"x-more": "file:./keys/b"}},
        {
            "api_keys": [f"file:{tmp_path}/keys/c", {"name": "n", "key": "file:keys/d"}],
            "redis_host": "r",
            "redis_password": f"file://{tmp_path}/keys/e",
        },
        report,
    )

    first, second = loaded.general.api_keys
    assert key_of(loaded) == f"{CANARY}-a"
    assert loaded.groups[0].models[0].params.default_headers["x-more"].reveal() == f"{CANARY}-b"
    assert not isinstance(first, NamedKey)
    assert first.reveal() == f"{CANARY}-c"
    assert isinstance(second, NamedKey)
    assert second.key.reveal() == f"{CANARY}-d"
    assert loaded.general.redis_password is not None
    assert loaded.general.redis_password.reveal() == f"{CANARY}-e"
    assert sorted(file.resolve().name for file in report.files) == ["a", "b", "c", "d", "e"]
    assert routes_of(loaded, report.variables)[0].key == "file:keys/a"
    assert CANARY not in repr(loaded)


@pytest.mark.parametrize("text", [f"{CANARY}\n", f"{CANARY}\r\n", CANARY])
def test_one_newline_at_the_end_is_dropped(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_bytes(text.encode())

    assert key_of(load(tmp_path, {"api_key": "file:key"})) == CANARY


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"x" * (MAX_BYTES + 1), f"is larger than {MAX_BYTES} bytes"),
        (b"\xff" + CANARY.encode(), "is not text in UTF-8"),
        (b"\xef\xbb\xbf" + CANARY.encode(), "begins with a byte order mark, which would belong to the secret"),
        (CANARY.encode() + b"\n\n", "has more than one line"),
        (b"# key\n" + CANARY.encode() + b"\n", "has more than one line"),
    ],
)
def test_a_file_without_a_usable_text_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "key").write_bytes(content)

    assert f"params.api_key: the file key {why}; valid: file:/path" in refusal(tmp_path, {"api_key": "file:key"})


def test_a_file_that_is_not_there_or_none_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "some").write_text("x")

    for name, why in (
        ("none", "does not exist"), ("some/none", "does not exist"), (".", "is none"), ("pipe", "is none"),
        ("/nowhere/at/all", "does not exist"), ("a\0b", "has a name that no file can have"),
    ):  # fmt: skip
        shown = name.encode("unicode_escape").decode()
        assert f"the file {shown} {why}; " in refusal(tmp_path, {"default_headers": {"x-a": f"file:{name}"}})


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(CANARY)
    (tmp_path / "key").chmod(0)

    assert "the file key may not be read by this user" in refusal(tmp_path, {"api_key": "file:key"})


@pytest.mark.parametrize("content", [f"{CANARY}\n\n", f"{CANARY} x", f"Bearer {CANARY}", f'"{CANARY}"', "${MY_KEY}"])
def test_what_is_no_key_in_the_file_either_is_refused_like_one_that_stands_here(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)

    message = refusal(tmp_path, {"api_key": "file:key"})

    assert "params.api_key: " in message
    assert "export " not in message


def test_a_key_that_was_written_as_a_file_is_not_shown_and_a_variable_names_no_file(tmp_path: Path) -> None:
    assert "the file ... does not exist" in refusal(tmp_path, {"api_key": f"file:{CANARY}"})
    assert "NAMES_A_FILE holds a reference" in refusal(tmp_path, {"api_key": "os.environ/NAMES_A_FILE"})


def test_what_is_no_secret_is_not_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("x")

    assert load(tmp_path, {"organization": "file:name"}).groups[0].models[0].params.organization == "file:name"


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=30))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_password_comes_as_it_stands_in_the_file_or_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "password").write_bytes(text.encode())
    try:
        loaded = load(tmp_path, {}, {"redis_host": "r", "redis_password": "file:password"})
    except ConfigError:
        return
    assert loaded.general.redis_password is not None
    assert loaded.general.redis_password.reveal() in (text, text.removesuffix("\n").removesuffix("\r"))
