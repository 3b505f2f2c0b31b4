"""`llmproxy schema`: the JSON Schema of the configuration file, for editors that complete and check it."""

import argparse
import json
from collections.abc import Sequence

from entrypoints.schema.json_schema import json_schema


def main(arguments: Sequence[str], prog: str = "python -m entrypoints.schema.command") -> int:
    argparse.ArgumentParser(
        prog=prog,
        description="Prints the JSON Schema (2020-12) of a configuration. An editor with yaml-language-server "
        "completes and checks a file that begins with: # yaml-language-server: $schema=llmproxy.schema.json",
    ).parse_args(arguments)
    print(document(), end="")
    return 0


def document() -> str:
    """The schema as it is printed, and as it lies in docs/llmproxy.schema.json."""
    return json.dumps(json_schema(), indent=2) + "\n"
