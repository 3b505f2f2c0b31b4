"""`llmproxy explain FILE --model M`: who would be asked, in what order, and why or why not."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from entrypoints.cli.tables import printable
from entrypoints.config.load import ConfigError, load_settings
from entrypoints.explain.explanation import ModelUnknown, explain
from entrypoints.explain.live_status import KEY_VARIABLE, StatusUnreadable, read_status
from entrypoints.explain.rehearsal import Wanted
from entrypoints.explain.report import as_json, print_explanation

PROMPT_TOKENS = 1000
_MAX_TOKENS = 1_000_000


def main(arguments: Sequence[str], prog: str = "python -m entrypoints.explain.command") -> int:
    """Explains one request. The exit code is 0 where somebody would be asked at once, 1 where nobody can be now, 2 for
    a mistake."""
    options = _parse(arguments, prog)
    wanted = Wanted(options.model, options.tokens, options.max_output, options.client)
    try:
        settings = load_settings(options.file, os.environ)
        live = None if options.status is None else read_status(options.status, options.key)
        explanation = explain(settings, wanted, live, options.status)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except (ModelUnknown, StatusUnreadable) as error:
        print(printable(f"{prog}: {error}"), file=sys.stderr)
        return 2
    if options.format == "json":
        print(as_json(explanation))
    else:
        print_explanation(explanation, sys.stdout)
    return 0 if explanation.outcome.kind == "asked" else 1


def _parse(arguments: Sequence[str], prog: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Says which endpoints would be asked for a model, in what order, and for each why or why not. The "
        "code that routes decides it; nothing is sent to any provider. "
        "Exit code: 0 an endpoint would be asked at once; 1 none can be now; 2 a mistake.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the YAML configuration")
    parser.add_argument("--model", required=True, metavar="M", help="the model that the request names")
    parser.add_argument(
        "--tokens",
        type=_tokens,
        default=PROMPT_TOKENS,
        metavar="N",
        help=f"the tokens of its prompt (default: {PROMPT_TOKENS})",
    )
    parser.add_argument(
        "--max-output", type=_tokens, metavar="N", help="the most output that it asks for (default: it sets no limit)"
    )
    parser.add_argument(
        "--client",
        default="",
        metavar="KEY",
        help="its prompt_cache_key, safety_identifier or user, for groups with affinity",
    )
    parser.add_argument(
        "--status",
        metavar="FILE|URL|-",
        help="the state of a running proxy: what its GET /status says, or where to ask for it",
    )
    parser.add_argument(
        "--key", help=f"one of the proxy's keys, for a URL (default: {KEY_VARIABLE} in the environment)"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="json: one document, for machines")
    return parser.parse_args(arguments)


def _tokens(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= _MAX_TOKENS:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of tokens; valid: 1 to {_MAX_TOKENS}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
