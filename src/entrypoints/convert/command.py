"""`llmproxy convert FILE [-o FILE]`."""

import argparse
from collections.abc import Sequence


def main(arguments: Sequence[str], prog: str) -> int:
    """Exit code."""
    argparse.ArgumentParser(prog=prog).parse_args(arguments)
    return 0
