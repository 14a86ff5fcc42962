"""Cycles of tasks on the frame network of a driving policy, of whose tiles of 16 channels each task has some.

`sparse` has 35.3 % dead tiles, and is held to the target: cycles fall as the convolutions' multiply-accumulates do,
within a tenth. The others have tiles drawn at random until about the share of multiply-accumulates is left that was
published for the commands of a gated driving policy. The first tile of a layer is always live.
Not here: trained gates.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import onnx

import vlarun
from vla_isa.program import Program
from vlac import CompileOptions, compile_model

__all__ = ["COMMANDS", "SLACK", "compiled", "conv_macs", "drawn_tiles", "main", "measured", "sparse_tiles"]

TILE = 16
LIVE = 1 - 0.353  # of the tiles of `sparse`
SLACK = 0.1
COMMANDS = {  # share of the convolutions' multiply-accumulates
    "follow_lane": 0.561,
    "turn_left": 0.637,
    "turn_right": 0.703,
    "change_left": 0.694,
    "change_right": 0.554,
    "stop": 0.195,
}
Tiles = dict[str, list[int]]


def sparse_tiles(model: onnx.ModelProto, seed: int = 0) -> Tiles:
    """In each layer the same share of live tiles."""
    rng = np.random.default_rng(seed)
    return _each_layer(model, lambda n: rng.permutation(n)[: max(round(LIVE * (n + 1)) - 1, 0)])


def drawn_tiles(model: onnx.ModelProto, share: float, seed: int = 0) -> Tiles:
    """Each tile live with the root of the share, as a multiply-accumulate needs two that are."""
    rng = np.random.default_rng(seed)
    return _each_layer(model, lambda n: np.flatnonzero(rng.random(n) < share**0.5))


def _each_layer(model: onnx.ModelProto, draw: Callable[[int], Any]) -> Tiles:
    """The first tile and those drawn of the others."""
    outs = {t.name: int(t.dims[0]) for t in model.graph.initializer if t.dims}
    convs = [n for n in model.graph.node if n.op_type == "Conv"]
    return {n.name: [0, *sorted(int(i) + 1 for i in draw(outs[n.input[1]] // TILE - 1))] for n in convs}


def compiled(model: onnx.ModelProto, config: str = "u50") -> Program:
    """One program with all tasks."""
    drawn = {name: drawn_tiles(model, share, seed) for seed, (name, share) in enumerate(COMMANDS.items())}
    tasks = {"sparse": sparse_tiles(model), **drawn}
    masks = {"block": TILE, "tasks": tasks}
    return compile_model(model, config, CompileOptions(calibration="random:2", task_masks=masks))


def conv_macs(program: Program, entry: str) -> int:
    """Multiply-accumulates of the convolutions that are live in a task."""
    first = program.entries[entry]
    behind = min((at for at in program.entries.values() if at > first), default=sys.maxsize)
    return sum(s.macs for s in program.sources if first <= s.packet < behind and s.op == "Conv")


def measured(program: Program, entry: str, rtl: vlarun.Session, sim: vlarun.Session, data: Any) -> dict[str, Any]:
    """Cycles of an entry point on the Verilog machine, whose bytes are those of `sim`."""
    found, wanted = rtl.run(data, raw=True, entry=entry), sim.run(data, raw=True, entry=entry)
    same = all(np.array_equal(found[name], array) for name, array in wanted.items())
    cycles, model = rtl.stats["cycles"], sim.stats["cycles"]
    return {"task": entry, "conv_macs": conv_macs(program, entry), "cycles": cycles, "model": model, "equal": same}


def main() -> int:
    """Measure, print, and say whether the target is met."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here")
    args = parser.parse_args()
    model = graphs.carla_frame()
    program = compiled(model)
    rtl, sim = vlarun.Session(program, backend="rtl"), vlarun.Session(program)
    data = {"image": np.random.default_rng(1).standard_normal((1, 3, 256, 256)).astype(np.float32)}
    rows = [measured(program, entry, rtl, sim, data) for entry in program.entries]
    dense = rows[0]
    print("| task | conv MMAC | of dense | cycles | of dense | model |\n|---|---|---|---|---|---|")
    for row in rows:
        row |= {"macs_share": row["conv_macs"] / dense["conv_macs"], "cycles_share": row["cycles"] / dense["cycles"]}
        print(
            f"| {row['task']} | {row['conv_macs'] / 1e6:.1f} | {100 * row['macs_share']:.1f} % | {row['cycles']:,} | "
            f"{100 * row['cycles_share']:.1f} % | {100 * (row['model'] / row['cycles'] - 1):+.2f} % |"
        )
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    sparse = next(row for row in rows if row["task"] == "sparse")
    met = abs(sparse["cycles_share"] / sparse["macs_share"] - 1) <= SLACK and all(row["equal"] for row in rows)
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
