"""`vlac compile` of one model with `--constants ENTRY=DATA.npz`: an entry point for each.

Not here: how missions are compiled (`vlac/missions.py`), what a file of constants is (`constants_argument.py`).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from vla_isa.errors import BadUsageError
from vla_isa.hardware import load
from vla_toolchain.compile_command import (
    StageProgress,
    check_outputs,
    check_percentile,
    check_rounding,
    check_used,
    options_of,
)
from vla_toolchain.constants_argument import read_constants
from vla_toolchain.entries_text import write_entries
from vla_toolchain.verify.report import loss_report, print_constants
from vlac.missions import compile_missions

__all__ = ["compile_with_missions"]

_ALONE = (  # options that say something of one entry point, or need the inputs that are constants
    *("embed_onnx", "allow_host", "carry", "counter", "task_masks", "report", "sensitivity", "dump_after"),
)


def compile_with_missions(args: argparse.Namespace, files: Mapping[str, Path]) -> int:
    """vlac compile, of one model and several sets of constant inputs, by entry point."""
    found = [f"--{name.replace('_', '-')}" for name in _ALONE if getattr(args, name)]
    found += ["--repeat"] if args.repeat != 1 else []
    if found:
        raise BadUsageError(
            f"{', '.join(found)} is not for --constants of several entry points; give one file of constants without "
            "a name, or compile without"
        )
    hw = load(args.config)
    check_percentile(args)
    check_rounding(args)
    check_outputs(args, [args.output])
    constants = {name: read_constants(path) for name, path in files.items()}
    progress = StageProgress()
    try:
        made = compile_missions(args.model, hw, constants, options_of(args), progress)
        if args.verify:
            print_constants(made.program, made.parts, progress, progress.clear)
    finally:
        progress.clear()
    first = next(iter(made.parts.values()))
    check_used(args, first)
    note, warnings = loss_report(first, first.program) if first.program is not None else ([], [])
    write_entries(args, made, {"": note}, {"": warnings})
    return 0
