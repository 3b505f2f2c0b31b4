"""`python -m entrypoints.provider`: what `python -m simulator` is, under its older name."""

import sys

from simulator.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
