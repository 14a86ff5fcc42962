"""pi-zero in openpi's size, with random weights: exported, compiled, and how long a chunk takes by the model.

    python benchmarks/pi_zero_shapes.py [--shapes openpi] [--layers N] [--tower-layers N] [--config NAME]
                                        [--folder DIR] [--json FILE]

Three pictures of 224 px through one SigLIP-So400m tower (27 layers), 256 tokens each, joined with 48 of language; both
experts (18 layers, 8 heads of 256 that share keys: 2,048 wide with 16,384 hidden, and 1,024 with 4,096 for 50 actions);
ten Euler steps in a loop. The pictures and the language's embeddings are inputs; an action has 2 numbers.

`--layers` and `--tower-layers` build the first layers alone: all of them have 2.7 billion parameters, 11 GB in float.
Export and compile are processes of their own, whose processor time and largest memory are measured; what they write is
in DIR. Cycles are those of the performance model; the roofline is all products at the machine's peak.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from prepare import machine, names_of
from stages import compile_folder, export_graph, loop_cycles, measured

from vla_isa import hardware, image
from vla_models.pi_zero.config import PiZeroConfig
from vla_models.siglip.sizes import TowerSizes
from vlac.report.summary import summary

VIEWS = ("base", "left_wrist", "right_wrist")
MHZ = 300


class Shape(NamedTuple):
    """Sizes of the towers, the experts, and tokens of language."""

    tower: TowerSizes
    experts: PiZeroConfig
    language: int


SHAPES = {
    "openpi": Shape(
        TowerSizes(tower_width=1152, tower_layers=27, tower_heads=16, tower_hidden=4304, image_size=224, patch=14),
        PiZeroConfig(
            prefix_width=2048,
            prefix_hidden=16384,
            action_width=1024,
            action_hidden=4096,
            depth=18,
            heads=8,
            key_heads=1,
            head_width=256,
            horizon=50,
            execute=50,
        ),
        48,
    ),
    "small": Shape(TowerSizes(tower_layers=1, image_size=64), PiZeroConfig(depth=1), 8),
}


def shape_of(name: str, layers: int, tower_layers: int) -> Shape:
    """A shape, or its first layers."""
    tower, experts, language = SHAPES[name]
    tower = replace(tower, tower_layers=tower_layers) if tower_layers else tower
    return Shape(tower, replace(experts, depth=layers) if layers else experts, language)


def export(shape: Shape, folder: Path) -> None:
    """model.onnx, with its weights beside it, and frame.npz, one random frame of its inputs."""
    import torch
    from torch import nn

    from vla_models.pi_zero.joint import JointExperts
    from vla_models.siglip.vision import SiglipVision

    tower, experts, language = shape

    class Policy(JointExperts):
        """Sees pictures and embeddings of language."""

        def __init__(self) -> None:
            super().__init__(experts, seen=len(VIEWS) * tower.tokens + language)
            self.tower, self.projector = SiglipVision(tower), nn.Linear(tower.tower_width, experts.prefix_width)

        def condition(self, *seen: torch.Tensor) -> Any:
            """Keys and values of pictures, language and state."""
            *pictures, words, state = seen
            tokens = [self.projector(self.tower(picture)) for picture in pictures]
            return self.keep(torch.cat([*tokens, words], dim=1), state)

        def seen_shapes(self) -> dict[str, tuple[int, ...]]:
            """Pictures in [-1, 1], and embeddings."""
            pictures = dict.fromkeys(VIEWS, (3, tower.image_size, tower.image_size))
            return {**pictures, "language": (language, experts.prefix_width)}

    torch.manual_seed(0)
    (graph,) = Policy().eval().graphs()
    export_graph(graph, folder)


def measure(name: str, layers: int, tower_layers: int, config: str, folder: Path) -> dict[str, Any]:
    """A row of the table."""
    shape = shape_of(name, layers, tower_layers)
    at = ("--folder", str(folder), "--config", config, "--shapes", name)
    at += ("--layers", str(layers), "--tower-layers", str(tower_layers))
    spent = {stage: measured(__file__, stage, *at) for stage in ("export", "compile")}
    program = image.load(folder / "program.bin")
    found, (chunk, step) = summary(program), loop_cycles(program, shape.experts.sampler_steps)
    return {
        "shape": name,
        "layers": shape.experts.depth,
        "tower_layers": shape.tower.tower_layers,
        "config": config,
        **{stage: {"seconds": seconds, "GiB": gib} for stage, (seconds, gib) in spent.items()},
        **{key: found[key] for key in ("macs", "weight_bytes", "data_bytes")},
        "chunk_cycles": chunk,
        "step_cycles": step,
        "roofline": -(-found["macs"] // hardware.load(config).macs_per_cycle),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=names_of(SHAPES), default="openpi", help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--layers", type=int, default=0, help="of the experts, the first ones; default: all")
    parser.add_argument("--tower-layers", type=int, default=0, help="of the tower, the first ones; default: all")
    parser.add_argument("--config", default="u50")
    parser.add_argument("--folder", type=Path, help="where files stay; a temporary one otherwise")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--stage", choices=("export", "compile"), help="do this alone, in --folder")
    args = parser.parse_args()
    if args.stage == "export":
        export(shape_of(args.shapes[0], args.layers, args.tower_layers), args.folder)
        return 0
    if args.stage == "compile":
        compile_folder(args.config, args.folder)
        return 0
    rows = []
    print(f"{'shape':8s}{'layers':>8s}{'export':>16s}{'compile':>16s}{'GMAC':>9s}{'chunk':>14s}{'ms':>9s}", end="")
    print(f"{'step':>12s}{'weights':>10s}{'data':>10s}{'roofline':>14s}{'used':>8s}")
    for name in args.shapes:
        with tempfile.TemporaryDirectory() as temporary:
            row = measure(name, args.layers, args.tower_layers, args.config, args.folder or Path(temporary))
        rows.append(row)
        spent = "".join(f"{row[s]['seconds']:7.0f} s{row[s]['GiB']:5.1f} G" for s in ("export", "compile"))
        print(
            f"{name:8s}{row['tower_layers']:4d}+{row['layers']:<3d}{spent}{row['macs'] / 1e9:9.2f}"
            f"{row['chunk_cycles']:14,d}{row['chunk_cycles'] / MHZ / 1e3:9.2f}{row['step_cycles']:12,d}"
            f"{row['weight_bytes'] / 2**20:8.1f} M{row['data_bytes'] / 2**20:8.1f} M"
            f"{row['roofline']:14,d}{row['roofline'] / row['chunk_cycles']:8.1%}",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
