"""pi-zero in openpi's size, with random weights: exported, compiled, and how long a chunk takes by the model.

    python benchmarks/pi_zero_shapes.py [--layers 1,2,3] [--config NAME] [--folder DIR] [--json FILE]

Three pictures of 224 px through SigLIP-So400m's tower (27 layers), 48 tokens of words (2,048 wide, an input), an expert
of 816 tokens (Gemma 2B: 18 layers, 2,048 wide, hidden 16,384) and one of 51 (1,024 wide, hidden 4,096), 8 heads of 256
with one of keys, ten Euler steps of 50 actions of 32 values, in one program: openpi's `pi0`.

`--layers N` builds the first N layers of the tower and of both experts; 18 builds all 27 of the tower. A list says how
each layer counts: `prefix` is all in front of the first step, `step` one step, and what a layer more adds to each is
printed below. Export and compile are processes of their own, whose processor time and largest memory are measured.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prepare import count, machine
from stages import compile_folder, export_graph, loop_cycles, measured

from vla_isa import image

if TYPE_CHECKING:
    from vla_models.policy import GraphSpec

STEPS, HORIZON, VALUES = 10, 50, 32
PICTURES, SIDE, WORDS = 3, 224, 48
DEPTH, TOWER = 18, 27
MHZ = 300


def graph_of(layers: int) -> GraphSpec:
    """The policy's graph, with so many layers of each part."""
    import torch
    from torch import nn

    from vla_models.pi_zero.config import PiZeroConfig
    from vla_models.pi_zero.experts import Cache
    from vla_models.pi_zero.joint import JointExperts
    from vla_models.siglip.sizes import TowerSizes
    from vla_models.siglip.vision import SiglipVision

    class OpenPi(JointExperts):
        def __init__(self, config: PiZeroConfig, sizes: TowerSizes) -> None:
            super().__init__(config, PICTURES * sizes.side**2 + WORDS)
            self.tower, self.project = SiglipVision(sizes), nn.Linear(sizes.tower_width, config.prefix_width)
            self.state, self.action = (nn.Linear(VALUES, config.action_width) for _ in range(2))
            self.out = nn.Linear(config.action_width, VALUES)

        def condition(self, *seen: torch.Tensor) -> tuple[Cache, ...]:
            *pictures, words, state = seen
            tokens = [self.project(self.tower(picture)) for picture in pictures]
            return self.keep(torch.cat([*tokens, words], dim=1), state)

        def _example(self, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
            generator = torch.Generator().manual_seed(seed)
            shapes = {f"image_{i}": (3, SIDE, SIDE) for i in range(PICTURES)}
            shapes |= {"words": (WORDS, self.config.prefix_width), "state": (VALUES,)}
            seen = {n: torch.rand(batch, *shape, generator=generator) * 2 - 1 for n, shape in shapes.items()}
            return {**seen, "noise": torch.randn(batch, HORIZON, VALUES, generator=generator)}

    torch.manual_seed(0)
    config = PiZeroConfig(
        prefix_width=2048,
        prefix_hidden=16384,
        action_width=1024,
        action_hidden=4096,
        depth=layers,
        heads=8,
        key_heads=1,
        head_width=256,
        horizon=HORIZON,
        execute=HORIZON,
        sampler_steps=STEPS,
    )
    sizes = TowerSizes(
        tower_width=1152,
        tower_layers=TOWER if layers == DEPTH else layers,
        tower_heads=16,
        tower_hidden=4304,
        image_size=SIDE,
        patch=14,
    )
    (graph,) = OpenPi(config, sizes).eval().graphs()
    return graph


def measure(layers: int, config: str, folder: Path) -> dict[str, Any]:
    """A row of the table."""
    at = ("--folder", str(folder), "--config", config, "--layers", str(layers))
    spent = {stage: measured(__file__, stage, *at) for stage in ("export", "compile")}
    program = image.load(folder / "program.bin")
    chunk, step = loop_cycles(program, STEPS)
    return {
        "layers": layers,
        "config": config,
        **{stage: {"seconds": seconds, "GiB": gib} for stage, (seconds, gib) in spent.items()},
        "prefix_cycles": chunk - STEPS * step,
        "step_cycles": step,
        "weight_bytes": program.weights.nbytes,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=lambda text: [count(n) for n in text.split(",")], default=[1, 2, 3])
    parser.add_argument("--config", default="u50")
    parser.add_argument("--folder", type=Path, help="where files stay; a temporary one otherwise")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--stage", choices=("export", "compile"), help="do this alone, in --folder")
    args = parser.parse_args()
    if args.stage == "export":
        export_graph(graph_of(args.layers[0]), args.folder)
        return 0
    if args.stage == "compile":
        compile_folder(args.config, args.folder)
        return 0
    rows = []
    print(f"{'layers':8s}{'export':>16s}{'compile':>16s}{'weights':>12s}{'prefix':>14s}{'step':>12s}")
    for layers in args.layers:
        with tempfile.TemporaryDirectory() as temporary:
            row = measure(layers, args.config, args.folder or Path(temporary))
        rows.append(row)
        spent = "".join(f"{row[s]['seconds']:7.0f} s{row[s]['GiB']:5.1f} G" for s in ("export", "compile"))
        size = row["weight_bytes"] / 2**20
        print(f"{layers:<8d}{spent}{size:10.1f} M{row['prefix_cycles']:14,d}{row['step_cycles']:12,d}", flush=True)
    for before, after in pairwise(rows):
        more = after["layers"] - before["layers"]
        prefix, step = ((after[k] - before[k]) / more for k in ("prefix_cycles", "step_cycles"))
        print(f"a layer more, {before['layers']} to {after['layers']}: {prefix:,.0f} in front, {step:,.0f} a step")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
