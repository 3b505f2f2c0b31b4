"""`llmproxy check`: every mistake at once, or the routes that a configuration comes to; never a secret."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrypoints.check.command import check, main
from entrypoints.check.report import Found, print_routes
from entrypoints.check.routes import Route
from entrypoints.cli.tables import print_columns
from tests.examples import examples

ROOT = Path(__file__).resolve().parents[2]
CANARY = "sk-canary-hunter2-0123456789"
GOOD = """\
general_settings: {connect_timeout: 3, num_retries: 2}
model_groups:
  - model_group: gpt
    models:
      - {id: a, model: gpt-x, weight: 3, rpm: 60, params: {api_key: os.environ/FIRST_KEY}}
      - {model: gpt-x, tpm: 1000, first_byte_timeout: 30, params: {api_key: %(canary)s, base_url: 'https://b.example/v1'}}
      - {model: gpt-x, weight: 0, params: {base_url: 'https://c.example:8443/v1'}}
  - model_group: azure
    models:
      - model: gpt-4o
        weight: 0
        params:
          azure_endpoint: https://r.openai.azure.com
          azure_deployment: prod
          api_version: 2024-10-21
          azure_ad_token: os.environ/TOKEN
      - model: gpt-4o
        weight: 0
        params: {base_url: 'https://gateway.example/v1', default_headers: {API-Key: os.environ/GATEWAY_KEY}}
""" % {"canary": CANARY}  # noqa: UP031 - braces belong to YAML
ENVIRON = {"FIRST_KEY": CANARY, "TOKEN": CANARY, "GATEWAY_KEY": CANARY}
BAD = f"""\
general_settings:
  bind_adress: 127.0.0.1
  bind_port: 70000
model_groups:
  - model_group: gpt
    models:
      - {{model: gpt-x, weight: 0.5, params: {{api_key: '{CANARY} x'}}}}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "llmproxy.yaml"
    path.write_text(GOOD)
    return path


def routes(path: Path) -> list[Route]:
    return list(check(path, ENVIRON)[0].routes)


def test_every_mistake_is_told_with_its_place_and_exits_with_2(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(BAD)

    assert main([str(file)]) == 2

    out, err = capsys.readouterr()
    assert out == "" and CANARY not in err
    places = [(2, "bind_adress"), (3, "bind_port"), (7, "weight"), (7, "api_key")]
    assert len(err.splitlines()) == len(places)
    for line, setting in places:
        assert re.search(rf"^{re.escape(str(file))}:{line}:[0-9]+: \S+{setting}: .*; (valid|fix): ", err, re.MULTILINE)


def test_more_mistakes_than_a_start_prints_are_told_as_well(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("general_settings:\n" + "".join(f"  zz{number}: 1\n" for number in range(150)))

    assert main([str(file)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 151  # and model_groups is missing


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "gone.yaml"), "--format", "json"]) == 2

    told = json.loads(capsys.readouterr().out)
    assert told["valid"] is False
    assert told["mistakes"][0]["problem"] == "there is no such file"


def test_the_document_for_machines_has_mistakes_by_setting(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(BAD)

    assert main([str(file), "--format", "json"]) == 2

    out, err = capsys.readouterr()
    told = json.loads(out)
    assert err == "" and CANARY not in out
    assert (told["file"], told["valid"], told["routes"]) == (str(file), False, [])
    first: dict[str, Any] = told["mistakes"][0]
    assert list(first) == ["file", "problem", "line", "column", "setting", "valid", "fix"]
    assert (first["line"], first["column"], first["setting"]) == (2, 3, "general_settings.bind_adress")
    assert first["fix"] == "write bind_address"


def test_shares_and_tiers_are_those_of_the_router(file: Path) -> None:
    told = [(each.group, each.endpoint, each.weight, each.share, each.tier) for each in routes(file)]

    assert told == [
        ("gpt", "a", 3, 75.0, "first"),
        ("gpt", "gpt/2", 1, 25.0, "first"),
        ("gpt", "gpt/3", 0, 0.0, "fallback"),
        ("azure", "azure/1", 0, 50.0, "first"),
        ("azure", "azure/2", 0, 50.0, "first"),
    ]


def test_a_route_says_where_it_goes_and_within_what(file: Path) -> None:
    first, second, third, azure, gateway = routes(file)

    assert (first.provider, first.host, first.model) == ("openai", "api.openai.com", "gpt-x")
    assert (azure.provider, azure.host, azure.model) == ("azure", "r.openai.azure.com", "prod")
    assert (third.host, gateway.host) == ("c.example:8443", "gateway.example")
    assert (first.rpm, first.tpm, second.rpm, second.tpm) == (60, None, None, 1000)
    assert (first.timeouts, second.timeouts) == ({}, {"first_byte_timeout": 30.0})


def test_a_key_is_told_by_where_it_is_from(file: Path) -> None:
    assert [each.key for each in routes(file)] == [
        "os.environ/FIRST_KEY",
        "in the file",
        "the client's own",
        "Entra token, os.environ/TOKEN",
        "header API-Key, os.environ/GATEWAY_KEY",
    ]


def test_a_good_file_is_told_as_aligned_text_with_its_warnings(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(file)]) == 0

    out, err = capsys.readouterr()
    first, heads, *rows = out.splitlines()
    assert first == f"{file} is valid: 2 group(s), 5 endpoint(s)"
    assert [heads.index("share"), heads.index("key")] == [rows[0].index("75 %"), rows[0].index("os.environ/FIRST_KEY")]
    assert "rpm 60" in rows[0] and "first_byte 30 s" in rows[1]
    assert err.startswith("warning: ") and "all weights are 0" in err
    assert CANARY not in out + err


def test_the_document_for_machines_has_routes_and_warnings(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(file), "--format", "json"]) == 0

    out, err = capsys.readouterr()
    told = json.loads(out)
    assert err == "" and CANARY not in out
    assert told["valid"] is True
    assert [each["endpoint"] for each in told["routes"]] == ["a", "gpt/2", "gpt/3", "azure/1", "azure/2"]
    assert "ping" not in told["routes"][0]
    assert told["warnings"][0]["setting"] == "model_groups[1].models"


