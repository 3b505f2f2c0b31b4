"""`llmproxy [COMMAND] [ARGUMENTS]`: finds the module of a command and runs it, and imports that of no other."""

import difflib
import importlib
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from entrypoints.version import version

DEFAULT = "serve"


class Command(Struct, frozen=True):
    """Its module has `main(arguments, prog)`; exit codes: 0, 1 = may work later, 2 = a mistake of the caller's."""

    module: str
    summary: str


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "serve": Command("entrypoints.http", "serve a configuration, or the demo; what is done without a command"),
        "check": Command(
            "entrypoints.check.command", "say what is wrong with a configuration, or whom it asks for what"
        ),
        "reload": Command("entrypoints.reload.command", "have the running proxy take over its changed configuration"),
        "explain": Command("entrypoints.explain.command", "say who would be asked for a model now, and why or why not"),
        "simulate": Command(
            "entrypoints.simulate.command", "play traffic, limits and outages through a configuration, in seconds"
        ),
        "schema": Command("entrypoints.schema.command", "print the JSON Schema of a configuration, for editors"),
        "provider": Command("simulator.__main__", "run a simulated provider, to try a configuration against"),
        "convert": Command("entrypoints.convert.command", "make a configuration of one for LiteLLM"),
    }
)

_HELP = """\
usage: llmproxy [COMMAND] [ARGUMENTS]

One OpenAI API in front of many OpenAI and Azure OpenAI endpoints.

commands:
{commands}

  llmproxy COMMAND --help     the arguments of a command
  llmproxy --version

first steps:
  llmproxy serve --demo                    three simulated providers: no key, no configuration
  llmproxy serve --config llmproxy.yaml    your endpoints
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command that the first argument names; the exit code is the command's."""
    word, *rest = arguments or [DEFAULT]
    match word:
        case "-h" | "--help" | "help":
            width = max(map(len, COMMANDS)) + 2
            rows = [f"  {name:{width}}{each.summary}" for name, each in COMMANDS.items()]
            print(_HELP.format(commands="\n".join(rows)), end="")
            return 0
        case "-V" | "--version":
            print(f"llmproxy {version()}")
            return 0
    if word.startswith("-"):
        word, rest = DEFAULT, list(arguments)
    command = COMMANDS.get(word)
    if command is None:
        print(f"llmproxy: {_unknown(word)}", file=sys.stderr)
        return 2
    code: int = importlib.import_module(command.module).main(rest, f"llmproxy {word}")
    return code


def _unknown(word: str) -> str:
    if word.endswith((".yaml", ".yml")):
        return f"'{word}' is no command; to serve that configuration: llmproxy serve --config {word}"
    near = difflib.get_close_matches(word, COMMANDS, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"'{word}' is no command; {meant}valid: {', '.join(COMMANDS)}"
