"""`python -m vlarun`: the same as `vlarun`."""

import sys

from vlarun.cli import main

if __name__ == "__main__":
    sys.exit(main())
