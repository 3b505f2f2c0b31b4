"""`llmproxy convert FILE [-o FILE]`: a configuration of one for LiteLLM, and what could not be carried over."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from entrypoints.cli.tables import print_table
from entrypoints.convert.check import mistakes_in, variables_in
from entrypoints.convert.conversion import Converted, convert
from entrypoints.convert.document import document
from entrypoints.convert.notes import by_text, places
from entrypoints.convert.source import SourceError, read_source


def main(arguments: Sequence[str], prog: str = "python -m entrypoints.convert.command") -> int:
    """The exit code is 0 for a file that our reader takes, 2 where there is none or it has a mistake."""
    options = _parse(arguments, prog)
    try:
        converted = convert(read_source(options.file), literals_kept=options.keep_literal_keys)
    except SourceError as error:
        return _refuse(str(error))
    carried, left = _rows(converted, is_carried=True), _rows(converted, is_carried=False)
    print_table("Carried over, and different here", ("where", "key", "what"), carried, sys.stderr)
    print_table("Not carried over", ("where", "key", "why"), left, sys.stderr)
    if not any(group.endpoints for group in converted.groups):
        return _refuse(f"{options.file} has no endpoint that this proxy can call, so nothing is written")
    text = document(converted, options.file.name)
    if (failed := _write(text, options)) is not None:
        return _refuse(failed)
    mistakes = mistakes_in(text, os.environ)
    if mistakes:
        print("The new file needs your hand before it can be served:", *mistakes, sep="\n  ", file=sys.stderr)
        return 2
    _what_next(converted, text, options.output)
    return 0


def _parse(arguments: Sequence[str], prog: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Makes a configuration of one for LiteLLM. What cannot be carried over is said on standard error, "
        "and in comments of the new file; docs/migrate.md says what is different here.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="LiteLLM's configuration; what it includes is read too")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the new file (default: standard output)")
    parser.add_argument("--force", action="store_true", help="write over the new file where it exists")
    parser.add_argument(
        "--keep-literal-keys",
        action="store_true",
        help="carry secrets that stand in FILE as they are, instead of naming a variable for each",
    )
    return parser.parse_args(arguments)


def _write(text: str, options: argparse.Namespace) -> str | None:
    """Why it could not be written; None = it was."""
    if options.output is None:
        print(text, end="")
        return None
    try:
        # Keys may stand in it.
        mode = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if options.force else os.O_EXCL)
        with os.fdopen(os.open(options.output, mode, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return f"{options.output} exists; --force writes over it"
    except OSError as error:
        return f"{options.output}: {error.strerror}"
    return None


def _rows(converted: Converted, *, is_carried: bool) -> list[tuple[str, str, str]]:
    """A row for each text: what is said of many keys is said once."""
    return [
        (places(same), ", ".join(dict.fromkeys(note.node.path for note in same)), same[0].text)
        for same in by_text(note for note in converted.notes() if note.is_carried == is_carried)
    ]


def _what_next(converted: Converted, text: str, output: Path | None) -> None:
    origins = {each.variable: each.node for each in converted.exports}
    # What was set before may be another secret than the one in the file.
    wanted = [name for name in variables_in(text) if name in origins or not os.environ.get(name)]
    if wanted:
        print("Set before the start:", file=sys.stderr)
    for name in wanted:
        node = origins.get(name)
        origin = f"   # what stands at {node.file}:{node.line}, {node.path}" if node is not None else ""
        print(f"  export {name}=...{origin}", file=sys.stderr)
    endpoints = sum(len(group.endpoints) for group in converted.groups)
    print(f"{endpoints} endpoint(s) in {len(converted.groups)} group(s). ", end="", file=sys.stderr)
    print(f"Then: llmproxy serve --config {output or 'FILE'}", file=sys.stderr)


def _refuse(why: str) -> int:
    print(f"convert: {why}", file=sys.stderr)
    return 2
