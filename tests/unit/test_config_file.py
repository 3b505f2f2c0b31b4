"""A file that is no usable YAML is refused with one line that says what is wrong with it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.reading import document

ROOT = Path(__file__).resolve().parents[2]


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {})
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "line", "told"),
    [
        (b"", None, "the file is empty; valid: a mapping with the key model_groups"),
        (b"# only a comment\n", None, "the file is empty"),
        (b"\x00\x01\x02", 1, "the control character 0x00; valid: a YAML file in UTF-8"),
        (b"a: 1\nb: \xff\xfa\n", 2, "byte 0xff is no UTF-8; valid: a YAML file in UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00", 1, "byte 0x89 is no UTF-8"),
        (b"\xef\xbb\xbfmodel_groups: []", 1, "byte order mark; valid: UTF-8 without one"),
        ("model_groups: []".encode("utf-16"), 1, "byte order mark"),
        (b"model_groups:\n\t- a: 1\n", 2, "holds a tab; valid: YAML is indented with spaces"),
        (b"- a\n- b\n", 1, "holds a list; valid: a mapping with the key model_groups"),
        (b"just a text", 1, "holds a single value; valid: a mapping"),
        (b"a: 1\n---\nb: 2\n", 2, "more than one document (---); valid: one"),
        (b"a: [1, 2\nb: 3\n", 2, "is not valid YAML"),
        (b"a: 'never closed\n", 2, "is not valid YAML"),
        (b"a: @b\n", 1, "is not valid YAML"),
        (b"a: b: c\n", 1, "is not valid YAML"),
        (b"a:\n  ? [x]\n  : 1\n", 2, "a key that is a list or a mapping; valid: keys are names"),
        (b"a: !!python/object/apply:os.system [ls]\n", 1, "a !!python tag; valid: plain YAML"),
        (b"a: !!python/name:os.system\n", 1, "a !!python tag; valid: plain YAML"),
        (b"a: !!binary aGk=\n", 1, "a tag (!...); valid: plain YAML"),
        (b"a: !custom b\n", 1, "a tag (!...)"),
        (b"a: *nobody\n", 1, "an alias (*name) that is not defined"),
        (b"a: &a [*a]\n", 1, "an alias (*name) that is not defined"),
        (b"a: &a [1]\nb: {<<: *a}\n", 2, "merges (<<) something that is no mapping; valid: <<: *name"),
        (b"a: " + b"[" * 40 + b"]" * 40, 1, "nested deeper than 32 levels; valid: a flatter file"),
        (
            b"a: &a [1, 2]\nb: [" + b"*a, " * 20_000 + b"]",
            2,
            "aliases (*name) that expand to too much",
        ),
        (b"a: [" + b"x, " * 10 + b"]\nb: [" + b"*a, " * 20 + b"]", 2, "an alias (*name) that is not defined"),
        (b"a: [" + b"1," * 60_000 + b"]", 1, "holds more than 50000 values"),
    ],
)
def test_unusable_content_is_refused_in_one_line(tmp_path: Path, content: bytes, line: int | None, told: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)

    message = refusal(path)

    place = rf"{re.escape(str(path))}:{line}:[0-9]+: " if line else f"{re.escape(str(path))}: "
    assert re.match(place, message)
    assert told in message
    assert len(message.splitlines()) == 1


def test_an_alias_bomb_is_refused_before_it_expands(tmp_path: Path) -> None:
    path = tmp_path / "bomb.yaml"
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)]
    path.write_text("\n".join(["l0: &l0 [lol, lol]", *levels]), encoding="utf-8")

    assert "expand to too much" in refusal(path)


def test_a_long_text_aliased_often_is_refused_before_anybody_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "bomb.yaml"
    path.write_text(f"x-a: &a {'z' * 500_000}\ngeneral_settings: {{api_keys: [{'*a, ' * 20_000}]}}", encoding="utf-8")

    assert "expand to too much" in refusal(path)


def test_hundreds_of_small_aliases_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "llmproxy.yaml"
    groups = "\n".join(f"- {{model_group: g{n}, models: [{{<<: *m, model: m{n}}}]}}" for n in range(300))
    path.write_text(
        f"x-model: &m {{weight: 2, params: &p {{api_key: k}}}}\nmodel_groups:\n{groups}\n", encoding="utf-8"
    )

    settings = load_settings(path, {})

    assert len(settings.groups) == 300
    assert {group.models[0].weight for group in settings.groups} == {2}


def test_thousands_of_merged_mappings_are_merged_and_the_first_wins(tmp_path: Path) -> None:
    path = tmp_path / "llmproxy.yaml"
    bases = ", ".join(f"{{h{n}: '{n}', same: '{n}'}}" for n in range(8000))
    path.write_text(
        "model_groups: [{model_group: g, models: [{model: m, params: {api_key: k, default_query: {<<: ["
        f"{bases}]}}}}}}]}}]",
        encoding="utf-8",
    )

    query = load_settings(path, {}).groups[0].models[0].params.default_query

    assert (len(query), query["h7999"], query["same"]) == (8001, "7999", "0")


@pytest.mark.parametrize("value", ["&a {weight: 3}", "[1, 2]", "text", "", "{x-inner: {bind_port: nonsense}}"])
def test_a_top_level_key_that_begins_with_x_may_hold_anything(tmp_path: Path, value: str) -> None:
    path = tmp_path / "llmproxy.yaml"
    path.write_text(
        f"x-common: {value}\nmodel_groups: [{{model_group: g, models: [{{model: m, params: {{api_key: k}}}}]}}]\n",
        encoding="utf-8",
    )

    assert load_settings(path, {}).warnings == ()


@pytest.mark.parametrize("place", ["general_settings: {x-a: 1}\n", "x: 1\n", "xa: {}\n"])
def test_only_there_and_only_with_x_dash(tmp_path: Path, place: str) -> None:
    path = tmp_path / "llmproxy.yaml"
    path.write_text(f"{place}model_groups: [{{model_group: g, models: [{{model: m, params: {{api_key: k}}}}]}}]\n")

    assert "is not a setting here" in refusal(path)


def test_a_file_over_one_mebibyte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_bytes(b"a: 1 # " + b"x" * 5_000_000)

    assert "larger than 1048576 bytes (1 MiB); valid: a YAML file up to that size" in refusal(path)


def test_a_missing_file_a_directory_and_an_odd_name_are_refused(tmp_path: Path) -> None:
    assert f"{tmp_path}/none.yaml: there is no such file" in refusal(tmp_path / "none.yaml")
    assert f"{tmp_path}: is a directory" in refusal(tmp_path)
    assert "cannot be read" in refusal(tmp_path / ("x" * 300))
    assert "cannot be read (not a file name)" in refusal(tmp_path / "a\0b")


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Tests may run as root, whom no permission bit stops.
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)

    assert "may not be read by this user" in refusal(tmp_path / "llmproxy.yaml")


def test_what_the_parser_quotes_is_not_passed_on(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    for content in ("api_key: *canary\n", "api_key: !canary x\n", 'api_key: "canary\\q"\n', "k: &a&canary x\n"):
        path.write_text(content, encoding="utf-8")

        assert "canary" not in refusal(path)


def test_duplicate_keys_are_told_with_both_lines_and_the_rest_is_still_checked(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "general_settings:\n  bind_port: 1\n  num_retries: 99\n  bind_port: 2\nmodel_groups: []\n", encoding="utf-8"
    )

    message = refusal(path)

    assert f'{path}:4:3: general_settings.bind_port: the key "bind_port" stands twice, on lines 2 and 4' in message
    assert "num_retries: got 99" in message
    assert "model_groups: got an empty list" in message


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("-1_000", -1000), ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("0", 0), ("0.5", 0.5)],
)
def test_decimal_numbers_are_numbers(text: str, number: float) -> None:
    assert document.plain_value(text) == number


@pytest.mark.parametrize("text", ["010", "1:30", "0x10", "0b1", "-", "1.2.3", "ten", "9" * 19, "007.5", "1e99999"])
def test_octal_base_60_and_other_surprises_are_not(text: str) -> None:
    # Nineteen digits and more become a float, which no whole number accepts.
    value = document.plain_value(text)

    assert value == text or (isinstance(value, float) and text == "9" * 19)


def test_a_bad_file_is_told_within_seconds_by_a_new_process_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("general_settings: {bind_port: 0}\n", encoding="utf-8")
    program = (
        "import sys\nfrom pathlib import Path\nfrom entrypoints.config.load import ConfigError, load_settings\n"
        "try:\n    load_settings(Path(sys.argv[1]), {})\nexcept ConfigError as error:\n    sys.exit(str(error))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 1
    assert "bind_port: got 0; valid: a whole number from 1 to 65535" in done.stderr
    assert "Traceback" not in done.stderr
    assert "litestar" not in done.stderr


@pytest.mark.parametrize("text", ["a" * 1_000_000, "aA_/" * 250_000, "1" * 1_000_000, "a." * 400_000])
def test_a_value_as_long_as_the_file_is_refused_quickly_and_not_repeated(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(f"general_settings: {{bind_address: {text}, bind_port: {text}}}", encoding="utf-8")

    assert len(refusal(path)) < 2000


def test_reading_the_configuration_imports_nothing_slow() -> None:
    program = (
        "import sys, entrypoints.config.load\n"
        "slow = {'litestar', 'httpx', 'aiohttp', 'asyncio', 'dependency_injector', 'uvloop'}\n"
        "print(sorted(slow & set(sys.modules)))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert done.stdout.strip() == "[]"
