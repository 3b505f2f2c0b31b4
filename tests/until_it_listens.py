"""`python tests/until_it_listens.py ARGUMENTS...`: runs `llmproxy ARGUMENTS`, and ends it when it says that it listens.

The exit code is its own, or 1 where it said no such thing.
"""

import subprocess
import sys


def main() -> int:
    """Passes on what it says until then."""
    process = subprocess.Popen([sys.executable, "-m", "llmproxy", *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        if "listen" in line:
            process.terminate()
            return process.wait(60)
    return process.wait() or 1


if __name__ == "__main__":
    sys.exit(main())
