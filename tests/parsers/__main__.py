"""`make fuzz-parsers`: each parser for some minutes; what was found, and exit code 1 where anything was."""

import argparse
import sys
from time import monotonic

from tests.parsers.loop import Fuzzing
from tests.parsers.seeds import keep, seeds
from tests.parsers.targets import TARGETS

_SHOWN_BYTES = 500


def main() -> int:
    """Its arguments are those of the command."""
    names = [target.name for target in TARGETS]
    parser = argparse.ArgumentParser(prog="make fuzz-parsers", description="Fuzzes the proxy's parsers.")
    parser.add_argument("--minutes", type=float, default=1.0, help="for each parser (default: 1)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--seed", type=int, default=None, help="of the dice; default: another each time")
    parser.add_argument("--keep", action="store_true", help="write inputs that go all ways into tests/data/seeds")
    asked = parser.parse_args()
    seed = int(monotonic() * 1000) if asked.seed is None else asked.seed
    print(f"seed {seed}")
    print(f"{'parser':18}{'executions':>12}{'seconds':>9}{'ways':>7}{'findings':>10}")
    is_clean = True
    for target in (each for each in TARGETS if each.name in asked.only):
        began = monotonic()
        fuzzing = Fuzzing(target, seeds(target.name), seed)
        fuzzing.go_on(60 * asked.minutes)
        print(
            f"{target.name:18}{fuzzing.executions:12,}{monotonic() - began:9.0f}{fuzzing.ways:7}"
            f"{len(fuzzing.findings):10}",
            flush=True,
        )
        for each in fuzzing.findings:
            print(f"\n{each.told}{each.data[:_SHOWN_BYTES]!r}  # {len(each.data)} bytes\n", flush=True)
        if asked.keep:
            keep(target.name, fuzzing.kept())
        is_clean = is_clean and not fuzzing.findings
    return not is_clean


if __name__ == "__main__":
    sys.exit(main())
