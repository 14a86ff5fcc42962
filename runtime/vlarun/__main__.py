"""`python -m vlarun`: the same as `vlarun`."""

import sys

from vla_toolchain.vlarun_cli import main

if __name__ == "__main__":
    sys.exit(main())
