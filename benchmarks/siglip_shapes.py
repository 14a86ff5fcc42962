"""SigLIP's tower in its published size, with the waypoint head: exported, compiled, and how long a picture takes.

    python benchmarks/siglip_shapes.py [--shapes so400m] [--layers N] [--config NAME] [--folder DIR] [--json FILE]

The whole policy `vlm_waypoint` with random weights, as one program: 384 px, 729 tokens of 1152, 27 layers, mean pooling
(SigLIP-So400m's tower, which is SmolVLM's). Export and compile are processes of their own, whose processor time and
largest memory are measured; what they write is in DIR. `--layers` builds the first layers of the tower alone.

Cycles are those of the performance model. The roofline is the larger of the products at the machine's peak and the
weights, each read once, at one beat a cycle of every master; `bound` says which.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

from prepare import machine, names_of
from stages import compile_folder, export_graph, measured

from vla_isa import hardware, image
from vla_models.vlm_waypoint.config import VlmWaypointConfig
from vlac.report.summary import summary

SHAPES = {
    "so400m": VlmWaypointConfig(
        tower_width=1152,
        tower_layers=27,
        tower_heads=16,
        tower_hidden=4304,
        image_size=384,
        patch=14,
        pooling_heads=16,
    ),
    "small": VlmWaypointConfig(),
}
MHZ = 300


def policy_of(shape: str, layers: int) -> VlmWaypointConfig:
    """A shape, or its first layers."""
    config = SHAPES[shape]
    return dataclasses.replace(config, tower_layers=layers) if layers else config


def export(shape: str, layers: int, folder: Path) -> None:
    """model.onnx and frame.npz of a shape."""
    import torch

    from vla_models.vlm_waypoint.model import VlmWaypoint

    torch.manual_seed(0)
    (graph,) = VlmWaypoint(policy_of(shape, layers)).eval().graphs()
    export_graph(graph, folder)


def measure(shape: str, layers: int, config: str, folder: Path) -> dict[str, Any]:
    """A row of the table."""
    at = ("--folder", str(folder), "--config", config, "--shapes", shape, "--layers", str(layers))
    spent = {stage: measured(__file__, stage, *at) for stage in ("export", "compile")}
    found = summary(image.load(folder / "program.bin"))
    machine_ = hardware.load(config)
    bounds = {
        "products": -(-found["macs"] // machine_.macs_per_cycle),
        "weights": -(-found["weight_bytes"] // (32 * machine_.weight_masters)),
    }
    bound = max(bounds, key=lambda name: bounds[name])
    return {
        "shape": shape,
        "layers": policy_of(shape, layers).tower_layers,
        "config": config,
        **{stage: {"seconds": seconds, "GiB": gib} for stage, (seconds, gib) in spent.items()},
        **{name: found[name] for name in ("macs", "cycles", "weight_bytes", "data_bytes", "constant_bytes")},
        "bound": bound,
        "roofline": bounds[bound],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=names_of(SHAPES), default="so400m", help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--layers", type=int, default=0, help="of the tower, the first ones; default: all")
    parser.add_argument("--config", default="u50")
    parser.add_argument("--folder", type=Path, help="where files stay; a temporary one otherwise")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--stage", choices=("export", "compile"), help="do this alone, in --folder")
    args = parser.parse_args()
    if args.stage == "export":
        export(args.shapes[0], args.layers, args.folder)
        return 0
    if args.stage == "compile":
        compile_folder(args.config, args.folder)
        return 0
    rows = []
    print(f"{'shape':8s}{'layers':>7s}{'export':>16s}{'compile':>16s}{'GMAC':>9s}{'cycles':>14s}{'ms':>9s}", end="")
    print(f"{'weights':>10s}{'data':>10s}{'roofline':>14s}{'used':>8s}  bound")
    for shape in args.shapes:
        with tempfile.TemporaryDirectory() as temporary:
            row = measure(shape, args.layers, args.config, args.folder or Path(temporary))
        rows.append(row)
        spent = "".join(f"{row[s]['seconds']:7.0f} s{row[s]['GiB']:5.1f} G" for s in ("export", "compile"))
        print(
            f"{shape:8s}{row['layers']:7d}{spent}{row['macs'] / 1e9:9.2f}{row['cycles']:14,d}"
            f"{row['cycles'] / MHZ / 1e3:9.2f}{row['weight_bytes'] / 2**20:8.1f} M{row['data_bytes'] / 2**20:8.1f} M"
            f"{row['roofline']:14,d}{row['roofline'] / row['cycles']:8.1%}  {row['bound']}",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
