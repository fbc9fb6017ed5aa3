"""``python -m whisperbatch``: the same as the console script."""

import sys

from whisperbatch.cli import main

if __name__ == "__main__":
    sys.exit(main())
