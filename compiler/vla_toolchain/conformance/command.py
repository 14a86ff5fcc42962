"""`vlarun conformance`: the suites of the runtime and the compiler's.

Not here: arguments (`vlarun_cli.py`), running and showing cases (`vlarun/conformance/runner.py`).
"""

from __future__ import annotations

import argparse

from vla_isa.errors import BadUsageError
from vla_isa.files import check_writable
from vla_toolchain.conformance.suites import SUITES
from vlarun import files
from vlarun.backends.rtl_library import header
from vlarun.conformance import runner

__all__ = ["conformance"]


def conformance(args: argparse.Namespace) -> int:
    """vlarun conformance."""
    if args.show_header:
        print(header())
        return 0
    suites = tuple(args.suite.split(","))
    if args.programs is not None and "T2" not in suites:
        raise BadUsageError(f"--programs is of suite T2, which is not in '{args.suite}'")
    if args.json:
        check_writable(args.json)
    outcome = runner.run(
        runner.Choice(
            backend=args.backend,
            config=args.config,
            suites=suites,
            stalls=args.stalls,
            programs=args.programs or runner.PROGRAMS,
            seed=args.seed,
            match=args.match,
            checked=args.checked,
            library=args.library,
        ),
        SUITES,
    )
    if args.json:
        files.write_json(args.json, outcome.to_dict())
    runner.show(outcome)
    return 0 if outcome.passed else 1
