"""`python -m vlac`: the same as `vlac`."""

import sys

from vla_toolchain.vlac_cli import main

if __name__ == "__main__":
    sys.exit(main())
