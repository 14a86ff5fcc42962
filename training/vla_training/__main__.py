"""`python -m vla_training`: the same as `vla-train`."""

import sys

from vla_training.cli import main

if __name__ == "__main__":
    sys.exit(main())
