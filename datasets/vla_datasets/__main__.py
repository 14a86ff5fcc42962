"""`python -m vla_datasets`: the same as `vla-collect`."""

import sys

from vla_datasets.cli import main

if __name__ == "__main__":
    sys.exit(main())
