"""`python -m entrypoints.provider` as a process, and the scenario files it reads."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import msgspec
import pytest

from simulator import SimulatedProvider
from simulator.__main__ import ScenarioError, ServeSettings, load_scenario, parse_arguments
from simulator.faults.rules import AnyAction

ROOT = Path(__file__).parents[2]


async def run_command(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "entrypoints.provider",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT / "src")},
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_command_says_where_it_listens_and_stops_when_told_to(number: signal.Signals) -> None:
    process = await run_command("--port", "0", "--name", "west", "--latency", "60")
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
    port = int(line.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /v1/embeddings HTTP/1.1\r\nhost: p\r\ncontent-length: 25\r\n\r\n" + b'{"model":"m","input":"x"}'
    )

    process.send_signal(number)
    rest, errors = await asyncio.wait_for(process.communicate(), 30)

    assert line.startswith("provider west listening on http://127.0.0.1:")
    assert (process.returncode, rest, errors) == (0, b"", b"")
    writer.close()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--host", "0.0.0.0"], "loopback only"),
        (["--rpm", "0"], "--rpm"),
        (["--scenario", "/nonexistent.yaml"], "/nonexistent.yaml: No such file"),
        (["--header-style", "other"], "invalid choice"),
    ],
)
async def test_command_refuses_what_it_cannot_do_with_exit_code_2(arguments: list[str], part: str) -> None:
    process = await run_command("--port", "0", *arguments)

    _, errors = await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode == 2
    assert part in errors.decode()
    assert "Traceback" not in errors.decode()


async def test_command_says_when_the_port_is_taken() -> None:
    async with SimulatedProvider() as provider:
        process = await run_command("--port", str(provider.port))
        _, errors = await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{provider.port}" in errors.decode()


async def test_settings_from_flags_can_be_changed_while_it_runs() -> None:
    process = await run_command("--port", "0", "--rpm", "60")
    assert process.stdout is not None
    port = int((await asyncio.wait_for(process.stdout.readline(), 30)).decode().rpartition(":")[2])

    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"PATCH /_control/settings HTTP/1.1\r\nhost: p\r\nconnection: close\r\n")
    writer.write(b'content-length: 11\r\n\r\n{"tpm":500}')
    changed = json.loads((await reader.read()).partition(b"\r\n\r\n")[2])

    process.terminate()
    await asyncio.wait_for(process.communicate(), 30)
    writer.close()
    assert (changed["rpm"], changed["tpm"]) == (60, 500)
    assert "port" not in changed


def test_the_example_scenario_is_valid_and_flags_win_over_it() -> None:
    path = ROOT / "examples" / "scenario.yaml"

    settings, faults = parse_arguments(["--scenario", str(path), "--port", "0", "--api-key", "a", "b"])

    assert (settings.name, settings.port, settings.api_keys) == ("east", 0, ("a", "b"))
    assert [rule.action.kind for rule in faults] == ["status", "status", "reset", "hang", "junk"]
    assert msgspec.to_builtins(load_scenario(path))["settings"]["latency"] == 0.2


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("faults: [{action: {kind: hang, when: later}}]", "$.faults[0].action.when"),
        ("setting: {}", "`setting`"),
        ("settings: {rpm: many}", "$.settings.rpm"),
        ("faults: [", "not valid YAML"),
    ],
)
def test_a_wrong_scenario_is_refused_with_file_and_place(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(text)

    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)

    assert str(path) in str(caught.value)
    assert part in str(caught.value)


def test_the_documentation_names_every_setting_and_every_kind_of_fault() -> None:
    text = (ROOT / "docs" / "provider.md").read_text(encoding="utf-8")
    settings = list(msgspec.to_builtins(ServeSettings()))
    kinds = [str(kind.__struct_config__.tag) for kind in AnyAction.__args__]

    assert [name for name in [*settings, *kinds] if f"`{name}`" not in text] == []
