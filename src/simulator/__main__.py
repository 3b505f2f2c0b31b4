"""`llmproxy provider`, and `python -m simulator`: a simulated provider on a loopback port, until it is told to stop."""

import argparse
import asyncio
import contextlib
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml
from msgspec import Meta

from simulator import ProviderSettings, Rule, SimulatedProvider

_PROG = "python -m simulator"
_WRONG_USAGE = 2
_CANNOT_LISTEN = 1


class ServeSettings(ProviderSettings, frozen=True, forbid_unknown_fields=True):
    """The settings of a scenario file: those of the provider, and where it listens."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 4100

    def of_the_provider(self) -> ProviderSettings:
        """What can still be changed while it runs: everything but where it listens."""
        return ProviderSettings(**{name: getattr(self, name) for name in ProviderSettings.__struct_fields__})


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A scenario file, YAML or JSON."""

    settings: ServeSettings = ServeSettings()
    faults: list[Rule] = []


class ScenarioError(Exception):
    """A scenario that cannot be used. `str(error)` says where and why."""


def load_scenario(path: Path) -> Scenario:
    """Reads and checks a scenario file. Raises `ScenarioError`."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Scenario() if raw is None else msgspec.convert(raw, Scenario)
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: not valid YAML: {error}") from error
    except msgspec.ValidationError as error:
        raise ScenarioError(f"{path}: {error}") from error


def parse_arguments(arguments: Sequence[str], prog: str = _PROG) -> tuple[ServeSettings, list[Rule]]:
    """What the flags and the scenario file say; a flag wins. Raises `ScenarioError`, exits 2 on a wrong flag."""
    given = vars(_parser(prog).parse_args(arguments))
    path: Path | None = given.pop("scenario", None)
    scenario = Scenario() if path is None else load_scenario(path)
    try:
        settings = msgspec.convert({**msgspec.to_builtins(scenario.settings), **given}, ServeSettings)
    except msgspec.ValidationError as error:
        raise ScenarioError(str(error).replace("$.", "--").replace("_", "-")) from error
    return settings, scenario.faults


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="A simulated OpenAI / Azure OpenAI provider on loopback; docs/provider.md says the rest.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    flags: list[tuple[str, dict[str, Any]]] = [
        ("--host", {"help": "loopback address to listen on (default 127.0.0.1)"}),
        ("--port", {"type": int, "help": "port, 0 for any free one (default 4100)"}),
        ("--name", {"help": "mentioned in every answer (default provider)"}),
        ("--scenario", {"type": Path, "metavar": "FILE", "help": "YAML or JSON file with settings and faults"}),
        ("--latency", {"type": float, "metavar": "SECONDS", "help": "before the headers of an answer (default 0)"}),
        ("--tokens-per-second", {"type": float, "metavar": "N", "help": "pace of streams (default: at once)"}),
        ("--answer-tokens", {"type": int, "metavar": "N", "help": "words in an answer (default 16)"}),
        ("--rpm", {"type": int, "metavar": "N", "help": "requests a minute for each key and model"}),
        ("--tpm", {"type": int, "metavar": "N", "help": "tokens a minute for each key and model"}),
        ("--header-style", {"choices": ["openai", "azure", "none", "ptu"], "help": "how limits count and show"}),
        ("--window", {"type": float, "metavar": "SECONDS", "help": "count both limits in windows of that length"}),
        ("--windows", {"choices": ["fixed", "aligned", "sliding"], "help": "where they lie (default fixed)"}),
    ]
    for flag, options in flags:
        parser.add_argument(flag, **options)
    parser.add_argument(
        "--api-key", dest="api_keys", metavar="KEY", nargs="+", action="extend", help="only these keys are let in"
    )
    return parser


async def serve(settings: ServeSettings, faults: Sequence[Rule]) -> None:
    """Listens until SIGTERM or SIGINT. Raises `OSError` when the port cannot be had."""
    provider = SimulatedProvider(settings.of_the_provider(), faults)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await provider.start(settings.host, settings.port)
    print(f"provider {settings.name} listening on {provider.url}", flush=True)
    await stopped.wait()
    await provider.stop()


def main(arguments: Sequence[str] | None = None, prog: str = _PROG) -> int:
    """Returns the exit code: 0 when told to stop, 1 when the port cannot be had, 2 for what was asked wrongly."""
    try:
        settings, faults = parse_arguments(sys.argv[1:] if arguments is None else arguments, prog)
        _allow_many_connections()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(settings, faults))
    except (ScenarioError, ValueError) as error:
        print(f"provider: {error}", file=sys.stderr)
        return _WRONG_USAGE
    except OSError as error:
        print(f"provider: cannot listen on {settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)
        return _CANNOT_LISTEN
    return 0


def _allow_many_connections() -> None:
    """The usual soft limit of 1024 open files is less than a load test needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Any:
    """uvloop's where it is installed; None is asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
