"""`llmproxy`, which is also `python -m llmproxy`: refuses packages that are not the proxy's, then runs the command."""

import sys
from collections.abc import Sequence

from llmproxy.shadows import ADVICE, shadows


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 2 for a mistake of the caller's, or 1 for what may work later."""
    if found := shadows():
        for each in found:
            print(f"llmproxy: cannot start: {each}", file=sys.stderr)
        print(ADVICE, file=sys.stderr)
        return 2
    # Only now: before, it might be somebody else's.
    from entrypoints.cli.command import main as run  # noqa: PLC0415

    return run(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