def test_what_endpoints_charge_is_in_the_table_where_the_file_says_it(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(file)]) == 0
    assert " price " not in capsys.readouterr().out
    models = "{model: m, price: {input: 2.5, output: 10}}, {model: n, price: {per_hour: 36.5}}"
    file.write_text(f"model_groups: [{{model_group: g, models: [{models}]}}]")

    assert main([str(file)]) == 0
    _, heads, *rows = capsys.readouterr().out.splitlines()
    assert [row[heads.index("price") :].partition("  ")[0] for row in rows] == ["input 2.5, output 10", "per_hour 36.5"]
    assert [route.price for route in routes(file)] == [{"input": 2.5, "output": 10}, {"per_hour": 36.5}]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_drawn_table(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    terminal = Terminal()

    print_routes(Found("f.yaml", routes=routes(file)), terminal)

    assert "┃" in terminal.getvalue()
    assert "os.environ/FIRST_KEY" in terminal.getvalue()


def test_a_narrow_terminal_gets_a_paragraph_for_each_route(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal()

    print_routes(Found("f.yaml", routes=routes(file)), terminal)

    lines = terminal.getvalue().splitlines()
    assert len(lines) == 6
    assert lines[1] == (
        "gpt: endpoint: a; provider: openai; host: api.openai.com; model: gpt-x; weight: 3; share: 75 %; tier: first; "
        "limits: rpm 60; key: os.environ/FIRST_KEY"
    )


@given(st.lists(st.lists(st.text(max_size=9), min_size=3, max_size=3), max_size=5))
@settings(max_examples=examples(100))
def test_columns_are_aligned_whatever_stands_in_them(rows: list[list[str]]) -> None:
    stream = io.StringIO()

    print_columns("T", ("a", "b", "c", "end"), [[*row, "|"] for row in rows], stream)

    heads, *lines = stream.getvalue().split("\n")[:-1] or [""]
    assert len(lines) == len(rows)
    assert all(line.rindex("|") == heads.index("end") for line in lines)


def test_columns_without_any_text_are_left_out() -> None:
    stream = io.StringIO()

    print_columns("T", ("a", "b", "c"), [("1", "", "three"), ("22", "", "x")], stream)

    assert stream.getvalue() == "  a   c\n  1   three\n  22  x\n"


def test_a_last_column_of_sentences_is_folded_where_a_terminal_is_too_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    drawn, told = Terminal(), Terminal()

    print_columns("T", ("a", "why"), [("1", "word " * 20)], drawn, last_may_fold=True)
    print_columns("T", ("a", "why"), [("1", "word " * 20)], told)

    assert drawn.getvalue().splitlines()[-1].startswith("└") and len(drawn.getvalue().splitlines()[-1]) <= 70
    assert told.getvalue().startswith("1: why: word")


def test_a_check_that_asks_nobody_imports_nothing_that_speaks_http(file: Path) -> None:
    program = (
        f"import sys\nfrom entrypoints.check.command import main\nmain([{str(file)!r}])\n"
        "sys.exit(' '.join({'adapters.upstreams.http1.client', 'litestar', 'rich'} & set(sys.modules)) or 0)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT / "src"), **ENVIRON},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
