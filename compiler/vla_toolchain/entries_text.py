"""What `vlac compile` writes and prints of a program with several entry points of their own inputs.

Not here: how the program was made (`graphs_command.py`, `missions_command.py`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from vla_isa import image
from vla_isa.files import write_whole
from vlac.graphs import CompiledGraphs
from vlac.report.summary import summary

__all__ = ["write_entries"]

_Lines = Mapping[str, Sequence[str]]


def write_entries(args: argparse.Namespace, made: CompiledGraphs, notes: _Lines, warnings: _Lines) -> None:
    """Write the program, and print what it is; `notes` and `warnings` are lines by entry point, or by ''."""
    write_whole(args.output, image.dumps(made.program))
    for name, part in made.parts.items() if args.time else ():
        for step, seconds in part.seconds.items():
            print(f"{name + ': ' + step:<24} {seconds:8.3f} s", file=sys.stderr)
    hw, words = made.program.config, len(made.program.weights)
    alone = sum(len(p.program.weights) for p in made.parts.values() if p.program)
    number = f"{len(made.parts)} entry point{'s' if len(made.parts) > 1 else ''}"
    print(f"{args.output}: {number} for '{hw.name}', {words:,} of {alone:,} weight words stored")
    for name in made.parts:
        program = made.program.at(name)
        facts = summary(program)
        state = ", ".join(c.model_input for c in program.carried)
        print(
            f"  {name}: {facts['macs'] / 1e6:.2f} MMAC, about {facts['cycles']:,} cycles "
            f"({facts['milliseconds']:.3f} ms at {hw.clock_mhz} MHz)" + (f"; carried: {state}" if state else "")
        )
        print("".join(f"    {line}\n" for line in notes.get(name, ())), end="")
    print("".join(f"  {line}\n" for line in notes.get("", ())), end="")
    for name, lines in warnings.items():
        for line in lines:
            print(f"warning: {name + ': ' if name else ''}{line}", file=sys.stderr)
