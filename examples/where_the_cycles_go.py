"""Read a program's report: which layers take the cycles, and what bounds them.

    python examples/where_the_cycles_go.py prog.bin

The same rows are in `vlac report`'s page; `vlac estimate --json` has them per instruction.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vla_isa import image
from vla_isa.errors import VlaError
from vlac.report.summary import layer_rows, summary


def main() -> int:
    """Print one line per layer, the slowest first."""
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=Path)
    program = image.load(parser.parse_args().program)

    facts = summary(program)
    print(f"{facts['macs']:,} MACs in about {facts['cycles']:,} cycles on '{facts['config']}'")
    for layer in sorted(layer_rows(program), key=lambda row: -row["busy"]):
        share = layer["busy"] / facts["cycles"]
        print(f"{layer['busy']:>10,} cycles {share:>4.0%}  {layer['op']:<5} {layer['bound']:<8} {layer['node']}")
    for kind in ("inputs", "outputs"):
        for tensor in facts[kind]:
            print(f"{kind[:-1]} {tensor['name']} {tensor['shape']}: {tensor['scale']:.4g} a step")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except VlaError as error:  # says what is wrong with a file, and what to do
        sys.exit(f"error: {error}")
